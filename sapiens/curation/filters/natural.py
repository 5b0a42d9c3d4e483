"""A cheap guess whether an image is a photograph."""

import cv2
import numpy as np
import pyarrow as pa

from sapiens.utils.option_values import require_number

from .base import Filter, numbers

__all__ = ['Natural', 'natural_score']

# Bits of a histogram of colors above which an image has as many as photographs do.
_MANY_COLORS = 7.0


class Natural(Filter):
    """Photographs rather than drawings, diagrams and screenshots, by colors and edges.

    The score is no more than that: few colors and even areas. It does not see paintings, realistic renderings and composites, and
    it takes photographs before an even background for drawings where the threshold is high. See :class:`.ImageText` for a model.

    Args:
        threshold: least score, 0 to 1.
    """

    score = 'score'
    thresholds = ('threshold',)
    columns = dict(score=pa.float32())

    def __init__(self, threshold: float = 0.3) -> None:
        require_number('threshold', threshold, least=0, most=1)
        self._threshold = threshold

    @property
    def threshold(self) -> float:
        return self._threshold

    def measure(self, photos):
        return [dict(score=natural_score(photo.small)) for photo in photos]

    def passes(self, table: pa.Table) -> np.ndarray:
        return numbers(table, self.column('score')) >= self._threshold


def natural_score(pixels: np.ndarray) -> float:
    """Return the entropy of colors times the fraction of pixels that differ from their neighbors, 0 to 1.

    Args:
        pixels: (H, W, 3) uint8 RGB.
    """
    counts = cv2.calcHist([pixels], [0, 1, 2], None, [16] * 3, [0, 256] * 3).astype(np.int64)
    part = counts[counts > 0] / counts.sum()
    colors = min(1.0, float(-(part * np.log2(part)).sum()) / _MANY_COLORS)
    square = np.ones((3, 3), np.uint8)
    differ = cv2.dilate(pixels, square) - cv2.erode(pixels, square)
    even = cv2.countNonZero(cv2.inRange(differ, (0, 0, 0), (2, 2, 2)))
    return colors * (1 - even / (pixels.shape[0] * pixels.shape[1]))
