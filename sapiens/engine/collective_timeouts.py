"""How long a process waits for the others in a collective, before the run ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch.distributed as dist
from torch.distributed.distributed_c10d import _set_pg_timeout, _world

from sapiens.utils.option_values import require_number

from .host_group import SAVES, gather_on_hosts

__all__ = ['CollectiveTimeouts']

# Steps of a run that may take long: compilation, first batches, caches of kernels.
FIRST_STEPS = 10
# What torch can count.
MOST_SECONDS = 1e9


class CollectiveTimeouts:
    """A short timeout in training steps, so that a process that hangs ends the run soon, and a long one everywhere else.

    Without several processes nothing happens. Every process must call the methods at the same places.

    Args:
        seconds: at the start, in evaluations, saves of checkpoints and the first steps.
        step_seconds: in all other steps.

    Raises:
        ValueError: another value than a number above 0.
    """

    def __init__(self, seconds: float, step_seconds: float) -> None:
        for key, value in dict(timeout=seconds, step_timeout=step_seconds).items():
            require_number(f'env_cfg.dist_cfg.{key}', value, above=0, most=MOST_SECONDS)
        self.seconds, self.step_seconds = seconds, step_seconds
        self._steps, self._in_steps = 0, False

    def after_step(self) -> None:
        """Count a step of the optimizer. After the first ones, timeouts are short."""
        self._steps += 1
        if self._steps == FIRST_STEPS:
            self._begin_steps()

    @contextmanager
    def long(self) -> Iterator[None]:
        """Inside of which the timeouts are long."""
        if not self._in_steps:
            yield
            return
        self._set(self.seconds)
        yield
        self._begin_steps()

    def end_steps(self) -> None:
        """Let the timeouts be long from now on: training is over."""
        if self._in_steps:
            self._set(self.seconds)

    def _begin_steps(self) -> None:
        gather_on_hosts(None)  # a process that comes late still has the long timeout
        self._set(self.step_seconds)
        self._in_steps = True

    def _set(self, seconds: float) -> None:
        self._in_steps = False
        if dist.is_initialized():
            for group in _world.pg_map:
                if group.group_desc != SAVES:
                    _set_pg_timeout(timedelta(seconds=seconds), group)
