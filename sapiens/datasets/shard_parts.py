"""Tar shards as the folders of a data set: the images of all samples, and each kind of their other parts."""

import glob
import os
import posixpath
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from os import PathLike
from typing import BinaryIO

import fsspec

from sapiens.utils.image_files import SUFFIXES

from .shard_index import size_of
from .shard_members import MemberPath, split_path
from .shard_names import expand_shards, split_name
from .tar_reader import BLOCK, BrokenTar, next_member

__all__ = ['IMAGES', 'ShardParts', 'find_part', 'names_of']

# Name of the part that is the image of its sample.
IMAGES = 'images'
_SUFFIX = '.tar'
_SCANNED_AT_A_TIME = 16
# Shards of which a process keeps the members of a part.
_KEPT_SHARDS = 64


class ShardParts:
    """The members of tar shards in WebDataset's layout by part, found by reading the headers of all shards once.

    ``a/0001.jpg`` is the image of the sample ``a/0001`` and belongs to the part ``images``. ``a/0001.depth.npy`` belongs to
    ``depth`` and ``a/0001.json`` to ``json``.

    Args:
        data_root: what the shards are relative to.
        shards: path, pattern with ``*`` or URL of shards, also with braces, or several: see
            :func:`.shard_names.expand_shards`.

    Attributes:
        where: the shards in words.
        parts: {part: {sample, with its shard: path of the member relative to ``data_root``}}, in the order of the shards.

    Raises:
        FileNotFoundError: a shard that does not exist, or a pattern without one.
        ValueError: a file that is not an uncompressed tar file, is truncated or damaged, or has two members of one name.
    """

    def __init__(self, data_root: str, shards: str | PathLike | Sequence[str | PathLike]) -> None:
        self.root = os.path.expanduser(data_root)
        names = self._names(shards)
        self.where = repr(names[0]) + (f' and {len(names) - 1} more' if len(names) > 1 else '')
        self.parts: dict[str, dict[str, str]] = {}
        with ThreadPoolExecutor(_SCANNED_AT_A_TIME) as pool:
            for name, members in zip(names, pool.map(self._members, names), strict=True):
                self._add(name, members)

    @classmethod
    def open(cls, data_root: str, shards) -> 'ShardParts | None':
        """The parts of shards. What has been opened already, and None for folders, are returned as they are."""
        return shards if shards is None or isinstance(shards, cls) else cls(data_root, shards)

    def stems(self, part: str, suffixes: Sequence[str] | None) -> dict[str, str]:
        """{sample: path} of the members of a part with some suffixes; None for those of images.

        Raises:
            FileNotFoundError: no such part.
        """
        if part not in self.parts:
            raise FileNotFoundError(f'no part {part!r} in the shards {self.where}, which have {self.listing()}')
        suffixes = SUFFIXES if suffixes is None else suffixes
        return {
            sample: path
            for sample, path in self.parts[part].items()
            if posixpath.splitext(path)[1].lower() in suffixes
        }

    def listing(self) -> str:
        """The parts in words."""
        return ', '.join(map(repr, self.parts)) or 'none'

    def _names(self, shards) -> list[str]:
        names = []
        for name in expand_shards(shards):
            if not name.endswith(_SUFFIX):
                raise ValueError(f'shards={shards!r}: {name!r} does not end in {_SUFFIX}')
            if '://' not in name and glob.has_magic(name):
                found = sorted(glob.glob(os.path.join(glob.escape(self.root), name), recursive=True))
                if not found:
                    raise FileNotFoundError(f'no file matches shards={name!r} in {self.root or "."!r}')
                names += [
                    os.path.relpath(path, self.root or '.') if not os.path.isabs(name) else path for path in found
                ]
            else:
                names.append(name)
        if not names:
            raise ValueError(f'shards={shards!r} names no shard')
        return names

    def _members(self, name: str) -> list[tuple[str, str, MemberPath]]:
        """(part, sample, place) of the members of a shard."""
        path = name if '://' in name else os.path.join(self.root, name)
        try:
            with _open(path) as file:
                return list(_read_headers(name, file, size_of(path)))
        except FileNotFoundError:
            raise FileNotFoundError(f'no shard {path!r}: check shards= of the data set') from None
        except IsADirectoryError:
            raise ValueError(f'the shard {path!r} is a folder: give the .tar files in it') from None
        except BrokenTar as error:
            raise ValueError(f'the shard {path!r} is damaged: {error}. Write it again, or leave it out') from None

    def _add(self, name: str, members: list[tuple[str, str, MemberPath]]) -> None:
        for part, sample, member in members:
            known = self.parts.setdefault(part, {})
            sample = f'{name}/{sample}'
            if sample in known:
                other = split_path(known[sample]).name
                raise ValueError(
                    f'the shard {name!r} has {other!r} and {member.name!r}, which are the same part of one sample: remove one'
                )
            known[sample] = str(member)


def names_of(path: str) -> tuple[str, str]:
    """File name of the shard, and name in it, of the path of a member."""
    member = split_path(path)
    return posixpath.basename(member.shard), member.name


def find_part(image: MemberPath, part: str, suffix: str) -> MemberPath | None:
    """The member that is a part of the sample of an image, in the same shard; None without one.

    Members behind the image are looked at first. Otherwise the headers of the shard are read once.

    Raises:
        BrokenTar: the shard is missing or cannot be read, or is damaged. The text names it.
    """
    named = split_name(image.name)
    if named is None:
        return None
    sample = named[0]
    try:
        with _open(image.shard) as file:
            offset = image.begin + -(-image.size // BLOCK) * BLOCK
            while (member := next_member(file, offset)) is not None:
                found = split_name(member.name) if member.is_file else None
                if found == (sample, part, suffix):
                    return MemberPath(image.shard, offset, member.start + member.size - offset, member.name)
                if found is not None and found[0] != sample:
                    break
                offset = member.next_header
        return _members_of(image.shard, part, suffix).get(sample)
    except FileNotFoundError:
        raise BrokenTar(f'the shard {image.shard} is missing') from None
    except BrokenTar as error:
        raise BrokenTar(f'the shard {image.shard} is damaged: {error}') from None
    except Exception as error:  # any error of a remote file system
        raise BrokenTar(f'the shard {image.shard} cannot be read: {type(error).__name__}: {error}') from error


@lru_cache(_KEPT_SHARDS)
def _members_of(shard: str, part: str, suffix: str) -> dict[str, MemberPath]:
    """{sample: member} of a part."""
    with _open(shard) as file:
        members = _read_headers(shard, file, size_of(shard))
        return {sample: member for kind, sample, member in members if kind == part and member.name.endswith(suffix)}


def _open(path: str) -> BinaryIO:
    return fsspec.open(path, 'rb').open() if '://' in path else open(path, 'rb')


def _read_headers(name: str, file: BinaryIO, size: int):
    offset = 0
    while (member := next_member(file, offset)) is not None:
        end = member.start + member.size
        if end > size:
            raise BrokenTar(f'truncated: {member.name} has {max(0, size - member.start)} of {member.size} bytes')
        found = split_name(member.name) if member.is_file else None
        if found is not None:
            sample, part, suffix = found
            part = part or (IMAGES if suffix.lower() in SUFFIXES else suffix[1:])
            yield part, sample, MemberPath(name, offset, end - offset, member.name)
        offset = member.next_header
    if offset >= size:  # cut off between two members
        raise BrokenTar(f'truncated: it ends after {size} bytes without the mark of the end')
