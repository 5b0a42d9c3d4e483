"""The batch of all processes."""

import pytest

from sapiens.utils.total_batch import batch_of_process


@pytest.mark.parametrize(('processes', 'batch'), [(1, 48), (16, 3), (24, 2), (48, 1)])
def test_processes_share_it(processes, batch):
    assert batch_of_process(dict(total_batch_size=48, batch_size=5), processes) == batch
    assert batch_of_process(dict(batch_size=5), processes) == 5


@pytest.mark.parametrize(
    ('total', 'text'),
    [
        (50, 'total_batch_size=50 is not a multiple of the 16 processes: take 48 or 64$'),
        (5, 'total_batch_size=5 is not a multiple of the 16 processes: take 16$'),
        (0, 'total_batch_size=0: expected'),
        (48.0, 'total_batch_size=48.0: expected'),
        ('48', "total_batch_size='48': expected"),
        (True, 'total_batch_size=True: expected'),
    ],
)
def test_refused(total, text):
    with pytest.raises(ValueError, match=text):
        batch_of_process(dict(total_batch_size=total), 16)


@pytest.mark.parametrize('batch', [None, 0, -1, 2.0, True])
def test_a_wrong_batch_is_refused(batch):
    with pytest.raises(ValueError, match=f'train_dataloader.batch_size={batch}: expected the number of images'):
        batch_of_process(dict(batch_size=batch), 16)
    with pytest.raises(ValueError, match='train_dataloader.batch_size=None: expected'):
        batch_of_process({}, 16)
