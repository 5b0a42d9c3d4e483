"""Restarts of a run by its launcher: from which checkpoint it continues, and when it is not started again.

A launcher (``sapiens.utils.torchrun``, the batch script of ``sapiens submit``) names a file in the variable ``SAPIENS_RUN_FILE``.
The run tells it there where its checkpoints are. The file stays from one start of the run to the next.
"""

import contextlib
import json
import os
from pathlib import Path

from .files import write_atomically

__all__ = ['LAST', 'RUN_FILE', 'RunFile', 'latest_checkpoint']

LAST = 'last_checkpoint'
"""Name of the file in a work dir that names the checkpoint that was written last."""

RUN_FILE = 'SAPIENS_RUN_FILE'


def latest_checkpoint(work_dir: str | Path) -> str | None:
    """Identify the latest checkpoint of a work dir: its path, and the time of its entry. None if there is none."""
    file = Path(work_dir) / LAST
    try:
        return f'{os.fsdecode(file.read_bytes()).strip()} {file.stat().st_mtime_ns}'
    except OSError:
        return None


class RunFile:
    """What a launcher and the starts of a run know of each other.

    Args:
        path: of the file. It need not exist.

    Attributes:
        work_dir: of the run; None until it has told it.
        at_start: the latest checkpoint when the run was first started, which may be that of an earlier run.
        ends: the latest checkpoint at each failure.
        limits: the latest checkpoint at each time limit of a Slurm job.
        first_error: message of the first failure.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        content = {}
        with contextlib.suppress(OSError, ValueError):
            content = json.loads(self.path.read_text(encoding='utf-8'))
        self.work_dir: str | None = content.get('work_dir')
        self.at_start: str | None = content.get('at_start')
        self.ends: list[str | None] = content.get('ends', [])
        self.limits: list[str | None] = content.get('limits', [])
        self.first_error: str = content.get('first_error', '')

    def write(self) -> None:
        content = {name: value for name, value in vars(self).items() if name != 'path'}
        write_atomically(self.path, json.dumps(content, indent=1).encode())

    @property
    def checkpoint(self) -> str | None:
        """The latest checkpoint now."""
        return latest_checkpoint(self.work_dir) if self.work_dir else None

    def add_failure(self, error: str, most: int) -> str:
        """Note that the run has failed.

        Args:
            error: why.
            most: number of restarts.

        Returns:
            Why the run is not started again, or ''.
        """
        self.ends.append(self.checkpoint)
        self.first_error = self.first_error or error
        if problem := self._write():
            return problem
        if len(self.ends) > 1 and self.ends[-1] == self.ends[-2]:
            return 'it has failed twice without a new checkpoint in between'
        if len(self.ends) > most:
            return f'it has failed {len(self.ends)} times, and may be restarted {most} times'
        return ''

    def add_limit(self) -> str:
        """Note that the run was stopped by the time limit of its job; returns why it is not started again, or ''."""
        self.limits.append(self.checkpoint)
        if problem := self._write():
            return problem
        if len(self.limits) > 1 and self.limits[-1] == self.limits[-2]:
            return 'the time limit came twice without a new checkpoint in between: ask for more --time'
        return ''

    def _write(self) -> str:
        """Write the file; returns why that is not possible, or ''. Without it, the next start would not know of this one."""
        try:
            self.write()
        except OSError as error:
            return f'{self.path} cannot be written ({error.strerror})'
        return ''

    @property
    def checkpoint_name(self) -> str:
        """Name of the latest checkpoint, for messages."""
        return Path(self.checkpoint.rpartition(' ')[0]).name if self.checkpoint else 'none'
