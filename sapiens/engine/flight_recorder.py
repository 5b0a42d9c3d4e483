"""What each process was doing when a collective failed, from torch's Flight Recorder.

Torch keeps the latest collectives of each process. When one fails, the process that notices writes them to the work dir and tells
the others, which then do the same, also those that hang. :mod:`sapiens.commands.hang` reads the files.
"""

import contextlib
import json
import os
import socket
import sys
import threading
import time
import traceback
from datetime import datetime
from pathlib import Path

import torch.distributed as dist

from .host_group import gather_on_hosts

__all__ = ['FOLDER', 'PROCESSES', 'FlightRecorder', 'is_collective_error', 'prepare']

# Folder in the work dir.
FOLDER = 'flight_recorder'
# File in it: rank, host and number of each process.
PROCESSES = 'processes.json'
# Beginning of the names of files that NCCL writes; the rank follows.
NCCL = 'nccl_rank_'
# Key of the store that tells the other processes, and the counter of those that have written.
FAILED, WRITTEN = 'sapiens/failed', 'sapiens/written'
# Seconds between two looks at the store, and for which a process waits for the files of the others.
INTERVAL, PATIENCE = 2.0, 10.0


def prepare(work_dir: str | Path) -> None:
    """Make NCCL write to the work dir. Call this before processes form a group."""
    os.environ.setdefault('TORCH_FR_DUMP_TEMP_FILE', str(Path(work_dir) / FOLDER / NCCL))
    os.environ.setdefault('TORCH_NCCL_DUMP_ON_TIMEOUT', '1')


def put_away(folder: Path) -> None:
    """Rename the folder of an earlier run that has failed."""
    if folder.exists() and any(file.name != PROCESSES for file in folder.iterdir()):
        folder.rename(folder.with_name(f'{FOLDER}_{datetime.fromtimestamp(folder.stat().st_mtime):%Y%m%d_%H%M%S_%f}'))


def is_collective_error(error: BaseException) -> bool:
    """Whether an error is that of a collective. Gloo raises no type of its own."""
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and is_of_collective(str(error)))


def is_of_collective(text: str) -> bool:
    """Whether the text of an error is that of a collective."""
    return any(mark in text for mark in ('gloo', 'NCCL', 'Application timeout', 'DistBackendError'))


class FlightRecorder:
    """Watches for the failure of a collective in any process, in a thread of its own.

    Every process must construct one, when no other run works in the work dir. Files of an earlier run are put away. Without
    several processes nothing happens.

    Args:
        work_dir: of the run, on a disk that all processes share.
    """

    def __init__(self, work_dir: str | Path) -> None:
        self.folder = Path(work_dir) / FOLDER
        self._main, self._lock, self._is_written = threading.main_thread().ident, threading.Lock(), False
        self._is_counted = False
        self._closed = threading.Event()
        if not dist.is_initialized() or dist.get_world_size() == 1:
            return
        if dist.get_rank() == 0:
            put_away(self.folder)
            self.folder.mkdir(parents=True, exist_ok=True)  # before any process goes on, which may fail at once
        processes = gather_on_hosts(dict(rank=dist.get_rank(), host=socket.gethostname(), pid=os.getpid()))
        if dist.get_rank() == 0:
            (self.folder / PROCESSES).write_text(json.dumps(processes))
        store = dist.distributed_c10d._get_default_store()
        self._store = store.clone()  # a connection of its own: the other one may be in use while a process hangs
        threading.Thread(target=self._watch, daemon=True).start()

    def report(self, error: BaseException) -> None:
        """Write an error and what this process was doing. If it is that of a collective, wait for the others to do so."""
        if not hasattr(self, '_store'):
            return
        self._write(''.join(traceback.format_exception(error)), f'{type(error).__name__}: {error}')
        # A call of the store does not return for minutes where the network has lost the process that holds it.
        telling = threading.Thread(target=self._tell, args=(is_collective_error(error),), daemon=True)
        telling.start()
        telling.join(PATIENCE + INTERVAL)

    def _tell(self, waits: bool) -> None:
        """Tell the others that this process has failed, and wait until they have written."""
        try:
            self._count()
            if not waits:
                return
            self._store.set(FAILED, str(dist.get_rank()))
            end = time.monotonic() + PATIENCE
            while self._store.add(WRITTEN, 0) < dist.get_world_size() and time.monotonic() < end:
                time.sleep(0.1)
        except RuntimeError:
            pass  # the process that holds the store has ended

    def close(self) -> None:
        """Stop watching."""
        self._closed.set()

    def _watch(self) -> None:
        try:
            while not self._closed.wait(INTERVAL):
                if self._store.check([FAILED]):
                    frame = sys._current_frames().get(self._main)
                    self._write(''.join(traceback.format_stack(frame)))
                    self._count()
                    return
        except RuntimeError:
            pass  # the process that holds the store has ended

    def _write(self, stack: str, error: str | None = None) -> None:
        """Write the file of this process, once."""
        with self._lock:
            if self._is_written:
                return
            self._is_written = True
            content = dict(rank=dist.get_rank(), time=time.time(), error=error, stack=stack, **recorded())
            path = self.folder / f'rank_{dist.get_rank()}.json'
            # The error of the collective is the one to show.
            with contextlib.suppress(OSError, RuntimeError):
                path.with_suffix('.tmp').write_text(json.dumps(content))
                path.with_suffix('.tmp').rename(path)

    def _count(self) -> None:
        """Tell the others, once, that this process has written."""
        with self._lock:
            is_counted, self._is_counted = self._is_counted, True
        if not is_counted:
            self._store.add(WRITTEN, 1)


def recorded() -> dict:
    """The latest collectives of this process that are not NCCL's, as torch describes them, and the groups of these."""
    from torch._C import _distributed_c10d

    dump = getattr(_distributed_c10d, '_dump_fr_trace_json', None)  # not in older versions of torch
    # Of gloo, torch's own entry ``pg_config`` is empty.
    groups = [group for group in dist.distributed_c10d._world.pg_map if dist.get_backend(group) == 'gloo']
    config = {group.group_name: dict(name=group.group_name, desc=group.group_desc) for group in groups}
    return dict(json.loads(dump()), pg_config=config) if dump else {}
