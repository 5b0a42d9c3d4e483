"""Atomic writes: a file appears under its name when it is complete, or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ['atomic_path', 'sync_path', 'temporary_path', 'write_atomically']


def temporary_path(path: str | Path, keep_suffix: bool = False) -> Path:
    """The hidden name in the same folder under which a file is written until it is complete.

    Args:
        keep_suffix: end in the suffix of ``path``, for libraries that choose the format by it.
    """
    path = Path(path)
    name = f'.{path.stem}.tmp{path.suffix}' if keep_suffix else f'.{path.name}.tmp'
    return path.with_name(name)


@contextmanager
def atomic_path(path: str | Path, sync: bool = False, keep_suffix: bool = False) -> Iterator[Path]:
    """Yield a temporary path to write to; rename it to ``path`` at the end, or remove it on an error.

    The parent folder is created.

    Args:
        path: final name. An existing file is replaced.
        sync: flush the file and its folder to the disk, so that the file survives a power cut.
        keep_suffix: see :func:`temporary_path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_path(path, keep_suffix)
    try:
        yield temporary
        if sync:
            sync_path(temporary)
        os.replace(temporary, path)
        if sync:
            sync_path(path.parent)  # the rename itself
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: str | Path, content: str | bytes) -> None:
    """Write a small file at once. Text is UTF-8."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def sync_path(path: str | Path) -> None:
    """Flush a file or folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
