"""Pinhole cameras and the points that they see.

Legend: intrinsics K (3, 3) in pixels, with the center of the top-left pixel at (0, 0), so K @ (X, Y, Z) / Z is the pixel of a
point of the camera frame (x right, y down, z forward). Points are (3, H, W) tensors, one for each pixel of an image.
"""

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    'MIN_SCALE',
    'SOBEL',
    'canonical_scale',
    'input_intrinsics',
    'normals_of_points',
    'pixel_rays',
    'window_inside',
]

# Slopes (differences times the 128 of the kernel) below this fraction of the distance are those of one point in float32.
ROUNDING = 3e-5
# Smaller predicted scales, also negative ones, count as this one: a focal length of a hundred widths of the input.
MIN_SCALE = 0.01
SOBEL = 5  # width of the windows of :func:`normals_of_points`, as in the published evaluation


def canonical_scale(intrinsics: np.ndarray, width: int) -> float:
    """Factor from meters to canonical units: the canonical camera has a focal length of ``width`` pixels, 768 at 768 wide.

    Source: the published pointmaps of Sapiens2, whose network sees each image as if taken by that camera.

    Args:
        intrinsics: (3, 3) in pixels of the network's input.
        width: of this input.

    Raises:
        ValueError: a focal length that is not above 0.
    """
    focal = float(intrinsics[0][0])
    if not (np.isfinite(focal) and focal > 0):
        raise ValueError(f'focal length {focal} pixels (fx of the intrinsics): expected a number above 0')
    return width / focal


def input_intrinsics(metainfo: Mapping, size: tuple[int, int]) -> np.ndarray:
    """The camera of the network's input.

    Args:
        metainfo: of a sample: ``intrinsics`` (3, 3) in pixels of its maps; ``img_shape`` (h, w) of the input; and where the maps
            have another size, that of the image, ``warp_matrix`` (2, 3) from its pixels to those of the input. Without one, the
            image was stretched to the input.
        size: (H, W) of the maps.

    Returns:
        (3, 3) float64 in pixels of the input.
    """
    intrinsics = np.asarray(metainfo['intrinsics'], np.float64)
    shape, matrix = tuple(metainfo.get('img_shape', size)[:2]), metainfo.get('warp_matrix')
    if tuple(size) == shape:
        return intrinsics
    if matrix is None:
        y, x = shape[0] / size[0], shape[1] / size[1]
        matrix = [[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2]]  # the edges of the image map to those of the input
    return np.vstack([np.asarray(matrix, np.float64), [0, 0, 1]]) @ intrinsics


def pixel_rays(intrinsics: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Where the ray of each pixel is at Z = 1: (H, W, 3) float32, for an image of ``size`` (H, W)."""
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float64)
    rays = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(np.asarray(intrinsics, np.float64)).T
    return rays.astype(np.float32)


def normals_of_points(points: Tensor) -> Tensor:
    """Normals of the surface through the points: cross products of the slopes that 5 x 5 Sobel kernels give.

    Slopes at the border of the image repeat its outermost points. A scale of the points changes nothing.

    Args:
        points: (3, H, W) float, on any device.

    Returns:
        (3, H, W) float32 unit vectors that face the camera where the image does not mirror; zeros where points coincide up to
        rounding, as those that an interpolation repeats beyond the outermost cells. NaN where the window has a point that is
        not finite.
    """
    points = points.float()
    padded = F.pad(points[None], (2, 2, 2, 2), mode='replicate')[0]
    across, down = _slope(padded, -1), _slope(padded, -2)
    least = ROUNDING * points.norm(dim=0)
    same = (across.norm(dim=0) < least) | (down.norm(dim=0) < least)
    normal = torch.linalg.cross(down, across, dim=0)
    normal = normal / normal.norm(dim=0, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
    return normal.masked_fill(same, 0)


def _slope(values: Tensor, dim: int) -> Tensor:
    """Sobel's 5 x 5 kernel along ``dim``; both dimensions lose 4. Differences come first, so that large values do not round."""
    count, other = values.shape[dim] - 4, -3 - dim
    first, second, _, fourth, fifth = (values.narrow(dim, start, count) for start in range(SOBEL))
    slope = (fifth - first) + 2 * (fourth - second)
    count = values.shape[other] - 4
    one, two, three, four, five = (slope.narrow(other, start, count) for start in range(SOBEL))
    return (one + five) + 4 * (two + four) + 6 * three


def window_inside(valid: Tensor) -> Tensor:
    """(H, W) bool: whether the whole Sobel window of a pixel is valid and inside the image.

    Args:
        valid: (H, W) bool.
    """
    outside = F.pad(~valid, (2, 2, 2, 2), value=True)[None].float()
    return F.max_pool2d(outside, SOBEL, stride=1)[0] == 0
