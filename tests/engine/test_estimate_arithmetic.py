"""Bytes, seconds and batches of distributed training against numbers by hand, and against tables of published sizes."""

from dataclasses import replace

import numpy as np
import pytest

from sapiens.engine.estimate.arithmetic import PARALLEL, Cluster, largest_batch, peak_bytes, unsharded_bytes
from sapiens.engine.estimate.counts import ModelCounts, StepMemory, StepTrace, merge
from sapiens.engine.estimate.network import (
    exposed_seconds,
    latency_seconds,
    network_seconds,
    straggling_seconds,
    wire_bytes,
)

DDP, DDP_HALF, *_ = PARALLEL
COPIES = replace(DDP, bucket_view=False)  # gradients next to the buffers that are sent
FSDP_FULL, HSDP_FULL = PARALLEL[2:]
FSDP, HSDP = (replace(way, reduce_dtype='bf16') for way in PARALLEL[2:])
MILLION, GB = 1e6, 1e9
# Millions of parameters with the decoder of pretraining, by size of the encoder.
SIZES = {'0.3b': 336, '0.6b': 664, '1b': 1169, '2b': 2163}


def counts_of(parameters, blocks=(), forward=1.0):
    parameters = int(parameters)
    return ModelCounts(parameters, parameters, forward, 2 * forward, tuple(blocks), (1024, 1024))


def step(
    parameters=100, blocks=(20, 30), fixed=(0, 0, 0), per_image=(1, 5, 0), casts=(8, 8, 0), gradients=(0, 0, 400)
):
    arrays = (np.array(values) for values in (fixed, per_image, casts, gradients))
    memory = StepMemory(4 * parameters, 8 * parameters, *arrays, kept=5)
    return StepTrace(counts_of(parameters, blocks), memory)


# ---------------------------------------------------------------------- the wire


@pytest.mark.parametrize(
    ('size', 'ddp', 'half', 'fsdp'),
    [
        ('0.3b', 0.067, 0.034, 0.050),
        ('0.6b', 0.133, 0.066, 0.100),
        ('1b', 0.234, 0.117, 0.175),
        ('2b', 0.433, 0.216, 0.324),
    ],
)
def test_seconds_on_the_wire(size, ddp, half, fsdp):
    cluster = Cluster(gpus=2**20, gpus_per_node=1, network=400)  # so many that n - 1 is n; 40 GB/s reach each GPU
    counts = counts_of(SIZES[size] * MILLION)
    for parallel, expected in ((DDP, ddp), (DDP_HALF, half), (FSDP, fsdp), (FSDP_FULL, ddp)):
        assert seconds(counts, parallel, cluster) == pytest.approx(expected, abs=6e-4)
    # Within a node of fast links.
    inside = seconds(counts, DDP, Cluster(gpus=8, link=370))
    assert inside == pytest.approx(7 / 8 * 8 * SIZES[size] * MILLION / 370e9)


def seconds(counts, parallel, cluster):
    return network_seconds(wire_bytes(counts, parallel, cluster), parallel, cluster)


def test_cards_of_a_node_work_together():
    """Rings over all GPUs pass each card with a part of the data, as nccl-tests count it: a node of eight has 8 x 40 GB/s."""
    counts = counts_of(1e9)
    many = dict(gpus=2**20, gpus_per_node=8)
    assert seconds(counts, DDP, Cluster(network=400, **many)) == pytest.approx(8e9 / 320e9, rel=1e-4)
    assert seconds(counts, DDP, Cluster(network=800, **many)) == pytest.approx(8e9 / 370e9, rel=1e-4)
    # One card of 400 Gbit/s for eight GPUs.
    assert seconds(counts, DDP, Cluster(network=50, **many)) == pytest.approx(8e9 / 40e9, rel=1e-4)
    # Groups of HSDP between nodes have a card each, for an eighth of the gradients.
    within = 7 / 8 * 8e9 / 370e9
    assert seconds(counts, HSDP_FULL, Cluster(network=400, **many)) == pytest.approx(within + 1e9 / 40e9, rel=1e-4)


