"""Geometry of a crop around a person: between pixels of the image, pixels of the crop and cells of its heatmaps.

Legend: points are (x, y) in pixels, the center of the top-left pixel is (0, 0); a size is (w, h). The box of a crop has a center
and a scale (its width and height), both in pixels of the image.
"""

import numpy as np

__all__ = ['crop_matrix', 'crop_to_image', 'fit_aspect', 'heatmap_to_image', 'transform_points']


def fit_aspect(scale: np.ndarray, size: tuple) -> np.ndarray:
    """The smallest box size (2,) of the aspect of ``size`` that holds ``scale`` (2,), at least a pixel wide and high."""
    # On arrays, which keep their precision: the last bit of the matrix is then mmpose's.
    width, height = np.split(np.maximum(scale, scale.dtype.type(1)), 2)
    aspect = size[0] / size[1]
    if width > height * aspect:
        return np.concatenate([width, width / aspect])
    return np.concatenate([height * aspect, height])


def crop_matrix(center: np.ndarray, scale: np.ndarray, rotation: float, size: tuple, flip: bool = False) -> np.ndarray:
    """(2, 3) float64 matrix from pixels of the image to pixels of the crop.

    Args:
        center, scale: (2,) of the box, in pixels.
        rotation: degrees, turning x towards y, after mirroring.
        size: of the crop.
        flip: mirror the box about its vertical axis; equal to mirroring the image and the box's center with it.
    """
    from mmpose.structures.bbox import get_udp_warp_matrix

    matrix = get_udp_warp_matrix(center, scale, rotation, size).astype(np.float64)
    if flip:
        matrix[:, 2] += 2 * float(center[0]) * matrix[:, 0]
        matrix[:, 0] *= -1
    return matrix


def crop_to_image(points, size: tuple, center, scale):
    """Map points of an upright crop to the image, as mmpose does: a point at ``size`` is at the end of the box.

    Args:
        points: (..., K, 2) array or tensor, in which a heatmap's last cell is at ``size``.
        size: (w, h) of the crop, of the same type as ``points``.
        center, scale: (..., 2), of the same type.
    """
    center, scale = center[..., None, :], scale[..., None, :]
    return points / size * scale + center - scale / 2


def heatmap_to_image(shape: tuple, center: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """(2, 3) float64 matrix from cells of a heatmap to pixels of the image; the outermost cells are at the ends of the box.

    Args:
        shape: (..., h, w) of the heatmaps.
        center, scale: (2,) of the box.
    """
    center, scale = np.asarray(center, np.float64), np.asarray(scale, np.float64)
    cells = np.array([shape[-1], shape[-2]])
    return np.column_stack([np.diag(scale / (cells - 1)), center - scale / 2])


def transform_points(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Apply a (2, 3) matrix to (..., 2) points, in float64."""
    return points.astype(np.float64) @ matrix[:, :2].T + matrix[:, 2]
