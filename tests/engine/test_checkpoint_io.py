import errno
import os
import resource
import shutil
import zipfile
from pathlib import Path

import pytest
import torch

from sapiens.engine import checkpoint_io
from sapiens.engine.checkpoint_io import find_resumable, load_training_state, write_checkpoint
from sapiens.engine.message_hub import plain
from sapiens.engine.random_state import get_random_state, set_random_state


def state(value=1.0):
    return dict(state_dict=dict(w=torch.full((64, 64), value)), optimizer={}, meta=dict(iter=1), data=[], rng=[])


class Log:
    def __init__(self):
        self.lines = []

    def warning(self, line):
        self.lines.append(line)


def test_written_whole_under_the_final_name(tmp_path):
    write_checkpoint(state(), tmp_path / 'iter_1.pth')
    assert [path.name for path in tmp_path.iterdir()] == ['iter_1.pth']
    assert load_training_state(tmp_path / 'iter_1.pth')['state_dict']['w'].eq(1).all()


@pytest.mark.parametrize(
    'error', [OSError(errno.ENOSPC, 'No space left on device'), RuntimeError('unexpected pos 64 vs 0')]
)
def test_full_disk_leaves_older_checkpoints_and_no_half_file(tmp_path, monkeypatch, error):
    write_checkpoint(state(), tmp_path / 'iter_1.pth')

    def fail(checkpoint, file):
        file.write(b'half')
        raise error

    monkeypatch.setattr(checkpoint_io.torch, 'save', fail)
    usage = type('Usage', (), dict(free=0))
    monkeypatch.setattr(checkpoint_io.shutil, 'disk_usage', lambda path: usage)
    with pytest.raises(RuntimeError, match='full.*Older checkpoints are intact.*--resume'):
        write_checkpoint(state(2.0), tmp_path / 'iter_2.pth')
    with pytest.raises(RuntimeError):
        write_checkpoint(state(2.0), tmp_path / 'iter_1.pth')  # what is there stays until the new file is whole
    assert [path.name for path in tmp_path.iterdir()] == ['iter_1.pth']
    monkeypatch.undo()
    assert load_training_state(tmp_path / 'iter_1.pth')['state_dict']['w'].eq(1).all()


def test_a_real_write_limit_is_reported(tmp_path):
    """The kernel refuses to write, as on a full disk."""
    write_checkpoint(state(), tmp_path / 'iter_1.pth')
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(RuntimeError, match='Cannot write the checkpoint .*iter_2.pth.* needs about 4 MiB'):
            write_checkpoint(dict(state_dict=dict(w=torch.zeros(1000, 1000))), tmp_path / 'iter_2.pth')
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == ['iter_1.pth']


@pytest.mark.parametrize('damage', ['truncated', 'flipped', 'empty', 'text'])
def test_damaged_files_are_passed_over_with_a_report(tmp_path, damage):
    for number in (5, 10):
        write_checkpoint(state(number), tmp_path / f'iter_{number}.pth')
        os.utime(tmp_path / f'iter_{number}.pth', (number, number))
    newest = tmp_path / 'iter_10.pth'
    content = newest.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    newest.write_bytes(dict(truncated=content[:-100], flipped=bytes(flipped), empty=b'', text=b'hello')[damage])
    os.utime(newest, (10, 10))
    log = Log()
    assert find_resumable(tmp_path, log) == tmp_path / 'iter_5.pth'
    assert len(log.lines) == 1 and 'iter_10.pth' in log.lines[0]
    with pytest.raises(ValueError, match='iter_10.pth'):
        load_training_state(newest)


def test_nothing_to_resume_and_nothing_readable(tmp_path):
    assert find_resumable(tmp_path, Log()) is None
    (tmp_path / 'iter_3.pth').write_bytes(b'')
    (tmp_path / 'best_loss_iter_3.pth').write_bytes(b'')
    with pytest.raises(ValueError, match='none of the 1 checkpoints'):
        find_resumable(tmp_path, Log())


@pytest.mark.parametrize('content', [b'', b'\n', b'\0\xff\x80', b'\x80\x02iter\n', b'\n' + b'x' * 9999])
def test_a_damaged_last_checkpoint_is_reported_and_not_used(tmp_path, content, monkeypatch):
    elsewhere = tmp_path / 'elsewhere'
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)  # an empty path is the current folder
    write_checkpoint(state(9), elsewhere / 'iter_9.pth')
    write_checkpoint(state(5), tmp_path / 'iter_5.pth')
    (tmp_path / 'last_checkpoint').write_bytes(content)
    log = Log()
    assert find_resumable(tmp_path, log) == tmp_path / 'iter_5.pth'
    assert len(log.lines) == 1 and 'last_checkpoint is damaged' in log.lines[0]


