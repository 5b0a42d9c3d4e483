"""What the losses of dense tasks share."""

import torch
from torch import Tensor, nn

__all__ = ['DenseLoss', 'mean_where']


class DenseLoss(nn.Module):
    """A loss ``(output, target, valid) -> scalar`` in float32 for any dtype of the output.

    Values where ``valid`` (B, H, W) is False have no effect.

    Args:
        loss_weight: factor.
        name: the log shows the value as ``loss_<name>``; :attr:`default_name` by default.
    """

    default_name: str

    def __init__(self, loss_weight: float = 1.0, name: str | None = None) -> None:
        super().__init__()
        self.loss_weight, self.name = loss_weight, name or self.default_name


def mean_where(valid: Tensor, values: Tensor) -> Tensor:
    """Mean of the valid values, a scalar; 0 if there are none."""
    return torch.where(valid, values, 0).sum() / valid.sum().clamp(min=1)
