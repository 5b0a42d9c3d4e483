"""Losses of surface normals.

Each takes predictions (B, 3, H, W) of any length, unit vectors (B, 3, H, W) in the same frame and ``valid`` (B, H, W) bool, see
:class:`DenseLoss`, and returns the mean over the valid pixels of the batch, 0 if there are none.
"""

# B batch, H W size in pixels

import torch
from torch import Tensor

from sapiens.registry import MODELS

from ..layers.unit_vectors import unit_vectors
from .base import DenseLoss

__all__ = ['NormalCosineLoss', 'NormalGradientLoss', 'NormalL1Loss']

# Shorter vectors are not normalized to length 1.
SHORTEST = 1e-6


@MODELS.register_module()
class NormalCosineLoss(DenseLoss):
    """One minus the cosine of the angle between prediction and target. The length of the prediction has no effect."""

    default_name = 'cosine'

    def forward(self, output: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        target = unit_vectors(cleared(target, valid), dim=1, eps=SHORTEST)
        cosine = (unit_vectors(output.float(), dim=1, eps=SHORTEST) * target).sum(1)
        return self.loss_weight * self.mean_where(valid, 1 - cosine)


@MODELS.register_module()
class NormalL1Loss(DenseLoss):
    """Absolute error of the raw prediction, summed over x, y and z as published (three times the mean over channels). It trains
    the length towards 1."""

    default_name = 'l1'

    def forward(self, output: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        error = (output.float() - cleared(target, valid)).abs().sum(1)
        return self.loss_weight * self.mean_where(valid, error)


@MODELS.register_module()
class NormalGradientLoss(DenseLoss):
    """Squared error of the differences between neighboring pixels, right and down, of the raw prediction: wrinkles and edges.

    Each direction sums over x, y and z and averages over the pairs of valid pixels; the loss is the sum of both directions.
    Source: the second generation of Sapiens (weights there: this 10, cosine 10, absolute error 1).
    """

    default_name = 'grad'

    def forward(self, output: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        error = output.float() - cleared(target, valid)
        right, down = error[..., 1:] - error[..., :-1], error[:, :, 1:] - error[:, :, :-1]
        total = self.mean_where(valid[..., 1:] & valid[..., :-1], right.square().sum(1))
        total = total + self.mean_where(valid[:, 1:] & valid[:, :-1], down.square().sum(1))
        return self.loss_weight * total


def cleared(target: Tensor, valid: Tensor) -> Tensor:
    """Target in float32 with zeros where it is not valid, so that invalid values cannot spoil a gradient."""
    return torch.where(valid[:, None], target.float(), 0)
