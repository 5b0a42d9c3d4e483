import pytest
import torch

from sapiens.utils.device import pick_device


def test_devices():
    assert pick_device('cpu') == torch.device('cpu')
    assert pick_device('auto').type in ('cpu', 'cuda', 'mps')
    with pytest.raises(ValueError, match="device='tpu9x' is not one of"):
        pick_device('tpu9x')
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match='sees no CUDA device'):
            pick_device('cuda:1')
