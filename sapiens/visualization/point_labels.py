"""Short texts beside points of a picture, none over another."""

import math
from collections.abc import Sequence

import numpy as np

from .layout import text_size, write
from .sizes import RIM, TEXT, pixels

__all__ = ['Labels', 'text_height', 'text_rim']

COLOR = (255, 255, 255)
# Distances of a text from its point, in heights of a line, and directions, the first ones first: up to the right is least in the
# way.
DISTANCES, DIRECTIONS = (0.25, 0.7), (-45, 45, -135, 135, 0, 180, -90, 90)


def text_height(shape: Sequence[int]) -> int:
    """Height in pixels of a line of text in a picture of ``shape`` (H, W, ...)."""
    return round(pixels(TEXT, shape, least=15))


def text_rim(shape: Sequence[int]) -> int:
    """Thickness in pixels of the rim of such a text."""
    return round(pixels(RIM, shape, least=1))


class Labels:
    """Texts beside points. Each takes the first free place around its point.

    Args:
        canvas: (H, W, 3) uint8 RGB, contiguous, which the texts are drawn into.
    """

    def __init__(self, canvas: np.ndarray) -> None:
        self.canvas = canvas
        self.line, self.rim = text_height(canvas.shape), text_rim(canvas.shape)
        self.taken: list[tuple[float, float, float, float]] = []

    def add(self, text: str, point: np.ndarray) -> bool:
        """Write a text beside a point (x, y) in pixels. False if there is no free place for it in the picture."""
        width, height = text_size(text, self.line, self.rim)
        x, y = map(float, point)
        for distance in DISTANCES:
            for degrees in DIRECTIONS:
                angle, reach = math.radians(degrees), distance * self.line
                right, down = math.cos(angle), math.sin(angle)
                left = x + right * reach + (right - 1) * width / 2
                top = y + down * reach + (down - 1) * height / 2
                box = (left, top, left + width, top + height)
                if not self._is_free(box):
                    continue
                self.taken.append(box)
                write(self._part(box), text, (0, 0), COLOR, self.line, self.rim)
                return True
        return False

    def _is_free(self, box: tuple[float, float, float, float]) -> bool:
        left, top, right, bottom = box
        if left < 0 or top < 0 or right > self.canvas.shape[1] or bottom > self.canvas.shape[0]:
            return False
        return all(
            left >= other[2] or right <= other[0] or top >= other[3] or bottom <= other[1] for other in self.taken
        )

    def _part(self, box: tuple[float, float, float, float]) -> np.ndarray:
        left, top, right, bottom = (int(edge) for edge in (box[0], box[1], math.ceil(box[2]), math.ceil(box[3])))
        return self.canvas[top:bottom, left:right]
