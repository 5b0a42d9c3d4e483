"""Formulas of the dense tasks, on the device of their arguments. Legend: C classes, N valid pixels."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    'ALIGNMENTS',
    'DEPTH_ERRORS',
    'angular_error',
    'class_scores',
    'confusion_matrix',
    'depth_alignment',
    'depth_error_sums',
    'depth_errors',
    'gradient_error_sums',
    'masked_ssim',
    'median',
    'person_means',
    'relative_depth',
]

ALIGNMENTS = 'none', 'median', 'scale-shift'
# The values of :func:`depth_errors`, in order.
DEPTH_ERRORS = 'AbsRel', 'SqRel', 'RMSE', 'log-RMSE', 'delta1', 'delta2', 'delta3'


def confusion_matrix(pred: Tensor, label: Tensor, num_classes: int) -> Tensor:
    """Count pixels by label and prediction.

    Args:
        pred, label: (N,) integer class ids.

    Returns:
        (C + 1, C + 1) int64: entry (i, j) is the number of pixels of class i predicted as j. The last row and column count
        ids of no class.
    """
    both = pred.long(), label.long()
    pred, label = (torch.where((ids < 0) | (ids > num_classes), num_classes, ids) for ids in both)
    counts = torch.bincount(label * (num_classes + 1) + pred, minlength=(num_classes + 1) ** 2)
    return counts.view(num_classes + 1, num_classes + 1)


def class_scores(confusion: Tensor) -> tuple[Tensor, Tensor]:
    """Intersection over union and accuracy (recall) of each class.

    Args:
        confusion: (C, C), see :func:`confusion_matrix`.

    Returns:
        (C,) float64 each: IoU, NaN for a class that is neither labeled nor predicted; accuracy, NaN for one that is not
        labeled.
    """
    confusion = confusion.double()
    hits, labelled, predicted = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    return hits / (labelled + predicted - hits), hits / labelled


def median(values: Tensor) -> Tensor:
    """Median of (N,) values; for an even number the mean of the two in the middle, as in numpy."""
    values = values.sort().values  # kthvalue would be faster, but has no deterministic form on GPUs
    return (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2


def relative_depth(depth: Tensor) -> Tensor:
    """(N,) depth of one image scaled to 0 at the nearest and 1 at the farthest pixel; zeros if all are equal."""
    low, high = depth.min(), depth.max()
    return (depth - low) / (high - low).clamp(min=torch.finfo(depth.dtype).tiny)


def depth_alignment(pred: Tensor, target: Tensor, mode: str) -> tuple[Tensor, Tensor]:
    """Scale and shift that align a prediction: ``scale * pred + shift`` is compared with the target.

    Args:
        pred, target: (N,) of one image, N at least 1.
        mode: ``'none'``: 1 and 0. ``'median'``: the scale that makes the medians equal; NaN if the median of ``pred`` is
            not above 0. ``'scale-shift'``: least squares; scale 0 for a constant ``pred``, negative for a ``pred`` that is
            higher in front.

    Returns:
        Scalars, float64.
    """
    pred, target = pred.double(), target.double()
    one, zero = pred.new_ones(()), pred.new_zeros(())
    if mode == 'none':
        return one, zero
    if mode == 'median':
        middle = median(pred)
        return torch.where(middle > 0, median(target) / middle, torch.nan), zero
    assert mode == 'scale-shift', mode
    spread = pred - pred.mean()
    square = spread.square().sum()
    # A constant has some spread after rounding, which any scale would fit.
    flat = square <= pred.numel() * (torch.finfo(torch.float32).eps * pred.abs().max()).square()
    scale = torch.where(flat, zero, (spread * (target - target.mean())).sum() / square)
    return scale, target.mean() - scale * pred.mean()


def depth_error_sums(pred: Tensor, target: Tensor, min_depth: float) -> Tensor:
    """Sums for :func:`depth_errors`, which add up over images.

    Args:
        pred: (N,) aligned.
        target: (N,) in the same unit.
        min_depth: pixels with a smaller target count in RMSE only, since the other errors divide by it. The logarithm clips
            predictions to it.

    Returns:
        (9,) float64: N; the number of pixels whose target is at least ``min_depth``; over these the sums of |p - t| / t,
        (p - t)^2 / t and (log p - log t)^2, and the numbers with max(p / t, t / p) below 1.25, 1.25^2 and 1.25^3; the sum of
        (p - t)^2 over all pixels.
    """
    pred, target = pred.double(), target.double()
    square = (pred - target).square().sum()
    count, enough = pred.numel(), target >= min_depth
    pred, target = pred[enough], target[enough]
    error = (pred - target).abs()
    logs = (pred.clamp(min=min_depth).log() - target.log()).abs()
    return torch.stack(
        [
            square.new_tensor(count),
            enough.sum(),
            (error / target).sum(),
            (error.square() / target).sum(),
            logs.square().sum(),
            *((logs < power * math.log(1.25)).sum() for power in (1, 2, 3)),
            square,
        ]
    ).double()


def depth_errors(sums: Tensor) -> Tensor:
    """The errors that :data:`DEPTH_ERRORS` names, (7,) float64, from :func:`depth_error_sums`; NaN without a valid pixel.

    Defined as in Eigen et al. (2014): mean |p - t| / t, mean (p - t)^2 / t, root mean square of p - t and of log p - log t, and
    the fractions of pixels with max(p / t, t / p) below 1.25, 1.25^2 and 1.25^3.
    """
    count, enough, *sums, square = sums.double().unbind()
    absolute, squared, logs, *within = (value / enough for value in sums)
    return torch.stack([absolute, squared, (square / count).sqrt(), logs.sqrt(), *within])


def angular_error(pred: Tensor, target: Tensor) -> Tensor:
    """Angle between vectors in degrees; accurate for small angles, unlike the arc cosine.

    Args:
        pred, target: (3, ...) of any positive length, in one frame. If one of them is zero, the angle is 90 degrees.

    Returns:
        (...) float32 in [0, 180]; NaN if a vector is not finite.
    """
    pred, target = pred.float(), target.float()
    (x, y, z), (u, v, w) = pred, target
    across = ((y * w - z * v).square() + (z * u - x * w).square() + (x * v - y * u).square()).sqrt()
    along = x * u + y * v + z * w
    angle = torch.rad2deg(torch.atan2(across, along))
    return torch.where((across == 0) & (along == 0), 90.0, angle)


def person_means(values: Tensor, persons: Tensor | None) -> Tensor:
    """(N,) the mean of the values (N,) of each pixel's person, or of all pixels where ``persons`` (N,), their numbers, is
    None."""
    if persons is None:
        return values.mean().expand_as(values)
    _, index = torch.unique(persons, return_inverse=True)
    count = torch.bincount(index)
    return (values.new_zeros(len(count)).index_add_(0, index, values) / count)[index]


def masked_ssim(pred: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Structural similarity of images in [0, 1], of each window that is more than half valid.

    Wang et al. (2004): Gaussian windows of 11 x 11 pixels and sigma 1.5, K1 0.01, K2 0.03. Means and variances are those of the
    valid pixels of a window, weighted by the Gaussian; pixels outside the image are not valid. "More than half" is the sum of
    their weights. With all pixels valid and away from the border this is the usual definition.

    Args:
        pred, target: (K, H, W) float32.
        valid: (H, W) bool.

    Returns:
        (N,) float32, N = K times the number of windows.
    """
    taps = [math.exp(-(step**2) / (2 * 1.5**2)) for step in range(-5, 6)]
    taps = [tap / sum(taps) for tap in taps]

    def blur(maps: Tensor) -> Tensor:  # without convolutions, which GPUs round to ten bits
        maps = F.pad(maps, (5, 5, 5, 5))
        for dim in (-1, -2):
            maps = sum(tap * maps.narrow(dim, i, maps.shape[dim] - 10) for i, tap in enumerate(taps))
        return maps

    weight = blur(valid.float()[None])
    counted = weight[0] > 0.5
    pred, target = (torch.where(valid, maps, 0) for maps in (pred, target))
    p, t, pp, tt, pt = (blur(maps)[:, counted] / weight[:, counted]
                        for maps in (pred, target, pred * pred, target * target, pred * target))  # fmt: skip
    c1, c2 = 0.01**2, 0.03**2
    likeness = (2 * p * t + c1) * (2 * (pt - p * t) + c2)
    return (likeness / ((p * p + t * t + c1) * (pp - p * p + tt - t * t + c2))).flatten()


def gradient_error_sums(pred: Tensor, target: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Number and sum of abs(step of ``pred`` - step of ``target``), over the steps to the right and to the lower neighbor whose
    two pixels are valid, and over channels.

    Args:
        pred, target: (K, H, W).
        valid: (H, W) bool.

    Returns:
        Scalars, float64.
    """
    error = torch.where(valid, pred - target, 0)
    count, total = error.new_zeros((), dtype=torch.float64), error.new_zeros((), dtype=torch.float64)
    for dim in (-1, -2):
        length = error.shape[dim] - 1
        both = valid.narrow(dim, 0, length) & valid.narrow(dim, 1, length)
        steps = error.narrow(dim, 1, length) - error.narrow(dim, 0, length)
        count += both.sum() * len(error)
        total += steps.abs()[:, both].double().sum()
    return count, total