def test_what_is_not_a_file_is_passed_over_with_a_report(tmp_path):
    write_checkpoint(state(5), tmp_path / 'iter_5.pth')
    (tmp_path / 'iter_6.pth').mkdir()
    os.mkfifo(tmp_path / 'iter_7.pth')
    (tmp_path / 'iter_8.pth').symlink_to(tmp_path / 'gone.pth')
    (tmp_path / 'epoch_9.pth').mkdir()
    (tmp_path / 'last_checkpoint').mkdir()
    log = Log()
    assert find_resumable(tmp_path, log) == tmp_path / 'iter_5.pth'
    assert [name in ' '.join(log.lines) for name in ('iter_6', 'iter_7', 'iter_8', 'epoch_9')] == 4 * [True]
    with pytest.raises(ValueError, match=r'iter_7.pth is not a file.*--work-dir'):
        load_training_state(tmp_path / 'iter_7.pth')


def test_a_copied_work_dir_resumes_from_itself(tmp_path):
    original, copy = tmp_path / 'original', tmp_path / 'copy'
    for number in (5, 10):
        write_checkpoint(state(number), original / f'iter_{number}.pth')
    (original / 'last_checkpoint').write_text(str(original / 'iter_10.pth'))
    shutil.copytree(original, copy)
    assert find_resumable(copy, Log()) == copy / 'iter_10.pth'
    (copy / 'iter_10.pth').unlink()
    assert find_resumable(copy, Log()) == copy / 'iter_5.pth'


def test_a_last_checkpoint_that_is_gone_is_not_a_fresh_start(tmp_path):
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'moved' / 'iter_10.pth'))
    with pytest.raises(
        ValueError, match=r'names .*moved/iter_10.pth, and there is no checkpoint: .*--resume PATH, or remove'
    ):
        find_resumable(tmp_path, Log())


def test_last_checkpoint_is_followed_to_a_file_of_any_name(tmp_path):
    write_checkpoint(state(5), tmp_path / 'iter_5.pth')
    write_checkpoint(dict(state(), meta=dict(iter=7)), tmp_path / 'step7.pth')
    assert find_resumable(tmp_path, Log()) == tmp_path / 'iter_5.pth'
    (tmp_path / 'last_checkpoint').write_text(f'{tmp_path / "step7.pth"}\n')
    assert find_resumable(tmp_path, Log()) == tmp_path / 'step7.pth'


@pytest.mark.parametrize('name', ['my step 7.pth', 'größe.pth', 'x' * 200])
def test_last_checkpoint_is_followed_to_a_name_with_spaces(tmp_path, name):
    log = Log()
    write_checkpoint(dict(state(), meta=dict(iter=7)), tmp_path / 'work dirs' / name)
    (tmp_path / 'last_checkpoint').write_bytes(os.fsencode(tmp_path / 'work dirs' / name))
    assert find_resumable(tmp_path, log) == tmp_path / 'work dirs' / name and log.lines == []


def test_weights_alone_cannot_be_resumed(tmp_path):
    torch.save(dict(state_dict={}, meta={}), tmp_path / 'weights.pth')
    with pytest.raises(ValueError, match='load_from'):
        load_training_state(tmp_path / 'weights.pth')
    with pytest.raises(FileNotFoundError):
        load_training_state(tmp_path / 'absent.pth')


def test_files_hold_a_checksum(tmp_path):
    write_checkpoint(state(), tmp_path / 'iter_1.pth')
    with zipfile.ZipFile(tmp_path / 'iter_1.pth') as archive:
        assert all(info.CRC for info in archive.infolist() if info.file_size)


def test_random_state_round_trip(tmp_path):
    import random

    import numpy as np

    def draw():
        return [random.random(), random.gauss(0, 1), np.random.rand(), np.random.randn(), torch.rand(3).tolist()]

    draw()
    torch.save(get_random_state(), tmp_path / 'rng.pt')
    expected = draw()
    draw()
    set_random_state(torch.load(tmp_path / 'rng.pt', weights_only=True))
    assert draw() == expected


def test_plain_values_only():
    import numpy as np

    value = plain(dict(a=np.arange(3), b=(np.float32(0.5), None), c=Path('x'), d=[True, 'y']))
    assert value == dict(a=[0, 1, 2], b=(0.5, None), c='x', d=[True, 'y'])
