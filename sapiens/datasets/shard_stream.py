"""An endless stream of image files from tar shards, with a position of a few numbers."""

import os
import posixpath
import re
from collections.abc import Iterable
from os import PathLike

import fsspec
from braceexpand import UnbalancedBracesError, braceexpand

from sapiens.utils.image_files import IMAGE_NAMES, SUFFIXES

from .draw import hash63
from .permutation import Permutation
from .tar_reader import BrokenTar, next_member, read_content
from .transforms.loading import MAX_FILE_BYTES

__all__ = ['ShardStream', 'expand_shards']

# WebDataset's own entries, such as ``__meta__/...``, are not samples.
_NO_SAMPLE = re.compile(r'(\./)?__[^/]*__($|/)')


def expand_shards(shards: str | PathLike | Iterable[str | PathLike]) -> list[str]:
    """Expand paths or URLs to shards, as WebDataset does: ``$VARIABLE``, braces, and lists with ``::``.

    ``{00..02}``, ``{x,y}`` and nested braces expand as in bash. ``~`` is the home folder. A protocol without path before ``::``
    is a chained URL of fsspec (``simplecache::s3://bucket/a.tar``), not a list.

    Raises:
        ValueError: unbalanced braces, or braces around a single name.
    """
    names = []
    for given in [shards] if isinstance(shards, str | PathLike) else shards:
        chained = ''
        for part in os.path.expandvars(os.fspath(given)).split('::'):
            if part in fsspec.available_protocols():
                chained += f'{part}::'
                continue
            try:
                # Backslashes are separators on Windows.
                names += braceexpand(chained + os.path.expanduser(part), escape=False)
            except UnbalancedBracesError as error:
                raise ValueError(
                    f'the shard {part!r} has unbalanced braces: expected {{000..999}} or {{a,b,c}}'
                ) from error
            chained = ''
    for name in names:
        if '{' in name or '}' in name:
            raise ValueError(f'braces remain in the shard {name!r}: expected {{000..999}} or {{a,b,c}}')
    return names


def sample_of(name: str) -> tuple[str, bool] | None:
    """Return the sample that an image in a shard belongs to, and whether the member is the sample's image.

    ``a/0001.jpg`` is the image of ``a/0001``, and ``a/0001.seg.png`` another part of it. The names of parts are words: in
    ``clip_0.1s.jpg`` the dot belongs to the name. None for other files.
    """
    folder, base = posixpath.split(name)
    stem, suffix = posixpath.splitext(base)
    if suffix.lower() not in IMAGE_NAMES or base.startswith('.') or _NO_SAMPLE.match(name):
        return None
    parts = stem.split('.')
    count = len(parts)
    while count > 1 and parts[count - 1].isidentifier():
        count -= 1
    return posixpath.join(folder, '.'.join(parts[:count])), count == len(parts)