@pytest.mark.parametrize(
    ('size', 'compute', 'ddp', 'half', 'fsdp', 'hsdp'),
    # Efficiencies: pretraining of 1b and 2b with masks of 0.95, and segmentation with one image. The node has one card.
    [('1b', 0.35, 1.0, 1.0, 1.0, 1.0), ('2b', 0.33, 0.61, 1.0, 1.0, 1.0), ('1b', 0.0854, 0.32, 0.59, 0.49, 0.63)],
)
def test_efficiency(size, compute, ddp, half, fsdp, hsdp):
    cluster, counts = Cluster(gpus=2**20, network=50), counts_of(SIZES[size] * MILLION)
    for parallel, expected in ((DDP, ddp), (DDP_HALF, half), (FSDP, fsdp), (HSDP, hsdp)):
        waiting = exposed_seconds(compute, seconds(counts, parallel, cluster), parallel)
        assert compute / (compute + waiting) == pytest.approx(expected, abs=0.01)
        fast = replace(cluster, network=400)  # a card for each GPU
        assert exposed_seconds(compute, seconds(counts, parallel, fast), parallel) == 0


def test_latencies():
    two, ring = Cluster(gpus=16), 8.4e-6 + 14 * 3.4e-6 + 14e-6
    # 100 MiB of gradients are 4 buckets, each up and down a tree: 7 hops in the node, 1 to the other.
    counts = counts_of(25 * 2**20, [2**20] * 3)
    assert latency_seconds(counts, DDP, two) == pytest.approx(4 * (8.4e-6 + 2 * (7 * 3.4e-6 + 14e-6)))
    # 3 blocks are gathered twice, the rest once, and all 4 are scattered.
    assert latency_seconds(counts, FSDP, two) == pytest.approx(11 * ring)
    assert latency_seconds(counts, replace(FSDP, reshard=False), two) == pytest.approx(8 * ring)
    assert latency_seconds(counts, FSDP, two, 2) == pytest.approx(18 * ring)
    inside, between = 8.4e-6 + 7 * 3.4e-6, 8.4e-6 + 2 * 14e-6
    assert latency_seconds(counts, HSDP, two) == pytest.approx(11 * inside + 4 * between)
    assert latency_seconds(counts, FSDP, Cluster(gpus=8)) == pytest.approx(11 * inside)
    for parallel in PARALLEL:
        assert latency_seconds(counts, parallel, Cluster(gpus=1)) == 0
        times = [latency_seconds(counts, parallel, Cluster(gpus=gpus)) for gpus in (8, 64, 1024)]
        assert times == sorted(times) and times[0] < times[2]


def test_the_slowest_gpu():
    # Expected highest of 2 and of 8 draws of a normal distribution: 0.5642 and 1.4236 standard deviations.
    for gpus, deviations in ((1, 0), (2, 0.5642), (8, 1.4236)):
        found = straggling_seconds(10.0, Cluster(gpus=gpus, spread=0.01))
        assert found == pytest.approx(10 * 0.01 * deviations, rel=0.05)
    assert straggling_seconds(10.0, Cluster(gpus=8)) == 0
    with pytest.raises(ValueError, match='spread=-1'):
        Cluster(spread=-1)


def test_one_process_sends_nothing():
    for parallel in PARALLEL:
        assert wire_bytes(counts_of(100), parallel, Cluster(gpus=1)) == (0, 0)


def test_shards_in_a_node_send_their_part_between_nodes():
    cluster = Cluster(gpus=32)
    within, between = wire_bytes(counts_of(800), HSDP, cluster)
    assert within == 7 / 8 * 3 * 2 * 800
    assert between == 3 / 4 * 2 * 2 * 800 / 8
    assert wire_bytes(counts_of(800), FSDP, cluster) == (0, 31 / 32 * 3 * 2 * 800)


def test_weights_outside_of_blocks_are_gathered_once():
    two, full = Cluster(gpus=2), replace(FSDP_FULL, param_dtype='fp32')
    counts = counts_of(100, (40, 40))
    assert wire_bytes(counts, full, two)[1] == (2 * 4 * 80 + 4 * 20 + 4 * 100) / 2
    assert wire_bytes(counts, replace(full, reshard=False), two)[1] == (4 * 80 + 4 * 20 + 4 * 100) / 2


def test_accumulation_gathers_again_and_reduces_once():
    cluster = Cluster(gpus=8)
    assert wire_bytes(counts_of(800), DDP, cluster, 4) == wire_bytes(counts_of(800), DDP, cluster)
    assert wire_bytes(counts_of(800), FSDP, cluster, 4)[1] == 7 / 8 * (4 * 4 + 2) * 800
    assert exposed_seconds(6.0, 3.0, DDP, 1) == 0 and exposed_seconds(6.0, 3.0, DDP, 4) == 2


