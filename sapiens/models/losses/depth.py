"""Losses of depth.

Each takes predictions (B, 1, H, W), targets (B, 1, H, W) and ``valid`` (B, H, W) bool, see :class:`DenseLoss`. The unit is that
of the target: relative depth is 0 at the nearest and 1 at the farthest valid pixel of an image.
"""

# B batch, H W size in pixels, N pixels of one image

import torch
from torch import Tensor

from sapiens.registry import MODELS

from .base import DenseLoss

__all__ = ['AlignedDepthLoss', 'DepthGradientLoss', 'ScaleShiftInvariantLoss', 'SiLogLoss']

# Lower bounds of SiLogLoss's logarithm: ours, and the published one.
MIN_DEPTH, PUBLISHED_MIN_DEPTH = 0.01, 1e-6
# Predictions with a smaller mean deviation are flat and are not scaled up further.
FLAT = 1e-3
# Below this correlation of prediction and target AlignedDepthLoss is linear.
MIN_CORRELATION = 0.1


@MODELS.register_module()
class SiLogLoss(DenseLoss):
    """Scale-invariant logarithmic error: ``sqrt(mean(d^2) - invariance * mean(d)^2)`` of each image with
    ``d = log(target) - log(prediction)``, then the mean over the images that have valid pixels.

    The logarithm of relative depth is infinite at the nearest pixel. Below ``min_depth`` m it is therefore continued by its
    tangent, ``log(m) + (x - m) / m``. Every prediction then has a gradient, also a negative one, which a network without output
    activation gives at first. The nearest pixel, which alone fixes 0, counts with a finite target. A perfect prediction has loss
    0 and gradient 0.

    Args:
        published: the published variant: predictions are clamped from below, so smaller ones get no gradient; pixels whose
            target is not above the bound (in relative depth the nearest) do not count; images without a valid pixel count as
            0 in the mean.
        min_depth: lower bound of the logarithm, in the unit of the target; by default 0.01, or 1e-6 with ``published``.
        invariance: fraction of ``mean(d)^2`` to subtract, 0 to 1: 1 ignores a common factor of depth, 0 counts it fully.
        **options: of :class:`DenseLoss`.

    Raises:
        ValueError: a ``min_depth`` or ``invariance`` out of range.
    """

    default_name = 'silog'

    def __init__(
        self, published: bool = False, min_depth: float | None = None, invariance: float = 0.5, **options
    ) -> None:
        super().__init__(**options)
        if min_depth is None:
            min_depth = PUBLISHED_MIN_DEPTH if published else MIN_DEPTH
        if min_depth <= 0:
            raise ValueError(f'min_depth={min_depth}: expected a depth above 0, the logarithm has no value there')
        if not 0 <= invariance <= 1:
            raise ValueError(f'invariance={invariance}: expected 0 to 1 (published: 0.5)')
        self.published, self.min_depth, self.invariance = published, min_depth, invariance

    def forward(self, output: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        output, target, valid = flat_pixels(output, target, valid)
        if self.published:
            valid = valid & (target > self.min_depth)
        error = torch.where(valid, self.log(target) - self.log(output), 0)
        mean = masked_mean(error, valid)
        variance = masked_mean((error - mean[:, None]).square(), valid)
        square = variance + (1 - self.invariance) * mean.square()
        present = torch.ones_like(valid[:, 0]) if self.published else valid.any(1)
        return self.loss_weight * self.mean_where(present, root(square))

    def log(self, depth: Tensor) -> Tensor:
        """Logarithm with the continuation below ``min_depth``."""
        clamped = depth.clamp(min=self.min_depth)
        if self.published:
            return clamped.log()
        return clamped.log() + (depth - clamped) / self.min_depth


@MODELS.register_module()
class ScaleShiftInvariantLoss(DenseLoss):
    """Mean absolute error between prediction and target, each normalized to median 0 and mean absolute deviation 1 over the
    valid pixels of its image; then the mean over the images that have any.

    For labels of unknown scale and offset. A least-squares fit of the prediction could invert it and leave a network that
    predicts far for near without gradient; this loss keeps the order of depth.
    """

    default_name = 'ssi'

    def forward(self, output: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        output, target, valid = flat_pixels(output, target, valid)
        error = (normalized(output, valid) - normalized(target, valid)).abs()
        return self.loss_weight * self.mean_where(valid.any(1), masked_mean(error, valid))


@MODELS.register_module()
class AlignedDepthLoss(DenseLoss):
    """Root mean square error of each image after the least-squares scale and shift of its prediction, in the unit of the target;
    then the mean over the images that have valid pixels. :class:`~sapiens.evaluation.DepthMetric` reports the same number as
    RMSE with ``alignment='scale-shift'``.

    With correlation r and target deviation d it is ``d sqrt(1 - r^2)``. For r below ``MIN_CORRELATION`` the scale is that of
    ``MIN_CORRELATION``, so ``1 - r^2`` continues as its tangent. An inverted prediction therefore has an error and a gradient; a
    free fit would invert it back or flatten it.
    """

    default_name = 'aligned'

    def forward(self, output: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        output, target, valid = flat_pixels(output, target, valid)
        output, target = centered(output, valid), centered(target, valid)
        spread = masked_mean(output.square(), valid).clamp(min=FLAT**2).sqrt()
        extent = masked_mean(target.square(), valid).sqrt()
        correlation = masked_mean(output * target, valid) / (spread * extent.clamp(min=FLAT))
        scale = correlation.clamp(min=MIN_CORRELATION) * extent / spread
        square = masked_mean((scale[:, None] * output - target).square(), valid)
        return self.loss_weight * self.mean_where(valid.any(1), root(square))


@MODELS.register_module()
class DepthGradientLoss(DenseLoss):
    """Absolute error of the slopes of depth at several scales, for sharp edges and smooth surfaces.

    Scale s takes every s-th pixel (s = 1, 2, 4, ...). With r = prediction - target its error is
    ``mean |r(x + 1, y) - r(x, y)| + mean |r(x, y + 1) - r(x, y)|`` over the pairs of valid pixels. The loss is the mean over the
    scales, then over the images that have a pair.

    Args:
        num_scales: 1 or more.
        invariant: compare the normalized maps of :class:`ScaleShiftInvariantLoss`.
        **options: of :class:`DenseLoss`.

    Raises:
        ValueError: ``num_scales`` below 1.
    """

    default_name = 'grad'

    def __init__(self, num_scales: int = 4, invariant: bool = False, **options) -> None:
        super().__init__(**options)
        if num_scales < 1:
            raise ValueError(f'num_scales={num_scales}: expected 1 or more')
        self.num_scales, self.invariant = num_scales, invariant

    def forward(self, output: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        shape = valid.shape
        output, target, valid = flat_pixels(output, target, valid)
        if self.invariant:
            output, target = normalized(output, valid), normalized(target, valid)
        error = torch.where(valid, output - target, 0).view(shape)
        valid = valid.view(shape)
        total, present = error.new_zeros(len(error)), valid.new_zeros(len(error))
        for step in (2**scale for scale in range(self.num_scales)):
            r, v = error[:, ::step, ::step], valid[:, ::step, ::step]
            for change, both in (
                (r[..., 1:] - r[..., :-1], v[..., 1:] & v[..., :-1]),
                (r[:, 1:] - r[:, :-1], v[:, 1:] & v[:, :-1]),
            ):
                total = total + masked_mean(change.abs().flatten(1), both.flatten(1))
                present = present | both.flatten(1).any(1)
        return self.loss_weight * self.mean_where(present, total / self.num_scales)


# ---------------------------------------------------------------------- parts


def flat_pixels(*maps: Tensor) -> list[Tensor]:
    """Flatten maps (B, 1, H, W) or (B, H, W) to (B, N); numbers become float32."""
    return [part.flatten(1) if part.dtype == torch.bool else part.float().flatten(1) for part in maps]


def masked_mean(values: Tensor, valid: Tensor) -> Tensor:
    """Mean over the valid values of (B, N) -> (B,); 0 where there are none."""
    return torch.where(valid, values, 0).sum(1) / valid.sum(1).clamp(min=1)


def root(square: Tensor) -> Tensor:
    """Square root with gradient 0 at 0, where its slope is infinite."""
    some = square > 0
    return torch.where(some, torch.where(some, square, 1).sqrt(), 0)


def centered(depth: Tensor, valid: Tensor) -> Tensor:
    """(B, N) with mean 0 over the valid pixels of each image; 0 elsewhere."""
    depth = torch.where(valid, depth, 0)
    return torch.where(valid, depth - masked_mean(depth, valid)[:, None], 0)


def normalized(depth: Tensor, valid: Tensor) -> Tensor:
    """(B, N) with median 0 and mean absolute deviation 1 over the valid pixels of each image; 0 elsewhere."""
    # The lower median, by sorting: PyTorch's median has no deterministic kernel on GPUs.
    ordered = torch.where(valid, depth, torch.inf).sort(dim=1).values
    middle = (valid.sum(1, keepdim=True) - 1).clamp(min=0) // 2
    centered = torch.where(valid, depth - ordered.gather(1, middle), 0)
    deviation = masked_mean(centered.abs(), valid)
    return centered / deviation.clamp(min=FLAT)[:, None]
