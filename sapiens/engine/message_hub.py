"""The state of MMEngine's message hub (curves and run information) as plain values."""

import torch
from mmengine.logging import HistoryBuffer, MessageHub

from sapiens.visualization import SPEED_AND_MEMORY

__all__ = ['hub_state', 'load_hub_state', 'plain']

# Values kept of each curve: smoothing reads no more. The files of the visual backends hold the whole curve.
KEPT_HISTORY = 1000
# Entries that belong to the running process.
NOT_KEPT = ('cfg', 'experiment_name', 'eta')


def plain(value):
    """Reduce a value to dicts, lists, tuples, strings, numbers, booleans, None and tensors, which need no unpickling."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(plain(item) for item in value)
    if hasattr(value, 'tolist') and not isinstance(value, torch.Tensor):
        return value.tolist()
    if value is None or isinstance(value, str | int | float | bool | torch.Tensor):
        return value
    return str(value)


def hub_state(hub: MessageHub) -> dict:
    """Get ``curves`` (name -> [values, counts], the last 1000 of each) and ``info`` (name -> plain value).

    Values of speed and memory are those of a process and its machine, so they are left out.

    MMEngine's own state holds objects that need unpickling.
    """
    kept = {key for key, resumed in hub._resumed_keys.items() if resumed}
    curves = {
        key: [torch.as_tensor(part[-KEPT_HISTORY:]) for part in buffer.data]
        for key, buffer in hub.log_scalars.items()
        if key in kept and not _is_measured(key)
    }
    info = {key: plain(value) for key, value in hub.runtime_info.items() if key in kept and key not in NOT_KEPT}
    return dict(curves=curves, info=info)


def load_hub_state(hub: MessageHub, state: dict) -> None:
    """Continue the curves of :func:`hub_state`. Earlier versions stored values of speed and memory too.

    A run that began in the same process in the same second has the same name, and left its curves in the hub.
    """
    hub.log_scalars.clear()
    for key, (values, counts) in state['curves'].items():
        if _is_measured(key):
            continue
        hub.log_scalars[key] = HistoryBuffer(values.tolist(), counts.tolist())
        hub._resumed_keys[key] = True
    for key, value in state['info'].items():
        hub.update_info(key, value)


def _is_measured(key: str) -> bool:
    """Whether a curve is of speed or memory."""
    return key.partition('/')[2] in SPEED_AND_MEMORY
