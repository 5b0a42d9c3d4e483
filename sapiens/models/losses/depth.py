"""Losses between predicted and true depth.

Each is called with predictions (B, 1, H, W), targets (B, 1, H, W) and ``valid`` (B, H, W) bool, and returns a scalar in float32,
whatever the prediction's dtype. What stands where ``valid`` is False has no effect. The unit is the target's: for relative depth
0 is the nearest and 1 the farthest valid pixel of an image.
"""

# B batch, H W size in pixels, N pixels of one image

import torch
from torch import Tensor, nn

from sapiens.registry import MODELS

__all__ = ['AlignedDepthLoss', 'DepthGradientLoss', 'ScaleShiftInvariantLoss', 'SiLogLoss']

# Below these depths SiLogLoss takes no logarithm: ours, and the published one.
MIN_DEPTH, PUBLISHED_MIN_DEPTH = 0.01, 1e-6
# A prediction whose mean deviation is less is flat: it is not scaled up further.
FLAT = 1e-3
# Of prediction and target: below it AlignedDepthLoss is linear.
MIN_CORRELATION = 0.1


def flat_pixels(*maps: Tensor) -> list[Tensor]:
    """Maps (B, 1, H, W) or (B, H, W) -> (B, N); numbers in float32."""
    return [part.flatten(1) if part.dtype == torch.bool else part.float().flatten(1) for part in maps]


def masked_mean(values: Tensor, valid: Tensor) -> Tensor:
    """Mean over the valid ones of (B, N) -> (B,); 0 where there are none."""
    return torch.where(valid, values, 0).sum(1) / valid.sum(1).clamp(min=1)


def mean_of_present(values: Tensor, present: Tensor) -> Tensor:
    """Mean of the (B,) values that are present; 0 if none is."""
    return torch.where(present, values, 0).sum() / present.sum().clamp(min=1)


def root(square: Tensor) -> Tensor:
    """Square root without gradient at 0, where its slope is infinite."""
    some = square > 0
    return torch.where(some, torch.where(some, square, 1).sqrt(), 0)


