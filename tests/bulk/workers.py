"""Workers of the tests, which processes import."""

import os
import random
import signal
import time
from pathlib import Path

import numpy as np

from sapiens.bulk import Unit


class Writer:
    """Writes random numbers, and a line for every call into a file of its own.

    Args:
        calls: folder of the lines: which process ran which unit.
        slow: seconds for each unit.
    """

    def __init__(self, calls: str = '', slow: float = 0.0) -> None:
        self.calls, self.slow = calls, slow

    def __call__(self, unit: Unit, folder: Path) -> dict:
        if self.calls:
            with open(Path(self.calls) / str(os.getpid()), 'a') as file:
                file.write(f'{unit.name}\n')
        time.sleep(self.slow)
        if how := unit.data.get('fails'):
            raise ValueError(how)
        marker = unit.data.get('kills')
        if marker is not None and not (marker and Path(marker).exists()):
            if marker:
                Path(marker).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        (folder / 'parts').mkdir()
        numbers = [random.random(), float(np.random.rand())]
        (folder / 'parts' / f'{unit.name}.txt').write_text(f'{unit.data.get("value")} {numbers}')
        return {'images': 3}


class Broken:
    def __init__(self) -> None:
        raise FileNotFoundError('no weights at /nowhere/model.pth')


class Dies:
    def __init__(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def contents(folder: Path) -> dict[str, bytes]:
    """The files of units by their path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.glob('parts/*'))}


def called(folder: Path) -> list[str]:
    """The units of every call, of all processes."""
    return sorted(line for path in folder.iterdir() for line in path.read_text().splitlines())
