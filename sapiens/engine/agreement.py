"""Numbers on which all processes agree from time to time."""

import time

import torch
import torch.distributed as dist
from mmengine.dist import get_world_size

from .host_group import host_group

__all__ = ['Agreement']


class Agreement:
    """The largest value over all processes, exchanged every ``seconds`` by one reduction on the hosts.

    It does not wait for devices. The steps between two exchanges follow from the time that steps take, on which the processes
    agree too. A single process exchanges nothing.

    Args:
        seconds: from one exchange to the next, rounded to whole steps; 0 for every step.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.restart()

    def restart(self) -> None:
        """Exchange at the next step. Every process must call this after the same step."""
        self._interval, self._left, self._since = 1, 1, time.monotonic()

    def after_step(self, value: float) -> float | None:
        """The largest value, or None between two exchanges. Every process must call this after each step."""
        if get_world_size() == 1:
            return value
        self._left -= 1
        return self.exchange(value) if self._left <= 0 else None

    def exchange(self, value: float) -> float:
        """The largest value. Every process must call this after the same step."""
        if get_world_size() == 1:
            return value
        now, steps = time.monotonic(), self._interval - self._left
        numbers = torch.tensor([value, (now - self._since) / max(steps, 1)], dtype=torch.float64)
        dist.all_reduce(numbers, dist.ReduceOp.MAX, group=host_group())
        value, per_step = numbers.tolist()
        self._interval = self._left = max(1, min(1000, int(self.seconds / max(per_step, 1e-6))))
        self._since = now
        return value
