"""The comparison of all images of a collection."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .filters import Duplicates, Filter, Similar, unpack
from .near import choose_originals, decide_pairs
from .similar import similar_pairs

__all__ = ['Collection']


@dataclass
class Collection:
    """The duplicates of a collection, by unit and row.

    Attributes:
        units: name -> place in ``firsts`` and ``names``.
        firsts: number of the first image of each unit, and of all images.
        original: (N,) number of the image that each is a duplicate of, or -1.
        distance: (N,) to the original: int16 bits, or float32 cosines.
    """

    units: dict[str, int]
    names: list[str]
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
        gathered = _Gathered.read(parts, filters, found, 'hash', _hashes)
        original, distance = gathered.without_originals(np.int16)
        if found and len(gathered.numbers):
            of, bits = choose_originals(gathered.values, gathered.rank(), found.distance)
            numbers = gathered.numbers
            original[numbers], distance[numbers] = np.where(of >= 0, numbers[of], -1), bits
        return cls(gathered.units, list(gathered.units), gathered.firsts, original, distance)

    @classmethod
    def compare_embeddings(cls, parts: Iterable[pa.Table], filters: Sequence[Filter], found: Similar) -> 'Collection':
        """Find similar images among those that pass the filters before, like :meth:`compare`.

        Args:
            found: one of the filters.
        """
        gathered = _Gathered.read(parts, filters, found, 'embedding', unpack)
        original, distance = gathered.without_originals(np.float32)
        numbers = gathered.numbers
        if len(numbers):
            one, two, cosine = similar_pairs(gathered.values, found.cosine)
            places, better, worse = decide_pairs(one, two, -cosine, gathered.rank())
            original[numbers[worse]], distance[numbers[worse]] = numbers[better], cosine[places]
        return cls(gathered.units, list(gathered.units), gathered.firsts, original, distance)

    def columns(self, unit: str) -> tuple[pa.Array, pa.Array]:
        """Return the keys of the originals of a unit's rows, and the distances, with nulls where there is none."""
        begin, end = self.firsts[self.units[unit] : self.units[unit] + 2]
        original, distance = self.original[begin:end], self.distance[begin:end]
        keys = np.full(len(original), None, object)
        rows = np.flatnonzero(original >= 0)
        places = np.searchsorted(self.firsts, original[rows], side='right') - 1
        for row, place, number in zip(rows, places, original[rows] - self.firsts[places], strict=True):
            keys[row] = f'{self.names[place]}-{number:06d}'
        return pa.array(keys, pa.string()), pa.array(distance, mask=original < 0)


@dataclass
class _Gathered:
    """What is compared, of all units.

    Attributes:
        units, firsts: see :class:`Collection`.
        numbers: (M,) int64 of the images that are compared.
        values: (M, ...) what is compared.
        order: (M,) each of generation, falling pixels, falling bytes; 4 bytes each, for they are kept for the whole collection.
    """

    units: dict[str, int]
    firsts: np.ndarray
    numbers: np.ndarray
    values: np.ndarray
    order: list[np.ndarray]

    @classmethod
    def read(
        cls,
        parts: Iterable[pa.Table],
        filters: Sequence[Filter],
        found: Filter | None,
        column: str,
        values: Callable[[pa.ChunkedArray], np.ndarray],
    ) -> '_Gathered':
        """Read a column of ``found`` in the rows that have it and pass the filters before; none without that filter."""
        before = filters[: filters.index(found)] if found else []
        units, firsts, columns = {}, [0], []
        for table in parts:
            units[table['unit'][0].as_py()] = len(units)
            if found:
                rows = np.flatnonzero(alive(table, before) & _is_valid(table[found.column(column)]))
                if len(rows):
                    part = table.take(pa.array(rows))
                    columns.append((rows + firsts[-1], values(part[found.column(column)]), *_order(part)))
            firsts.append(firsts[-1] + len(table))
        empty = np.empty(0, np.int64)
        numbers, kept, *order = [np.concatenate(one) for one in zip(*columns, strict=True)] or [empty] * 5
        return cls(units, np.array(firsts, np.int64), numbers, kept, order)

    def rank(self) -> np.ndarray:
        """Return the rank of each image, (M,) int64: of duplicates that of the lowest rank is kept.

        Earlier runs come first, then more pixels, then more bytes, then the order of the inputs.
        """
        generation, pixels, weight = self.order
        rank = np.empty(len(generation), np.int64)
        rank[np.lexsort((weight, pixels, generation))] = np.arange(len(generation))
        return rank

    def without_originals(self, kind: type) -> tuple[np.ndarray, np.ndarray]:
        total = int(self.firsts[-1])
        return np.full(total, -1, np.int64), np.full(total, -1, kind)


def _hashes(column: pa.ChunkedArray) -> np.ndarray:
    return column.to_numpy(zero_copy_only=False).astype(np.uint64)


def _is_valid(column: pa.ChunkedArray) -> np.ndarray:
    return pc.is_valid(column).to_numpy(zero_copy_only=False)


def _order(part: pa.Table) -> tuple[np.ndarray, ...]:
    names = ('generation', 'width', 'height', 'bytes')
    generation, width, height, weight = (part[name].to_numpy(zero_copy_only=False).astype(np.int64) for name in names)
    return generation.astype(np.int32), _falling(width * height), _falling(weight)


def _falling(values: np.ndarray) -> np.ndarray:
    """Return numbers, (N,) uint32, whose order is the opposite one."""
    most = np.iinfo(np.uint32).max
    return (most - np.minimum(values.astype(np.int64), most)).astype(np.uint32)


def alive(table: pa.Table, filters: Sequence[Filter]) -> np.ndarray:
    """Return which rows can be read and pass the filters, (N,) bool."""
    left = np.asarray(table['error'].to_numpy(zero_copy_only=False) == '', bool)
    for one in filters:
        left &= one.passes(table)
    return left
