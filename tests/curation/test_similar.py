"""The search for similar embeddings finds the pairs of all comparisons, or nearly all of them where there are many."""

import numpy as np
import pytest

from sapiens.curation import similar
from sapiens.curation.near import decide_pairs
from sapiens.curation.similar import similar_pairs


def made_embeddings(count, copies, noise, size=32, seed=0):
    """Random directions, and copies of the first ones that differ a little."""
    generator = np.random.default_rng(seed)
    rows = generator.normal(size=(count, size))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    more = rows[:copies] + noise * generator.normal(size=(copies, size)) / size**0.5
    rows = np.concatenate([rows, more / np.linalg.norm(more, axis=1, keepdims=True)])
    return rows.astype(np.float16)


def all_pairs(rows, cosine):
    products = rows.astype(np.float32) @ rows.astype(np.float32).T
    one, two = np.nonzero(np.triu(products >= cosine, 1))
    return {(i, j): products[i, j] for i, j in zip(one.tolist(), two.tolist(), strict=True)}


def test_pairs_of_few_embeddings_are_those_of_all_comparisons(monkeypatch):
    monkeypatch.setattr(similar, '_BLOCK', 7)
    rows = made_embeddings(60, 20, 0.3)
    one, two, cosines = similar_pairs(rows, 0.9)
    expected = all_pairs(rows, 0.9)
    assert len(expected) >= 20
    assert dict(zip(zip(one.tolist(), two.tolist(), strict=True), cosines, strict=True)) == pytest.approx(
        expected, 1e-3
    )
    assert [len(part) for part in similar_pairs(rows[:0], 0.9)] == [0, 0, 0]
    assert len(similar_pairs(np.zeros((3, 4), np.float16), 0.5)[0]) == 0


def test_buckets_find_nearly_all_pairs_and_no_others(monkeypatch):
    monkeypatch.setattr(similar, '_ALL_PAIRS', 100)
    rows = made_embeddings(1500, 500, 0.3)
    expected = all_pairs(rows, 0.93)
    one, two, cosines = similar_pairs(rows, 0.93)
    found = set(zip(one.tolist(), two.tolist(), strict=True))
    assert len(expected) >= 450 and found <= set(expected) and len(found) == len(one)
    assert len(found) >= 0.97 * len(expected) and cosines.min() >= 0.93 - 1e-3
    compared = sum(len(bucket) ** 2 for bucket in similar._buckets(rows, 0.93)) / 2
    assert compared < 0.2 * len(rows) ** 2 / 2


def test_layouts_reach_the_probability_they_promise():
    for count, cosine in ((10**4, 0.95), (10**6, 0.9), (10**5, 0.5), (10**5, 1.0)):
        bits, tables = similar._layout(count, cosine)
        same = (1 - np.arccos(cosine) / np.pi) ** bits
        assert 1 - (1 - same) ** tables >= 0.98 - 1e-9 and 1 <= tables <= similar._MOST_TABLES and bits >= 1


def test_of_several_originals_the_nearest_is_taken():
    one, two = np.array([0, 1, 2]), np.array([2, 2, 3])
    places, better, worse = decide_pairs(one, two, np.array([0.3, 0.1, 0.0]), np.arange(4))
    assert (places.tolist(), better.tolist(), worse.tolist()) == ([1], [1], [2])
