"""An endless stream of image files from tar shards, with a position of a few numbers."""

import posixpath
import re

import fsspec

from sapiens.utils.image_files import SUFFIXES

from .draw import hash63
from .permutation import Permutation
from .tar_reader import BrokenTar, next_member, read_content
from .transforms.loading import MAX_FILE_BYTES

__all__ = ['ShardStream', 'expand_braces']


def expand_braces(pattern: str) -> list[str]:
    """Expand ``a-{00..02}.tar`` and ``a-{x,y}.tar`` to names; several braces multiply.

    Raises:
        ValueError: braces of another form.
    """
    match = re.search(r'\{([^{}]*)\}', pattern)
    if match is None:
        if '{' in pattern or '}' in pattern:
            raise ValueError(f'unbalanced braces in {pattern!r}')
        return [pattern]
    numbers = re.fullmatch(r'(\d+)\.\.(\d+)', match[1])
    if numbers:
        first, last = numbers.groups()
        if int(first) > int(last):
            raise ValueError(f'{{{match[1]}}} in {pattern!r} counts down: expected {{first..last}}')
        width = len(first) if first.startswith('0') or len(first) == len(last) else 0
        choices = [f'{number:0{width}d}' for number in range(int(first), int(last) + 1)]
    elif ',' in match[1]:
        choices = match[1].split(',')
    else:
        raise ValueError(f'{{{match[1]}}} in {pattern!r}: expected {{000..999}} or {{a,b,c}}')
    return [
        rest
        for choice in choices
        for rest in expand_braces(pattern[: match.start()] + choice + pattern[match.end() :])
    ]


class ShardStream:
    """The images of one in ``streams`` shards of a shuffled order, epoch after epoch.

    A few shards are open at a time. The next image comes from a random one of them, in file order, so neighbours in a shard are
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
        self._file = None

    def next_image(self, bad: list, path: str):
        """(name, content, offset of its header) of the next image of a new sample; None at the end."""
        if self._file is None:
            filesystem, local = fsspec.core.url_to_fs(path)
            self._file = filesystem.open(local, 'rb')
        while True:
            header = self.offset
            member = next_member(self._file, header)
            if member is None:
                if not self.stem:
                    bad.append((path, f'no member named STEM{"|".join(SUFFIXES)}'))
                return None
            # WebDataset: files that share the name up to the first dot of its last part are one sample.
            folder, base = posixpath.split(member.name)
            base, _, suffix = base.partition('.')
            stem = posixpath.join(folder, base)
            if not member.is_file or f'.{suffix.lower()}' not in SUFFIXES or stem == self.stem:
                self.offset = member.next_header
                continue
            self.stem = stem
            if member.size > MAX_FILE_BYTES:
                self.offset = member.next_header
                bad.append((f'{path}/{member.name}', f'{member.size} bytes are more than {MAX_FILE_BYTES >> 20} MiB'))
                continue
            content = read_content(self._file, member)
            self.offset = member.next_header
            return member.name, content, header

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
