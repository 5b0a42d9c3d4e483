"""MMEngine's message hub (curves and run information) as plain values, for checkpoints."""

import torch
from mmengine.logging import HistoryBuffer, MessageHub

__all__ = ['pack_message_hub', 'plain', 'unpack_message_hub']

# Of each curve the checkpoint keeps the tail that smoothing looks at; the files of the visual backends hold all of it.
KEPT_HISTORY = 1000
# What belongs to the process that runs now.
NOT_KEPT = ('cfg', 'experiment_name')


def plain(value):
    """Only dicts, lists, tuples, strings, numbers, booleans, None and tensors: what can be read without unpickling."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(plain(item) for item in value)
    if hasattr(value, 'tolist') and not isinstance(value, torch.Tensor):
        return value.tolist()
    if value is None or isinstance(value, str | int | float | bool | torch.Tensor):
        return value
    return str(value)


def pack_message_hub(hub: MessageHub) -> dict:
    """The message hub as plain values, curves cut to their tail."""
    curves = {}
    for key, buffer in hub.log_scalars.items():
        if hub._resumed_keys.get(key, False):
            values, counts = buffer.data
            curves[key] = [torch.as_tensor(values[-KEPT_HISTORY:]), torch.as_tensor(counts[-KEPT_HISTORY:])]
    info = {
        key: plain(value)
        for key, value in hub.runtime_info.items()
        if hub._resumed_keys.get(key, False) and key not in NOT_KEPT
    }
    return dict(curves=curves, info=info)


def unpack_message_hub(hub: MessageHub, packed: dict | None) -> None:
    """Put back what :func:`pack_message_hub` returned."""
    for key, (values, counts) in (packed or {}).get('curves', {}).items():
        hub.log_scalars[key] = HistoryBuffer(values.tolist(), counts.tolist())
        hub._resumed_keys[key] = True
    for key, value in (packed or {}).get('info', {}).items():
        hub.update_info(key, value)
