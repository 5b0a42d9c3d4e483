"""Order of the samples of map-style datasets."""

from collections.abc import Iterator

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from sapiens.registry import DATA_SAMPLERS

from .draw import Draw, hash63
from .permutation import Permutation

__all__ = ['ResumableSampler']

_CHUNK = 4096  # positions computed at a time


@DATA_SAMPLERS.register_module()
class ResumableSampler(Sampler):
    """Yields this rank's :class:`Draw`\\ s of an epoch, from any position of it.

    Position p of the epoch belongs to rank ``(p - start) % world_size``. Sample and seed depend on ``(seed, epoch, p)`` only, so
    a run may resume with another number of ranks: after ``set_start(n)`` the ranks together yield the positions n, n + 1, ...

    Args:
        dataset: sized; only its length is used.
        shuffle: a new pseudo-random order each epoch; otherwise the dataset's own.
        seed: of order and augmentation; None draws one that all ranks share.
        repeat: how often each sample occurs in an epoch, for very small datasets.
        round_up: give ranks equally many samples by repeating up to ``world_size - 1`` of the first ones.

    Raises:
        ValueError: an empty dataset, or a negative start.
    """

    def __init__(self, dataset, shuffle: bool = True, seed: int | None = None, repeat: int = 1, round_up: bool = True):
        if len(dataset) == 0:
            raise ValueError(f'the dataset {dataset!r} is empty: nothing to sample')
        self.rank, self.world_size = get_dist_info()
        if repeat < 1:
            raise ValueError(f'repeat={repeat}: expected 1 or more')
        self.length = len(dataset)
        self.total = self.length * repeat
        self.shuffle, self.round_up = shuffle, round_up
        self.seed = sync_random_seed() if seed is None else seed
        self.epoch = 0
        self._start = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order and the augmentation seeds of the next ``iter()``."""
        self.epoch = epoch

    def set_start(self, position: int) -> None:
        """Let the next ``iter()``, and only that one, begin after ``position`` samples of all ranks together."""
        if position < 0:
            raise ValueError(f'the start position of an epoch is {position}, expected 0 or more')
        self._start = position

    def __len__(self) -> int:
        """Samples of this rank in a whole epoch."""
        return self._count(0)

    def __iter__(self) -> Iterator[Draw]:
        start, self._start = self._start, 0
        return self._draws(start, self.epoch)

    def _count(self, start: int) -> int:
        remaining = max(0, self.total - start)
        extra = self.world_size - 1 if self.round_up else self.world_size - 1 - self.rank
        return (remaining + extra) // self.world_size

    def _draws(self, start: int, epoch: int) -> Iterator[Draw]:
        order = Permutation(self.total, self.seed, epoch) if self.shuffle else None
        count = self._count(start)
        for first in range(0, count, _CHUNK):
            steps = np.arange(first, min(first + _CHUNK, count), dtype=np.int64)
            positions = start + self.rank + steps * self.world_size
            wrapped = positions % self.total
            indices = order(wrapped) if order else wrapped
            for position, index in zip(positions.tolist(), indices.tolist(), strict=True):
                yield Draw(index % self.length, hash63(self.seed, epoch, position))
