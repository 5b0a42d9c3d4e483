"""The look-up of near hashes misses no pair and invents none."""

import numpy as np
import pytest

from sapiens.curation.near import choose_originals, near_pairs


def made_hashes(count, changed, bits, seed=0):
    """Random hashes, and copies of some with up to ``bits`` bits flipped."""
    generator = np.random.default_rng(seed)
    hashes = generator.integers(0, 2**64, count, np.uint64)
    copies = hashes[:changed].copy()
    for number in range(changed):
        for bit in generator.choice(64, generator.integers(1, bits + 1), replace=False):
            copies[number] ^= np.uint64(1) << np.uint64(bit)
    return np.unique(np.concatenate([hashes, copies]))


def all_pairs(hashes, distance):
    differ = np.unpackbits(
        (hashes[:, None] ^ hashes[None]).view(np.uint8).reshape(len(hashes), len(hashes), 8), axis=-1
    )
    differ = differ.sum(-1)
    return {(i, j, int(differ[i, j])) for i in range(len(hashes)) for j in range(i) if differ[i, j] <= distance}


@pytest.mark.parametrize('distance', [0, 1, 4, 6, 9])
def test_pairs_equal_those_of_all_comparisons(distance):
    hashes = made_hashes(300, 150, 9)
    one, two, bits = near_pairs(hashes, distance)
    found = {(max(pair), min(pair), int(bit)) for *pair, bit in zip(one.tolist(), two.tolist(), bits, strict=True)}
    expected = all_pairs(hashes, distance) if distance else set()
    assert found == expected and len(one) == len(found)
    assert bool(expected) == (distance > 0)


def test_few_hashes_and_wrong_distances():
    assert [len(part) for part in near_pairs(np.zeros(1, np.uint64), 4)] == [0, 0, 0]
    with pytest.raises(ValueError, match='a distance of 17 bits'):
        near_pairs(np.zeros(1, np.uint64), 17)


def test_originals_are_kept_and_near_and_better():
    hashes = made_hashes(200, 100, 6)
    hashes = np.random.default_rng(1).permutation(np.concatenate([hashes, hashes[:40]]))
    rank = np.random.default_rng(2).permutation(len(hashes))
    original, bits = choose_originals(hashes, rank, 5)
    removed = original >= 0
    assert removed.sum() > 60
    assert (original[original[removed]] < 0).all()
    assert (rank[original[removed]] < rank[removed]).all()
    differ = np.unpackbits((hashes[removed] ^ hashes[original[removed]]).view(np.uint8)).reshape(-1, 64).sum(1)
    assert (differ <= 5).all() and (bits[removed] <= 5).all() and (bits[~removed] == -1).all()
    kept = np.unique(hashes[~removed])
    assert len(kept) == (~removed).sum() and len(near_pairs(kept, 5)[0]) == 0


def test_a_chain_does_not_join_what_differs():
    chain = np.array([0, 0b111, 0b111111, 0b111111111], np.uint64)
    original, bits = choose_originals(chain, np.arange(4), 3)
    assert original.tolist() == [-1, 0, -1, 2] and bits.tolist() == [-1, 3, -1, 3]


def test_the_nearest_of_several_originals_is_named():
    original, bits = choose_originals(np.array([0, 0b1111, 0b1], np.uint64), np.arange(3), 3)
    assert original.tolist() == [-1, -1, 0] and bits.tolist() == [-1, -1, 1]
