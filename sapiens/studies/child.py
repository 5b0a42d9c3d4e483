"""The process of a run: ``sapiens train`` or ``sapiens test``."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil
import torch

from sapiens.utils.files import write_atomically
from sapiens.utils.first_error import read_failure
from sapiens.utils.folder_lock import FolderLock, living_owner
from sapiens.utils.launcher_watch import STOP_WITH_PARENT
from sapiens.utils.restarts import latest_checkpoint
from sapiens.utils.stop_signals import STOPPED
from sapiens.visualization import read_curves

from .metrics import find_name
from .plan import Run
from .resolve import differences, option_texts
from .state import CONTENT, Record, commit_here, end_attempt, machine_here, new_attempt, read_record, set_aside

__all__ = [
    'LOG',
    'PROGRAM',
    'Child',
    'checkpoint_of',
    'command_of',
    'is_result',
    'is_training',
    'lacking',
    'why_outdated',
]

PROGRAM = (sys.executable, '-u', '-W', 'ignore', '-m', 'sapiens.commands')
"""The program that trains and tests."""
LOG = 'log.txt'
ERROR = 'error.json'
METRICS = 'metrics.json'
# Texts of errors that mean too little memory.
OUT_OF_MEMORY = ('out of memory', 'OutOfMemoryError', 'MemoryError', "DefaultCPUAllocator: can't allocate")


def checkpoint_of(folder: Path, which: str) -> Path | None:
    """The checkpoint of a training that the next stage takes: ``'last'`` or ``'best'``. None if there is none."""
    if which == 'best':
        found = sorted(folder.glob('best_*.pth'), key=lambda path: path.stat().st_mtime)
        return found[-1] if found else None
    entry = latest_checkpoint(folder)
    if entry is None:
        return None
    path = folder / Path(entry.rpartition(' ')[0]).name  # the folder may have another name on this machine
    return path if path.exists() else None


def why_outdated(run: Run, record: Record) -> str:
    """Why the record in the folder of a run is not its result, '' if it is."""
    if record.hash == run.hash:
        return ''
    try:
        before = dict(json.loads((run.folder / CONTENT).read_text(encoding='utf-8')))
    except (OSError, ValueError, TypeError):
        return 'its config has changed'
    changed = differences(before, json.loads(json.dumps(run.content, default=str)))
    if not changed:
        return f'the run before it has changed ({run.parent.name})' if run.parent else 'it had a run before it'
    key, (old, new) = next(iter(changed.items()))
    more = f' and {len(changed) - 1} more' if len(changed) > 1 else ''
    return f'{key}: {_short(old)} -> {_short(new)}{more}'


def _short(value) -> str:
    text = str(value)
    return text if len(text) <= 30 else f'{text[:29]}…'


def command_of(run: Run, program: Sequence[str] = PROGRAM, gpus: int = 1) -> list[str]:
    """The command line of a run. A run on several GPUs is started by torchrun."""
    options = dict(run.options)
    parent = run.parent and checkpoint_of(run.parent.folder, run.parent.stage.checkpoint)
    arguments = [run.stage.command, run.config]
    if run.stage.command == 'test':
        arguments += [str(parent), '--out', str(run.folder / METRICS)]
    else:
        arguments.append('--resume')
        if run.parent:
            options['load_from'] = str(parent)
    arguments += ['--work-dir', str(run.folder), '--cfg-options', *option_texts(options)]
    if gpus > 1:
        torchrun = ['-m', 'sapiens.utils.torchrun', f'--nproc_per_node={gpus}', '--max_restarts=0']
        return [sys.executable, *torchrun, *program[program.index('-m') :], *arguments, '--launcher', 'pytorch']
    return [*program, *arguments]


class Child:
    """A run that this process works on.

    Args:
        run: of a plan.
        lock: its claim, which :meth:`end` releases.
        program: see :data:`PROGRAM`.
        environment: variables of the process, such as ``CUDA_VISIBLE_DEVICES``.
        gpus: processes of the run, one for each GPU.

    Raises:
        OSError: the process cannot be started; the claim is released.
    """

    def __init__(
        self,
        run: Run,
        lock: FolderLock,
        study: str,
        program: Sequence[str] = PROGRAM,
        environment: dict[str, str] | None = None,
        gpus: int = 1,
    ) -> None:
        self.run, self.lock, self.memory, self.is_stopped = run, lock, 0, False
        self.looked = 0.0
        set_aside(run.folder, run.hash)
        record = read_record(run.folder)
        command = command_of(run, program, gpus)
        if record is None:
            record = Record(
                run.hash,
                study,
                run.variants,
                run.stage.name,
                run.seed,
                run.stage.command,
                run.config,
                dict(run.options),
            )
        record.program, record.state, record.error, record.variants = command, 'running', '', list(run.variants)
        record.commit, record.is_dirty = commit_here()
        record.machine = machine_here()
        for attempt in record.attempts:  # its runner was killed
            attempt.end = attempt.start if attempt.end is None else attempt.end
        record.attempts.append(new_attempt())
        self.record = record
        write_atomically(run.folder / CONTENT, json.dumps(run.content, indent=1, sort_keys=True, default=str) + '\n')
        record.write(run.folder)
        (run.folder / ERROR).unlink(missing_ok=True)
        variables = {
            **os.environ,
            STOP_WITH_PARENT: str(os.getpid()),
            'TORCHELASTIC_ERROR_FILE': str((run.folder / ERROR).absolute()),
            **(environment or {}),
        }
        # A session of its own: Ctrl-C reaches the runner only, which tells its children.
        with open(run.folder / LOG, 'ab') as log:
            log.write(f'--- {" ".join(command)}\n'.encode())
            log.flush()
            with contextlib.suppress(ImportError, OSError):  # Windows; a file system without locks
                import fcntl

                # Held by the process too, and after this one was killed: see is_training.
                fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=variables, start_new_session=True
            )

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended. Looks at its memory on the way."""
        if self.process.poll() is not None:
            return True
        if time.monotonic() > self.looked + 1.0:
            self.looked = time.monotonic()
            try:
                process = psutil.Process(self.process.pid)
                tree = [process, *process.children(recursive=True)]
                self.memory = max(self.memory, sum(one.memory_info().rss for one in tree))
            except psutil.Error:
                pass  # it ends
        return False

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Tell the process to write a checkpoint and end."""
        self.is_stopped = True
        if self.process.poll() is None:
            self.process.send_signal(number)

    def kill(self) -> None:
        """End the process and its children at once."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)

    def end(self) -> Record:
        """Wait for the process, write the record of the run, and release the claim."""
        status = self.process.wait()
        try:
            self._write_end(status)
        finally:
            self.lock.release()
        return self.record

    def _write_end(self, status: int) -> None:
        record, folder = self.record, self.run.folder
        end_attempt(record, folder, status)
        checkpoint = checkpoint_of(folder, self.run.stage.checkpoint) if self.run.stage.command == 'train' else None
        record.checkpoint = checkpoint and checkpoint.name
        record.metrics, record.step_seconds, device_memory = read_metrics(folder, self.run.stage.command)
        record.memory = device_memory or max(record.memory or 0, self.memory) or None
        if status == 0:
            record.state = 'done'
            if self.run.stage.command == 'train' and checkpoint is None and self.run.stage.checkpoint == 'best':
                record.state, record.error = (
                    'failed',
                    "no best_*.pth: set default_hooks.checkpoint.save_best, or checkpoint='last'",
                )
            elif missing := lacking(self.run, record):
                record.state, record.error = 'failed', missing
        elif self.is_stopped or status in STOPPED or (status < 0 and not record.is_stuck):
            record.state, record.error = 'interrupted', _how(status)
        else:
            record.state, record.error = 'failed', error_of(folder, status)
        record.write(folder)


