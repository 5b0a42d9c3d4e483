"""Boxes of people under geometry.

A box is x1, y1, x2, y2: the edges of its pixels. The whole image is 0, 0, width, height, and the center of its top-left pixel is
(0.5, 0.5). Matrices (2, 3) map centers of pixels, the top-left one being (0, 0), as those of :mod:`sapiens.datasets.transforms`.
"""

import numpy as np

from .crop import transform_points

__all__ = ['clip_boxes', 'transform_boxes']


def transform_boxes(boxes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Map boxes (N, 4); under a rotation to the boxes around their corners. Returns (N, 4) float64."""
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2) - 0.5
    corners = transform_points(corners, np.asarray(matrix, np.float64)) + 0.5
    return np.concatenate([corners.min(1), corners.max(1)], 1)


def clip_boxes(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The parts of boxes (N, 4) in an image of ``size`` (w, h); without width or height where there is none."""
    boxes = np.asarray(boxes).reshape(-1, 4)
    return np.clip(boxes, 0, np.array([*size, *size], boxes.dtype))
