"""Members of tar shards as files of data sets: ``SHARD.tar@BEGIN+SIZE/NAME`` is the path of one, read without an index."""

import io
import os
import re
from collections.abc import Iterable
from typing import NamedTuple

from .shard_index import read_range, size_of
from .tar_reader import BrokenTar, next_member, read_content

__all__ = ['MARK', 'MemberPath', 'check_shards_of', 'file_size', 'read_member', 'split_path']

# In every path of a member, for a quick look.
MARK = '.tar@'
_PATH = re.compile(r'(.+\.tar)@(\d+)\+(\d+)/(.+)', re.DOTALL)


class MemberPath(NamedTuple):
    """Where a member lies.

    Attributes:
        shard: path or URL.
        begin, size: byte of its header, and the number of bytes from there to the end of its content.
        name: of the member.
    """

    shard: str
    begin: int
    size: int
    name: str

    def __str__(self) -> str:
        return f'{self.shard}@{self.begin}+{self.size}/{self.name}'


def split_path(path: str) -> MemberPath | None:
    """The parts of the path of a member; None for any other path."""
    match = _PATH.fullmatch(path) if MARK in path else None
    return MemberPath(match[1], int(match[2]), int(match[3]), match[4]) if match else None


def read_member(member: MemberPath) -> bytes:
    """The content of a member.

    The header is read with it, so that a shard that was written again is not mistaken for the one that the path is of.

    Raises:
        BrokenTar: the shard is missing or cannot be read, ends before the member does, or has another member there. The text
            names the shard.
    """
    shard, begin, size, name = member
    try:
        if '://' in shard:
            content = read_range(shard, begin, begin + size)
        else:
            with open(shard, 'rb') as file:
                file.seek(begin)
                content = file.read(size)
    except FileNotFoundError:
        raise BrokenTar(f'the shard {shard} is missing') from None
    except Exception as error:  # any error of a remote file system
        raise BrokenTar(f'the shard {shard} cannot be read: {type(error).__name__}: {error}') from error
    if len(content) < size:
        raise BrokenTar(f'the shard {shard} is truncated: it ends before byte {begin + size}, the end of {name}')
    file = io.BytesIO(content)
    try:
        found = next_member(file, 0)
        if found is not None and found.is_file and found.name == name:
            return read_content(file, found)
    except BrokenTar:
        pass
    raise BrokenTar(f'the shard {shard} has been changed: {name} is not at byte {begin} any more')


def file_size(path: str) -> int | None:
    """Bytes of a local file, or of a member with its header; None where there is no such file or its shard is shorter."""
    member = split_path(path)
    if member is None:
        return os.path.getsize(path) if os.path.isfile(path) else None
    whole = file_size(member.shard)
    return member.size if whole is not None and member.begin + member.size <= whole else None


def check_shards_of(paths: Iterable[str]) -> None:
    """Check that the shards of those paths that are members exist and reach to the end of the last one.

    Raises:
        FileNotFoundError: a shard that is missing.
        ValueError: one that is shorter.
    """
    ends: dict[str, int] = {}
    for path in paths:
        member = split_path(path)
        if member is not None:
            ends[member.shard] = max(ends.get(member.shard, 0), member.begin + member.size)
    for shard, end in ends.items():
        try:
            size = size_of(shard)
        except FileNotFoundError:
            raise FileNotFoundError(f'no shard {shard!r}, in which there are images of the data set') from None
        if size < end:
            raise ValueError(
                f'the shard {shard!r} is truncated: it has {size} bytes, and images of the data set lie up to byte {end}'
            )