@MODELS.register_module()
class SiLogLoss(nn.Module):
    """Error of the logarithm of depth, of which a common factor counts half: ``sqrt(mean(d^2) - 0.5 mean(d)^2)`` of each image
    with ``d = log(target) - log(prediction)``, then the mean over the images that have valid pixels.

    The logarithm of a relative depth does not exist at the nearest pixel, and its slope grows without limit close to it. So
    below ``min_depth`` it goes on as the straight line that touches it, ``log(m) + (x - m) / m``. Then every prediction has a
    gradient, also one below 0, where a network without output activation starts; and the nearest pixel, which alone says
    where 0 lies, counts with a finite target. A perfect prediction has loss 0 and gradient 0.

    Args:
        published: as published instead: predictions are clamped from below, so that those below the bound get no gradient;
            pixels whose target is not above it do not count (in relative depth the nearest); and images without a valid
            pixel count as 0 in the mean.
        min_depth: where the logarithm ends, in the target's unit; by default 0.01, or 1e-6 with ``published``.
        invariance: share of the mean's square that is taken off, 0 to 1: 1 ignores a common factor, 0 counts it fully.
        loss_weight: factor.
        name: of the value in the log, after ``loss_``.

    Raises:
        ValueError: a ``min_depth`` or ``invariance`` out of range.
    """

    def __init__(
        self,
        published: bool = False,
        min_depth: float | None = None,
        invariance: float = 0.5,
        loss_weight: float = 1.0,
        name: str = 'silog',
    ) -> None:
        super().__init__()
        if min_depth is None:
            min_depth = PUBLISHED_MIN_DEPTH if published else MIN_DEPTH
        if min_depth <= 0:
            raise ValueError(f'min_depth={min_depth}: expected a depth above 0, the logarithm has no value there')
        if not 0 <= invariance <= 1:
            raise ValueError(f'invariance={invariance}: expected 0 to 1 (published: 0.5)')
        self.published, self.min_depth, self.invariance = published, min_depth, invariance
        self.loss_weight, self.name = loss_weight, name

    def forward(self, output: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        output, target, valid = flat_pixels(output, target, valid)
        if self.published:
            valid = valid & (target > self.min_depth)
        error = torch.where(valid, self.log(target) - self.log(output), 0)
        mean = masked_mean(error, valid)
        variance = masked_mean((error - mean[:, None]).square(), valid)
        square = variance + (1 - self.invariance) * mean.square()
        present = torch.ones_like(valid[:, 0]) if self.published else valid.any(1)
        return self.loss_weight * mean_of_present(root(square), present)

    def log(self, depth: Tensor) -> Tensor:
        """Logarithm of any number, see the class."""
        clamped = depth.clamp(min=self.min_depth)
        if self.published:
            return clamped.log()
        return clamped.log() + (depth - clamped) / self.min_depth


@MODELS.register_module()
class ScaleShiftInvariantLoss(nn.Module):
    """Absolute error after prediction and target of each image were brought to median 0 and mean absolute deviation 1:
    ``mean |p' - t'|`` over the valid pixels, then the mean over the images that have any.

    For labels of unknown scale and offset. Unlike a least-squares fit of the prediction, which may turn it upside down and then
    leaves a network that predicts far for near without gradient, this keeps the order of depth.

    Args:
        loss_weight: factor.
        name: of the value in the log, after ``loss_``.
    """

    def __init__(self, loss_weight: float = 1.0, name: str = 'ssi') -> None:
        super().__init__()
        self.loss_weight, self.name = loss_weight, name

    def forward(self, output: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        output, target, valid = flat_pixels(output, target, valid)
        error = (normalized(output, valid) - normalized(target, valid)).abs()
        return self.loss_weight * mean_of_present(masked_mean(error, valid), valid.any(1))


@MODELS.register_module()
class AlignedDepthLoss(nn.Module):
    """Root mean square error of each image after the least-squares scale and shift of its prediction, in the target's unit, then
    the mean over the images that have valid pixels: what :class:`~sapiens.evaluation.DepthMetric` reports as RMSE after
    ``alignment='scale-shift'``.

    With r the correlation of prediction and target and d the deviation of the target, it is ``d sqrt(1 - r^2)``. Where r is below
    ``MIN_CORRELATION`` the scale stays the one of that correlation, so ``1 - r^2`` goes on as the straight line that touches it:
    a prediction that is upside down is wrong and has a gradient, where a free fit would turn it around or make it flat.

    Args:
        loss_weight: factor.
        name: of the value in the log, after ``loss_``.
    """

    def __init__(self, loss_weight: float = 1.0, name: str = 'aligned') -> None:
        super().__init__()
        self.loss_weight, self.name = loss_weight, name

    def forward(self, output: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        output, target, valid = flat_pixels(output, target, valid)
        output, target = centred(output, valid), centred(target, valid)
        spread = masked_mean(output.square(), valid).clamp(min=FLAT**2).sqrt()
        extent = masked_mean(target.square(), valid).sqrt()
        correlation = masked_mean(output * target, valid) / (spread * extent.clamp(min=FLAT))
        scale = correlation.clamp(min=MIN_CORRELATION) * extent / spread
        square = masked_mean((scale[:, None] * output - target).square(), valid)
        return self.loss_weight * mean_of_present(root(square), valid.any(1))


def centred(depth: Tensor, valid: Tensor) -> Tensor:
    """(B, N) with mean 0 over the valid pixels of each image; 0 elsewhere."""
    depth = torch.where(valid, depth, 0)
    return torch.where(valid, depth - masked_mean(depth, valid)[:, None], 0)


def normalized(depth: Tensor, valid: Tensor) -> Tensor:
    """(B, N) with median 0 and mean absolute deviation 1 over the valid pixels of each image; 0 elsewhere."""
    # The lower median. Sorted, as the median of PyTorch has no deterministic kernel on GPUs.
    ordered = torch.where(valid, depth, torch.inf).sort(dim=1).values
    middle = (valid.sum(1, keepdim=True) - 1).clamp(min=0) // 2
    centred = torch.where(valid, depth - ordered.gather(1, middle), 0)
    deviation = masked_mean(centred.abs(), valid)
    return centred / deviation.clamp(min=FLAT)[:, None]


@MODELS.register_module()
class DepthGradientLoss(nn.Module):
    """Absolute error of the slopes of depth, at several scales: sharp edges, smooth surfaces.

    At scale s every s-th pixel is taken (s = 1, 2, 4, ...); there, with r = prediction - target,
    ``mean |r(x + 1, y) - r(x, y)| + mean |r(x, y + 1) - r(x, y)|``, each over the pairs of which both pixels are valid. Mean over
    the scales, then over the images that have a pair.

    Args:
        num_scales: 1 or more.
        invariant: compare the maps that :class:`ScaleShiftInvariantLoss` compares.
        loss_weight: factor.
        name: of the value in the log, after ``loss_``.

    Raises:
        ValueError: num_scales below 1.
    """

    def __init__(
        self, num_scales: int = 4, invariant: bool = False, loss_weight: float = 1.0, name: str = 'grad'
    ) -> None:
        super().__init__()
        if num_scales < 1:
            raise ValueError(f'num_scales={num_scales}: expected 1 or more')
        self.num_scales, self.invariant, self.loss_weight, self.name = num_scales, invariant, loss_weight, name

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
        return self.loss_weight * mean_of_present(total / self.num_scales, present)
