"""What is curated: lists of inputs, which grow when new ones are found."""

import glob
import hashlib
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sapiens.datasets.shard_names import expand_shards
from sapiens.utils.files import atomic_path
from sapiens.utils.image_files import SUFFIXES, LeftOut, walk_images

__all__ = ['InputList', 'expand_sources', 'input_lists', 'list_path', 'write_new_lists']

_FOLDER = 'inputs'
_GENERATION = b'generation'
_AT_A_TIME = 10_000


@dataclass(frozen=True)
class InputList:
    """A list of inputs in a parquet file, which are one unit of work.

    Attributes:
        unit: name of the unit.
        path: of the file, with a column ``path``: image files, or a single tar shard.
        generation: number of the run that found them, from 0.
        count: number of entries.
        digest: of the file.
    """

    unit: str
    path: Path
    generation: int
    count: int
    digest: str

    def read(self) -> list[str]:
        return pq.read_table(self.path, columns=['path'])['path'].to_pylist()


def expand_sources(sources: Sequence[str], column: str = 'path') -> Iterator[str]:
    """Yield the paths or URLs of image files and tar shards.

    Args:
        sources: folders (images and ``.tar`` files at any depth), files, patterns, ``.tar`` names with braces, ``.txt`` and
            ``.parquet`` lists, or fsspec URLs of these. Entries of lists are relative to the list.
        column: of parquet lists.

    Raises:
        FileNotFoundError: a source that does not exist.
        ValueError: one without inputs, or a list that cannot be read.
    """
    for source in sources:
        count = 0
        for path in _expand_url(source, column) if '://' in source else _expand_local(source, column):
            count += 1
            yield path
        if not count:
            raise ValueError(f'{source}: no images or tar shards there (images end in {", ".join(SUFFIXES)})')


def _expand_local(source: str, column: str) -> Iterator[str]:
    path = os.path.abspath(os.path.expanduser(source))
    if os.path.isdir(path):
        left_out = LeftOut()
        yield from (os.path.join(path, name) for name in walk_images(path, left_out))
        yield from sorted(glob.glob(os.path.join(glob.escape(path), '**', '*.tar'), recursive=True))
        left_out.pop('.tar', None)
        if left_out:
            print(f'{source}: {left_out}')
    elif os.path.isfile(path):
        yield from _expand_file(path, column)
    elif '{' in source and source.endswith('.tar'):
        for name in map(os.path.abspath, expand_shards(source)):
            if not os.path.isfile(name):
                raise FileNotFoundError(f'no shard {name}, which {source} names')
            yield name
    elif glob.has_magic(source):
        for name in sorted(glob.iglob(path, recursive=True)):
            if os.path.isfile(name):
                yield from _expand_file(name, column)
    else:
        raise FileNotFoundError(f'{source} is not a file, folder, pattern or URL')


def _expand_file(path: str, column: str) -> Iterator[str]:
    if path.lower().endswith(('.txt', '.parquet')):
        yield from _read_list(path, column, os.path.dirname(path))
    else:
        yield path


def _read_list(path: str, column: str, folder: str) -> Iterator[str]:
    """Yield the entries of a text or parquet list. Local ones are relative to its folder."""
    with fsspec.open(path, 'rb').open() as file:
        lines = _parquet_column(file, path, column) if path.lower().endswith('.parquet') else _lines(file)
        for line in lines:
            yield line if '://' in line else os.path.join(folder, os.path.expanduser(line))


def _lines(file) -> Iterator[str]:
    for number, line in enumerate(file):
        line = line.removeprefix(b'\xef\xbb\xbf') if not number else line
        if text := os.fsdecode(line).strip():
            yield text


def _parquet_column(file, path: str, column: str) -> Iterator[str]:
    try:
        table = pq.ParquetFile(file)
    except pa.ArrowInvalid as error:
        raise ValueError(f'the list {path} cannot be read: {error}') from error
    if column not in table.schema_arrow.names:
        raise ValueError(
            f'the list {path} has no column {column!r}; its columns: {", ".join(table.schema_arrow.names)}'
        )
    batches = table.iter_batches(columns=[column])
    while True:
        try:
            batch = next(batches, None)
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f'the list {path} is damaged: {error}') from error
        if batch is None:
            return
        for value in batch.column(0).to_pylist():
            if not isinstance(value, str) or not value:
                raise ValueError(f'column {column!r} of {path} has an entry {value!r}: expected paths')
            yield value


