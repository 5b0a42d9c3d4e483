"""The comparison of all images of a collection."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from .filters import Duplicates, Filter
from .near import choose_originals

__all__ = ['Collection']


@dataclass
class Collection:
    """The duplicates of a collection, by unit and row.

    Attributes:
        units: name -> place in ``firsts``.
        firsts: number of the first image of each unit, and of all images.
        original: (N,) number of the image that each is a duplicate of, or -1.
        distance: (N,) int16 bits, -1 without an original.
    """

    units: dict[str, int]
    firsts: np.ndarray
    original: np.ndarray
    distance: np.ndarray

    @classmethod
    def compare(cls, parts: Iterable[pa.Table], filters: Sequence[Filter]) -> 'Collection':
        """Find duplicates among the images that pass the filters before.

        Args:
            parts: rows of each unit, one row at least.
            filters: in their order; one of them at most is a :class:`.filters.Duplicates`.
        """
        found = next((one for one in filters if isinstance(one, Duplicates)), None)
        before = filters[: filters.index(found)] if found else []
        units, counts, hashes, ranks, numbers = {}, [], [], [], []
        total = 0
        for table in parts:
            units[table['unit'][0].as_py()] = len(units)
            counts.append(len(table))
            if found:
                rows = np.flatnonzero(alive(table, before))
                part = table.take(pa.array(rows))
                hashes.append(part[found.column('hash')].to_numpy(zero_copy_only=False).astype(np.uint64))
                size = [part[name].to_numpy(zero_copy_only=False).astype(np.int64) for name in ('width', 'height')]
                generation, weight = (
                    part[name].to_numpy(zero_copy_only=False).astype(np.int64) for name in ('generation', 'bytes')
                )
                # Earlier runs first, then more pixels, then more bytes, then the order of the inputs.
                ranks.append(np.stack([-weight, -size[0] * size[1], generation]))
                numbers.append(rows + total)
            total += len(table)
        firsts = np.concatenate([[0], np.cumsum(np.array(counts, np.int64))]).astype(np.int64)
        original, distance = np.full(total, -1, np.int64), np.full(total, -1, np.int16)
        if found and total:
            numbers = np.concatenate(numbers)
            rank = np.empty(len(numbers), np.int64)
            rank[np.lexsort(np.concatenate(ranks, 1))] = np.arange(len(numbers))
            of, bits = choose_originals(np.concatenate(hashes), rank, found.distance)
            original[numbers], distance[numbers] = np.where(of >= 0, numbers[of], -1), bits
        return cls(units, firsts, original, distance)

    def columns(self, unit: str) -> tuple[pa.Array, pa.Array]:
        """Return the keys of the originals of a unit's rows, and the distances, with nulls where there is none."""
        begin, end = self.firsts[self.units[unit] : self.units[unit] + 2]
        original, distance = self.original[begin:end], self.distance[begin:end]
        names, keys = list(self.units), np.full(len(original), None, object)
        rows = np.flatnonzero(original >= 0)
        places = np.searchsorted(self.firsts, original[rows], side='right') - 1
        for row, place, number in zip(rows, places, original[rows] - self.firsts[places], strict=True):
            keys[row] = f'{names[place]}-{number:06d}'
        return pa.array(keys, pa.string()), pa.array(distance, pa.int16(), mask=distance < 0)


def alive(table: pa.Table, filters: Sequence[Filter]) -> np.ndarray:
    """Return which rows can be read and pass the filters, (N,) bool."""
    left = np.asarray(table['error'].to_numpy(zero_copy_only=False) == '', bool)
    for one in filters:
        left &= one.passes(table)
    return left
