"""Where each sample of tar shards lies: found by reading the headers of the shards once, and kept in an index file."""

import json
import os
import posixpath
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import fsspec
import numpy as np
import torch

from sapiens.utils.files import write_atomically

from .shard_names import sample_of
from .tar_reader import BLOCK, BrokenTar, next_member

__all__ = ['INDEX_SUFFIX', 'Scan', 'ShardIndex', 'read_range', 'scan_shard', 'scan_shards', 'size_of', 'write_index']

INDEX_SUFFIX = '.safetensors'
_FORMAT = 'sapiens.shards.1'
_SCANNED_AT_A_TIME = 16


@dataclass
class Scan:
    """What is in a shard.

    Attributes:
        size: bytes of the shard.
        places: (n, 2) uint32, for each sample the first block of its image's header and the number of blocks up to the end of the
            content. A block is 512 bytes.
        left_out: (path, reason) of images that are not used, and of a damaged end.
    """

    size: int
    places: np.ndarray
    left_out: list[tuple[str, str]] = field(default_factory=list)


def _filesystem(path: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The file system of a file or URL, and its name there.

    Raises:
        ValueError: a protocol that is not known, or whose package is not installed.
    """
    try:
        return fsspec.core.url_to_fs(path)
    except (ImportError, ValueError) as error:
        raise ValueError(f'{path!r} in `shards` cannot be opened: {error}') from error


def read_range(path: str, begin: int, end: int) -> bytes:
    """Bytes ``begin`` to ``end`` of a file or URL, or fewer where it ends before."""
    filesystem, name = _filesystem(path)
    return filesystem.cat_file(name, begin, end)


def size_of(path: str) -> int:
    """Bytes of a file or URL."""
    filesystem, name = _filesystem(path)
    size = filesystem.size(name)
    if size is None:
        raise OSError(f'the server does not tell the size of {path}')
    return int(size)


def scan_shard(path: str) -> Scan:
    """Find the samples of a shard by its headers; contents are skipped.

    The first image of a sample counts. Raises FileNotFoundError or another OSError where the shard cannot be read.
    """
    filesystem, name = _filesystem(path)
    scan, places = Scan(size_of(path), np.empty((0, 2), np.uint32)), []
    with filesystem.open(name, 'rb') as file:
        offset, stem, latest = 0, None, ''
        part = None  # a part whose image may follow: its sample and name
        while True:
            header = offset
            try:
                member = next_member(file, header)
                if member is not None and member.start + member.size > scan.size:
                    raise BrokenTar(f'truncated: {member.name} has {scan.size - member.start} of {member.size} bytes')
            except BrokenTar as error:
                scan.left_out.append((path, f'{error}; the rest of the shard is not used'))
                break
            sample, is_image = (member and member.is_file and sample_of(member.name)) or (None, False)
            if part and (member is None or (sample and sample != part[0])):
                reason = f'a part of the sample {part[0]!r}, which has no image: rename it to use it'
                scan.left_out.append((f'{path}/{part[1]}', reason))
                part = None
            if member is None:
                break
            offset = member.next_header
            if is_image and sample != stem:
                stem, latest, part = sample, member.name, None
                places.append((header // BLOCK, -(-(member.start + member.size - header) // BLOCK)))
            elif is_image and member.name == latest:
                scan.left_out.append((f'{path}/{member.name}', 'the second member of this name'))
            elif sample and sample != stem:
                part = part or (sample, member.name)
    if places:
        scan.places = np.array(places, np.uint32)
    elif not scan.left_out:
        scan.left_out.append((path, 'no image'))
    return scan


def scan_shards(paths: list[str], progress: Callable = iter) -> list[Scan]:
    """Scan several shards at a time. ``progress`` wraps an iterable of known length.

    Raises:
        FileNotFoundError: a shard that does not exist.
        ValueError: a folder.
    """

    def scan(path):
        try:
            return scan_shard(path)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f'no shard {path!r}: check the names of the shards (`shards` of a dataset)'
            ) from error
        except IsADirectoryError as error:
            raise IsADirectoryError(
                f'{path} is a folder: give the shards in it, such as {path.rstrip("/")}/shard-{{000000..000999}}.tar'
            ) from error

    with ThreadPoolExecutor(_SCANNED_AT_A_TIME) as pool:
        return list(progress(pool.map(scan, paths)))


def write_index(path: str, shards: list[str], scans: list[Scan]) -> None:
    """Write an index file (safetensors). Shards below its folder are named relative to it, so the folder may move.

    Its tensors are ``counts`` (S,) int64, ``sizes`` (S,) int64 in bytes and ``places`` (N, 2) uint32 (:class:`Scan`). Its
    metadata are ``format`` and ``shards``, the names in JSON.
    """
    from safetensors.numpy import save

    folder, *names = (_absolute(name) for name in (posixpath.dirname(path) or '.', *shards))
    names = [name.removeprefix(f'{folder}/') for name in names]
    content = save(
        dict(
            counts=np.array([len(scan.places) for scan in scans], np.int64),
            sizes=np.array([scan.size for scan in scans], np.int64),
            places=np.concatenate([scan.places for scan in scans]),
        ),
        metadata=dict(format=_FORMAT, shards=json.dumps(names)),
    )
    if '://' in path:
        filesystem, name = _filesystem(path)
        filesystem.pipe_file(name, content)
    else:
        write_atomically(path, content)


def _absolute(name: str) -> str:
    return name if '://' in name else os.path.abspath(name)


def _offset(tensor: dict, bytes_: int) -> int:
    """Where a tensor of an index begins behind the header. Raises ValueError where it has another size."""
    begin, end = map(int, tensor['data_offsets'])
    if begin < 0 or end - begin != bytes_:
        raise ValueError(f'{end - begin} bytes: expected {bytes_}')
    return begin


class ShardIndex:
    """Shards, the number of their samples, and where these lie.

    Names and counts are read at the start. Of an index file, the places of a shard's samples, 8 bytes each, are read when the
    shard is used.

    Attributes:
        paths: of the shards.
        counts: (S,) int64, samples of each.
        sizes: (S,) int64, bytes of each.
        firsts: (S,) int64, the number of its first sample.
    """

    def __init__(self, paths: list[str], counts: np.ndarray, sizes: np.ndarray, places: list) -> None:
        """``places``: parts of the table of all places, in order: tensors (n, 2), or (path, offset in bytes, n) of a file."""
        self.paths, self.counts, self.sizes = paths, counts, sizes
        self.firsts = np.cumsum(counts) - counts
        self._places = places
        lengths = [len(part) if isinstance(part, torch.Tensor) else part[2] for part in places]
        self._parts = np.cumsum([0, *lengths])

    @classmethod
    def from_scans(cls, paths: list[str], scans: list[Scan]) -> 'ShardIndex':
        # A tensor stays shared with workers, forked or spawned.
        table = torch.from_numpy(np.concatenate([scan.places for scan in scans]).view(np.int32))
        counts, sizes = [len(scan.places) for scan in scans], [scan.size for scan in scans]
        return cls(list(paths), np.array(counts, np.int64), np.array(sizes, np.int64), [table])

    @classmethod
    def read(cls, path: str) -> 'ShardIndex':
        """Read an index file without its places.

        Raises:
            FileNotFoundError: no such file.
            ValueError: another file, or one that has been cut off.
        """
        _filesystem(path)  # its error is another one than that of a damaged index
        try:
            (length,) = struct.unpack('<Q', read_range(path, 0, 8))
            header = json.loads(read_range(path, 8, 8 + length)) if length < 1 << 30 else {}
            if header['__metadata__']['format'] != _FORMAT:
                raise KeyError('format')
            names = json.loads(header['__metadata__']['shards'])
            if not (names and isinstance(names, list) and all(isinstance(name, str) and name for name in names)):
                raise ValueError('names of shards')
            samples = int(header['places']['shape'][0])
            counts, sizes, places = (
                8 + length + _offset(header[key], bytes_)
                for key, bytes_ in dict(counts=8 * len(names), sizes=8 * len(names), places=8 * samples).items()
            )
        except FileNotFoundError as error:
            raise FileNotFoundError(f'no index {path!r} ({error}): `sapiens index SHARDS` writes one') from error
        except (struct.error, KeyError, IndexError, TypeError, ValueError, RecursionError) as error:
            raise ValueError(f'{path!r} is no index of shards: `sapiens index SHARDS` writes one') from error

        def content(begin, bytes_):
            found = read_range(path, begin, begin + bytes_)
            if len(found) < bytes_:
                raise ValueError(f'the index {path!r} has been cut off: `sapiens index SHARDS` writes it again')
            return np.frombuffer(found, '<i8')

        counts, sizes = content(counts, 8 * len(names)), content(sizes, 8 * len(names))
        if samples:
            content(places + 8 * (samples - 1), 8)
        if (counts < 0).any() or (counts > samples).any() or counts.sum() != samples or (sizes < 0).any():
            raise ValueError(f'the index {path!r} is damaged: `sapiens index SHARDS` writes it again')
        folder = posixpath.dirname(path)
        paths = [name if '://' in name or name.startswith('/') else posixpath.join(folder, name) for name in names]
        return cls(paths, counts, sizes, [(path, places, samples)])

    @classmethod
    def join(cls, parts: list['ShardIndex']) -> 'ShardIndex':
        """The shards of several indexes, one after the other."""
        return cls(
            [path for part in parts for path in part.paths],
            np.concatenate([part.counts for part in parts]),
            np.concatenate([part.sizes for part in parts]),
            [places for part in parts for places in part._places],
        )

    def __len__(self) -> int:
        return int(self.counts.sum())

    def locate(self, sample: int) -> tuple[int, int]:
        """Shard of a sample, and its number in it."""
        shard = int(np.searchsorted(self.firsts, sample, side='right')) - 1
        return shard, sample - int(self.firsts[shard])

    def read_places(self, shard: int) -> np.ndarray:
        """Places (n, 2) of the samples of a shard (:class:`Scan`). Of an index file, reads them."""
        first, count = int(self.firsts[shard]), int(self.counts[shard])
        part = int(np.searchsorted(self._parts, first, side='right')) - 1
        first -= int(self._parts[part])
        places = self._places[part]
        if isinstance(places, torch.Tensor):
            return places[first : first + count].numpy().view(np.uint32)
        path, offset, _ = places
        content = read_range(path, offset + 8 * first, offset + 8 * (first + count))
        if len(content) < 8 * count:
            raise OSError(f'the index {path} has been cut off')
        return np.frombuffer(content, '<u4').reshape(count, 2)
