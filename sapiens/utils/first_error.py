"""The first error of several processes: each leaves its own in a file, as processes of torchrun do.

The files have torch's format (``torch.distributed.elastic.multiprocessing.errors``), and the kind of the end in addition.
"""

import contextlib
import errno
import json
import os
import re
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .restarts import RUN_FILE
from .stop_signals import STOPPED

__all__ = [
    'ERROR_PREFIX',
    'Failure',
    'describe',
    'error_file',
    'first_failure',
    'is_lost_connection',
    'read_failure',
    'report_end',
]

ERROR_PREFIX = 'SAPIENS_ERRORS'
"""Variable of a Slurm job: the path of the files of its tasks, up to their numbers."""

# What a process says whose partner has ended. NCCL's watchdog aborts the process.
CONSEQUENCE = re.compile(r'Dist\w*Error|gloo|NCCL|Connection (closed|reset|refused)|Broken pipe|Socket Timeout')
CONSEQUENCE_SIGNALS = (signal.SIGTERM, signal.SIGABRT)


@dataclass
class Failure:
    """How a process has ended.

    Attributes:
        rank: number of the process.
        status: its exit status, negative for the number of a signal; None if it is not known.
        kind: ``'failed'``; ``'refused'`` for a wrong input; ``'stopped'`` by a signal, after a checkpoint.
        message: the type and the text of its exception, or ''.
        trace: the traceback of its exception, or ''.
        time: when it wrote its message, or was found ended; nanoseconds.
        hung: whether its launcher killed it, since it did not end after the others had failed.
    """

    rank: int
    status: int | None
    kind: str
    message: str
    trace: str
    time: int
    hung: bool = False

    def __str__(self) -> str:
        if self.message:
            what = 'lost its connection' if self.kind == 'failed' and self.is_consequence else 'failed first'
            return f'rank {self.rank} {what}: {self.message.removeprefix("error: ")}'
        if self.status is None:
            return f'rank {self.rank} failed first, and could not leave its message'
        if self.status >= 0:
            return f'rank {self.rank} failed first, with status {self.status}: its message is above'
        if self.hung:
            return f'rank {self.rank} hung, and was killed after the others had failed (sapiens hang WORK_DIR has their calls)'
        name = signal.Signals(-self.status).name
        hint = ' (the system kills with it when the memory is full)' if name == 'SIGKILL' else ''
        return f'rank {self.rank} was ended by {name}{hint}'

    @property
    def is_consequence(self) -> bool:
        """Whether it probably failed because another process had ended."""
        if self.kind == 'failed' and self.message:
            return is_lost_connection(self.message)
        return self.hung or self.kind == 'stopped' or self.status in [-number for number in CONSEQUENCE_SIGNALS]


def is_lost_connection(message: str) -> bool:
    """Whether the text of an error tells that another process has ended or does not answer."""
    return CONSEQUENCE.search(message) is not None


def error_file() -> Path | None:
    """Where this process leaves its error: for torchrun, or for the batch script of a Slurm job. None without them."""
    if file := os.environ.get('TORCHELASTIC_ERROR_FILE'):
        return Path(file)
    prefix, rank = os.environ.get(ERROR_PREFIX), os.environ.get('SLURM_PROCID')
    return Path(f'{prefix}_{rank}.json') if prefix and rank else None


def describe(error: BaseException) -> str:
    """The type and the text of an exception, and what to do where the disk is full."""
    text = f'{type(error).__name__}: {error}'
    if getattr(error, 'errno', None) in (errno.ENOSPC, errno.EDQUOT):
        text += '. The disk (or the quota) is full: free some space'
    return text


def report_end(kind: str, message: str, trace: str = '') -> bool:
    """Leave the reason why this process ends, where its launcher looks for it; see :class:`Failure` for the arguments.

    Returns whether the launcher will find it and print it for all processes of the machine (:mod:`.torchrun`).
    """
    file = error_file()
    if file is None:
        return False
    now = int(time.time())
    if trace:
        content = dict(message=dict(message=message, extraInfo=dict(py_callstack=trace, timestamp=str(now))))
    else:
        content = dict(message=message, timestamp=now)
    with contextlib.suppress(OSError):  # a full disk must not hide the error itself
        file.write_text(json.dumps(dict(content, kind=kind)), encoding='utf-8')
        return RUN_FILE in os.environ and 'TORCHELASTIC_ERROR_FILE' in os.environ
    return False


def read_failure(file: str | Path, rank: int, status: int | None = None, found: float = 0.0) -> Failure:
    """Read how a process has ended.

    Args:
        file: where it may have left its error.
        rank: its number.
        status: its exit status, negative for the number of a signal.
        found: when it was found ended, in seconds; used if it has left no error.
    """
    message, trace, moment, kind = '', '', int(found * 1e9), None
    # It may have left none, or was killed while it wrote.
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        content = json.loads(Path(file).read_text(encoding='utf-8'))
        moment, kind, message = os.stat(file).st_mtime_ns, content.get('kind', 'failed'), content['message']
        if isinstance(message, dict):
            trace, message = message.get('extraInfo', {}).get('py_callstack', ''), message['message']
    if kind is None:
        kind = 'refused' if status == 2 else 'stopped' if status in STOPPED else 'failed'
    return Failure(rank, status, kind, message, trace, moment)


def first_failure(failures: Iterable[Failure]) -> Failure:
    """The one that others followed: the earliest that is no consequence, else one that hung, else the earliest."""
    return min(failures, key=lambda failure: (failure.is_consequence, not failure.hung, failure.time))
