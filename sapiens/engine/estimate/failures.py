"""The time that a run loses because machines fail and it starts again from its last checkpoint."""

# s seconds

import math
from dataclasses import dataclass

__all__ = ['HOUR', 'Failures']

HOUR = 3600


@dataclass(frozen=True)
class Failures:
    """Failures of a cluster, each of which ends the run.

    Attributes:
        gpu_hours: hours of a GPU from failure to failure. Those of a cluster are this by its number of GPUs.
        detection: s from a failure until all processes have ended.
        restart: s until the first step of the next ones: to replace a node, start, load the checkpoint, and compile.
        stall: s of a save in which training stands.

    Raises:
        ValueError: ``gpu_hours`` or ``stall`` is not above 0, or another number is below 0.
    """

    gpu_hours: float
    detection: float
    restart: float
    stall: float

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (value > 0 or (value == 0 and name in ('detection', 'restart'))):
                raise ValueError(f'{name}={value}: expected a number above 0')

    def between(self, gpus: int) -> float:
        """Mean s from failure to failure."""
        return self.gpu_hours * HOUR / gpus

    def lost(self, interval: float) -> float:
        """Mean s that a failure costs, with a checkpoint every ``interval`` s: half of it is computed again."""
        return self.detection + self.restart + interval / 2

    def share(self, gpus: int, interval: float) -> float:
        """Fraction of time that is lost: to failures, and to saves. To first order, for shares that are far below 1."""
        return self.lost(interval) / self.between(gpus) + self.stall / interval

    def best_interval(self, gpus: int) -> float:
        """s between checkpoints at which :meth:`share` is lowest (Young's formula)."""
        return math.sqrt(2 * self.stall * self.between(gpus))
