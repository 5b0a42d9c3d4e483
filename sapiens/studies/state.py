"""The state of runs, which is in their work dirs: ``run.json``, and a lock while a process works on it."""

import json
import platform
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import psutil

from sapiens.utils.files import write_atomically
from sapiens.utils.folder_lock import FolderLock, living_owner
from sapiens.utils.restarts import latest_checkpoint

__all__ = [
    'CLAIM',
    'CONTENT',
    'OUTDATED',
    'RECORD',
    'Attempt',
    'Record',
    'claim',
    'commit_here',
    'machine_here',
    'owner_of',
    'read_record',
]

RECORD = 'run.json'
CONTENT = 'content.json'
"""Name of the file with the flat config of a run."""
OUTDATED = 'outdated'
"""Folder of a variant for results of runs that it does not have any more."""
CLAIM = 'claim'
"""Name of the folder whose lock is held by the process that works on a run. The training itself locks the work dir."""
SHA = 40


@dataclass
class Attempt:
    """One start of a run.

    Attributes:
        start, end: seconds since 1970; the end is None while it runs, and if its runner was killed.
        host: name of the machine.
        status: exit status of the process, negative for the number of a signal.
        checkpoint: the latest one at the end, see :func:`sapiens.utils.restarts.latest_checkpoint`.
    """

    start: float
    host: str
    end: float | None = None
    status: int | None = None
    checkpoint: str | None = None


@dataclass
class Record:
    """What is known of a run, the content of ``run.json``.

    Attributes:
        hash: of its config and of the runs before it.
        study, variants, stage, seed, command, config, options: of its plan.
        commit: of the code, None outside of a repository; ``is_dirty`` if files had changed since.
        state: ``'running'``, ``'done'``, ``'interrupted'`` or ``'failed'``.
        attempts: its starts.
        metrics: {name: value}, the last value of each logged name.
        seconds: of all attempts.
        step_seconds: median of the logged time of an iteration, None without training.
        memory: peak of the process and its children in bytes; on a GPU that of the device.
        checkpoint: path relative to the work dir, None without one.
        error: of the last attempt, or ''.
        program: the command that was run.
        origin: folder of the equal run of another study whose result this is, '' for one of its own.
    """

    hash: str
    study: str
    variants: list[str]
    stage: str
    seed: int
    command: str
    config: str
    options: dict[str, Any]
    program: list[str] = field(default_factory=list)
    commit: str | None = None
    is_dirty: bool = False
    machine: str = ''
    state: str = 'running'
    attempts: list[Attempt] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    step_seconds: float | None = None
    memory: int | None = None
    checkpoint: str | None = None
    error: str = ''
    origin: str = ''

    def write(self, folder: Path) -> None:
        """Write ``run.json``."""
        write_atomically(folder / RECORD, json.dumps(asdict(self), indent=1, default=str) + '\n')

    @property
    def is_stuck(self) -> bool:
        """Whether its last two starts were killed without a new checkpoint in between."""
        last = self.attempts[-2:]
        return (
            len(last) == 2
            and all(one.status is not None and one.status < 0 for one in last)
            and (last[0].checkpoint == last[1].checkpoint)
        )


def read_record(folder: Path) -> Record | None:
    """The record of a run, None if there is none that can be read."""
    try:
        content = json.loads((folder / RECORD).read_text(encoding='utf-8'))
        content['attempts'] = [Attempt(**one) for one in content['attempts']]
        record = Record(**content)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return record if _is_sound(record) else None


def _is_sound(record: Record) -> bool:
    """Whether the values of a record have its types, which a file that was edited by hand may not have."""
    parts = [record, *record.attempts]
    fit = all(_fits(getattr(part, name), kind) for part in parts for name, kind in get_type_hints(type(part)).items())
    return fit and bool(record.attempts) and all(_fits(value, float) for value in record.metrics.values())


def _fits(value: Any, kind: Any) -> bool:
    kinds = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    found = tuple(get_origin(one) or one for one in kinds)
    return isinstance(value, (*found, int) if float in found else found)


def claim(folder: Path, report: Callable[[str], None]) -> FolderLock | None:
    """Take a run for this process. None if another one works on it."""
    if owner_of(folder) is not None:
        return None
    lock = FolderLock(folder / CLAIM, 'another process of the study works on it', report)
    try:
        lock.acquire()
    except ValueError:  # another one was faster
        return None
    return lock


def owner_of(folder: Path) -> Mapping[str, Any] | None:
    """Who works on a run, None if no living process does."""
    return living_owner(folder / CLAIM)


def set_aside(folder: Path, hash: str | None) -> None:
    """Move the result of another run out of a folder, where the claim stays.

    Args:
        hash: of the run that may keep its result there, None if none may. Without a ``run.json`` that can be read, nobody knows
            whose result the files are, and what is trained from their checkpoint would be the result of neither.
    """
    record = read_record(folder)
    # run.json goes last, so that a process that is killed here leaves a folder that is still outdated.
    found = sorted((path for path in folder.iterdir() if path.name != CLAIM), key=lambda path: path.name == RECORD)
    if not found or (record is not None and record.hash == hash):
        return
    target = folder.parent / OUTDATED / f'{folder.name}-{record.hash[:8] if record else "unknown"}'
    while target.exists():
        target = target.with_name(f'{target.name}-')
    target.mkdir(parents=True)
    for path in found:
        path.rename(target / path.name)


def new_attempt() -> Attempt:
    return Attempt(time.time(), socket.gethostname())


def end_attempt(record: Record, folder: Path, status: int | None) -> None:
    """Note the end of the last start of a run."""
    attempt = record.attempts[-1]
    attempt.end, attempt.status = time.time(), status
    attempt.checkpoint = latest_checkpoint(folder)
    record.seconds = sum(one.end - one.start for one in record.attempts if one.end is not None)


def commit_here() -> tuple[str | None, bool]:
    """The commit of the code, and whether tracked files have changed since; (None, False) outside of a repository."""
    root = Path(__file__).parents[2]
    try:
        show = subprocess.run(['git', 'rev-parse', 'HEAD'], cwd=root, capture_output=True, text=True, timeout=20)
        status = subprocess.run(
            ['git', 'status', '--porcelain', '--untracked-files=no'],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=20,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None, False
    commit = show.stdout.strip()
    return (commit, bool(status.stdout.strip())) if len(commit) == SHA else (None, False)


def machine_here() -> str:
    """Describe this machine: its GPU, or its processor and number of cores."""
    import torch

    if torch.cuda.is_available():
        return f'{torch.cuda.device_count()} x {torch.cuda.get_device_name()}'
    name = platform.processor() or platform.machine()
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
        name = next(line.partition(':')[2].strip() for line in lines if line.startswith('model name'))
    except (OSError, StopIteration):
        pass
    return f'{name}, {psutil.cpu_count()} cores'