# ---------------------------------------------------------------------- memory


def test_peak_of_one_process():
    one = Cluster(gpus=1)
    # 400 of weights and 800 of states; then the highest of activations with copies, and gradients.
    assert peak_bytes(step(), DDP, one, 2) == 1200 + 400
    assert peak_bytes(step(), DDP, one, 100) == 1200 + 500 + 8
    assert peak_bytes(step(), DDP, one, 100) == step().memory.peak(100)
    assert peak_bytes(step(), DDP, one, 2, averaged=True) == 1600 + 400
    assert peak_bytes(step(), DDP, one, 2, accumulated=2) == 1200 + 400 + 10 + 8


def test_buckets_of_ddp():
    two = Cluster(gpus=2)
    assert peak_bytes(step(), COPIES, two, 2) == 1200 + 400 + 400
    assert peak_bytes(step(), DDP, two, 2) == 1200 + 400 + 10 + 8
    assert peak_bytes(step(), COPIES, two, 100) == peak_bytes(step(), DDP, two, 100) == 1200 + 400 + 500 + 8


def test_shards():
    # 50 outside of the blocks. One of 30 runs, or is fetched through a buffer next to one of 20. Its gradients are 30.
    whole = 4 * 50 + 2 * (2 * 30 + 20) + 2 * 30
    for gpus in (2, 8):
        assert peak_bytes(step(), FSDP, Cluster(gpus=gpus), 2) == round(whole + 1200 / gpus + max(10, 400 / gpus))
    sixteen = Cluster(gpus=16)
    assert peak_bytes(step(), HSDP, sixteen, 2) == whole + 150 + 50
    assert peak_bytes(step(), FSDP, sixteen, 2) == whole + 75 + 25
    assert peak_bytes(step(), FSDP_FULL, sixteen, 2) == whole + 60 + 75 + 25
    kept = replace(FSDP, reshard=False)
    assert peak_bytes(step(), kept, sixteen, 2) == whole + 2 * (50 - 80) + 75 + 25
    assert wire_bytes(counts_of(160, (160,)), kept, sixteen) == (0, 15 * (2 + 2) * 10)
    assert peak_bytes(step(), FSDP, sixteen, 2, accumulated=2) == whole + 75 + 25 + 10 + 200
    assert unsharded_bytes((30,), 0, FSDP) == 2 * 2 * 30 + 2 * 30 and unsharded_bytes((), 50, FSDP) == 4 * 50
    assert unsharded_bytes((20, 20, 30, 10), 0, FSDP) == 2 * 80 + 2 * 30


def test_largest_batch():
    assert [largest_batch(lambda batch, limit=limit: batch <= limit) for limit in (0, 1, 2, 3, 7, 100)] == [
        0,
        1,
        2,
        3,
        7,
        100,
    ]
    assert largest_batch(lambda batch: True, limit=64) < 64 + 1


def test_tasks_of_one_model_take_turns():
    joined = merge([step(), step(per_image=(1, 9, 0))])
    assert joined.counts == step().counts
    assert joined.memory.peak(100) == 1200 + 900 + 8 and len(joined.memory.fixed) == 6


# ---------------------------------------------------------------------- machines


def test_cluster():
    cluster = Cluster(gpus=64, memory=80, network=400, rate=989, utilization=0.4)
    assert (cluster.nodes, cluster.node) == (8, 8)
    assert cluster.usable == pytest.approx(73.6 * GB)
    assert cluster.card == 40 * GB and cluster.bandwidth == 320 * GB
    # 48 images of 2.88 TFLOP: pretraining of 1b with masks of 0.95.
    assert cluster.compute_seconds(48 * 2.88e12) == pytest.approx(0.35, abs=0.005)
    assert Cluster(gpus=4).nodes == 1 and Cluster(gpus=4).bandwidth == 370 * GB


@pytest.mark.parametrize(
    ('options', 'text'),
    [
        (dict(memory=0), 'memory=0: expected a number above 0'),
        (dict(utilization=1.2), 'utilization=1.2'),
        (dict(gpus=12), '--gpus 12 do not fill machines of --gpus-per-node 8'),
    ],
)
def test_refused(options, text):
    with pytest.raises(ValueError, match=text):
        Cluster(**options)
