"""Search for near duplicates among hashes of 64 bits, without comparing all pairs.

Two hashes that differ in at most ``d`` bits agree in at least ``m - d`` of ``m`` blocks. For each choice of that many blocks the
hashes are sorted by the bits of these, and only neighbors that agree in all of them are compared. Nothing within the distance is
missed. Source: Manku, Jain and Sarma, "Detecting Near-Duplicates for Web Crawling" (WWW 2007).
"""

import itertools
import math
from array import array

import numpy as np

__all__ = ['choose_originals', 'decide_pairs', 'near_pairs']

_BITS = 64
_MOST_TABLES = 100
_AT_A_TIME = 1 << 20


def near_pairs(hashes: np.ndarray, distance: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find all pairs of hashes that differ in at most ``distance`` bits.

    Args:
        hashes: (N,) uint64, distinct.
        distance: 0 to 16.

    Returns:
        Numbers of the two hashes of each pair, (P,) int64 each, and the distance (P,) uint8. Each pair is there once.
    """
    assert hashes.dtype == np.uint64 and hashes.ndim == 1
    if not 0 <= distance <= 16:
        raise ValueError(f'a distance of {distance} bits between hashes: expected 0 to 16')
    # Most tables find the same pairs. They are kept once: as one number each, first * N + second.
    pairs, found = np.empty(0, np.int64), []
    if distance and len(hashes) > 1:
        blocks, chosen = _layout(len(hashes), distance)
        edges = np.linspace(0, _BITS, blocks + 1).round().astype(int)
        for choice in itertools.combinations(range(blocks), chosen):
            mask = np.uint64(sum(((1 << int(edges[one + 1] - edges[one])) - 1) << int(edges[one]) for one in choice))
            found.append(_pairs_of_table(hashes, mask, distance))
            if sum(map(len, found)) > max(len(pairs), _AT_A_TIME):
                pairs, found = np.unique(np.concatenate([pairs, *found])), []
        pairs = np.unique(np.concatenate([pairs, *found]))
    one, two = np.divmod(pairs, max(len(hashes), 1))
    return one, two, _count_bits(hashes[one] ^ hashes[two])


def _layout(count: int, distance: int) -> tuple[int, int]:
    """Return the number of blocks, and of those that have to agree: the fewest tables whose keys tell the hashes apart."""
    wanted = math.log2(count) - 1
    layouts = [
        (math.comb(blocks, distance), blocks, blocks - distance) for blocks in range(distance + 1, distance + 8)
    ]
    layouts = [one for one in layouts if one[0] <= _MOST_TABLES] or layouts[:1]
    return next((one[1:] for one in layouts if _BITS * one[2] / one[1] >= wanted), layouts[-1][1:])


def _pairs_of_table(hashes: np.ndarray, mask: np.uint64, distance: int) -> np.ndarray:
    """The pairs that agree in the bits of a mask, (P,) int64."""
    order = np.argsort(hashes & mask)
    values = hashes[order]
    keys = values & mask
    found, here, step = [], np.flatnonzero(keys[1:] == keys[:-1]), 1
    # Entries whose neighbor so many places on has their key.
    while len(here):
        near = here[_count_bits(values[here] ^ values[here + step]) <= distance]
        one, two = order[near], order[near + step]
        found.append(np.minimum(one, two) * len(hashes) + np.maximum(one, two))
        step += 1
        here = here[here + step < len(keys)]
        here = here[keys[here] == keys[here + step]]
    return np.concatenate(found) if found else np.empty(0, np.int64)


def _count_bits(values: np.ndarray) -> np.ndarray:
    if hasattr(np, 'bitwise_count'):  # NumPy 2
        return np.bitwise_count(values)
    return np.unpackbits(values.view(np.uint8)).reshape(-1, _BITS).sum(1, dtype=np.uint8)


def choose_originals(hashes: np.ndarray, rank: np.ndarray, distance: int) -> tuple[np.ndarray, np.ndarray]:
    """Find for each image the better one that it is a near duplicate of.

    Images are taken from the best to the worst. One that is near to an image that was kept is a duplicate of it. A duplicate has
    no duplicates itself, so that a chain of small changes does not join different images.

    Args:
        hashes: (N,) uint64.
        rank: (N,) distinct; lower is better.
        distance: most bits of difference.

    Returns:
        Number of the original, -1 without one; and the distance to it, 0 for equal hashes. (N,) int64 and int16.
    """
    order = np.argsort(rank, kind='stable')
    values, first, group = np.unique(hashes[order], return_index=True, return_inverse=True)
    best = order[first]  # of each value, its best image
    del first
    original, bits = np.full(len(values), -1, np.int64), np.full(len(values), -1, np.int16)
    one, two, differ = near_pairs(values, distance)
    places, better, worse = decide_pairs(one, two, differ, rank[best])
    original[worse], bits[worse] = better, differ[places]
    image_of = np.where(original >= 0, best[original], -1)
    result, result_bits = np.empty(len(hashes), np.int64), np.empty(len(hashes), np.int16)
    result[order], result_bits[order] = image_of[group], bits[group]
    # Equal hashes: all but the best are duplicates of it, or of what it is a duplicate of.
    equal = np.empty(len(hashes), np.int64)
    equal[order] = best[group]
    same = (result < 0) & (equal != np.arange(len(hashes)))
    result[same], result_bits[same] = equal[same], 0
    return result, result_bits


def decide_pairs(
    one: np.ndarray, two: np.ndarray, distance: np.ndarray, rank: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Decide which images are duplicates, from the pairs of near ones. See :func:`choose_originals`.

    Args:
        one, two: (P,) numbers of the images of each pair.
        distance: (P,); of several originals the nearest one is taken.
        rank: (N,) distinct, of all images.

    Returns:
        For each duplicate the number of its pair, of its original, and its own.
    """
    swap = rank[one] > rank[two]
    better, worse = np.where(swap, two, one), np.where(swap, one, two)
    by_rank = np.lexsort((rank[better], distance, rank[worse]))
    removed, places = bytearray(len(rank)), array('q')
    # Of a pair the better one is decided first, since all pairs with it as the worse one come before.
    for begin in range(0, len(by_rank), _AT_A_TIME):
        part = by_rank[begin : begin + _AT_A_TIME]
        for place, above, below in zip(part.tolist(), better[part].tolist(), worse[part].tolist(), strict=True):
            if not (removed[above] or removed[below]):
                removed[below] = 1
                places.append(place)
    places = np.array(places, np.int64)
    return places, better[places], worse[places]
