"""Reads images from tar shards, within a time limit, and from a local copy where there is one."""

import io
import os
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from .shard_cache import ShardCache
from .shard_index import ShardIndex, read_range
from .shard_names import sample_of
from .tar_reader import BLOCK, BrokenTar, next_member, read_content
from .transforms.decoding import BadImage
from .transforms.loading import MAX_FILE_BYTES

__all__ = ['ShardReader']

_TABLES_KEPT = 512
_OPEN_FILES = 128
_IDLE_SECONDS = 60
_LONGEST_PAUSE = 3600


class ShardReader:
    """Reads images in one process, since threads and open files belong to the process that made them.

    A shard that is missing, does not answer in time or cannot be read is set aside: its samples are bad at once, without another
    try, for as long as the time limit, then for twice as long after each further failure, up to an hour. While slow shards are
    set aside, each of them halves the limit for other shards, down to a sixteenth. So a file server that is down holds up a batch
    for three limits, not for one per shard.

    Args:
        index: of the shards.
        timeout: seconds for a read.
        cache: local copies; None for none.
    """

    def __init__(self, index: ShardIndex, timeout: float, cache: ShardCache | None) -> None:
        self.index, self.timeout, self.cache = index, timeout, cache
        self._call = _TimedCalls()
        self._tables: OrderedDict[int, np.ndarray] = OrderedDict()
        # Open copies and local shards, the latest used last: file, whether it is a copy, time of the latest use.
        self._files: OrderedDict[int, tuple[BinaryIO, bool, float]] = OrderedDict()
        # Until when, length of the pause, reason, and whether it is slow.
        self._aside: dict[int, tuple[float, float, str, bool]] = {}

    def read(self, shard: int, member: int) -> tuple[str, bytes]:
        """Name and content of an image.

        Raises:
            BadImage: with the path of the shard where the shard is the reason.
        """
        path = self.index.paths[shard]
        until, pause, reason, _ = self._aside.get(shard, (0.0, self.timeout / 2, '', False))
        now = time.monotonic()
        if now < until:
            raise BadImage(reason, path)
        slow = sum(is_slow and now < end for end, *_, is_slow in self._aside.values())
        self._call.timeout = self.timeout / 2 ** min(slow, 4)
        is_slow = False
        try:
            found = self._read(shard, member)
        except BadImage:
            raise
        except _NoAnswer:
            reason, is_slow = f'the shard is slow: no answer in {self._call.timeout:.3g} s', True
        except FileNotFoundError:
            reason = 'the shard is missing'
        except Exception as error:  # any error of a remote file system
            reason = f'the shard cannot be read: {type(error).__name__}: {error}'
        else:
            self._aside.pop(shard, None)
            return found
        self._files.pop(shard, None)  # not closed: a call that got no answer may still use it
        pause = min(2 * pause, _LONGEST_PAUSE)
        self._aside[shard] = time.monotonic() + pause, pause, reason, is_slow
        raise BadImage(reason, path)

    def _read(self, shard: int, member: int) -> tuple[str, bytes]:
        path, size = self.index.paths[shard], int(self.index.sizes[shard])
        if shard not in self._tables:
            self._tables[shard] = self._call(lambda: self.index.read_places(shard))
            if len(self._tables) > _TABLES_KEPT:
                self._tables.popitem(last=False)
        first, count = self._tables[shard][member].tolist()
        begin, end = first * BLOCK, (first + count) * BLOCK
        if end - begin > MAX_FILE_BYTES:
            raise BadImage(f'image {member} of the shard has more than {MAX_FILE_BYTES >> 20} MiB', path)
        file, is_copy = self._open_file(shard)
        if is_copy:
            try:
                return _parse(os.pread(file.fileno(), end - begin, begin))
            except (OSError, BrokenTar):  # a local disk that fails, or that lost content in a crash
                self._close(shard)
                self.cache.remove(path, size)
                file = None

        def fetch():
            if '://' in path:
                return None, read_range(path, begin, end)
            opened = file or open(path, 'rb', buffering=0)  # noqa: SIM115  (kept open)
            return opened, os.pread(opened.fileno(), end - begin, begin)

        file, content = self._call(fetch)
        if file is not None:
            self._files[shard] = file, False, time.monotonic()
        try:
            return _parse(content)
        except BrokenTar as error:
            # The other samples of the shard may be in order.
            reason = f'shorter than the {size} bytes of the index' if len(content) < end - begin else str(error)
            raise BadImage(f'the shard is {reason}', path) from error

    def _open_file(self, shard: int) -> tuple[BinaryIO | None, bool]:
        """The open file of a shard and whether it is a copy; (None, False) where there is none."""
        file, is_copy, _ = self._files.get(shard, (None, False, 0.0))
        if self.cache and not is_copy:
            copy = self.cache.open(self.index.paths[shard], int(self.index.sizes[shard]))
            if copy:
                self._close(shard)
                file, is_copy = copy, True
        now = time.monotonic()
        if file is not None:
            self._files[shard] = file, is_copy, now
            self._files.move_to_end(shard)
        while self._files:
            oldest, (*_, used) = next(iter(self._files.items()))
            if len(self._files) <= _OPEN_FILES and now - used < _IDLE_SECONDS:
                break
            self._close(oldest)
        return file, is_copy

    def _close(self, shard: int) -> None:
        file, *_ = self._files.pop(shard, (None,))
        if file is not None:
            file.close()


def _parse(content: bytes) -> tuple[str, bytes]:
    """Name and content of the image that begins with its header. Raises BrokenTar where there is another thing."""
    file = io.BytesIO(content)
    try:
        member = next_member(file, 0)
        if member is not None and member.is_file and sample_of(member.name):
            return member.name, read_content(file, member)
    except BrokenTar:
        pass
    raise BrokenTar('not the one that was indexed: index it again')


class _NoAnswer(Exception):
    """A call took longer than allowed."""


class _TimedCalls:
    """Calls functions in a thread and waits for them for a limited time.

    A call on a network file system that does not answer cannot be ended. Its thread is left behind, and another one does the next
    call. Daemon threads do not keep the process from ending.
    """

    def __init__(self) -> None:
        self.timeout = 0.0
        self._jobs = None

    def __call__(self, function: Callable[[], Any]) -> Any:
        if self._jobs is None:
            self._jobs, self._answers = queue.SimpleQueue(), queue.SimpleQueue()
            threading.Thread(target=_serve, args=(self._jobs, self._answers), daemon=True).start()
        self._jobs.put(function)
        try:
            error, result = self._answers.get(timeout=self.timeout)
        except queue.Empty:
            self._jobs.put(None)
            self._jobs = None
            raise _NoAnswer from None
        if error is not None:
            raise error
        return result


def _serve(jobs: queue.SimpleQueue, answers: queue.SimpleQueue) -> None:
    while (function := jobs.get()) is not None:
        try:
            answer = None, function()
        except Exception as error:
            answer = error, None
        answers.put(answer)
        del function, answer
