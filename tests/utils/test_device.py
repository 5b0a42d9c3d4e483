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


@pytest.mark.parametrize('name', ['meta', 'xpu:1', 'xla', 'cuda:97'])
def test_devices_that_are_not_there(name):
    with pytest.raises(ValueError, match=f'device={name!r}: this torch .* sees (no|only)'):
        pick_device(name)


def test_a_machine_with_two_gpus_has_no_third(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    assert pick_device('cuda') == torch.device('cuda') and pick_device('cuda:1').index == 1
    with pytest.raises(ValueError, match=r"device='cuda:2': .* sees only 2 CUDA devices"):
        pick_device('cuda:2')
