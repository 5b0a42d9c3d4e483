"""An image file in memory, decoded as far as a filter needs."""

from functools import cached_property

import cv2
import numpy as np

from sapiens.datasets.transforms.decoding import EncodedImage

__all__ = ['SMALL', 'Photo']

SMALL = 256
"""Longest side of the reduced image, in pixels."""


class Photo:
    """An image.

    Args:
        data: content of the file.
        max_megapixels: larger images are refused.

    Attributes:
        data: the same.
        size: (w, h) of the upright image.
        format: Pillow's name of the format, such as ``'JPEG'``.

    Raises:
        BadImage: the file cannot be used. That of a damaged end is raised by :attr:`small`.
    """

    def __init__(self, data: bytes, max_megapixels: float = 150) -> None:
        self.data = data
        self._encoded = EncodedImage(data, max_megapixels)
        self.format = self._encoded.format

    @property
    def size(self) -> tuple[int, int]:
        return self._encoded.size

    @cached_property
    def small(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB with a longest side of :data:`SMALL` pixels, or less. All of the file is decoded."""
        width, height = self.size
        scale = min(1.0, SMALL / max(width, height))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        pixels, _ = self._encoded.crop((0, 0, width, height), size, exact=False)
        return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA) if pixels.shape[1::-1] != size else pixels

    @cached_property
    def pixels(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB, all of it."""
        return np.ascontiguousarray(self._encoded.crop((0, 0, *self.size), self.size, exact=True)[0])
