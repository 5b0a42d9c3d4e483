"""Arithmetic of data-parallel training: ways, machines, and the bytes of a process."""

# P parameters, n processes, GB = 1e9 bytes

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .counts import StepTrace

__all__ = ['FULL', 'PARALLEL', 'Cluster', 'Parallel', 'largest_batch', 'peak_bytes', 'unsharded_bytes']

# Fraction of the line rate of a network card that collectives reach, and of a card's memory that tensors can take: the rest is
# for the context, buffers of collectives, workspaces and gaps between blocks.
NETWORK_SHARE, MEMORY_SHARE = 0.8, 0.92
# Bytes of a number.
BYTES = dict(fp32=4, bf16=2)
FULL = BYTES['fp32']


@dataclass(frozen=True)
class Parallel:
    """A way of training by several processes.

    Attributes:
        name: in tables.
        type: ``'DDP'`` or ``'FSDP2'``.
        shard: of FSDP2: ``'all'`` processes share one copy of the weights and states, or those of a ``'node'`` (HSDP).
        reduce_dtype: of a gradient on the wire, ``'fp32'`` or ``'bf16'``.
        param_dtype: of FSDP2: of the weights that a block gathers.
        bucket_view: of DDP: gradients are views of the buffers that are sent.
        reshard: of FSDP2: the weights of a block are freed after its forward pass, and gathered again.
    """

    name: str
    type: str
    shard: str = ''
    reduce_dtype: str = 'fp32'
    param_dtype: str = 'bf16'
    bucket_view: bool = True
    reshard: bool = True

    @property
    def reduce_bytes(self) -> int:
        return BYTES[self.reduce_dtype]

    @property
    def param_bytes(self) -> int:
        return BYTES[self.param_dtype]

    @property
    def setting(self) -> dict:
        """As ``parallel`` of a config, without what is the default."""
        found = dict(type=self.type)
        found |= dict(shard=self.shard) if self.shard else {}
        return found | (dict(reduce_dtype=self.reduce_dtype) if self.reduce_dtype != 'fp32' else {})


# In the order of tables.
PARALLEL = (
    Parallel('DDP', 'DDP'),
    Parallel('DDP, bf16 sent', 'DDP', reduce_dtype='bf16'),
    Parallel('FSDP2', 'FSDP2', shard='all'),
    Parallel('HSDP', 'FSDP2', shard='node'),
)


@dataclass(frozen=True)
class Cluster:
    """The machines.

    Attributes:
        gpus: in all.
        gpus_per_node: at most; a smaller job has one node.
        memory: of a GPU in GB.
        network: between nodes, in Gbit/s: a network card for each GPU, or the share of a GPU in the cards of its node.
        link: between the GPUs of a node, in GB/s and direction, as collectives reach it.
        rate: dense operations of a GPU, in TFLOP/s.
        utilization: fraction of it that the operations of a step reach, those that are computed again included.
        price: of a GPU for an hour.
        spread: standard deviation of the time of a step between GPUs, as a fraction of it. All wait for the slowest.

    Raises:
        ValueError: a number that is not above 0 (``spread``: is below 0), or GPUs that do not fill their nodes.
    """

    gpus: int = 8
    gpus_per_node: int = 8
    memory: float = 80.0
    network: float = 400.0
    link: float = 370.0
    rate: float = 989.0
    utilization: float = 0.4
    price: float = 2.5
    spread: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (value > 0 or (name == 'spread' and value == 0)):
                raise ValueError(f'{name}={value}: expected a number above 0')
        if self.utilization > 1:
            raise ValueError(f'utilization={self.utilization}: expected a fraction of the peak rate, at most 1')
        if self.gpus > self.gpus_per_node and self.gpus % self.gpus_per_node:
            raise ValueError(
                f'--gpus {self.gpus} do not fill machines of --gpus-per-node {self.gpus_per_node}: take a multiple of '
                f'{self.gpus_per_node}, or --gpus-per-node {self._largest_node}'
            )

    @property
    def _largest_node(self) -> int:
        return max(size for size in range(1, self.gpus_per_node) if self.gpus % size == 0)

    @property
    def node(self) -> int:
        """GPUs of this job in a node."""
        return min(self.gpus, self.gpus_per_node)

    @property
    def nodes(self) -> int:
        return self.gpus // self.node

    @property
    def usable(self) -> float:
        """Bytes of a GPU that tensors can take."""
        return MEMORY_SHARE * self.memory * 1e9

    @property
    def card(self) -> float:
        """Bytes per second that a GPU sends to other nodes while all GPUs of its node do the same."""
        return NETWORK_SHARE * self.network / 8 * 1e9

    @property
    def bandwidth(self) -> float:
        """Bytes per second that each GPU passes on in rings over all GPUs.

        There is a ring through each network card, with a part of the data. It enters and leaves a node once, so all cards of a
        node together carry what one of its GPUs passes on.
        """
        return self.link * 1e9 if self.nodes == 1 else min(self.link * 1e9, self.node * self.card)

    def shards(self, parallel: Parallel) -> int:
        """The number of processes that share one copy of the weights."""
        if parallel.type != 'FSDP2':
            return 1
        return self.node if parallel.shard == 'node' else self.gpus

    def compute_seconds(self, operations: float) -> float:
        """Seconds of the operations of a GPU."""
        return operations / (self.rate * 1e12 * self.utilization)


def unsharded_bytes(blocks: Sequence[int], root: int, parallel: Parallel) -> int:
    """Bytes of FSDP2 in addition to the shards: in float32 the weights outside of the blocks; in ``param_dtype`` those of a block
    and of its neighbor, which is fetched meanwhile through a buffer; and the gradients of a block, before they are reduced. An
    upper bound."""
    pairs = [2 * max(pair) + min(pair) for pair in pairwise(blocks)]
    gathered = max([*pairs, *(2 * block for block in blocks)], default=0) if parallel.reshard else sum(blocks)
    return FULL * root + parallel.param_bytes * gathered + parallel.reduce_bytes * max(blocks, default=0)


def peak_bytes(
    trace: StepTrace,
    parallel: Parallel,
    cluster: Cluster,
    batch: int,
    accumulated: int = 1,
    averaged: bool = False,
) -> int:
    """Highest number of live bytes of a process in a training step.

    Args:
        trace: of one process.
        parallel, cluster: how it is distributed.
        batch: images of a process.
        accumulated: steps whose gradients are added before one step of the optimizer.
        averaged: an average of the weights is kept.
    """
    memory, counts = trace.memory, trace.counts
    moving = memory.fixed + memory.per_image * batch
    held = memory.parameters * (2 if averaged else 1) + memory.state
    gradients = np.maximum(memory.gradients, FULL * counts.trained) if accumulated > 1 else memory.gradients
    if parallel.type == 'FSDP2':
        shards = cluster.shards(parallel)
        held = held / shards + unsharded_bytes(counts.blocks, counts.root, parallel)
        moving = moving + gradients / shards
        if parallel.param_dtype == 'fp32':
            moving = moving + memory.casts
        if accumulated > 1:  # without communication between them, gradients are whole
            held += parallel.reduce_bytes * counts.trained
        return round(held + float(moving.max()))
    buckets = FULL * counts.trained if cluster.gpus > 1 else 0
    if not (parallel.bucket_view and buckets):
        moving = moving + gradients
    return round(held + buckets + float((moving + memory.casts).max()))


def largest_batch(fits: Callable[[int], bool], limit: int = 1 << 16) -> int:
    """The largest batch that fits, 0 if 1 does not. ``fits(batch) -> bool`` is True up to it."""
    low, high = 0, 1
    while high < limit and fits(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