class ShardStream:
    """The images of one in ``streams`` shards of a shuffled order, epoch after epoch.

    A few shards are open at a time. The next image comes from a random one of them, in file order, so neighbors in a shard are
    apart in the stream. The position is the byte offset in each open shard, the number of shards opened and the number of draws;
    resuming seeks there.

    Args:
        shards: paths or fsspec URLs, the same for every stream.
        seed: of the order of shards and of the draws.
        interleave: shards open at a time.
        stream, streams: which stream this is, of how many; at most as many as shards.
    """

    def __init__(self, shards: list[str], seed: int, interleave: int, stream: int, streams: int):
        assert 0 <= stream < streams <= len(shards)
        self._shards, self._seed, self._stream, self._streams = shards, seed, stream, streams
        self._per_epoch = len(range(stream, len(shards), streams))
        self._interleave = min(interleave, self._per_epoch)
        self._opened = 0  # shards opened so far
        self._draws = 0
        self._open: list[_OpenShard] = []

    def position(self) -> dict:
        """JSON-able; what :meth:`seek` takes."""
        open_shards = [[shard.number, shard.offset, shard.stem] for shard in self._open]
        return dict(opened=self._opened, draws=self._draws, open=open_shards)

    def seek(self, position: dict) -> None:
        """Continue where another stream with the same arguments stopped."""
        self._opened, self._draws = position['opened'], position['draws']
        self._open = [
            _OpenShard(number, self._shard(number), offset, stem) for number, offset, stem in position['open']
        ]

    def next(self, bad: list) -> tuple[str, bytes, int, int] | None:
        """The next image: (path, content, identity, seed of its augmentation).

        The identity is a number for the shard and the place in it. Problems are appended to ``bad`` as (path, reason). Returns
        None after two epochs of shards without an image.
        """
        empty = 0
        while True:
            while len(self._open) < self._interleave:
                self._open.append(self._next_shard())
            seed = hash63(self._seed, self._stream, self._draws)
            self._draws += 1
            slot = hash63(seed) % len(self._open)
            shard = self._open[slot]
            path = self._shards[shard.index]
            try:
                found = shard.next_image(bad, path)
            except FileNotFoundError as error:
                raise FileNotFoundError(f'no shard {path!r} ({error}): check `shards` of the dataset') from error
            except (BrokenTar, OSError) as error:
                bad.append((path, f'{type(error).__name__}: {error}; the rest of the shard is skipped'))
                found = None
            if found is not None:
                name, content, header = found
                return f'{path}/{name}', content, (shard.index << 32) + header // 512, seed
            shard.close()
            self._open[slot] = self._next_shard()
            empty += 1
            if empty > 2 * self._per_epoch:
                return None

    def _shard(self, number: int) -> int:
        """Index of the shard that this stream opens as its ``number``-th one."""
        epoch, step = divmod(number, self._per_epoch)
        order = Permutation(len(self._shards), self._seed, epoch)
        return int(order([self._stream + step * self._streams])[0])

    def _next_shard(self) -> '_OpenShard':
        self._opened += 1
        return _OpenShard(self._opened - 1, self._shard(self._opened - 1), 0, '')


class _OpenShard:
    """A shard being read: the file is opened at the first read, at ``offset``, the next member's header.

    ``stem`` is that of the last image, '' before the first.
    """

    def __init__(self, number: int, index: int, offset: int, stem: str):
        self.number, self.index, self.offset, self.stem = number, index, offset, stem
        self.name = ''  # of the last image
        self._file = None

    def next_image(self, bad: list, path: str):
        """(name, content, offset of its header) of the next image of a new sample; None at the end."""
        if self._file is None:
            filesystem, local = fsspec.core.url_to_fs(path)
            self._file = filesystem.open(local, 'rb')
        part = None  # a part whose image may follow: its sample and name
        while True:
            header = self.offset
            member = next_member(self._file, header)
            sample, is_image = (member and member.is_file and sample_of(member.name)) or (None, False)
            if part and (member is None or (sample and sample != part[0])):
                bad.append(
                    (f'{path}/{part[1]}', f'a part of the sample {part[0]!r}, which has no image: rename it to use it')
                )
                part = None
            if member is None:
                if not self.stem:
                    bad.append((path, f'no member named STEM{"|".join(SUFFIXES)}'))
                return None
            self.offset = member.next_header
            if not is_image or sample == self.stem:
                # The first image of a sample is used.
                if sample and sample != self.stem:
                    part = part or (sample, member.name)
                elif is_image and member.name == self.name:
                    bad.append((f'{path}/{member.name}', 'the second member of this name'))
                continue
            self.stem, self.name, part = sample, member.name, None
            if member.size > MAX_FILE_BYTES:
                bad.append((f'{path}/{member.name}', f'{member.size} bytes are more than {MAX_FILE_BYTES >> 20} MiB'))
                continue
            return member.name, read_content(self._file, member), header

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
