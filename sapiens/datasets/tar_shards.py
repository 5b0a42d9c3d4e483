"""Images in tar shards, local or remote."""

import logging
import os
import time
from os import PathLike

import numpy as np
from mmengine.dist import all_gather_object, get_dist_info
from mmengine.logging import print_log

from sapiens.registry import DATASETS
from sapiens.utils.option_values import require_number

from .base import SampleDataset
from .checks import Findings
from .draw import Draw, hash63
from .shard_cache import ShardCache
from .shard_index import INDEX_SUFFIX, ShardIndex, scan_shard, scan_shards, size_of
from .shard_names import expand_shards
from .shard_order import ShardOrder, ShardSampler
from .shard_reader import ShardReader

__all__ = ['TarShards']

_SLOW_SCAN = 10
# Beyond these, integers of 64 bits and timers overflow.
_MOST, _MOST_SECONDS = 1e15, 1e9


@DATASETS.register_module()
class TarShards(SampleDataset):
    """The images of uncompressed tar files in WebDataset's layout.

    Members that share a name up to a dot are one sample; only its image is used (see :func:`.shard_names.sample_of`). An index
    file says where the images lie (``sapiens index SHARDS`` writes it). Without one, the headers of all shards are read at the
    start of each run, by all ranks together.

    In training, :class:`.shard_order.ShardSampler` orders the samples; the runner puts it in place of a ``ResumableSampler``. The
    content of a bad sample, also of a shard that is missing, short or slow, is replaced by that of a sample of another shard.

    Args:
        shards: path or fsspec URL of an index file (``.safetensors``) or of shards, or several, with braces:
            ``s3://bucket/shard-{000000..000999}.tar``; see :func:`.shard_names.expand_shards`.
        samples_per_epoch: what counts as an epoch, over all ranks; None for the number of all samples.
        canonical_nodes, interleave: of the order, see :class:`.shard_order.ShardOrder`.
        cache_dir: folder on a local disk for copies of shards, see :class:`.shard_cache.ShardCache`; None for none.
        cache_gb: largest size of the copies in gigabytes (10^9 bytes).
        timeout: seconds for a read from a shard, see :class:`.shard_reader.ShardReader`.
        pipeline: transforms or their configs; its first one reads ``img_bytes``.
        metainfo: see :class:`sapiens.datasets.base.SampleDataset`.

    Raises:
        ValueError: an argument out of its range, another file in place of an index, or shards without an image.
        FileNotFoundError: no index, or without an index a shard that does not exist.
    """

    sampler = ShardSampler

    def __init__(
        self,
        shards: str | PathLike | list[str | PathLike],
        samples_per_epoch: int | None = None,
        canonical_nodes: int = 64,
        interleave: int = 4,
        cache_dir: str | PathLike | None = None,
        cache_gb: float | None = None,
        timeout: float = 30,
        pipeline: list = (),
        metainfo: dict | None = None,
    ) -> None:
        super().__init__(pipeline, metainfo)
        names = expand_shards(shards)
        if not names:
            raise ValueError(f'shards={shards!r} names no shard')
        compressed = [name for name in names if name.endswith(('.gz', '.tgz', '.zst', '.bz2', '.xz'))]
        if compressed:
            raise ValueError(f'{compressed[0]!r} is compressed, which cannot be read in the middle: unpack it to .tar')
        require_number('samples_per_epoch', samples_per_epoch, least=1, most=_MOST, whole=True, none='all images')
        for name, value in dict(canonical_nodes=canonical_nodes, interleave=interleave).items():
            require_number(name, value, least=1, whole=True)
        require_number('timeout', timeout, above=0, most=_MOST_SECONDS)
        if (cache_dir is None) != (cache_gb is None):
            raise ValueError(f'cache_dir={cache_dir!r} and cache_gb={cache_gb!r}: give both, or none')
        require_number('cache_gb', cache_gb, least=1e-9, most=_MOST, none='no cache')
        self.canonical_nodes, self.interleave, self.timeout = canonical_nodes, interleave, timeout
        self.cache = None if cache_dir is None else ShardCache(cache_dir, int(cache_gb * 1e9))
        self.index = _read_index(names)
        if not len(self.index):
            raise ValueError(f'no image in the shards {names[0]!r}{" and others" if len(names) > 1 else ""}')
        self.samples_per_epoch = len(self.index) if samples_per_epoch is None else samples_per_epoch
        self._order: ShardOrder | None = None
        self._reader: tuple[int, ShardReader] | None = None

    def __len__(self) -> int:
        return len(self.index)

    def order(self, seed: int, shuffle: bool = True) -> ShardOrder:
        """The order of the samples in training."""
        if self._order is None or (self._order.seed, self._order.shuffle) != (seed, shuffle):
            self._order = ShardOrder(self.index.counts, self.canonical_nodes, self.interleave, seed, shuffle)
        return self._order

    def load(self, index: int) -> dict:
        if self._reader is None or self._reader[0] != os.getpid():
            self._reader = os.getpid(), ShardReader(self.index, self.timeout, self.cache)
        shard, member = self.index.locate(index)
        name, content = self._reader[1].read(shard, member)
        return dict(img_path=f'{self.index.paths[shard]}/{name}', img_bytes=content, sample_idx=index)

    def another(self, index: int, number: int) -> int:
        # One shard takes the place of another, so a lost shard does not lead to reads from all others.
        shard, _ = self.index.locate(index)
        others = np.flatnonzero(self.index.counts)
        others = others[others != shard] if len(others) > 1 else others
        found = int(others[hash63(shard, number) % len(others)])
        return int(self.index.firsts[found]) + int(np.random.randint(self.index.counts[found]))

    def __getitem__(self, draw: Draw | int) -> dict:
        sample = super().__getitem__(draw)
        if self.cache and (notes := self.cache.take_notes()):
            sample['notes'] = notes
        return sample

    def check(self, findings: Findings, read: bool = False, progress=iter) -> None:
        """Compare the shards with the index: their sizes, with ``read`` their headers."""
        for shard, path in enumerate(progress(self.index.paths)):
            try:
                size = size_of(path)
            except FileNotFoundError:
                findings.add('missing shard', path)
                continue
            if size != self.index.sizes[shard]:
                findings.add('shard of another size than in the index', path)
            elif read:
                scan = scan_shard(path)
                if not np.array_equal(scan.places, self.index.read_places(shard)):
                    findings.add('shard with other images than in the index', path)
                for where, reason in scan.left_out:
                    findings.add('member of a shard that is not used', f'{where}: {reason}', wrong=False)

    def __getstate__(self) -> dict:
        # A spawned worker makes its own.
        return dict(self.__dict__, _reader=None, _order=None)

    def __repr__(self) -> str:
        return f'TarShards({len(self.index)} images in {len(self.index.paths)} shards from {self.index.paths[0]!r})'


