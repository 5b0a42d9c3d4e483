"""A lock on a folder, by which one process at a time writes to it."""

import contextlib
import json
import os
import secrets
import shlex
import socket
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from .files import temporary_path

__all__ = ['FolderLock', 'living_owner']

NAME = '.lock'


class FolderLock:
    """Keeps a second process from writing to a folder.

    The file ``.lock`` names the owner, which touches it every few seconds (the heartbeat). A lock is taken over when its owner
    has ended. On one machine the list of processes shows that. Of another machine, where the file is damaged or a copy, and where
    a process has the owner's number and another start, the heartbeat must have stood still; :meth:`acquire` waits for that.

    Args:
        folder: is created, and removed again if it is empty at the end.
        advice: what to do about another owner, at the end of the message.
        report: takes a line about waiting, or about a lock that is taken over.
    """

    heartbeat = 5.0
    """Seconds between two touches."""
    silence = 60.0
    """Seconds without a touch after which an owner on another machine counts as ended."""

    def __init__(self, folder: str | Path, advice: str, report: Callable[[str], None] = print) -> None:
        self.folder, self.advice, self.report = Path(folder), advice, report
        self.path = self.folder / NAME
        self.token = secrets.token_hex(8)
        self.is_lost = False
        self._made: list[Path] = []
        self._released = threading.Event()

    def __enter__(self) -> 'FolderLock':
        self.acquire()
        return self

    def __exit__(self, *_) -> None:
        self.release()

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            ValueError: another process works in the folder, or it is a file.
        """
        if self.folder.is_file():
            raise ValueError(f'{self.folder} is a file: give the name of a folder')
        self._made = [one for one in (self.folder, *self.folder.parents) if not one.exists()]
        self.folder.mkdir(parents=True, exist_ok=True)
        first, waiting = None, False
        while not self._create():
            try:
                owner, touched = self._read()
            except FileNotFoundError:
                continue  # released in between
            first = first or touched
            age = self._now() - touched
            # A lock that was copied with its folder is that of another folder: only its heartbeat tells.
            here = (owner.get('machine'), owner.get('folder')) == (_machine(), str(self.folder.resolve()))
            running = _is_running(owner) if here else None
            if running is None:
                ended, alive = age > self.silence, touched != first
            else:
                ended, alive = not running, running
            name = f'process {owner.get("pid", "?")} on {owner.get("host", "an unknown machine")}'
            if ended:
                self.report(f'{self.folder} was in use by {name}, which has ended: its lock is taken over')
                self._remove(owner, touched)
            elif alive:
                since = f' since {owner["since"]} ({owner["command"]})' if owner else ''
                raise ValueError(f'{self.folder} is in use by {name}{since}: {self.advice}')
            else:
                if not waiting:
                    self.report(
                        f'{self.folder} was in use by {name} {age:.0f} s ago: waiting up to {self.silence:.0f} s for a sign of '
                        'life'
                    )
                waiting = True
                time.sleep(min(1.0, self.heartbeat))
        threading.Thread(target=self._beat, daemon=True).start()

    def check(self) -> None:
        """Check that the lock is still that of this process, before a write that matters.

        Raises:
            RuntimeError: another process has taken it, after this one was suspended or its disk did not answer.
        """
        if self.is_lost:
            raise RuntimeError(
                f'{self.folder} was taken over by another process while this one stood still; it ends here'
            )

    def release(self) -> None:
        """Remove the lock, if it is still that of this process."""
        self._released.set()
        with contextlib.suppress(OSError):
            if self._read()[0].get('token') == self.token:
                self.path.unlink()
        with contextlib.suppress(OSError):  # one that is not empty
            for folder in self._made:
                folder.rmdir()

    def _create(self) -> bool:
        owner = dict(
            token=self.token,
            host=socket.gethostname(),
            machine=_machine(),
            folder=str(self.folder.resolve()),
            pid=os.getpid(),
            started=psutil.Process().create_time(),
            since=time.strftime('%Y-%m-%d %H:%M:%S'),
            command=textwrap.shorten(shlex.join(sys.argv), 100, placeholder=' ...'),
        )
        try:
            with open(self.path, 'x', encoding='utf-8', errors='backslashreplace') as file:
                json.dump(owner, file)
        except FileExistsError:
            return False
        except OSError as error:
            if error.filename is None:  # the file was made, but the disk is full
                self.path.unlink(missing_ok=True)
                error.filename = str(self.path)
            raise
        return True

    def _read(self) -> tuple[dict, float]:
        """Return the owner, empty for a damaged file, and the time of the last touch."""
        with open(self.path, 'rb') as file:  # opening makes network file systems ask the server
            return _parse(file.read()), os.fstat(file.fileno()).st_mtime

    def _now(self) -> float:
        """Return the time by the clock of the file system, which stamps the lock."""
        probe = temporary_path(self.path)
        probe.touch()
        try:
            return probe.stat().st_mtime
        finally:
            probe.unlink()

    def _remove(self, owner: dict, touched: float) -> None:
        """Remove the lock of an owner that has ended. Of several processes that try, one succeeds."""
        with contextlib.suppress(FileNotFoundError), open(self.path, 'rb') as file:
            with contextlib.suppress(ImportError, OSError):  # Windows; a file system without locks
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX)
            found = os.fstat(file.fileno())
            # Nobody else removes this file now. A lock that another process has made in between is another file.
            is_same = os.path.samestat(found, self.path.stat()) and found.st_mtime == touched
            if is_same and _parse(file.read()) == owner:
                self.path.unlink()

    def _beat(self) -> None:
        while not self._released.wait(self.heartbeat):
            try:
                if self._read()[0].get('token') != self.token:
                    self.is_lost = True
                    return
                os.utime(self.path)
            except FileNotFoundError:
                if not self._released.is_set() and self.folder.is_dir():
                    self._create()  # removed by hand
            except OSError:
                pass  # a file system that does not answer for a while


def living_owner(folder: str | Path) -> dict | None:
    """Look, without waiting, who holds the lock of a folder.

    Returns:
        The content of the lock, empty for one that cannot be read; None without a lock and where its owner has ended. An owner
        on another machine counts as ended after :attr:`FolderLock.silence`.
    """
    path = Path(folder) / NAME
    try:
        with open(path, 'rb') as file:
            owner, touched = _parse(file.read()), os.fstat(file.fileno()).st_mtime
    except OSError:
        return None
    here = (owner.get('machine'), owner.get('folder')) == (_machine(), str(Path(folder).resolve()))
    running = _is_running(owner) if here else None
    if running is None:
        running = time.time() - touched <= FolderLock.silence
    return owner if running else None


def _parse(content: bytes) -> dict:
    try:
        owner = json.loads(content)
    except ValueError:
        return {}
    return owner if isinstance(owner, dict) else {}


def _machine() -> str:
    """Identify the set of processes that have numbers in common: a machine since it was started, or a container of it."""
    try:
        boot = Path('/proc/sys/kernel/random/boot_id').read_text().strip()
        return f'{boot} {os.readlink("/proc/self/ns/pid")}'
    except OSError:
        return socket.gethostname()


def _is_running(owner: dict) -> bool | None:
    """Whether the owner runs; None where a process has its number and another start: setting the system's clock moves starts."""
    try:
        process = psutil.Process(owner['pid'])
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return True if process.create_time() == owner['started'] else None
    except (psutil.NoSuchProcess, KeyError, TypeError, ValueError):
        return False
    except psutil.AccessDenied:
        return True
