"""Errors of alpha mattes.

Source: Rhemann, Rother, Wang, Gelautz, Kohli, Rott, "A perceptually motivated online benchmark for image matting" (CVPR 2009),
with the parameters of alphamatting.com.
"""

from collections.abc import Sequence

import cv2
import numpy as np

__all__ = ['MATTING_ERRORS', 'matting_errors', 'unknown_band']

# The values of :func:`matting_errors`, in order.
MATTING_ERRORS = 'SAD', 'MAD', 'MSE', 'grad', 'conn'
# Alpha of opaque pixels and of empty ones: within a step of 8 bits of 1 and 0.
OPAQUE, EMPTY = 254 / 255 - 1e-4, 1 / 255 + 1e-4
SIGMA = 1.4  # pixels, of the derivative of the gradient error
LEVELS, TOLERANCE = 10, 0.15  # of the connectivity error: thresholds above 0, and a distance below which none counts


def unknown_band(alpha: np.ndarray, band: float, valid: np.ndarray | None = None) -> np.ndarray:
    """Pixels that a trimap leaves open: those with a pixel of another kind (opaque, empty, neither) within a square, and all that
    are neither.

    Args:
        alpha: (H, W) float32 in [0, 1], the true one.
        band: half the side of the square, as a fraction of the longer side of the image; at least a pixel.
        valid: (H, W) bool, where alpha is known. Other pixels are of no kind and make none around them unknown.

    Returns:
        (H, W) bool.
    """
    radius = max(1, round(band * max(alpha.shape)))
    square = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    ignored = np.zeros(alpha.shape, bool) if valid is None else ~valid
    opaque, empty = ((kind | ignored).astype(np.uint8) for kind in (alpha >= OPAQUE, alpha <= EMPTY))
    # Outside the image everything is as at its border: erosion ignores it.
    known = cv2.erode(opaque, square) | cv2.erode(empty, square)
    return known == 0


def matting_errors(
    pred: np.ndarray, target: np.ndarray, valid: np.ndarray, regions: Sequence[np.ndarray]
) -> np.ndarray:
    """Errors of one image in some regions of it, named by :data:`MATTING_ERRORS`.

    - SAD: sum of abs(p - t), in thousands; MAD and MSE: means of abs(p - t) and (p - t)^2.
    - grad: sum of (abs(gradient of p) - abs(gradient of t))^2, in thousands. Gradients are derivatives of a Gaussian of 1.4
      pixels; both its filters have the norm 1.
    - conn: sum of abs(phi(p) - phi(t)), in thousands. phi(a) is 1 - d where d = a - l is 0.15 or more, else 1. l is the largest
      threshold (0, 0.1, ... 1) up to which the pixel belongs to the largest 4-connected part of the pixels that have that much in
      both p and t.

    Args:
        pred, target: (H, W) float32 in [0, 1].
        valid: (H, W) bool. Other pixels count as empty in both.
        regions: (H, W) bool each, where the errors are summed. Means of an empty one are 0.

    Returns:
        (number of regions, 5) float64; NaN if the prediction is not finite somewhere in a region.
    """
    pred, target = (np.where(valid, alpha, 0).astype(np.float32) for alpha in (pred, target))
    difference = (pred - target).astype(np.float64)
    gradient = np.square(_gradient(pred).astype(np.float64) - _gradient(target))
    connectivity = np.abs(_connectivity(pred, target))
    errors = []
    for region in regions:
        absolute, square = np.abs(difference[region]), np.square(difference[region])
        count = max(1, absolute.size)
        sums = absolute.sum() / 1000, absolute.sum() / count, square.sum() / count
        errors.append([*sums, gradient[region].sum() / 1000, connectivity[region].sum() / 1000])
    return np.array(errors)


def _gradient(alpha: np.ndarray) -> np.ndarray:
    """(H, W) magnitude of the gradient by the derivatives of a Gaussian; the border repeats the outermost pixels."""
    radius = 4  # beyond it the Gaussian is below 0.01
    x = np.arange(-radius, radius + 1)
    smooth = np.exp(-(x**2) / (2 * SIGMA**2)) / (np.sqrt(2 * np.pi) * SIGMA)
    slope = -x * smooth / SIGMA**2
    smooth, slope = smooth / np.linalg.norm(smooth), slope / np.linalg.norm(slope)
    across, down = (
        cv2.sepFilter2D(alpha, cv2.CV_32F, *pair, borderType=cv2.BORDER_REPLICATE)
        for pair in ((slope, smooth), (smooth, slope))
    )
    return np.sqrt(across * across + down * down)


def _connectivity(pred: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(H, W) float64: phi(p) - phi(t), see :func:`matting_errors`."""
    level = np.zeros(pred.shape, np.float64)
    connected = np.ones(pred.shape, bool)
    for number in range(1, LEVELS + 1):
        threshold = number / LEVELS
        both = (pred >= np.float32(threshold)) & (target >= np.float32(threshold))
        connected &= _largest_part(both)
        level[connected] = threshold
    below = [np.where(alpha - level >= TOLERANCE, alpha - level, 0) for alpha in (pred, target)]
    # phi is 1 - below.
    return np.where(np.isfinite(pred), below[1] - below[0], np.nan)


def _largest_part(mask: np.ndarray) -> np.ndarray:
    """The largest 4-connected part of a mask, (H, W) bool."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    if count < 2:
        return mask
    return labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
