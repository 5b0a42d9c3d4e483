"""Search for images of similar embeddings, without comparing all pairs.

Embeddings are cut by random planes. Those on the same side of all planes of a table share a bucket, and only the content of a
bucket is compared, in blocks. A pair of the least cosine is in one bucket of some table with a probability of 98 %, closer ones
with more. Up to a few thousand embeddings all pairs are compared. Source: Charikar, "Similarity Estimation Techniques from
Rounding Algorithms" (STOC 2002).
"""

import math
from collections.abc import Iterator

import numpy as np

__all__ = ['similar_pairs']

_ALL_PAIRS = 4096  # up to this many are one bucket
_BLOCK = 1024  # rows that are compared at a time
_FOUND = 0.98
_MOST_TABLES = 128


def similar_pairs(embeddings: np.ndarray, cosine: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find pairs of embeddings of a least cosine.

    Args:
        embeddings: (N, D) float16 or float32 of length 1, or 0 for none.
        cosine: 0 to 1.

    Returns:
        Numbers of the two of each pair, (P,) int64 each, the first one less, and their cosine (P,) float32. Each pair is there
        once.
    """
    found = [np.empty((0, 2), np.int64)]
    for bucket in _buckets(embeddings, cosine):
        found.append(_pairs_within(embeddings, bucket, cosine))
    pairs = np.unique(np.concatenate(found), axis=0)
    cosines = np.empty(len(pairs), np.float32)
    for begin in range(0, len(pairs), _BLOCK):
        one, two = (embeddings[part].astype(np.float32) for part in pairs[begin : begin + _BLOCK].T)
        cosines[begin : begin + _BLOCK] = (one * two).sum(1)
    return pairs[:, 0], pairs[:, 1], cosines


def _buckets(embeddings: np.ndarray, cosine: float) -> Iterator[np.ndarray]:
    """Yield the numbers of embeddings that are compared with each other, ascending."""
    count, size = embeddings.shape
    if count <= _ALL_PAIRS:
        yield np.arange(count)
        return
    bits, tables = _layout(count, cosine)
    generator = np.random.default_rng(0)
    for _ in range(tables):
        planes = generator.normal(size=(size, bits)).astype(np.float32)
        keys = np.empty(count, np.int64)
        for begin in range(0, count, _ALL_PAIRS):
            sides = embeddings[begin : begin + _ALL_PAIRS].astype(np.float32) @ planes > 0
            keys[begin : begin + _ALL_PAIRS] = sides @ (1 << np.arange(bits))
        order = np.argsort(keys, kind='stable')
        edges = np.flatnonzero(np.diff(keys[order])) + 1
        for begin, end in zip([0, *edges.tolist()], [*edges.tolist(), count], strict=True):
            if end - begin > 1:
                yield order[begin:end]


def _layout(count: int, cosine: float) -> tuple[int, int]:
    """Return the number of planes of a table, and of tables: about eight embeddings a bucket, or more to save tables."""
    same = 1 - math.acos(min(cosine, 1.0)) / math.pi  # probability of one side of a plane
    for bits in range(max(1, round(math.log2(count)) - 3), 0, -1):
        tables = math.ceil(math.log(1 - _FOUND) / math.log1p(-min(same**bits, 1 - 1e-9)))
        if tables <= _MOST_TABLES:
            break
    return bits, tables


def _pairs_within(embeddings: np.ndarray, bucket: np.ndarray, cosine: float) -> np.ndarray:
    found = []
    for begin in range(0, len(bucket), _BLOCK):
        rows = bucket[begin : begin + _BLOCK]
        one = embeddings[rows].astype(np.float32)
        for other in range(begin, len(bucket), _BLOCK):
            columns = bucket[other : other + _BLOCK]
            near = np.argwhere(one @ embeddings[columns].astype(np.float32).T >= cosine)
            pairs = np.stack([rows[near[:, 0]], columns[near[:, 1]]], 1)
            found.append(pairs[pairs[:, 0] < pairs[:, 1]])
    return np.concatenate(found) if found else np.empty((0, 2), np.int64)
