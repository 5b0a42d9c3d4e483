"""The order of the samples of tar shards, which does not depend on ranks, workers or the size of a batch."""

import zlib
from collections import OrderedDict
from collections.abc import Iterator

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from sapiens.registry import DATA_SAMPLERS

from .draw import Draw, hash63
from .permutation import shuffled

__all__ = ['ShardOrder', 'ShardSampler']

# Streams of the hash, beside those of the draws.
_SHARDS, _BLOCKS = 1, 2


class ShardOrder:
    """Maps positions in an endless sequence of samples to samples. Each pass over the shards has every sample once.

    The idea is that of MosaicML Streaming: a fixed number of canonical nodes orders the samples, whatever machines are there. In
    each pass the shards are shuffled and laid end to end, and the line of samples is cut into equal parts, one for each canonical
    node. A part is shuffled in blocks of ``interleave`` shards on average, so a node needs few shards at a time. The positions
    take turns between the canonical nodes: position p of a pass is the sample ``p // canonical_nodes`` of the node
    ``p % canonical_nodes``. The blocks of the nodes begin at different times, and so do the reads of new shards.

    Args:
        counts: (S,) int64, samples of each shard, 0 or more.
        canonical_nodes, interleave: see above. There are fewer nodes where each would have less than ``interleave`` shards.
        seed: of the order.
        shuffle: False for the order of the shards.
    """

    def __init__(
        self, counts: np.ndarray, canonical_nodes: int, interleave: int, seed: int, shuffle: bool = True
    ) -> None:
        used = int(np.count_nonzero(counts))
        self.counts, self.interleave, self.seed, self.shuffle = counts, interleave, seed, shuffle
        self.canonical_nodes = max(1, min(canonical_nodes, used // interleave))
        self.length = int(counts.sum())
        self._firsts = np.cumsum(counts) - counts
        self._block = max(1, min(interleave, used) * self.length // used)
        self._line: tuple = (None,)  # the latest pass, its order of shards, and where each of them begins on the line
        self._blocks: OrderedDict[tuple, np.ndarray] = OrderedDict()

    def nodes(self, positions: np.ndarray) -> np.ndarray:
        """Canonical nodes (n,) of positions (n,)."""
        return positions % self.length % self.canonical_nodes

    def __call__(self, positions: np.ndarray) -> np.ndarray:
        """Samples (n,) int64 at positions (n,) int64, counted through the shards as they are listed."""
        rounds, places = np.divmod(positions, self.length)
        if not self.shuffle:
            return places
        found = np.empty_like(places)
        for number in np.unique(rounds).tolist():
            here = rounds == number
            found[here] = self._in_round(number, places[here])
        return found

    def _in_round(self, number: int, places: np.ndarray) -> np.ndarray:
        steps, nodes = np.divmod(places, self.canonical_nodes)
        shifts = nodes * self._block // self.canonical_nodes
        blocks = (steps + shifts) // self._block
        # Where the blocks begin in their node.
        begins = np.maximum(blocks * self._block - shifts, 0)
        line = np.empty_like(places)
        keys = nodes * (int(blocks.max()) + 1) + blocks
        _, first, group = np.unique(keys, return_index=True, return_inverse=True)
        by_group = np.argsort(group, kind='stable')
        ends = np.cumsum(np.bincount(group))
        for index, members in zip(first.tolist(), np.split(by_group, ends[:-1]), strict=True):
            begin, order = self._block_order(number, int(nodes[index]), int(blocks[index]))
            line[members] = begin + order[steps[members] - begins[members]]
        if self._line[0] != number:
            shards = shuffled(len(self.counts), self.seed, _SHARDS, number)
            self._line = number, shards, np.cumsum(self.counts[shards]) - self.counts[shards]
        _, shards, starts = self._line
        slots = np.searchsorted(starts, line, side='right') - 1
        # Shards without a sample begin where the next one does: the last of equal starts is the one with samples.
        return self._firsts[shards[slots]] + line - starts[slots]

    def _block_order(self, number: int, node: int, block: int) -> tuple[int, np.ndarray]:
        """Where a block begins on the line, and the order of its samples."""
        length, longer = divmod(self.length, self.canonical_nodes)
        node_begin = node * length + min(node, longer)
        shift = node * self._block // self.canonical_nodes
        begin = max(0, block * self._block - shift)
        end = min(length + (node < longer), (block + 1) * self._block - shift)
        key = (number, node, block)
        if key in self._blocks:
            self._blocks.move_to_end(key)
        else:
            self._blocks[key] = shuffled(end - begin, self.seed, _BLOCKS, *key).astype(np.int32)
            if len(self._blocks) > 2 * self.canonical_nodes:
                self._blocks.popitem(last=False)
        return node_begin + begin, self._blocks[key]

    def identity(self) -> dict:
        """What a checkpoint stores and a resumed run must have in common: other values are another order."""
        return dict(
            samples=self.length,
            shards=len(self.counts),
            counts=zlib.crc32(np.ascontiguousarray(self.counts, '<i8').tobytes()),
            interleave=self.interleave,
            canonical_nodes=self.canonical_nodes,
            shuffle=self.shuffle,
        )


@DATA_SAMPLERS.register_module()
class ShardSampler(Sampler):
    """Yields this rank's :class:`Draw`\\ s of an endless sequence of global batches, in the order of the shards.

    The global batch after n samples has the positions n, ..., n + batch_size * world_size - 1 of :class:`ShardOrder`. The ranks
    divide them by canonical nodes, so a rank, and a machine with consecutive ranks, meets few shards. Sample and seed of a
    position do not depend on the ranks: a run with the same global batch is the same run, up to the order of sums. After
    ``set_start(n)`` it continues at any position with any number of ranks, workers and any size of batch.

    An epoch is a count: the largest number of global batches in ``dataset.samples_per_epoch`` samples. The next epoch goes on
    behind it, so no sample is left out or repeated between two epochs.

    Args:
        dataset: a :class:`TarShards`.
        batch_size: of one rank. The runner fills it in from the loader.
        shuffle: see :class:`ShardOrder`.
        seed: of order and augmentation; None draws one that all ranks share.

    Raises:
        ValueError: an epoch without a global batch, or a negative start.
    """

    def __init__(self, dataset, batch_size: int, shuffle: bool = True, seed: int | None = None) -> None:
        if not hasattr(dataset, 'order'):
            raise ValueError(f'ShardSampler orders the samples of TarShards, not of {dataset!r}')
        self.dataset, self.batch_size, self.shuffle = dataset, batch_size, shuffle
        self.rank, self.world_size = get_dist_info()
        if dataset.samples_per_epoch < batch_size * self.world_size:
            raise ValueError(
                f'an epoch of {dataset.samples_per_epoch} samples has no batch of {batch_size} on each of {self.world_size} '
                'process(es): use a smaller train_dataloader.batch_size'
            )
        self.seed = sync_random_seed() if seed is None else seed
        self._start = 0

    def set_start(self, position: int) -> None:
        """Let the next ``iter()`` begin after ``position`` samples of all ranks together."""
        if position < 0:
            raise ValueError(f'the start position is {position}, expected 0 or more')
        self._start = position

    def identity(self) -> dict:
        """See :meth:`ShardOrder.identity`."""
        return self.dataset.order(self.seed, self.shuffle).identity()

    def __len__(self) -> int:
        """Samples of this rank in an epoch."""
        return self.dataset.samples_per_epoch // (self.batch_size * self.world_size) * self.batch_size

    def __iter__(self) -> Iterator[Draw]:
        order, total = self.dataset.order(self.seed, self.shuffle), self.batch_size * self.world_size
        first = self._start
        while True:
            positions = np.arange(first, first + total)
            mine = np.argsort(order.nodes(positions), kind='stable')[self.rank * self.batch_size :][: self.batch_size]
            positions = positions[mine]
            for position, index in zip(positions.tolist(), order(positions).tolist(), strict=True):
                yield Draw(index, hash63(self.seed, *divmod(position, order.length)))
            first += total
