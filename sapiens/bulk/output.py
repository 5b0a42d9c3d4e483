"""The folder that stages write to, with the records of finished units."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from sapiens.utils.files import move_into_place, remove_temporaries, temporary_path, write_atomically
from sapiens.utils.folder_lock import FolderLock

from .units import Stage, Unit

__all__ = ['OutputFolder']

RECORDS, FAILURES, WORK = 'records', 'failures', '.work'


class OutputFolder:
    """A folder with the files of finished units, their records, and the errors of the others.

    As a context manager it is locked, so that one command at a time writes to it, and what a killed run has left half-written is
    removed. Workers open it without that.

    Args:
        path: is created.
        advice: what to do about another command that works in the folder; ends the error message.
        report: takes lines about a lock that is waited for.

    Raises:
        ValueError: on entering, if another command works in it.
    """

    def __init__(self, path: str | Path, advice: str = 'wait for it, or choose another folder', report=print) -> None:
        # Workers have another working directory on other machines.
        self.path = Path(os.path.abspath(Path(path).expanduser()))
        self._lock = FolderLock(self.path, advice, report)

    def __enter__(self) -> 'OutputFolder':
        self._lock.acquire()
        shutil.rmtree(self.path / WORK, ignore_errors=True)
        self.remove_temporaries()
        return self

    def __exit__(self, *_) -> None:
        shutil.rmtree(self.path / WORK, ignore_errors=True)
        self._lock.release()

    def remove_temporaries(self) -> None:
        """Remove what killed workers have left half-written, in the folder and two levels below. None may be running."""
        for folder in _folders(self.path, 2):
            remove_temporaries(folder)

    @property
    def is_locked(self) -> bool:
        """Whether a command holds the lock, as seen from this machine."""
        return self._lock.path.exists()

    def check_lock(self) -> None:
        """Raise RuntimeError if another command has taken the lock over."""
        self._lock.check()

    def record_of(self, stage: Stage, unit: str) -> Path:
        return self.path / RECORDS / stage.name / f'{unit}.json'

    def failure_of(self, stage: Stage, unit: str) -> Path:
        return self.path / FAILURES / stage.name / f'{unit}.txt'

    def read_record(self, stage: Stage, unit: str) -> dict | None:
        """Return the record of a unit: ``digest``, ``files`` {path: bytes}, ``counts``; None without a whole one."""
        try:
            record = json.loads(self.record_of(stage, unit).read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        return record if isinstance(record, dict) and {'digest', 'files', 'counts'} <= record.keys() else None

    def counts_if_done(self, stage: Stage, unit: Unit) -> dict[str, int] | None:
        """Return the counts of a unit that is done with these data and settings; None if it is not."""
        record = self.read_record(stage, unit.name)
        if record is None or record['digest'] != unit.digest(stage.version):
            return None
        is_there = all(_size(self.path / name) == size for name, size in record['files'].items())
        return record['counts'] if is_there else None

    def files(self, stage: Stage, units: Iterable[str] | None = None) -> list[Path]:
        """Return the files of finished units, in the order of their names; default: of all units that have a record."""
        names = (
            units if units is not None else (path.stem for path in (self.path / RECORDS / stage.name).glob('*.json'))
        )
        records = (self.read_record(stage, name) for name in names)
        return sorted(self.path / name for record in records if record for name in record['files'])

    def work_folder(self, stage: Stage, unit: Unit) -> Path:
        """Make a new folder for the files of a unit that is being run."""
        folder = temporary_path(self.path / WORK / f'{stage.name}-{unit.name}')
        folder.mkdir(parents=True)
        return folder

    def finish(self, stage: Stage, unit: Unit, folder: Path, counts: dict[str, int]) -> None:
        """Move the files of a unit from its folder to their places, then write its record."""
        files = {
            str(path.relative_to(folder)): path.stat().st_size for path in sorted(folder.rglob('*')) if path.is_file()
        }
        before = self.read_record(stage, unit.name)
        self.record_of(stage, unit.name).unlink(missing_ok=True)
        for name in files:
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            move_into_place(folder / name, self.path / name)
        for name in set(before['files'] if before else ()) - set(files):
            (self.path / name).unlink(missing_ok=True)
        record = dict(digest=unit.digest(stage.version), files=files, counts=counts)
        write_atomically(self.record_of(stage, unit.name), json.dumps(record, indent=1) + '\n')
        self.failure_of(stage, unit.name).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)

    def write_failure(self, stage: Stage, unit: str, error: str, details: str) -> None:
        """Keep the error of a unit."""
        write_atomically(self.failure_of(stage, unit), f'{error}\n\n{details}'.strip() + '\n')

    def forget(self, stage: Stage, unit: str) -> None:
        """Remove the record and the files of a unit, and its error."""
        record = self.read_record(stage, unit)
        self.record_of(stage, unit).unlink(missing_ok=True)
        self.failure_of(stage, unit).unlink(missing_ok=True)
        for name in record['files'] if record else ():
            (self.path / name).unlink(missing_ok=True)


def _folders(path: Path, depth: int) -> Iterator[Path]:
    """A folder and those below it. The names of its files, of which there may be millions, are not kept."""
    yield path
    with os.scandir(path) as entries:
        below = [Path(entry.path) for entry in entries if depth and entry.is_dir(follow_symlinks=False)]
    for folder in below:
        yield from _folders(folder, depth - 1)


def _size(path: Path) -> int | None:
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return None
