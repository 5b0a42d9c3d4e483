"""Local copies of shards, shared by the processes of a machine, up to a number of bytes."""

import contextlib
import errno
import hashlib
import os
import posixpath
import queue
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from .shard_index import read_range

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

__all__ = ['ShardCache']

_CHUNK = 16 << 20
_LOCK = '.lock'
_COPY, _PART = '.copy', '.part'
# Seconds between two notes, over all processes of the machine; without copies after there was no room; and until a shard that
# could not be copied is tried again.
_QUIET = 600
_PAUSE = 60
_RETRY = 600


class ShardCache:
    """Copies shards to a folder in the background, and opens the copies.

    The first process that needs a shard copies it, while all of them read the shard itself; nobody waits for a copy. It is
    written to a file ``.part``, which only one process can lock, and renamed when it is complete. An open copy is locked too:
    before a copy is made, the copies that were opened the longest ago and that nobody has open are removed until there is room.
    Locks end with their process. Where the disk is full or the folder cannot be written, or open copies reach the limit, shards
    are read where they are, and a process of the machine takes a note of it every ten minutes. A folder that is removed while a
    run uses it is made again.

    Args:
        folder: on a local disk; made if missing. Several datasets may share it.
        limit: bytes of all copies together.

    Raises:
        ValueError: no folder, a limit of 0 or less, or a system without ``fcntl``.
        OSError: the folder cannot be made or written to.
    """

    def __init__(self, folder: str | Path, limit: int) -> None:
        if fcntl is None:
            raise ValueError(f'cache_dir={folder!r}: the cache of shards needs the file locks of Linux or macOS')
        if not (isinstance(folder, str | Path) and str(folder)):
            raise ValueError(f'cache_dir={folder!r}: expected a folder on a local disk')
        if limit <= 0:
            raise ValueError(f'a cache of {limit} bytes: expected more than 0')
        self.folder, self.limit = Path(folder).expanduser(), limit
        self._lock_path = self.folder / _LOCK
        self._make_folder()
        self._notes: list[str] = []
        self._quiet = 0.0  # until when this process takes no note, where the folder does not tell of the latest one
        self._owner = None  # the process whose thread copies

    def _make_folder(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError), open(self._lock_path, 'xb'):
            os.utime(self._lock_path, (0, 0))  # the time of the latest note

    def open(self, path: str, size: int) -> BinaryIO | None:
        """Open the copy of a shard of ``size`` bytes. Without one, order it and return None."""
        copy = self._copy_path(path, size)
        try:
            file = open(copy, 'rb', buffering=0)  # noqa: SIM115  (the caller closes it)
        except OSError:
            self._order(path, size)
            return None
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            os.utime(copy)
        return file

    def remove(self, path: str, size: int) -> None:
        """Remove a copy that turned out to be damaged."""
        self._copy_path(path, size).unlink(missing_ok=True)

    def __getstate__(self) -> dict:
        # The thread and its queue belong to this process.
        return dict(
            folder=self.folder, limit=self.limit, _lock_path=self._lock_path, _notes=[], _quiet=0.0, _owner=None
        )

    def take_notes(self) -> list[str]:
        """Lines for the log that have come up in this process since the last call."""
        notes, self._notes = self._notes, []
        return notes

    def _copy_path(self, path: str, size: int) -> Path:
        # A shard that was written again usually has another size.
        key = hashlib.sha256(f'{path}\0{size}'.encode(errors='surrogateescape')).hexdigest()[:16]
        return self.folder / f'{key}-{posixpath.basename(path)[-100:]}{_COPY}'

    # ------------------------------------------------------------------ copying

    def _order(self, path: str, size: int) -> None:
        if self._owner != os.getpid():  # a thread does not survive a fork
            self._owner, self._ordered, self._paused = os.getpid(), set(), 0.0
            self._failed: dict[str, float] = {}  # until when a shard is left alone
            self._orders = queue.SimpleQueue()
            threading.Thread(target=self._serve, daemon=True).start()
        if path not in self._ordered and time.monotonic() >= max(self._paused, self._failed.get(path, 0.0)):
            self._ordered.add(path)
            self._orders.put((path, size))

    def _serve(self) -> None:
        while True:
            path, size = self._orders.get()
            try:
                self.copy(path, size)
            except Exception as error:
                if self._is_of_cache(error):
                    self._pause(error.strerror)
                else:  # Such as a short shard: all of it would be read again for each sample. The reader reports this error
                    self._failed[path] = time.monotonic() + _RETRY
            self._ordered.discard(path)

    def _is_of_cache(self, error: Exception) -> bool:
        """Whether an error is that of the folder or its disk, and not of the shard."""
        if not isinstance(error, OSError):
            return False
        is_there = error.filename is not None and Path(os.fsdecode(error.filename)).is_relative_to(self.folder)
        return is_there or error.errno in (errno.ENOSPC, errno.EDQUOT)

    def copy(self, path: str, size: int) -> bool:
        """Copy a shard now, unless another process does. Returns whether this process has copied it.

        Raises:
            OSError: the shard cannot be read, the folder cannot be written, or the disk is full.
        """
        self._make_folder()
        target = self._copy_path(path, size)
        part = target.with_suffix(_PART)
        with open(os.open(part, os.O_RDWR | os.O_CREAT, 0o666), 'r+b', buffering=0) as file:
            # Another process may have removed or renamed it since it was opened here.
            if not (_lock(file) and _is_at(file, part)):
                return False
            try:
                if target.exists():
                    part.unlink()
                    return False
                if not self._make_room(size, file, part.name):
                    part.unlink()
                    self._pause(f'{size / 1e9:.3g} GB do not fit into {self.limit / 1e9:g} GB beside what is in use')
                    return False
                written = 0
                while written < size:
                    chunk = read_range(path, written, min(size, written + _CHUNK))
                    if not chunk:
                        raise EOFError(f'{path} ends after {written} of {size} bytes')
                    view = memoryview(chunk)
                    while view:
                        view = view[file.write(view) :]
                    written += len(chunk)
                with self._all_locked():  # a listing during a rename may show neither name
                    os.replace(part, target)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
        return True

    def _make_room(self, size: int, part: BinaryIO, name: str) -> bool:
        """Remove copies until ``size`` more bytes fit, and reserve them as the size of ``part``. Returns whether they fit."""
        if size > self.limit:
            return False
        with self._all_locked():
            entries = []
            for entry in os.scandir(self.folder):
                if entry.name.endswith((_COPY, _PART)) and entry.name != name:
                    with contextlib.suppress(FileNotFoundError):
                        status = entry.stat()
                        entries.append((entry.name.endswith(_COPY), status.st_mtime, status.st_size, entry.path))
            used = sum(entry[2] for entry in entries)
            # What killed processes have left, then the copies by age.
            for _, _, bytes_, path in sorted(entries):
                if used + size <= self.limit:
                    break
                with contextlib.suppress(FileNotFoundError), open(path, 'rb') as file:
                    if _lock(file) and _is_at(file, path):
                        os.unlink(path)
                        used -= bytes_
            if used + size > self.limit:
                return False
            part.truncate(size)  # takes no space on the disk yet
            return True

    @contextlib.contextmanager
    def _all_locked(self) -> Iterator[None]:
        with open(self._lock_path, 'ab') as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _pause(self, reason: str) -> None:
        """Order no copies for a while, and take a note unless a process of this machine has lately."""
        self._paused = time.monotonic() + _PAUSE
        try:
            with self._all_locked():
                if time.time() - self._lock_path.stat().st_mtime < _QUIET:
                    return
                os.utime(self._lock_path)
        except OSError:  # the folder cannot be written
            if time.monotonic() < self._quiet:
                return
            self._quiet = time.monotonic() + _QUIET
        self._notes.append(
            f'{self.folder} on {socket.gethostname()} takes no more copies of shards ({reason}): they are read where they are'
        )


def _lock(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_at(file: BinaryIO, path: str | Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False