def _how(status: int) -> str:
    number = STOPPED.get(status, -status if status < 0 else 0)
    return f'ended by {signal.Signals(number).name}' if number else f'ended with status {status}'


def error_of(folder: Path, status: int) -> str:
    """The last error of a run in one line; 'out of memory' where that was the reason."""
    failure = read_failure(folder / ERROR, 0, status)
    text = failure.message.removeprefix('error: ')
    try:
        tail = (folder / LOG).read_bytes()[-4000:].decode(errors='replace')
    except OSError:
        tail = ''
    lines = [line for line in tail.splitlines() if line.strip() and not line.startswith('--- ')]
    text = text or (lines[-1].removeprefix('error: ') if lines else '')
    if any(sign in f'{text}\n{tail}' for sign in OUT_OF_MEMORY):
        return 'out of memory'
    if status == -signal.SIGKILL:
        return (
            'ended by SIGKILL twice without a new checkpoint in between: the system kills so when the memory is full'
        )
    text = ' '.join(text.split())
    return text[:300] or _how(status)


def read_metrics(folder: Path, command: str) -> tuple[dict[str, float], float | None, int | None]:
    """What a run has logged: the last value of each name, the median seconds of an iteration, and bytes of the GPU."""
    if command == 'test':
        try:
            values = dict(json.loads((folder / METRICS).read_text(encoding='utf-8')))
        except (OSError, ValueError, TypeError):
            return {}, None, None
        return {name: value for name, value in values.items() if isinstance(value, int | float)}, None, None
    try:
        curves = read_curves(folder)
    except (ValueError, KeyError):
        return {}, None, None
    last = {name: float(values[-1]) for name, (_, values) in curves.items()}
    times = curves['time'][1] if 'time' in curves else np.empty(0)
    # Without a GPU the log has the memory of the main process, to which that of the loader's processes is added elsewhere.
    peak = curves['memory'][1].max() * 2**20 if 'memory' in curves and torch.cuda.is_available() else 0
    return last, float(np.median(times)) if len(times) else None, int(peak) or None


def lacking(run: Run, record: Record) -> str:
    """The error of a run that has ended without metrics of the study that its evaluator reports; '' where they are there."""
    missing = [name for name in run.metrics if find_name(name, record.metrics) is None]
    missing = [name for name in missing if name in run.reported] if missing else []
    return f'it has ended without {", ".join(missing)}: {LOG} tells why' if missing else ''


def is_result(run: Run, record: Record | None) -> bool:
    """Whether a record is that of the run, which is done and has its metrics."""
    return record is not None and record.hash == run.hash and record.state == 'done' and not lacking(run, record)


def is_training(folder: Path) -> bool:
    """Whether a process works in the folder of a run, such as one whose runner was killed.

    A training locks its work dir when it has read its data. Until then, the lock of the log shows it, which the system releases
    when the last process that writes there has ended.
    """
    if living_owner(folder) is not None:
        return True
    with contextlib.suppress(ImportError, FileNotFoundError):
        import fcntl

        with open(folder / LOG, 'rb') as log:
            try:
                fcntl.flock(log, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            except OSError:  # a file system without locks
                return False
    return False
