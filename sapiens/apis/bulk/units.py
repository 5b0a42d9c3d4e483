"""Units of inputs, and the images of a unit. Neither depends on the number of images in memory."""

import glob
import itertools
import os
import posixpath
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sapiens.bulk import Unit
from sapiens.datasets.shard_index import size_of
from sapiens.datasets.shard_names import expand_shards
from sapiens.datasets.tar_reader import read_content
from sapiens.utils.image_files import LeftOut, walk_images

from ..inputs import Item, is_shards, is_video
from ..path_lists import LIST_SUFFIXES, PATH_COLUMN, list_entries
from ..tar_images import open_shard, shard_members

__all__ = ['Row', 'check_sources', 'find_units', 'readable', 'rows_of']


@dataclass(frozen=True)
class Row(Item):
    """An image of a unit.

    Attributes:
        number: in the unit, from 0.
        key: name of its sample in a tar shard, unique in the unit and without a dot in its last part.
        content: of the file, where it is known already.
    """

    number: int = 0
    key: str = ''
    content: bytes | None = None


def find_units(sources: Sequence[str], images: int, column: str = PATH_COLUMN) -> Iterator[Unit]:
    """Yield the units of inputs, in order. Nothing is read ahead.

    Args:
        sources: folders, lists (.txt, .parquet), tar shards (also with braces), glob patterns, files and URLs.
        images: of a unit; a tar shard is always a whole unit.
        column: of parquet files.

    Raises:
        FileNotFoundError: a source that does not exist.
        ValueError: a video, or a source without images.
    """
    for number, data in enumerate(_all_data(sources, images, column)):
        yield Unit(f'{number:06d}', data)


def check_sources(sources: Sequence[str]) -> None:
    """Check that every source exists, before hours of work on the ones before it. URLs are not looked up.

    Raises:
        FileNotFoundError: one does not.
        ValueError: a pattern without a file, or a video.
    """
    for source in sources:
        if is_shards(source):
            for shard in expand_shards(source):
                if '://' not in shard and not os.path.isfile(shard):
                    raise FileNotFoundError(f'no shard {shard}')
            continue
        for path, _ in itertools.islice(_expand(source, PATH_COLUMN, opens=False), 1):
            _refuse_video(path)
        if glob.has_magic(source) and not os.path.exists(source) and not any(glob.iglob(os.path.expanduser(source))):
            raise ValueError(f'no file matches {source!r}')


def _refuse_video(path: str) -> None:
    if is_video(path):
        raise ValueError(f'{path} is a video: --out-format is for images')


def _all_data(sources: Sequence[str], images: int, column: str) -> Iterator[dict]:
    for is_tar, group in itertools.groupby(sources, is_shards):
        if is_tar:
            for shard in itertools.chain.from_iterable(map(expand_shards, group)):
                yield dict(shard=_absolute(shard), **_version(shard))
            continue
        group = list(group)
        entries = itertools.chain.from_iterable(_entries(source, column, len(sources) > 1) for source in group)
        while part := list(itertools.islice(entries, images)):
            yield dict(images=part)


def _entries(source: str, column: str, is_one_of_many: bool) -> Iterator[list[str]]:
    """Yield [complete path or URL, name] of each image of a source.

    The name is the path relative to a folder or to that of a list, so that a data set finds the image below it. Of several
    sources it is the path itself.
    """
    count = 0
    for path, name in _expand(source, column):
        _refuse_video(path)
        count += 1
        yield [_absolute(path), path if is_one_of_many else name]
    if not count:
        raise ValueError(f'no images in {source}')


def _expand(source: str, column: str, opens: bool = True) -> Iterable[tuple[str, str]]:
    """(path, name) of each image of a source; none of a list or folder without ``opens``."""
    path = os.path.expanduser(source)
    if '://' in source:
        return [(source, source)]
    if not opens and (os.path.isdir(path) or (path.lower().endswith(LIST_SUFFIXES) and os.path.isfile(path))):
        return []
    if os.path.isdir(path):
        return ((os.path.join(path, name), name) for name in walk_images(path, LeftOut()))
    if os.path.isfile(path) and path.lower().endswith(LIST_SUFFIXES):
        return list_entries(path, column)
    if os.path.isfile(path):
        return [(path, os.path.basename(path))]
    if glob.has_magic(source):
        return ((name, name) for name in sorted(glob.iglob(path, recursive=True)) if not os.path.isdir(name))
    if is_video(source):
        return [(source, source)]
    raise FileNotFoundError(f'{source} is not a file, folder, pattern or URL')


def _absolute(path: str) -> str:
    # Workers may have another working directory.
    return path if '://' in path else os.path.abspath(path)


def _version(shard: str) -> dict[str, int]:
    """What changes with the content of a shard: its size, and of a local one its time, since tar files are padded."""
    try:
        return dict(bytes=size_of(shard)) | ({} if '://' in shard else dict(changed=os.stat(shard).st_mtime_ns))
    except FileNotFoundError:
        raise FileNotFoundError(f'no shard {shard}') from None


def rows_of(unit: Unit) -> Iterator[Row]:
    """Yield the images of a unit, in order. Those of a shard come with their content.

    Raises:
        OSError, ValueError: a shard that cannot be read.
    """
    if 'shard' in unit.data:
        yield from _rows_of_shard(unit.data['shard'])
        return
    keys: set[str] = set()
    for number, (source, name) in enumerate(unit.data['images']):
        key = _key(name, f'{unit.name}-{number:06d}')
        while key in keys:
            key += f'-{number:06d}'
        keys.add(key)
        yield Row(source, name, number, key)


def _rows_of_shard(shard: str) -> Iterator[Row]:
    with open_shard(shard) as file:
        for number, (key, member) in enumerate(shard_members(shard, file)):
            name = member.name.removeprefix('./')
            yield Row(f'{shard}/{name}', name, number, key.removeprefix('./'), read_content(file, member))


def readable(name: str) -> str:
    """A name as UTF-8; bytes that are not are replaced."""
    return name.encode('utf-8', 'surrogateescape').decode('utf-8', 'replace')


def _key(name: str, default: str) -> str:
    """Name of a sample for a file: relative, and without a dot in its last part, where the names of its parts begin."""
    if '://' in name or os.path.isabs(name) or '..' in name.split('/'):
        name = name.rpartition('/')[2]
    folder, base = posixpath.split(posixpath.normpath(readable(name)))
    stem = posixpath.splitext(base)[0].replace('.', '_').strip()
    return posixpath.join(folder, stem) if stem else default
