"""What a process or an actor does: it builds a worker and runs units with it."""

import errno
import pickle
import random
import shutil
import socket
import sys
import time
import traceback
from pathlib import Path

import numpy as np

from sapiens.version import __version__

from .output import OutputFolder
from .units import Outcome, Stage, Unit

__all__ = ['UnitFailed', 'UnitRunner', 'portable_error']

# Errors that every other unit would meet too.
_FULL = {getattr(errno, name) for name in ('ENOSPC', 'EDQUOT', 'EROFS') if hasattr(errno, name)}


class UnitFailed(RuntimeError):
    """Of a worker: the message says all, with the traceback where one is needed."""


class UnitRunner:
    """Runs units of a stage, one after the other.

    Args:
        stage: its factory is called here.
        folder: of the output; the command that started this process holds its lock.
        version: of the package where the command runs.

    Raises:
        ValueError: the folder is not that of the command, or the package has another version.
        Exception: of the factory.
    """

    def __init__(self, stage: Stage, folder: Path, version: str) -> None:
        self.stage, self.out = stage, OutputFolder(folder)
        here = socket.gethostname()
        if version != __version__:
            raise ValueError(f'{here} has sapiens {__version__}, and the command runs {version}: install one version')
        if not _appears(self.out):
            raise ValueError(
                f'the output folder {folder} is not there on {here}: it has to be one that all machines share'
            )
        self.worker = stage.factory()

    def run(self, unit: Unit) -> Outcome | Exception:
        """Run a unit: its files are in place and recorded when this returns, or the outcome has the error.

        Returns:
            The outcome; or the error that ends the run, of a stage in place.
        """
        started = time.monotonic()
        seed_all(unit.generator_seed)
        folder = None
        try:
            folder = self.out.path if self.stage.in_place else self.out.work_folder(self.stage, unit)
            counts = {name: int(count) for name, count in (self.worker(unit, folder) or {}).items()}
            if not self.stage.in_place:
                self.out.finish(self.stage, unit, folder, counts)
        except Exception as error:
            if self.stage.in_place:
                return portable_error(error)
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
            text = ' '.join(f'{type(error).__name__}: {error}'.split())
            stops = isinstance(error, OSError) and error.errno in _FULL
            return Outcome(unit.name, error=text, details=traceback.format_exc(), stops=stops)
        return Outcome(unit.name, counts, seconds=time.monotonic() - started)


def _appears(out: OutputFolder) -> bool:
    """Whether the lock of the command is there, or comes within seconds, as on network file systems."""
    for _ in range(20):
        if out.is_locked:
            return True
        time.sleep(0.25)
    return False


def seed_all(seed: int) -> None:
    """Seed the global generators of Python, NumPy and, where it is imported, torch."""
    random.seed(seed)
    np.random.seed(seed)
    if torch := sys.modules.get('torch'):
        torch.manual_seed(seed)


def portable_error(error: Exception) -> Exception:
    """Return an error that another process can read: itself, or for one that cannot be pickled, its text.

    The traceback of an error that is not a plain message goes to stderr, since pickling loses it.
    """
    if not isinstance(error, ValueError | OSError | ImportError | UnitFailed):
        traceback.print_exception(error)
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f'{type(error).__name__}: {error}')
    return error