def _read_index(names: list[str]) -> ShardIndex:
    """Read index files, or the headers of shards. All ranks must call this."""
    files = [name for name in names if name.endswith(INDEX_SUFFIX)]
    if files:
        if len(files) < len(names):
            other = next(name for name in names if not name.endswith(INDEX_SUFFIX))
            raise ValueError(f'shards names an index ({files[0]!r}) and a shard ({other!r}): give one kind')
        return ShardIndex.join([ShardIndex.read(name) for name in files])
    begin = time.monotonic()
    rank, world_size = get_dist_info()
    try:
        scans = scan_shards(names[rank::world_size])
    except (OSError, ValueError) as error:
        scans = error
    parts = all_gather_object(scans)
    for part in parts:
        if isinstance(part, Exception):
            raise part
    scans = [parts[i % world_size][i // world_size] for i in range(len(names))]
    left_out = [entry for scan in scans for entry in scan.left_out]
    for path, reason in left_out[:10]:
        print_log(f'Not used: {path}: {reason}', 'current', logging.WARNING)
    if len(left_out) > 10:
        print_log(f'{len(left_out)} members of shards are not used', 'current', logging.WARNING)
    if (seconds := time.monotonic() - begin) > _SLOW_SCAN:
        print_log(
            f'The headers of {len(names)} shards were read in {seconds:.0f} s. `sapiens index SHARDS` writes an index, which '
            'saves this at each start',
            'current',
        )
    return ShardIndex.from_scans(names, scans)
