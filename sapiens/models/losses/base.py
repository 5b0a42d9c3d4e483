"""What the losses of dense tasks share."""

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

__all__ = ['DenseLoss']

REDUCTIONS = ('process', 'global')
# Lower bound of a weighted count.
LEAST = 1e-12


class DenseLoss(nn.Module):
    """A loss ``(output, target, valid) -> scalar`` in float32 for any dtype of the output.

    Values where ``valid`` (B, H, W) is False have no effect. A call may also get ``weights`` (B,), see :class:`.SampleWeights`. A
    loss weighs each sum over samples by :meth:`weigh`, in which a sample of weight w counts as w samples. :meth:`mean_where` and
    :meth:`mean` do.

    Args:
        loss_weight: factor.
        name: the log shows the value as ``loss_<name>``; :attr:`default_name` by default.
        reduce: with several processes, a mean over valid values is ``'process'``, as published, one over those of the process,
            so that few valid values in one process weigh as much as many in another; or ``'global'``, one over those of all
            processes, so that gradients are those of one process with the whole batch. It exchanges one number for each mean.
            Without gradients it is that of the process: evaluations compute losses of single samples, of which processes may have
            different numbers.

    Raises:
        ValueError: an unknown ``reduce``, or ``'global'`` for a loss that divides by the same number in each process.
    """

    default_name: str
    # Whether the loss divides by a number of valid values of the whole batch.
    divides_by_valid = True

    def __init__(self, loss_weight: float = 1.0, name: str | None = None, reduce: str = 'process') -> None:
        super().__init__()
        if reduce not in REDUCTIONS:
            raise ValueError(f'reduce={reduce!r} is not one of {REDUCTIONS}')
        if reduce == 'global' and not self.divides_by_valid:
            raise ValueError(
                f"reduce='global' has no effect in {type(self).__name__}, which divides by the same number in each process"
            )
        self.loss_weight, self.name, self.reduce = loss_weight, name or self.default_name, reduce
        self._weights: Tensor | None = None  # of the samples, during a call

    def __call__(self, *args, weights: Tensor | None = None, **context) -> Tensor:
        self._weights = weights
        try:
            return super().__call__(*args, **context)
        finally:
            self._weights = None

    def weigh(self, values: Tensor) -> Tensor:
        """Values (B, ...) times the weights of their samples."""
        return values if self._weights is None else values * self._weights.view(-1, *[1] * (values.ndim - 1))

    def mean(self, values: Tensor) -> Tensor:
        """Mean of values (B, ...), a scalar."""
        return self.weigh(values).mean()

    def mean_where(self, valid: Tensor, values: Tensor) -> Tensor:
        """Mean of the valid values, a scalar; 0 if there are none."""
        return self.weigh(torch.where(valid, values, 0)).sum() / self.divisor(self.weigh(valid).sum())

    def divisor(self, count: Tensor, least: float = 1) -> Tensor:
        """What a sum of this process is divided by, so that the mean over the processes is the mean as ``reduce`` says.

        Args:
            count: of valid values in this process, each weighed, a scalar without gradient.
            least: lower bound of the count. With weights a smaller count has a meaning.
        """
        total, processes = self.over_processes(count)
        if self._weights is None:
            return total.clamp(min=least) / processes
        total = total.clamp(min=LEAST) / processes
        # A mean of this process counts as much as its samples.
        return total if self.reduce == 'global' else total / self._weights.mean()

    def over_processes(self, value: Tensor) -> tuple[Tensor, int]:
        """Sum of a scalar without gradient over the processes that share a mean, and their number."""
        is_shared = self.reduce == 'global' and dist.is_initialized() and torch.is_grad_enabled()
        if not is_shared or isinstance(value, FakeTensor):
            return value, 1
        value = value.detach().float().clone()
        dist.all_reduce(value)
        return value, dist.get_world_size()
