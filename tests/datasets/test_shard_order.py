"""The order of samples in shards, over simulated ranks."""

import random
from types import SimpleNamespace

import numpy as np
import pytest

from sapiens.datasets import ShardSampler
from sapiens.datasets.shard_order import ShardOrder

# Shards of unequal size, some of them empty.
COUNTS = np.random.default_rng(0).integers(0, 24, 120) * (np.arange(120) % 17 > 0)
TOTAL = int(COUNTS.sum())


def dataset(counts=COUNTS, canonical_nodes=16, interleave=3, samples_per_epoch=None):
    orders = {}

    def order(seed, shuffle):
        if (seed, shuffle) not in orders:
            orders[seed, shuffle] = ShardOrder(counts, canonical_nodes, interleave, seed, shuffle)
        return orders[seed, shuffle]

    return SimpleNamespace(order=order, samples_per_epoch=samples_per_epoch or int(counts.sum()))


def streams(data, ranks, batch, start=0, **options):
    """An endless iterator of draws for each rank."""
    found = []
    for rank in range(ranks):
        sampler = ShardSampler(data, batch, seed=5, **options)
        sampler.rank, sampler.world_size = rank, ranks
        sampler.set_start(start)
        found.append(iter(sampler))
    return found


def next_batch(iterators, batch):
    """Draws of the next global batch, in a list for each rank."""
    return [[(int(draw), draw.seed) for _, draw in zip(range(batch), one, strict=False)] for one in iterators]


def merged(ranks):
    return sorted(draw for rank in ranks for draw in rank)


@pytest.mark.parametrize('ranks', [1, 2, 8, 64, 1024])
def test_each_sample_once_a_pass_over_any_number_of_ranks(ranks):
    data, batch = dataset(canonical_nodes=8), 1024 // ranks
    iterators, seen = streams(data, ranks, batch), []
    while len(seen) < 2 * TOTAL:
        seen += [position for rank in next_batch(iterators, batch) for position in rank]
    # The ranks share the positions of each global batch.
    order = data.order(5, True)
    batches = [sorted(index for index, _ in seen[i : i + 1024]) for i in range(0, len(seen), 1024)]
    assert batches == [sorted(order(np.arange(i, i + 1024)).tolist()) for i in range(0, len(seen), 1024)]
    for number in range(2):
        samples = order(np.arange(number * TOTAL, (number + 1) * TOTAL))
        assert np.array_equal(np.sort(samples), np.arange(TOTAL))
    assert len({seed for _, seed in seen}) == len(seen)


@pytest.mark.parametrize(('canonical_nodes', 'interleave'), [(1, 4), (7, 1), (64, 4), (7, 1000), (7, 10**20)])
def test_a_pass_is_a_permutation_that_changes(canonical_nodes, interleave):
    order = ShardOrder(COUNTS, canonical_nodes, interleave, 3)
    passes = [order(np.arange(number * TOTAL, (number + 1) * TOTAL)) for number in (0, 1, 6)]
    assert all(np.array_equal(np.sort(found), np.arange(TOTAL)) for found in passes)
    assert not np.array_equal(passes[0], passes[1])
    scattered = np.random.default_rng(1).integers(0, 7 * TOTAL, 100)
    one_by_one = [int(order(np.array([position]))[0]) for position in scattered]
    assert order(scattered).tolist() == one_by_one
    assert ShardOrder(COUNTS, canonical_nodes, interleave, 4)(np.arange(99)).tolist() != passes[0][:99].tolist()
    plain = ShardOrder(COUNTS, canonical_nodes, interleave, 3, shuffle=False)
    assert plain(np.arange(TOTAL - 2, TOTAL + 2)).tolist() == [TOTAL - 2, TOTAL - 1, 0, 1]


@pytest.mark.parametrize('ranks', [2, 16, 24, 48])
def test_equal_global_batches_on_any_number_of_ranks(ranks):
    one, many = streams(dataset(), 1, 96), streams(dataset(), ranks, 96 // ranks)
    for _ in range(TOTAL // 96 + 2):
        assert merged(next_batch(one, 96)) == merged(next_batch(many, 96 // ranks))


@pytest.mark.parametrize('seed', range(3))
def test_interruptions_and_other_ranks_workers_and_batches_at_random_points(seed):
    """Workers only fetch ahead: what a killed run has drawn and not used is drawn again."""
    draw = random.Random(seed)
    data, position, seen = dataset(), 0, []
    straight = iter(streams(data, 1, 1)[0])
    while position < 2 * TOTAL:
        ranks = draw.choice([1, 2, 3, 8, 24, 64, 200])
        batch, ahead = draw.choice([1, 2, 5]), draw.choice([0, 1, 3])
        iterators = streams(data, ranks, batch, position)
        for _ in range(draw.randrange(1, 2 + TOTAL // (ranks * batch))):
            found = merged(next_batch(iterators, batch))
            assert found == sorted((int(x), x.seed) for _, x in zip(range(len(found)), straight, strict=False))
            seen += found
            position += ranks * batch
        next_batch(iterators, ahead * batch)
    samples = data.order(5, True)(np.arange(len(seen)))
    assert all(np.array_equal(np.sort(samples[i * TOTAL :][:TOTAL]), np.arange(TOTAL)) for i in range(2))


@pytest.mark.parametrize(('ranks', 'shards'), [(1, 120), (4, 32), (16, 10), (32, 8), (24, 12)])
def test_a_rank_meets_few_shards_at_a_time(ranks, shards):
    """``interleave`` of each of its canonical nodes, and as many again where blocks begin and end in the middle of one."""
    data, batch = dataset(), 96 // ranks
    ends = np.cumsum(COUNTS)
    for one in streams(data, ranks, batch):
        samples = [int(next(one)) for _ in range(2 * batch)]
        assert len(set(np.searchsorted(ends, samples, side='right'))) <= shards


def test_few_shards_are_mixed():
    order = ShardOrder(np.full(8, 100), 64, 4, seed=1)
    assert order.canonical_nodes == 2
    shards = order(np.arange(64)) // 100
    assert len(set(shards.tolist())) >= 6
    assert ShardOrder(np.array([0, 3, 0]), 64, 4, seed=1).canonical_nodes == 1


def test_an_epoch_is_a_number_of_global_batches():
    assert len(ShardSampler(dataset(samples_per_epoch=100), 8, seed=1)) == 96
    sampler = ShardSampler(dataset(samples_per_epoch=100), 8, seed=1)
    sampler.world_size = 3
    assert len(sampler) == 32
    with pytest.raises(ValueError, match='an epoch of 7 samples has no batch of 8 on each of 1 process'):
        ShardSampler(dataset(samples_per_epoch=7), 8)
    with pytest.raises(ValueError, match='start position is -1'):
        sampler.set_start(-1)
    with pytest.raises(ValueError, match='ShardSampler orders the samples of TarShards, not of '):
        ShardSampler([1, 2], 1)
