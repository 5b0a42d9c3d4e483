"""Losses of albedo.

Each takes predictions (B, 3, H, W), targets (B, 3, H, W) in [0, 1] of the same coding and ``valid`` (B, H, W) bool, see
:class:`DenseLoss`, and returns a mean over the valid pixels of the batch, 0 if there are none. Source: the second generation of
Sapiens (weights there: absolute error 2, gradient 2, chromaticity 1; the low frequencies were off).
"""

# B batch, H W size in pixels

import torch
import torch.nn.functional as F
from torch import Tensor

from sapiens.registry import MODELS

from .base import DenseLoss
from .normal import NormalGradientLoss, NormalL1Loss, cleared

__all__ = ['AlbedoChromaticityLoss', 'AlbedoGradientLoss', 'AlbedoL1Loss', 'AlbedoLowFrequencyLoss']

# Lower bound of a sum of weights.
TINY = torch.finfo(torch.float32).tiny


@MODELS.register_module()
class AlbedoL1Loss(NormalL1Loss):
    """Absolute error, summed over red, green and blue as published (three times the mean over channels)."""


@MODELS.register_module()
class AlbedoGradientLoss(NormalGradientLoss):
    """Half of the squared error of the differences between neighboring pixels, right and down: patterns and edges.

    Each direction sums over red, green and blue and averages over the pairs of valid pixels; the loss is half of the sum of both.
    """

    def forward(self, output: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        return super().forward(output, target, valid) / 2


@MODELS.register_module()
class AlbedoChromaticityLoss(DenseLoss):
    """Absolute error of each channel's fraction of their sum, summed over the channels: the hue of dark colors counts as that of
    light ones. Predictions are cut to [0, 1]."""

    default_name = 'chroma'

    def forward(self, output: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        output = torch.where(valid[:, None], output.float(), 0).clamp(0, 1)
        error = (chromaticity(output) - chromaticity(cleared(target, valid))).abs().sum(1)
        return self.loss_weight * self.mean_where(valid, error)


@MODELS.register_module()
class AlbedoLowFrequencyLoss(DenseLoss):
    """Absolute error of averages over squares of pixels, summed over red, green and blue: large areas have the right color.

    The average of a square is that of its valid pixels; the loss is the mean over the squares, weighted by their valid pixels.

    Args:
        downscale: side of a square in pixels.
        **options: of :class:`DenseLoss`.

    Raises:
        ValueError: ``downscale`` below 1.
    """

    default_name = 'low'

    def __init__(self, downscale: int = 32, **options) -> None:
        super().__init__(**options)
        if downscale < 1:
            raise ValueError(f'downscale={downscale}: expected 1 pixel or more')
        self.downscale = downscale

    def forward(self, output: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        error = torch.where(valid[:, None], output.float(), 0) - cleared(target, valid)
        size = [max(1, side // self.downscale) for side in error.shape[-2:]]
        error, weight = (F.interpolate(maps, size=size, mode='area') for maps in (error, valid[:, None].float()))
        # The sum of |averages| times their weights: the average is error / weight.
        return self.loss_weight * self.weigh(error.abs()).sum() / self.divisor(self.weigh(weight).sum(), TINY)


def chromaticity(colors: Tensor) -> Tensor:
    """Each channel divided by their sum."""
    return colors / (colors.sum(1, keepdim=True) + 1e-6)
