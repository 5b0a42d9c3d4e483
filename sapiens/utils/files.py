"""Atomic writes: a file appears under its name when it is complete, or not at all."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = [
    'TEMPORARY',
    'atomic_path',
    'move_into_place',
    'remove_temporaries',
    'replace_between',
    'sync_path',
    'temporary_path',
    'write_atomically',
]

# Shell pattern of the end of a temporary name.
TEMPORARY = f'{"[0-9a-f]" * 12}.tmp'
# Characters of a file's name in its temporary one, which must not exceed the 255 bytes of a file system.
NAME_LENGTH = 40


def temporary_path(path: str | Path, keep_suffix: bool = False) -> Path:
    """Return a new hidden name in the same folder, under which a file is written until it is complete.

    Each call returns another name, so that processes that write one file do not write into each other's.

    Args:
        keep_suffix: end in the suffix of ``path``, for libraries that choose the format by it.
    """
    path = Path(path)
    unique = f'{secrets.token_hex(6)}.tmp'  # the operating system's randomness: training keeps its random state
    if keep_suffix:
        return path.with_name(f'.{path.stem[:NAME_LENGTH]}.{unique}{path.suffix}')
    return path.with_name(f'.{path.name[:NAME_LENGTH]}.{unique}')


def remove_temporaries(folder: str | Path, pattern: str = '*') -> None:
    """Remove temporary files and folders that killed processes have left. Call this only where no other process writes.

    Args:
        pattern: shell pattern of the final names, of up to 40 characters.
    """
    for path in Path(folder).glob(f'.{pattern}.{TEMPORARY}'):
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


@contextmanager
def atomic_path(path: str | Path, sync: bool = True, keep_suffix: bool = False) -> Iterator[Path]:
    """Yield a temporary path to write to; rename it to ``path`` at the end, or remove it on an error.

    The parent folder is created.

    Args:
        path: final name. An existing file is replaced.
        sync: see :func:`move_into_place`.
        keep_suffix: see :func:`temporary_path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_path(path, keep_suffix)
    try:
        yield temporary
        move_into_place(temporary, path, sync)
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)  # a full disk does not say which file it was
        raise
    finally:
        temporary.unlink(missing_ok=True)


def move_into_place(temporary: Path, path: str | Path, sync: bool = True) -> None:
    """Give a complete temporary file its name.

    Args:
        sync: flush the file and its folder to the disk. Without it the file may be empty after a power cut, and thousands of
            small files are written several times faster: use False for files that are checked and made again.
    """
    if sync:
        sync_path(temporary)
    os.replace(temporary, path)
    if sync:
        sync_path(Path(path).parent)  # the rename itself


def write_atomically(path: str | Path, content: str | bytes, sync: bool = True) -> None:
    """Write a small file at once. Text is UTF-8, with the bytes of file names that are not. See :func:`move_into_place`."""
    with atomic_path(path, sync) as temporary:
        temporary.write_bytes(content.encode(errors='surrogateescape') if isinstance(content, str) else content)


def sync_path(path: str | Path) -> None:
    """Flush a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_between(file: Path, begin: str, end: str, text: str) -> None:
    """Replace what stands between two markers in a text file.

    Raises:
        ValueError: the file has no such markers, which the message gives.
    """
    content = file.read_text(encoding='utf-8')
    before, found, rest = content.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f'{file} has no such markers: put the lines {begin} and {end} where the text belongs')
    write_atomically(file, f'{before}{begin}\n\n{text}\n\n{end}{after}')
