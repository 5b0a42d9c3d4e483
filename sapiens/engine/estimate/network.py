"""What processes send to each other in a training step: bytes, collectives, and the seconds that the step waits for them."""

# n processes, s seconds

import math
from statistics import NormalDist

from .arithmetic import FULL, Cluster, Parallel
from .counts import ModelCounts

__all__ = ['exposed_seconds', 'latency_seconds', 'network_seconds', 'straggling_seconds', 'wire_bytes']

# The backward pass is two thirds of the operations of a step.
BACKWARD_SHARE = 2 / 3
# Seconds that NCCL's model of its own collectives takes for one of them, for a hop between GPUs of a node (NVLink), and for one
# between nodes.
START, HOP, NETWORK_HOP = 8.4e-6, 3.4e-6, 14e-6
# Bytes of gradients in float32 that DDP reduces at a time.
BUCKET = 25 * 2**20


def wire_bytes(counts: ModelCounts, parallel: Parallel, cluster: Cluster, accumulated: int = 1) -> tuple[float, float]:
    """Bytes that a GPU sends in a step, with rings of n processes: (within its node only, in groups of several nodes).

    DDP reduces gradients: ``2 (n - 1) / n`` of their bytes. FSDP2 gathers the weights of blocks for the forward and the backward
    pass, the others once and in float32, and scatters reduced gradients: ``(n - 1) / n`` each. With one copy of the weights in
    each node, this stays in the node, and each GPU reduces its shard of the gradients with those of the other nodes. Of
    ``accumulated`` batches each gathers the weights, and the last one reduces the gradients.

    On a single node, rings over all GPUs count as the second number.
    """

    def ring(size: float, count: int) -> float:
        return size * (count - 1) / count

    if parallel.type == 'DDP':
        return 0.0, ring(2 * parallel.reduce_bytes * counts.trained, cluster.gpus)
    shards = cluster.shards(parallel)
    blocks = (2 if parallel.reshard else 1) * parallel.param_bytes * sum(counts.blocks)
    gathered = (blocks + FULL * counts.root) * accumulated
    sharded = ring(gathered + parallel.reduce_bytes * counts.trained, shards)
    if shards == cluster.gpus:
        return 0.0, sharded
    return sharded, ring(2 * parallel.reduce_bytes * counts.trained / shards, cluster.nodes)


def network_seconds(sent: tuple[float, float], parallel: Parallel, cluster: Cluster) -> float:
    """Seconds of :func:`wire_bytes`, without latencies.

    Rings over all GPUs share the network cards of a node. The groups of HSDP between nodes have one GPU of each, and a card.
    """
    within, between = sent
    is_hybrid = cluster.shards(parallel) not in (1, cluster.gpus)
    return within / (cluster.link * 1e9) + between / (cluster.card if is_hybrid else cluster.bandwidth)


def latency_seconds(counts: ModelCounts, parallel: Parallel, cluster: Cluster, accumulated: int = 1) -> float:
    """Seconds that the collectives of a step take in addition to their bytes: they follow each other.

    DDP reduces gradients in buckets of 25 MiB, along a tree over the nodes. FSDP2 gathers and scatters each block, and what is in
    none, around a ring of all processes that share the weights. HSDP also reduces each along a tree.
    """
    if cluster.gpus == 1:
        return 0.0
    if parallel.type == 'DDP':
        return math.ceil(FULL * counts.trained / BUCKET) * _tree(cluster.node, cluster.nodes)
    blocks, shards = len(counts.blocks), cluster.shards(parallel)
    gathers = (blocks * (2 if parallel.reshard else 1) + 1) * accumulated
    scatters = blocks + 1
    if shards == cluster.gpus:
        return (gathers + scatters) * _ring(cluster.node, cluster.nodes)
    return (gathers + scatters) * _ring(cluster.node, 1) + scatters * _tree(1, cluster.nodes)


def _ring(node: int, nodes: int) -> float:
    """Of a gather or scatter, whose data passes all processes."""
    return START + (nodes * (node - 1)) * HOP + (nodes - 1) * NETWORK_HOP


def _tree(node: int, nodes: int) -> float:
    """Of a reduction, up and down again."""
    return START + 2 * ((node - 1) * HOP + math.floor(math.log2(nodes)) * NETWORK_HOP)


def exposed_seconds(compute: float, network: float, parallel: Parallel, accumulated: int = 1) -> float:
    """Seconds that a step waits for the network: DDP hides it behind the backward pass of the last of ``accumulated`` batches,
    FSDP2 behind the whole step."""
    hidden = compute * (BACKWARD_SHARE / accumulated if parallel.type == 'DDP' else 1.0)
    return max(0.0, network - hidden)


def straggling_seconds(compute: float, cluster: Cluster) -> float:
    """Seconds that a step waits for its slowest GPU, where their times have a normal distribution.

    The expected highest of n draws is taken by Blom's approximation.
    """
    slowest = NormalDist().inv_cdf((cluster.gpus - 0.375) / (cluster.gpus + 0.25))
    return compute * cluster.spread * slowest
