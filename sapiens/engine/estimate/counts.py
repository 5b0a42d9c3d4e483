"""What one training step of a model takes, as numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

__all__ = ['ModelCounts', 'StepMemory', 'StepTrace', 'merge']


@dataclass(frozen=True)
class ModelCounts:
    """Sizes of a model and the operations of a training step.

    Attributes:
        parameters, trained: numbers of parameters, and of those that are trained.
        forward, backward: floating-point operations for one image; the latter with what checkpointing computes again.
        blocks: parameters of the parts that are sharded one by one: blocks of encoder and decoder, heads.
        image: size (h, w) of an image in pixels.
    """

    parameters: int
    trained: int
    forward: float
    backward: float
    blocks: tuple[int, ...]
    image: tuple[int, int]

    @property
    def step(self) -> float:
        """Operations of a training step for one image."""
        return self.forward + self.backward

    @property
    def root(self) -> int:
        """Parameters outside of the blocks."""
        return self.parameters - sum(self.blocks)


@dataclass(frozen=True)
class StepMemory:
    """Bytes of one process without any sharding. Arrays have one number for each operation of a step.

    Attributes:
        parameters: of parameters and buffers.
        state: of the optimizer.
        fixed, per_image: of everything else, which does not depend on the batch, and for each image.
        casts: copies of weights that autocast keeps.
        gradients: of the parameters.
        kept: activations that the backward pass needs, for one image, after the forward pass.
    """

    parameters: int
    state: int
    fixed: np.ndarray
    per_image: np.ndarray
    casts: np.ndarray
    gradients: np.ndarray
    kept: float

    def peak(self, batch: int) -> int:
        """Highest number of live bytes in a step of one process that is not distributed."""
        moving = self.fixed + self.per_image * batch + self.casts + self.gradients
        return self.parameters + self.state + round(float(moving.max()))


@dataclass(frozen=True)
class StepTrace:
    """What a training step of a config needs."""

    counts: ModelCounts
    memory: StepMemory


def merge(traces: Sequence[StepTrace]) -> StepTrace:
    """Join the traces of the tasks of one model: the mean of their operations, and the highest memory.

    A step has a batch of one task. The tasks take turns, and their steps follow each other in the joined one.
    """
    first = traces[0]
    if len(traces) == 1:
        return first
    memories = [trace.memory for trace in traces]
    profiles = {
        name: np.concatenate([getattr(memory, name) for memory in memories])
        for name in ('fixed', 'per_image', 'casts', 'gradients')
    }
    counts, kept = [trace.counts for trace in traces], max(memory.kept for memory in memories)
    forward, backward = (sum(getattr(one, name) for one in counts) / len(counts) for name in ('forward', 'backward'))
    return StepTrace(
        replace(counts[0], forward=forward, backward=backward), replace(memories[0], kept=kept, **profiles)
    )
