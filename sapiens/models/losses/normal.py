"""Losses between predicted and true surface normals.

Each is called with predictions (B, 3, H, W), of any length, unit vectors (B, 3, H, W) in the same frame and ``valid``
(B, H, W) bool, and returns a scalar in float32, whatever the prediction's dtype: the mean over the valid pixels of the batch, 0
if there are none. What stands where ``valid`` is False has no effect.
"""

# B batch, H W size in pixels

import torch
from torch import Tensor, nn

from sapiens.models.layers import unit_vectors
from sapiens.registry import MODELS

__all__ = ['NormalCosineLoss', 'NormalGradientLoss', 'NormalL1Loss']

# Vectors shorter than this are not brought to length 1.
SHORTEST = 1e-6


def mean_over(values: Tensor, valid: Tensor) -> Tensor:
    """Mean of the valid ones of (B, H, W), a scalar; 0 if there are none."""
    return torch.where(valid, values, 0).sum() / valid.sum().clamp(min=1)


def cleared(target: Tensor, valid: Tensor) -> Tensor:
    """The target with zeros where it is not valid: nothing that stands there can spoil a gradient."""
    return torch.where(valid[:, None], target.float(), 0)


@MODELS.register_module()
class NormalCosineLoss(nn.Module):
    """One minus the cosine of the angle between prediction and truth; the prediction's length does not matter.

    Args:
        loss_weight: factor.
        name: of the value in the log, after ``loss_``.
    """

    def __init__(self, loss_weight: float = 1.0, name: str = 'cosine') -> None:
        super().__init__()
        self.loss_weight, self.name = loss_weight, name

    def forward(self, output: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        target = unit_vectors(cleared(target, valid), dim=1, eps=SHORTEST)
        cosine = (unit_vectors(output.float(), dim=1, eps=SHORTEST) * target).sum(1)
        return self.loss_weight * mean_over(1 - cosine, valid)


@MODELS.register_module()
class NormalL1Loss(nn.Module):
    """Absolute error of the raw prediction, summed over x, y and z (three times a mean over the channels, as published): it
    teaches the network the length 1.

    Args:
        loss_weight: factor.
        name: of the value in the log, after ``loss_``.
    """

    def __init__(self, loss_weight: float = 1.0, name: str = 'l1') -> None:
        super().__init__()
        self.loss_weight, self.name = loss_weight, name

    def forward(self, output: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        error = (output.float() - cleared(target, valid)).abs().sum(1)
        return self.loss_weight * mean_over(error, valid)


@MODELS.register_module()
class NormalGradientLoss(nn.Module):
    """Squared error of the change from one pixel to the next, right and down, of the raw prediction: wrinkles and edges.

    For each direction the sum over x, y and z, averaged over the pairs of which both pixels are valid; the sum of both. The
    form of the second generation of Sapiens (there with weight 10, beside ten times the cosine and once the absolute error).

    Args:
        loss_weight: factor.
        name: of the value in the log, after ``loss_``.
    """

    def __init__(self, loss_weight: float = 1.0, name: str = 'grad') -> None:
        super().__init__()
        self.loss_weight, self.name = loss_weight, name

    def forward(self, output: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        error = output.float() - cleared(target, valid)
        right, down = error[..., 1:] - error[..., :-1], error[:, :, 1:] - error[:, :, :-1]
        total = mean_over(right.square().sum(1), valid[..., 1:] & valid[..., :-1])
        total = total + mean_over(down.square().sum(1), valid[:, 1:] & valid[:, :-1])
        return self.loss_weight * total
