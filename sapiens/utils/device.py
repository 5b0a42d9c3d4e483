"""Which device to run on."""

import torch

__all__ = ['DTYPES', 'pick_device']

DTYPES = {'fp32': torch.float32, 'bf16': torch.bfloat16, 'fp16': torch.float16}


def pick_device(name: str = 'auto') -> torch.device:
    """``'auto'`` is the current CUDA device, else Apple's MPS, else the CPU; any other name is used unchanged.

    Raises:
        ValueError: for a device that this machine or this torch does not have.
    """
    if name == 'auto':
        if torch.cuda.is_available():
            return torch.device('cuda')
        return torch.device('mps' if torch.backends.mps.is_available() else 'cpu')
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"device={name!r} is not one of 'auto', 'cpu', 'cuda', 'cuda:<n>', 'mps'") from error
    # Counting does not create a context on the device: the processes that compute do.
    count = getattr(getattr(torch, device.type, None), 'device_count', int)()
    if device.type != 'cpu' and (device.index or 0) >= count:
        kind = device.type.upper() if device.type in ('cuda', 'mps') else device.type
        found = f'only {count} {kind} devices' if count else f'no {kind} device'
        raise ValueError(f"device={name!r}: this torch ({torch.__version__}) sees {found}; use 'auto' or 'cpu'")
    return device
