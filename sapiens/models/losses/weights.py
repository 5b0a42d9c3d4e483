"""Weights of samples in losses.

A sample of weight w counts as w samples of weight 1, so one of weight 0 as none. All means over samples are weighted means: twice
the weights for all samples change nothing. Without weights nothing is multiplied or exchanged. All processes have weights or
none.
"""

# B batch

from collections.abc import Mapping, Sequence

import torch
import torch.distributed as dist
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from sapiens.utils.batch_labels import SAMPLE_WEIGHTS, stack_weights

__all__ = ['SampleWeights', 'mean_over_processes']


class SampleWeights:
    """Weights of a training batch.

    Attributes:
        relative: (B,) float32, the weights divided by their mean over the batches of all processes, so that the mean over the
            processes of ``(relative * losses).mean()`` is the weighted mean of all losses; None if no sample has a weight.
    """

    def __init__(self, weights: Tensor | None) -> None:
        self.relative: Tensor | None = None
        if weights is not None:
            weights = weights.float()
            # All weights may be 0.
            self.relative = weights / mean_over_processes(weights).clamp(min=torch.finfo(torch.float32).tiny)

    @classmethod
    def of(cls, samples: Sequence | None, labels: Mapping[str, Tensor] | None, device) -> 'SampleWeights':
        """Weights of the stacked labels of a batch, else of the metainfo of its samples."""
        found = (labels or {}).get(SAMPLE_WEIGHTS)
        found = stack_weights(samples or ()) if found is None else found
        return cls(None if found is None else found.to(device))

    def keep(self, valid: Tensor) -> Tensor:
        """Validity or weights of labels (B, ...), False or 0 for samples of weight 0."""
        if self.relative is None:
            return valid
        return valid * (self.relative > 0).view(-1, *[1] * (valid.ndim - 1))

    def weigh(self, values: Tensor) -> Tensor:
        """Values (B, ...) times the relative weights."""
        return values if self.relative is None else values * self.relative.view(-1, *[1] * (values.ndim - 1))


@torch.no_grad()
def _mean(weights: Tensor, shared: bool) -> Tensor:
    mean = weights.float().mean()
    if shared:
        dist.all_reduce(mean)
        mean /= dist.get_world_size()
    return mean


def mean_over_processes(weights: Tensor) -> Tensor:
    """Mean weight of the batches (B,) of all processes, a scalar. Where no gradient is recorded, that of this process."""
    shared = dist.is_initialized() and torch.is_grad_enabled() and not isinstance(weights, FakeTensor)
    return _mean(weights, shared)
