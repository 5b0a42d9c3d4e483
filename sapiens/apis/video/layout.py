"""Pictures of a video that show the input too."""

import cv2
import numpy as np

__all__ = ['beside', 'reduced']

# What decoders of H.264 in hardware take at most: pixels of a side, and of a picture (level 5.2).
MAX_SIDE, MAX_AREA = 4096, 4096 * 2304


def beside(image: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """Put pictures (H, W, 3) uint8 side by side, or one above the other where that leaves them larger within the limits.

    A picture that is smaller than the other gets a black border on the right and below.
    """
    size = np.maximum(image.shape[:2], picture.shape[:2])
    axis = max((1, 0), key=lambda axis: _zoom(size * np.where([axis == 0, axis == 1], 2, 1)))  # the first one if equal
    return reduced(np.concatenate([_filled(one, size) for one in (image, picture)], axis=axis))


def reduced(picture: np.ndarray) -> np.ndarray:
    """Reduce a picture (H, W, 3) to what hardware decodes; the same array if it is small enough."""
    zoom = _zoom(picture.shape[:2])
    if zoom == 1:
        return picture
    height, width = (max(int(side * zoom), 1) for side in picture.shape[:2])
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)


def _zoom(size) -> float:
    height, width = (float(side) for side in size)
    return min(1.0, MAX_SIDE / max(height, width), (MAX_AREA / (height * width)) ** 0.5)


def _filled(picture: np.ndarray, size: np.ndarray) -> np.ndarray:
    below, right = size - picture.shape[:2]
    return np.pad(picture, ((0, below), (0, right), (0, 0))) if below or right else picture
