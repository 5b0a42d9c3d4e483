"""Faces, by a detector of faces."""

import numpy as np
import pyarrow as pa

from sapiens.utils.option_values import require_number

from .base import Filter, numbers
from .custom import find_function

__all__ = ['Faces']


class Faces(Filter):
    """Images that show a face, and not only people.

    The detectors of :class:`.People` find people, and no box of a person tells a face. No detector of faces comes with this
    package, so the function is yours: one of faces, or a pose model, of which the box around eyes, ears and mouth is taken.

    Args:
        detector: ``'package.module:name'`` of a function that takes an image, (H, W, 3) uint8 RGB, and returns boxes of faces
            (N, 4), x1, y1, x2, y2 in pixels; N may be 0.
        side: the largest face has this width and height at least, in pixels.
        part: and this fraction of the image's shorter side at least: 0.3 for portraits.

    Raises:
        ValueError: no such function, or one that returns something else.
    """

    stage = 'model'
    score = 'side'
    limits = (0.0, 512.0)
    thresholds = ('side', 'part')
    columns = dict(side=pa.float32(), count=pa.int32())

    def __init__(self, detector: str, side: float = 80, part: float = 0.0) -> None:
        require_number('side', side, least=1)
        require_number('part', part, least=0, most=1)
        self.detector, self.side, self.part = detector, side, part
        self._find = find_function(detector)

    @property
    def threshold(self) -> float:
        return self.side

    def measure(self, photos):
        return [self._measure(photo.pixels) for photo in photos]

    def _measure(self, pixels: np.ndarray) -> dict:
        boxes = np.asarray(self._find(pixels), np.float32)
        if boxes.size and (boxes.ndim != 2 or boxes.shape[1] != 4):
            raise ValueError(f'detector={self.detector!r} returned boxes of shape {boxes.shape}: expected (N, 4)')
        boxes = boxes.reshape(-1, 4)
        sides = (boxes[:, 2:] - boxes[:, :2]).min(1)
        return dict(side=float(sides.max(initial=0.0)), count=len(boxes))

    def passes(self, table: pa.Table) -> np.ndarray:
        side = numbers(table, self.column('side'))
        shorter = np.minimum(numbers(table, 'width'), numbers(table, 'height'))
        return (side >= self.side) & (side >= self.part * shorter)
