"""The size of images."""

import numpy as np
import pyarrow as pa

from sapiens.utils.option_values import require_number

from .base import Filter, numbers

__all__ = ['MinSize']


class MinSize(Filter):
    """Images of a least size.

    Args:
        side: least width and height in pixels.
        aspect: most length of the longer side in units of the shorter one.
    """

    score = 'side'
    limits = (0.0, 2048.0)
    thresholds = ('side', 'aspect')
    columns = dict(side=pa.int32())

    def __init__(self, side: int = 384, aspect: float = 4.0) -> None:
        require_number('side', side, least=1, whole=True)
        self.side = side
        require_number('aspect', aspect, least=1)
        self.aspect = aspect

    @property
    def threshold(self) -> float:
        return self.side

    def measure(self, photos):
        return [dict(side=min(photo.size)) for photo in photos]

    def passes(self, table: pa.Table) -> np.ndarray:
        width, height = numbers(table, 'width'), numbers(table, 'height')
        short, long = np.minimum(width, height), np.maximum(width, height)
        return (short >= self.side) & (long <= self.aspect * short)
