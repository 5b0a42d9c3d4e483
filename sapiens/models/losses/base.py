"""What the losses of dense tasks share."""

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

__all__ = ['DenseLoss']

REDUCTIONS = ('process', 'global')


class DenseLoss(nn.Module):
    """A loss ``(output, target, valid) -> scalar`` in float32 for any dtype of the output.

    Values where ``valid`` (B, H, W) is False have no effect.

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

    def mean_where(self, valid: Tensor, values: Tensor) -> Tensor:
        """Mean of the valid values, a scalar; 0 if there are none."""
        return torch.where(valid, values, 0).sum() / self.divisor(valid.sum())

    def divisor(self, count: Tensor, least: float = 1) -> Tensor:
        """What a sum of this process is divided by, so that the mean over the processes is the mean as ``reduce`` says.

        Args:
            count: of valid values in this process, a scalar without gradient.
            least: lower bound of the count.
        """
        total, processes = self.over_processes(count)
        return total.clamp(min=least) / processes

    def over_processes(self, value: Tensor) -> tuple[Tensor, int]:
        """Sum of a scalar without gradient over the processes that share a mean, and their number."""
        is_shared = self.reduce == 'global' and dist.is_initialized() and torch.is_grad_enabled()
        if not is_shared or isinstance(value, FakeTensor):
            return value, 1
        value = value.detach().float().clone()
        dist.all_reduce(value)
        return value, dist.get_world_size()
