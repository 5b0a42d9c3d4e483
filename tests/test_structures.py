import numpy as np
import pytest
import torch

from sapiens.structures import DenseDataSample


def test_fields_of_one_size_are_taken():
    sample = DenseDataSample(metainfo=dict(img_path='a.jpg', crop=(1, 2, 3, 4)))
    sample.gt_sem_seg = torch.zeros(4, 6, dtype=torch.int64)
    sample.gt_normal = np.zeros((3, 4, 6), np.float32)
    sample.valid_mask = torch.ones(4, 6, dtype=torch.bool)
    sample.anything = 'free'
    assert sample.metainfo == dict(img_path='a.jpg', crop=(1, 2, 3, 4))
    assert sample.cpu().gt_sem_seg.shape == (4, 6)
    sample.gt_sem_seg = torch.ones(4, 6, dtype=torch.int64)
    assert sample.gt_sem_seg.all()


@pytest.mark.parametrize(
    'name, shape',
    [('gt_depth', (4, 6)), ('gt_normal', (1, 4, 6)), ('pred_sem_seg', (1, 4, 6)), ('valid_mask', (1, 4, 6))],
)
def test_wrong_dimensions_are_refused(name, shape):
    with pytest.raises(ValueError, match=rf'{name} has shape .*expected \('):
        setattr(DenseDataSample(), name, torch.zeros(shape))
    with pytest.raises(ValueError, match=name):
        DenseDataSample().set_data({name: torch.zeros(shape)})


def test_disagreeing_sizes_are_refused():
    sample = DenseDataSample()
    sample.gt_depth = torch.zeros(1, 4, 6)
    with pytest.raises(ValueError, match='valid_mask is 4 x 5 .* gt_depth .* 4 x 6'):
        sample.valid_mask = torch.ones(4, 5, dtype=torch.bool)
    assert 'valid_mask' not in sample
