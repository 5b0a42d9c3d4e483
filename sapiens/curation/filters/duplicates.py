"""Exact and near duplicates over the whole collection."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sapiens.utils.option_values import require_number

from ..hashes import content_hash, perceptual_hash
from .base import Filter

__all__ = ['Duplicates']


class Duplicates(Filter):
    """Keeps one of several images that show the same.

    Of duplicates the one with the most pixels is kept, then the one with the most bytes. An image of an earlier run comes before
    any of a later one. Copies in another size or quality, and slightly edited ones, have near hashes
    (:func:`..hashes.perceptual_hash`). Mirrored copies, and those that lack more than a few percent of the image, do not.

    Args:
        distance: most bits of 64 in which the hashes of duplicates differ; 0 for equal hashes only.
    """

    stage = 'collection'
    score = 'distance'
    limits = (0.0, 16.0)
    thresholds = ('distance',)
    # The image that this one is a duplicate of, by its key.
    columns = dict(content=pa.uint64(), hash=pa.uint64(), of=pa.string(), distance=pa.int16())

    def __init__(self, distance: int = 6) -> None:
        require_number('distance', distance, least=0, most=16, whole=True)
        self.distance = distance

    @property
    def threshold(self) -> float:
        return self.distance

    def measure(self, photos):
        return [dict(content=content_hash(photo.data), hash=perceptual_hash(photo.small)) for photo in photos]

    def passes(self, table: pa.Table) -> np.ndarray:
        return pc.is_null(table[self.column('of')]).to_numpy(zero_copy_only=False)
