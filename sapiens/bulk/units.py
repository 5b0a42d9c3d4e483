"""Stages, their units of work, and what became of a unit."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ['Outcome', 'Stage', 'Unit', 'Worker']

_NAME = re.compile(r'[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}')


@dataclass(frozen=True)
class Unit:
    """One part of the work of a stage.

    Attributes:
        name: unique in its stage, of letters, digits, ``_``, ``-`` and ``.``; the output files should begin with it.
        data: what the worker needs, of types that JSON has.
        seed: of the run. Random generators of the unit are seeded by :attr:`generator_seed`, of this and the name.

    Raises:
        ValueError: a name that cannot be that of a file.
    """

    name: str
    data: dict[str, Any] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self) -> None:
        _check_name(self.name)

    @property
    def generator_seed(self) -> int:
        """A seed below 2^32, the same in every run."""
        return int.from_bytes(hashlib.sha256(f'{self.seed}/{self.name}'.encode()).digest()[:4], 'little')

    def digest(self, version: str) -> str:
        """A hash of everything that the unit's files depend on."""
        content = json.dumps([self.name, self.data, self.seed, version], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:32]


Worker = Callable[[Unit, Path], dict[str, int] | None]
"""Called with a unit and an empty folder, writes the unit's files there and returns counts. Of a stage :attr:`Stage.in_place` the
folder is that of the output."""


@dataclass(frozen=True)
class Stage:
    """What is done with each unit.

    Attributes:
        name: of the stage, unique in its output folder.
        factory: builds a worker, in the process where it runs. It is pickled: a class, a function of a module, or a ``partial``.
        version: text that stands for the settings of the factory. Units made with another one are run again.
        cpus, gpus: that a worker holds. With Ray, fractions let several workers have one device.
        item: what the counts count, for rates: the key of a count that workers return.
        in_place: workers put complete files into the output folder themselves, and leave out what is there. Nothing is recorded:
            every unit that is drawn is run, and the first that fails ends the run.
    """

    name: str
    factory: Callable[[], Worker]
    version: str = ''
    cpus: float = 1
    gpus: float = 0
    item: str = 'images'
    in_place: bool = False

    def __post_init__(self) -> None:
        _check_name(self.name)


@dataclass(frozen=True)
class Outcome:
    """What became of a unit.

    Attributes:
        unit: its name.
        counts: what the worker returned.
        error: '' for a unit that is done; else the error in one line.
        details: the traceback of the error.
        is_new: False for a unit that an earlier run has done.
        seconds: that the worker took.
        stops: of an error that other units would meet too, such as a full disk.
    """

    unit: str
    counts: dict[str, int] = field(default_factory=dict)
    error: str = ''
    details: str = ''
    is_new: bool = True
    seconds: float = 0.0
    stops: bool = False


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError(f'{name!r} cannot be the name of a unit or stage: expected up to 100 of A-Z a-z 0-9 _ - .')
