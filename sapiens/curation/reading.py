"""The content of inputs: files, URLs, and members of tar shards, read ahead by threads."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import fsspec

from sapiens.datasets.shard_index import read_range
from sapiens.datasets.shard_names import sample_of
from sapiens.datasets.tar_reader import BrokenTar, next_member, read_content
from sapiens.datasets.transforms.decoding import BadImage
from sapiens.datasets.transforms.loading import MAX_FILE_BYTES, read_file

__all__ = ['Content', 'read_ahead', 'read_inputs', 'read_row']

_AHEAD, _THREADS = 16, 4
# In the place of bytes of a name that are not UTF-8, which lists cannot hold.
_REPLACED = '\ufffd'
Given, Made = TypeVar('Given'), TypeVar('Made')


@dataclass(frozen=True)
class Content:
    """An input that was read.

    Attributes:
        path: of the file; of a member, that of its shard and its name.
        data: b'' where it could not be read.
        error: why.
        tar: path of the shard, '' for a file.
        offset: of the member's content in the shard, in bytes; -1 for a file.
    """

    path: str
    data: bytes
    error: str = ''
    tar: str = ''
    offset: int = -1


def read_inputs(paths: Sequence[str]) -> Iterator[Content]:
    """Read the inputs of a list in order: image files, or the images of a tar shard."""
    if len(paths) == 1 and paths[0].lower().endswith('.tar'):
        yield from _read_tar(paths[0])
    else:
        yield from read_ahead(paths, _read_path)


def read_row(row: dict) -> bytes:
    """Read the file of a row of the table (``path``, ``tar``, ``offset``, ``bytes``). Raises BadImage where it cannot be read."""
    if not row['tar']:
        return read_file(row['path'])
    begin, size = row['offset'], row['bytes']
    try:
        data = read_range(row['tar'], begin, begin + size)
    except Exception as error:  # any of a remote file system
        raise BadImage(f'{type(error).__name__}: {error}', row['tar']) from error
    if len(data) < size:
        raise BadImage(f'truncated: {len(data)} of {size} bytes', row['tar'])
    return data


def read_ahead(
    items: Iterable[Given], read: Callable[[Given], Made], ahead: int = _AHEAD, threads: int = _THREADS
) -> Iterator[Made]:
    """Apply a function in threads, in order, at most ``ahead`` items before the one that is needed."""
    pending: deque = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                pending.append(pool.submit(read, item))
                if len(pending) > ahead:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def _read_path(path: str) -> Content:
    try:
        return Content(path, read_file(path))
    except (BadImage, OSError, ValueError) as error:
        if _REPLACED in path:
            return Content(path, b'', 'its name is not UTF-8: rename the file')
        return Content(path, b'', _describe(error))


def _read_tar(path: str) -> Iterator[Content]:
    """A shard that is damaged ends in a content with the error, under the name of the shard."""
    sample = None
    try:
        with fsspec.open(path, 'rb').open() as file:
            offset = 0
            while (member := next_member(file, offset)) is not None:
                offset = member.next_header
                found, is_image = (member.is_file and sample_of(member.name)) or (None, False)
                if not is_image or found == sample:  # the first image of a sample counts
                    continue
                sample = found
                name = f'{path}/{member.name}'
                if member.size > MAX_FILE_BYTES:
                    yield Content(name, b'', f'{member.size} bytes are too large', path, member.start)
                    continue
                yield Content(name, read_content(file, member), '', path, member.start)
    except (BrokenTar, OSError, ValueError) as error:
        yield Content(path, b'', _describe(error), path)


def _describe(error: Exception) -> str:
    text = ' '.join(str(error).split())
    return text if isinstance(error, BadImage | BrokenTar) else f'{type(error).__name__}: {text}'
