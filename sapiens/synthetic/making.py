"""Images that are made one by one, in any order, by an engine of :mod:`sapiens.bulk` (docs/distributed.md).

What is there is known by its files, one image at a time. So a run goes on where another one stopped, with any engine, any number
of workers and units of any size.
"""

import hashlib
import json
import os
import socket
import time
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from sapiens.bulk import Engine, OutputFolder, Stage, Unit, WorkersDied
from sapiens.utils.counting import count_of
from sapiens.utils.progress import LateBar

from .threads import one_thread

__all__ = ['Maker', 'Missing', 'blocks', 'check_inputs', 'inputs_of', 'make']

BLOCK = 16  # images of a unit at most
_THREADS = ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS')
_PATIENCE = (
    90.0  # seconds until a network file system shows the files of another machine: the longest by default is 60
)


class Maker(ABC):
    """Makes numbered things, each by itself. It is pickled, and called in the processes of workers."""

    @abstractmethod
    def is_made(self, index: int) -> bool:
        """Whether all files of a thing are there."""

    @abstractmethod
    def __call__(self, index: int) -> None:
        """Make a thing: its files appear complete, the one that tells :meth:`is_made` last.

        Raises:
            sapiens.bulk.UnitFailed: it cannot be made, which ends the run.
        """


class Missing:
    """The indices below a number that are not made yet, in order.

    They are kept as ranges. Few are needed for what a stopped run has left, however many images there are.
    """

    def __init__(self, number: int, is_made: Callable[[int], bool]) -> None:
        self.ranges: list[range] = []
        begin = None
        for index in range(number):
            if not is_made(index):
                begin = index if begin is None else begin
            elif begin is not None:
                self.ranges.append(range(begin, index))
                begin = None
        if begin is not None:
            self.ranges.append(range(begin, number))

    def __len__(self) -> int:
        return sum(map(len, self.ranges))

    def __iter__(self) -> Iterator[int]:
        for part in self.ranges:
            yield from part

    def __contains__(self, index: int) -> bool:
        place = bisect_right(self.ranges, index, key=lambda part: part.start)
        return place > 0 and index in self.ranges[place - 1]


def blocks(missing: Missing) -> Iterator[list[int]]:
    """Cut missing indices into units: one image each up to a thousand, then more, so that a cluster asks seldom for the next."""
    size = min(BLOCK, 1 + len(missing) // 1000)
    block: list[int] = []
    for index in missing:
        block.append(index)
        if len(block) == size:
            yield block
            block = []
    if block:
        yield block


def make(
    name: str,
    maker: Maker,
    missing: Missing,
    units: Iterable[Sequence[int]],
    engine: Engine,
    out: OutputFolder,
    bar: LateBar,
    gpus: float = 0,
) -> None:
    """Make what is missing.

    Args:
        name: of the stage, for messages.
        units: lists of the missing indices, each of which a worker makes in a row.
        out: is entered, so that it is locked.
        bar: counts what is made.
        gpus: that a worker holds.

    Raises:
        RuntimeError: something cannot be made, workers die again and again, or files of other machines do not appear.
    """
    # One thread each: more would fight for the cores. Ray gives its actors the same.
    os.environ.update(dict.fromkeys(_THREADS, '1') if engine.workers else {})
    stage = Stage(name, partial(_Worker, maker), gpus=gpus, in_place=True)
    given = (Unit(f'{unit[0]:08d}', {'indices': list(unit)}) for unit in units)
    lost = engine.lost
    try:
        for outcome in engine.run(stage, given, out):
            for _ in range(outcome.counts['images']):
                bar.update()
    except WorkersDied as error:
        raise RuntimeError(f'{error}: use fewer --workers; the same command continues') from error
    if engine.lost > lost:
        out.remove_temporaries()
        print(f'{count_of(engine.lost - lost, "worker")} died; others have made what was lost')
    _wait_for(maker, missing, out)


class _Worker:
    """Runs units of a maker: it makes those indices that are not made."""

    def __init__(self, maker: Maker) -> None:
        self.maker = maker

    def __call__(self, unit: Unit, _: Path) -> dict[str, int]:
        indices = unit.data['indices']
        with one_thread():  # linear algebra rounds differently with another number of threads
            for index in indices:
                if not self.maker.is_made(index):  # by a worker that died
                    self.maker(index)
        return {'images': len(indices)}


def _wait_for(maker: Maker, missing: Missing, out: OutputFolder) -> None:
    """Wait until files are seen that other machines have written."""
    deadline = time.monotonic() + _PATIENCE
    for index in missing:
        while not maker.is_made(index):
            if time.monotonic() > deadline:
                raise RuntimeError(
                    f'number {index} was made, but its files do not appear in {out.path}: all machines have to see this folder'
                )
            time.sleep(0.5)


def inputs_of(generator: object) -> str:
    """A digest of the names of the files that a generator draws from: ``backgrounds`` and ``environments``, where it has them."""
    lists = [getattr(generator, name, None) for name in ('backgrounds', 'environments')]
    names = [[str(path) for path in paths] if isinstance(paths, list) else [] for paths in lists]
    return hashlib.sha256(json.dumps(names).encode(errors='surrogateescape')).hexdigest()


def check_inputs(generator: object, expected: str) -> None:
    """Raise ValueError where a generator draws from other files than that of the command: images would differ by machine."""
    if inputs_of(generator) != expected:
        raise ValueError(
            f'{socket.gethostname()} sees other files in --backgrounds or --environments than the machine of the command: give '
            'folders that all machines share'
        )
