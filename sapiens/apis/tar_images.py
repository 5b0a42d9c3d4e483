"""Images of tar shards in WebDataset's layout, as inputs of inference. ``photos-000.tar/a/0001.jpg`` names one of them."""

from collections.abc import Iterator
from functools import lru_cache
from typing import BinaryIO

import fsspec

from sapiens.datasets.shard_names import sample_of
from sapiens.datasets.tar_reader import BrokenTar, Member, next_member, read_content
from sapiens.datasets.transforms.decoding import BadImage
from sapiens.datasets.transforms.loading import MAX_FILE_BYTES

__all__ = ['SHARD_SUFFIX', 'open_shard', 'read_member', 'shard_members', 'split_member']

SHARD_SUFFIX = '.tar'
_SHARDS_KEPT = 8  # whose members are known, in each process


def open_shard(path: str) -> BinaryIO:
    """Open a shard, a path or an fsspec URL.

    Raises:
        OSError, ValueError: it cannot be opened.
    """
    return fsspec.open(path, 'rb').open() if '://' in path else open(path, 'rb')


def shard_members(path: str, file: BinaryIO) -> Iterator[tuple[str, Member]]:
    """Yield (key, member) of the image of each sample of an open shard, in order; other members are skipped.

    Raises:
        ValueError: a damaged or shortened shard, or two images of one sample.
    """
    offset, seen = 0, set()
    try:
        while (member := next_member(file, offset)) is not None:
            offset = member.next_header
            found = sample_of(member.name) if member.is_file else None
            if found is None or not found[1]:
                continue
            if found[0] in seen:
                raise ValueError(f'the shard {path} has two images of the sample {found[0]!r}: names must differ')
            seen.add(found[0])
            yield found[0], member
    except BrokenTar as error:
        raise ValueError(f'the shard {path} is damaged: {error}') from error


def split_member(source: str) -> tuple[str, str] | None:
    """Shard and member of ``SHARD.tar/MEMBER``; None for another source."""
    shard, found, member = source.partition(f'{SHARD_SUFFIX}/')
    return (shard + SHARD_SUFFIX, member) if found and member else None


def read_member(shard: str, name: str) -> bytes:
    """Read an image of a shard. Raises BadImage if it cannot be read."""
    try:
        member = _members(shard)[name]
        if member.size > MAX_FILE_BYTES:
            raise BadImage(f'more than the limit of {MAX_FILE_BYTES >> 20} MiB')
        with open_shard(shard) as file:
            return read_content(file, member)
    except BadImage:
        raise
    except KeyError:
        raise BadImage(f'the shard {shard} has no image of this name') from None
    except Exception as error:  # any error of a remote file system
        raise BadImage(f'{type(error).__name__}: {error}') from error


@lru_cache(_SHARDS_KEPT)
def _members(shard: str) -> dict[str, Member]:
    with open_shard(shard) as file:
        return {member.name: member for _, member in shard_members(shard, file)}
