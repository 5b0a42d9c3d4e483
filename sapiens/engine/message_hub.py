"""The state of MMEngine's message hub (curves and run information) as plain values."""

import torch
from mmengine.logging import HistoryBuffer, MessageHub

__all__ = ['MessageHubState', 'plain']

# Values kept of each curve: smoothing reads no more. The files of the visual backends hold the whole curve.
KEPT_HISTORY = 1000
# Entries that belong to the running process.
NOT_KEPT = ('cfg', 'experiment_name')


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


class MessageHubState:
    """``state_dict`` and ``load_state_dict`` of a message hub. MMEngine's own hold objects that need unpickling."""

    def __init__(self, hub: MessageHub) -> None:
        self.hub = hub

    def state_dict(self) -> dict:
        """``curves``: name -> [values, counts], the last 1000 of each. ``info``: name -> plain value."""
        kept = self.hub._resumed_keys
        curves = {
            key: [torch.as_tensor(part[-KEPT_HISTORY:]) for part in buffer.data]
            for key, buffer in self.hub.log_scalars.items()
            if kept.get(key, False)
        }
        info = {
            key: plain(value)
            for key, value in self.hub.runtime_info.items()
            if kept.get(key, False) and key not in NOT_KEPT
        }
        return dict(curves=curves, info=info)

    def load_state_dict(self, state: dict) -> None:
        """Continue the curves of :meth:`state_dict`."""
        for key, (values, counts) in state['curves'].items():
            self.hub.log_scalars[key] = HistoryBuffer(values.tolist(), counts.tolist())
            self.hub._resumed_keys[key] = True
        for key, value in state['info'].items():
            self.hub.update_info(key, value)
