"""What the losses of dense tasks share."""

from torch import nn

__all__ = ['DenseLoss']


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
