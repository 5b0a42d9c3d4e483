import copy
import pickle
import random
from typing import NamedTuple

import numpy as np
import pytest
import torch

from sapiens.datasets import Draw, ResumableSampler, seed_everything_for
from sapiens.datasets.draw import hash63
from sapiens.datasets.permutation import Permutation
from sapiens.registry import DATA_SAMPLERS


class Pair(NamedTuple):
    """What a draw holds; draws themselves compare as ints."""

    index: int
    seed: int


def sampler(n, rank=0, world_size=1, **options):
    made = ResumableSampler(range(n), seed=7, **options)
    made.rank, made.world_size = rank, world_size
    return made


def epoch_of(n, world_size, start=0, epoch=0, **options):
    """The ranks' draws, interleaved as positions go."""
    ranks = []
    for rank in range(world_size):
        one = sampler(n, rank, world_size, **options)
        one.set_epoch(epoch)
        one.set_start(start)
        ranks.append([Pair(draw.index, draw.seed) for draw in one])
    longest = max(map(len, ranks))
    return [draws[i] for i in range(longest) for draws in ranks if i < len(draws)]


def test_seeds_are_those_of_splitmix64():
    """A resumed run draws what it would have drawn, so the numbers never change."""
    assert hash63(0) == 0xE220A8397B1DCDAF >> 1  # the generator's published first output from seed 0
    assert hash63(0, 0) != hash63(0) and hash63(1, 2) != hash63(2, 1)
    assert hash63(-1) == hash63(2**64 - 1)
    assert len({hash63(1, n) for n in range(1000)}) == 1000


def test_numbers_are_those_of_earlier_versions():
    """A run that is resumed with this version continues with the samples and augmentations that it would have drawn."""
    assert [hash63(5), hash63(1, 2, 3), hash63(-7, 2**40)] == [
        3567305580077179309, 7510213797696614745, 2182629225371356224,
    ]  # fmt: skip
    assert Permutation(10, 3, 4)(np.arange(10)).tolist() == [6, 0, 8, 7, 9, 3, 1, 5, 2, 4]
    assert Permutation(300, 5)([0, 1, 2, 299]).tolist() == [107, 111, 141, 200]
    assert Permutation(70000, 1)([0, 1, 69999]).tolist() == [28516, 64967, 48970]
    one = sampler(10, repeat=2)
    one.set_epoch(4)
    order = Permutation(20, 7, 4)(np.arange(20)) % 10
    assert list(one) == [Draw(index, hash63(7, 4, place)) for place, index in enumerate(order.tolist())]


@pytest.mark.parametrize('n', [1, 2, 3, 10, 255, 256, 257, 70000])
def test_permutation(n):
    values = Permutation(n, 3, 4)(np.arange(n))
    assert np.array_equal(np.sort(values), np.arange(n))
    assert np.array_equal(values[n // 2 :], Permutation(n, 3, 4)(np.arange(n // 2, n)))


def test_permutation_is_spread_evenly():
    firsts = [int(Permutation(10, seed)([0])[0]) for seed in range(600)]
    assert abs(np.bincount(firsts, minlength=10) - 60).max() < 35  # 4.7 standard deviations
    values = Permutation(100000, 1)(np.arange(100000))
    assert abs(np.corrcoef(np.arange(100000), values)[0, 1]) < 0.02
    assert (np.diff(values) == 1).mean() < 0.001


def test_huge_sets_cost_nothing():
    draws = iter(sampler(10**12))
    assert 0 <= next(draws).index < 10**12


def test_epochs_differ_and_repeat():
    first, second = epoch_of(50, 1, epoch=0), epoch_of(50, 1, epoch=1)
    assert sorted(d.index for d in first) == sorted(d.index for d in second) == list(range(50))
    assert [d.index for d in first] != [d.index for d in second]
    assert len({d.seed for d in first + second}) == 100
    assert first == epoch_of(50, 1, epoch=0)
    assert [d.index for d in epoch_of(50, 1, shuffle=False)] == list(range(50))


@pytest.mark.parametrize('world_size', [2, 3, 8])
def test_ranks_partition_the_epoch(world_size):
    whole = epoch_of(50, 1)
    shared = epoch_of(50, world_size, round_up=False)
    assert shared == whole
    rounded = epoch_of(50, world_size)
    assert rounded[:50] == whole and len(rounded) == -(-50 // world_size) * world_size
    for rank in range(world_size):
        one = sampler(50, rank, world_size, round_up=False)
        assert len(list(one)) == len(one)


@pytest.mark.parametrize('before, after', [(1, 1), (2, 1), (4, 3), (3, 8)])
def test_resume_with_another_world_size(before, after):
    start = 5 * before
    rest = epoch_of(50, after, start=start, round_up=False)
    assert rest == epoch_of(50, 1)[start:]


def test_start_holds_for_one_epoch():
    one = sampler(10)
    one.set_start(7)
    assert len(list(one)) == 3
    assert len(list(one)) == 10
    with pytest.raises(ValueError, match='-1'):
        one.set_start(-1)


def test_small_sets_fill_every_rank():
    draws = epoch_of(3, 8)
    assert len({d.seed for d in draws}) == 8 and {d.index for d in draws} == {0, 1, 2}


def test_registered_and_refuses_an_empty_set():
    assert len(DATA_SAMPLERS.build(dict(type='ResumableSampler', dataset=range(3), seed=0))) == 3
    with pytest.raises(ValueError, match='empty'):
        ResumableSampler([])
    with pytest.raises(ValueError, match='repeat=0'):
        ResumableSampler(range(3), repeat=0)
    one = sampler(3)
    one.set_start(0)
    assert len(one) == 3 and sampler(3, repeat=1).total == 3


@pytest.mark.parametrize('n', [4095, 4096, 4097, 8193])
def test_long_epochs_are_computed_in_parts(n):
    assert sorted(draw.index for draw in sampler(n)) == list(range(n))


def test_a_draw_is_an_index_with_a_seed():
    draw = Draw(3, 2**62 + 5)
    assert (
        draw == 3
        and f'{draw:02}.png {draw}' == '03.png 3'
        and [0, 1, 2, 'x'][draw] == 'x'
        and torch.arange(9)[draw] == 3
    )
    for again in (draw, pickle.loads(pickle.dumps(draw)), copy.deepcopy(draw)):
        assert type(again) is Draw and (again.index, again.seed) == (3, 2**62 + 5) and type(again.index) is int


def test_seeding_leaves_the_main_process_as_it_was():
    np.random.seed(0)
    torch.manual_seed(0)
    expected = np.random.rand(), torch.rand(()).item()
    inside = []
    for _ in range(2):
        np.random.rand(), torch.rand(())
        with seed_everything_for(Draw(0, 2**62 + 5)):
            inside.append((random.random(), np.random.rand(), torch.rand(()).item()))
    assert inside[0] == inside[1]
    np.random.seed(0)
    torch.manual_seed(0)
    with seed_everything_for(Draw(0, 6)):
        other = random.random(), np.random.rand(), torch.rand(()).item()
    assert (np.random.rand(), torch.rand(()).item()) == expected
    assert all(a != b for a, b in zip(other, inside[0], strict=True))