def _expand_url(source: str, column: str) -> Iterator[str]:
    try:
        filesystem, name = fsspec.core.url_to_fs(source)
    except (ImportError, ValueError) as error:
        raise ValueError(f'{source} cannot be opened: {error}') from error
    if '{' in source and source.endswith('.tar'):
        yield from expand_shards(source)
    elif glob.has_magic(source):
        yield from (filesystem.unstrip_protocol(one) for one in sorted(filesystem.glob(name)))
    elif source.lower().endswith(('.txt', '.parquet')):
        yield from _read_list(source, column, source.rpartition('/')[0])
    elif filesystem.isdir(name):
        wanted = (*SUFFIXES, '.tar')
        found = sorted(one for one in filesystem.find(name) if one.lower().endswith(wanted))
        yield from (filesystem.unstrip_protocol(one) for one in found)
    else:
        yield source


def list_path(folder: Path, unit: str) -> Path:
    """Return the path of the list of a unit, in an output folder."""
    return folder / _FOLDER / f'{unit}.parquet'


def input_lists(folder: Path) -> list[InputList]:
    """Return the lists that runs have written to an output folder, in order."""
    found = []
    for path in sorted((folder / _FOLDER).glob('*.parquet')):
        metadata = pq.read_metadata(path)
        generation = int(metadata.metadata[_GENERATION])
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:32]
        found.append(InputList(path.stem, path, generation, metadata.num_rows, digest))
    return found


def write_new_lists(folder: Path, paths: Iterable[str], unit_size: int) -> tuple[int, int]:
    """Write lists of the inputs that no earlier list has. A tar shard is a list of its own.

    Each input takes 8 bytes in memory, and as much again for moments.

    Args:
        folder: output folder.
        paths: of :func:`expand_sources`.
        unit_size: most files of a list.

    Returns:
        Number of new inputs, and of those that are known.
    """
    lists = input_lists(folder)
    known = _Known(_hashes(one.read()) for one in lists)
    writer = _Writer(folder / _FOLDER, len(lists), max((one.generation for one in lists), default=-1) + 1)
    new = old = 0
    files: list[str] = []
    for batch in _batches(paths, _AT_A_TIME):
        is_new = known.add(_hashes(batch))
        new, old = new + int(is_new.sum()), old + int((~is_new).sum())
        for path in itertools.compress(batch, is_new.tolist()):
            if path.lower().endswith('.tar'):
                writer.write([path])
                continue
            files.append(path)
            if len(files) == unit_size:
                writer.write(files)
                files = []
    if files:
        writer.write(files)
    return new, old


class _Known:
    """A set of hashes, in sorted arrays of falling sizes, which are merged when two are about as large.

    Args:
        hashes: arrays of uint64.
    """

    def __init__(self, hashes: Iterable[np.ndarray]) -> None:
        self.parts = [np.sort(np.concatenate([np.empty(0, np.uint64), *hashes]))]

    def add(self, hashes: np.ndarray) -> np.ndarray:
        """Add hashes. Returns which were not there, (N,) bool; of equal ones the first."""
        is_new = np.zeros(len(hashes), bool)
        is_new[np.unique(hashes, return_index=True)[1]] = True
        for part in filter(len, self.parts):
            is_new &= part[np.minimum(np.searchsorted(part, hashes), len(part) - 1)] != hashes
        self.parts.append(np.sort(hashes[is_new]))
        while len(self.parts) > 1 and len(self.parts[-2]) <= 2 * len(self.parts[-1]):
            self.parts[-2:] = [np.sort(np.concatenate(self.parts[-2:]))]
        return is_new


class _Writer:
    def __init__(self, folder: Path, number: int, generation: int) -> None:
        self.folder, self.number, self.generation = folder, number, generation

    def write(self, paths: list[str]) -> None:
        # Names of files need not be UTF-8; such a name cannot be in the table.
        names = [path.encode('utf-8', 'surrogateescape').decode('utf-8', 'replace') for path in paths]
        table = pa.table(dict(path=names)).replace_schema_metadata({_GENERATION: str(self.generation)})
        with atomic_path(self.folder / f'part-{self.number:06d}.parquet') as temporary:
            pq.write_table(table, temporary, compression='zstd')
        self.number += 1


def _hashes(paths: Sequence[str]) -> np.ndarray:
    values = (hashlib.blake2b(path.encode('utf-8', 'surrogateescape'), digest_size=8).digest() for path in paths)
    return np.frombuffer(b''.join(values), '<u8').astype(np.uint64)


def _batches(paths: Iterable[str], size: int) -> Iterator[list[str]]:
    batch = []
    for path in paths:
        batch.append(path)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
