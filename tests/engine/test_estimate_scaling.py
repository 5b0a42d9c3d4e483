"""Efficiency by the number of GPUs and the network, and time lost to failures, against numbers by hand."""

import itertools

import numpy as np
import pytest

from sapiens.engine.estimate.arithmetic import PARALLEL, Cluster
from sapiens.engine.estimate.checkpointing import VARIANTS
from sapiens.engine.estimate.counts import ModelCounts, StepMemory, StepTrace
from sapiens.engine.estimate.failures import HOUR, Failures
from sapiens.engine.estimate.plan import Planner
from sapiens.utils.config import load_config

OFF = VARIANTS[0]
DDP, DDP_HALF, FSDP, HSDP = PARALLEL
GPUS = (8, 16, 64, 128, 256, 512, 1024)


@pytest.fixture(scope='module')
def planner():
    """Of a model of 2e9 parameters in 48 blocks, without a trace: a step of one image takes 10 ms."""
    counts = ModelCounts(2_000_000_000, 2_000_000_000, 0.4e12 / 3, 0.8e12 / 3, (40_000_000,) * 48, (1024, 1024))
    nothing = np.zeros(1)
    memory = StepMemory(8 * 10**9, 16 * 10**9, nothing, nothing, nothing, nothing, 0.0)
    made = Planner(load_config('mae/sapiens_tiny_synthetic-128x128'), Cluster(rate=100, utilization=0.4))
    made._traces = {variant.name: StepTrace(counts, memory) for variant in made.variants}
    return made


def efficiency(planner, way, gpus, network=400.0, batch=16, accumulated=1, **options):
    cluster = Cluster(gpus=gpus, network=network, rate=100, utilization=0.4, **options)
    return planner.on(cluster).choose(way, OFF, batch, accumulated).efficiency


def test_efficiency_by_hand(planner):
    # 16 images are 160 ms, of which the backward pass is 107. On 64 GPUs with one card of 400 Gbit/s a node, 8e9 bytes of
    # gradients take 63 / 64 * 16e9 / 40e9 = 394 ms, and 306 buckets up and down a tree 140 us each: 43 ms.
    latency = 306 * (8.4e-6 + 2 * (7 * 3.4e-6 + 3 * 14e-6))
    waiting = 63 / 64 * 16e9 / 40e9 + latency - 0.16 * 2 / 3
    assert efficiency(planner, DDP, 64, 50) == pytest.approx(0.16 / (0.16 + waiting))
    assert efficiency(planner, DDP, 1) == 1
    straggling = 0.16 * 0.01 * 0.8463  # the expected highest of 3 draws
    found = planner.on(Cluster(gpus=3, rate=100, utilization=0.4, spread=0.01)).choose(HSDP, OFF, 16)
    assert found.straggling == pytest.approx(straggling, rel=0.05)
    assert found.seconds == found.compute + found.exposed + found.straggling
    assert found.images_per_second == pytest.approx(3 * 16 / found.seconds)


@pytest.mark.parametrize('way', PARALLEL, ids=lambda way: way.name)
def test_more_gpus_are_less_efficient_and_faster_networks_more(planner, way):
    table = {
        network: [efficiency(planner, way, gpus, network, batch=4, spread=0.01) for gpus in GPUS]
        for network in (50, 100, 200, 400)
    }
    for values in table.values():
        assert all(1 > before > after > 0 for before, after in itertools.pairwise(values))
    for slow, fast in itertools.pairwise(table.values()):
        assert slow[0] == fast[0]  # one node
        assert all(below <= above for below, above in zip(slow, fast, strict=True)) and slow[1:] != fast[1:]


def test_what_larger_batches_and_other_ways_do(planner):
    many = 1024
    assert efficiency(planner, DDP, many, batch=4) < efficiency(planner, DDP, many, batch=16)
    # Accumulated batches send gradients once, but only the last one hides them.
    assert efficiency(planner, DDP, many, batch=4) < efficiency(planner, DDP, many, batch=4, accumulated=4)
    slow = 50
    assert efficiency(planner, DDP, many, slow) < efficiency(planner, DDP_HALF, many, slow)
    # Rings over all GPUs have the latency of a thousand hops; those of a node have seven.
    assert efficiency(planner, FSDP, many) < efficiency(planner, HSDP, many)
    assert planner.on(Cluster(gpus=16)).trace(OFF) is planner.trace(OFF)


# ---------------------------------------------------------------------- failures


def test_failures_by_hand():
    failures = Failures(gpu_hours=50_000, detection=120, restart=300, stall=5)
    assert failures.between(1024) == pytest.approx(48.83 * HOUR, rel=1e-3)
    assert failures.lost(1800) == 120 + 300 + 900
    # 1320 s of 175,781, and 5 s of 1800.
    assert failures.share(1024, 1800) == pytest.approx(1320 / 175_781 + 5 / 1800, rel=1e-4)
    assert failures.best_interval(1024) == pytest.approx((2 * 5 * 175_781) ** 0.5, rel=1e-4)


@pytest.mark.parametrize('gpus', [64, 1024])
def test_the_best_interval_loses_least(gpus):
    failures = Failures(gpu_hours=10_000, detection=15, restart=300, stall=5)
    best = failures.best_interval(gpus)
    lost = [failures.share(gpus, factor * best) for factor in (0.25, 0.5, 0.9, 1, 1.1, 2, 4)]
    assert min(lost) == lost[3]
    assert failures.share(2 * gpus, best) > failures.share(gpus, best)


def test_refused():
    for name in ('gpu_hours', 'stall', 'detection'):
        numbers = dict(gpu_hours=1, detection=0, restart=0, stall=1) | {name: -1}
        with pytest.raises(ValueError, match=f'{name}=-1: expected a number above 0'):
            Failures(**numbers)
