"""Searches of others for near duplicates among hashes of 64 bits.

A search is made from hashes, (N,) uint64, and the most bits of difference. This part is not timed: it brings the hashes into the
form that the search takes. Its call returns the numbers of the images to remove, which are near to an earlier one that is kept.
"""

import logging
import warnings
from collections.abc import Callable, Iterable

import numpy as np

__all__ = ['SEARCHES', 'NotInstalled']

Search = Callable[[], Iterable[int]]


class NotInstalled(Exception):
    """A package of a search is missing; its message names it."""


def python_loop(hashes: np.ndarray, distance: int) -> Search:
    """Each kept hash with all later ones, by integers of Python."""
    values = hashes.tolist()

    def search() -> set[int]:
        removed = set()
        for one, value in enumerate(values):
            if one not in removed:
                later = range(one + 1, len(values))
                removed.update(two for two in later if (value ^ values[two]).bit_count() <= distance)
        return removed

    return search


def numpy_loop(hashes: np.ndarray, distance: int) -> Search:
    """Each kept hash with all later ones, by one operation of NumPy."""
    if not hasattr(np, 'bitwise_count'):
        raise NotInstalled('NumPy 2')

    def search() -> np.ndarray:
        removed = np.zeros(len(hashes), bool)
        for one in range(len(hashes)):
            if not removed[one]:
                removed[one + 1 :] |= np.bitwise_count(hashes[one + 1 :] ^ hashes[one]) <= distance
        return np.flatnonzero(removed)

    return search


def imagededup(hashes: np.ndarray, distance: int) -> Search:
    """The default search of imagededup, in one process. Its other methods, 'bktree' and 'brute_force', are slower."""
    try:
        from imagededup.methods import PHash
    except ImportError as error:
        raise NotInstalled(error.name or error) from error
    encodings = {f'{number:08d}': f'{value:016x}' for number, value in enumerate(hashes.tolist())}
    hasher = PHash(verbose=False)
    for name in logging.root.manager.loggerDict:
        if name.startswith('imagededup'):
            logging.getLogger(name).setLevel(logging.WARNING)

    def search() -> set[int]:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', RuntimeWarning)  # of an option of another stage
            found = hasher.find_duplicates_to_remove(
                encoding_map=encodings, max_distance_threshold=distance, num_dist_workers=0
            )
        return set(map(int, found))

    return search


def faiss_flat(hashes: np.ndarray, distance: int) -> Search:
    """All pairs, compared by faiss."""
    return _faiss(hashes, distance, lambda faiss: faiss.IndexBinaryFlat(64))


def faiss_multihash(hashes: np.ndarray, distance: int) -> Search:
    """Four hash tables of faiss, each by 16 bits, looked up with so many flipped bits that no pair is missed."""

    def build(faiss):
        index = faiss.IndexBinaryMultiHash(64, 4, 16)
        index.nflip = distance // 4  # of four parts one differs by no more
        return index

    return _faiss(hashes, distance, build)


def _faiss(hashes: np.ndarray, distance: int, build: Callable) -> Search:
    try:
        import faiss
    except ImportError as error:
        raise NotInstalled(error.name or error) from error
    faiss.omp_set_num_threads(1)
    rows = np.ascontiguousarray(hashes).view(np.uint8).reshape(len(hashes), 8)

    def search() -> set[int]:
        index, removed = build(faiss), set()
        index.add(rows)
        ends, _, found = index.range_search(rows, distance + 1)  # nearer than this
        query = np.repeat(np.arange(len(rows)), np.diff(ends.astype(np.int64)))
        later = found > query
        for one, two in zip(query[later].tolist(), found[later].tolist(), strict=True):
            if one not in removed:
                removed.add(two)
        return removed

    return search


SEARCHES = {
    'python': python_loop,
    'numpy': numpy_loop,
    'imagededup': imagededup,
    'faiss-flat': faiss_flat,
    'faiss-multihash': faiss_multihash,
}
"""Name on the command line -> what makes the search."""
