"""The part that engines have in common: which worker gets which unit, and what follows an error or a lost worker."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass

from sapiens.utils.counting import count_of

from .output import OutputFolder
from .units import Outcome, Stage, Unit

__all__ = ['Engine', 'Event', 'WorkersDied', 'settle']


class WorkersDied(RuntimeError):
    """Workers that died so often that the run has ended."""


@dataclass(frozen=True)
class Event:
    """What a worker reports: it is built (``outcome`` is None), has run its unit, cannot be built (``error``), or is gone."""

    worker: Hashable
    outcome: Outcome | None = None
    error: Exception | None = None
    lost: str = ''


class Engine(ABC):
    """Runs the units of a stage with several workers.

    Attributes:
        workers: how many there are at most.
        retries: how often the unit of a worker that died is run again, before it counts as failed.
        lost: number of workers that died so far.
    """

    retries = 2

    def __init__(self, workers: int) -> None:
        self.workers, self.lost = workers, 0

    def run(self, stage: Stage, units: Iterable[Unit], out: OutputFolder) -> Iterator[Outcome]:
        """Run the units that are not done, and yield the outcome of every unit, in the order in which they end.

        Args:
            units: with distinct names; drawn one at a time.
            out: is entered, so that it is locked.

        Raises:
            WorkersDied: while they are built, or with a unit of a stage in place.
            RuntimeError: the lock is lost.
            OSError: the disk is full.
            Exception: of the worker's factory, or of a unit of a stage in place.
        """
        yield from _Run(self, stage, iter(units), out).outcomes()

    @abstractmethod
    def start(self, stage: Stage, out: OutputFolder) -> Hashable:
        """Start to build a worker. Its first event says whether it is built."""

    @abstractmethod
    def submit(self, worker: Hashable, unit: Unit) -> None:
        """Give a unit to a worker that has none."""

    @abstractmethod
    def wait(self) -> list[Event]:
        """Wait for events of the workers."""

    @abstractmethod
    def stop(self, worker: Hashable) -> None:
        """End a worker, at once."""

    def release(self, worker: Hashable) -> None:
        """Take back a worker that is built and has no unit. It does not hold a device any longer."""
        self.stop(worker)

    def close(self) -> None:
        """End what the engine keeps between stages."""
        return

    def __enter__(self) -> 'Engine':
        return self

    def __exit__(self, *_) -> None:
        self.close()


class _Run:
    """One call of :meth:`Engine.run`."""

    def __init__(self, engine: Engine, stage: Stage, units: Iterator[Unit], out: OutputFolder) -> None:
        self.engine, self.stage, self.units, self.out = engine, stage, units, out
        self.waiting: deque[Unit] = deque()
        self.building: set[Hashable] = set()
        self.busy: dict[Hashable, Unit] = {}
        self.attempts: dict[str, int] = {}
        self.build_losses = 0

    def outcomes(self) -> Iterator[Outcome]:
        try:
            while True:
                yield from self._draw()
                if not self.waiting and not self.busy:
                    return
                while (
                    len(self.building) < len(self.waiting)
                    and len(self.building) + len(self.busy) < self.engine.workers
                ):
                    self.building.add(self.engine.start(self.stage, self.out))
                events = self.engine.wait()
                self.out.check_lock()
                for event in events:
                    if (outcome := self._handle(event)) is not None:
                        yield outcome
        finally:
            for worker in [*self.building, *self.busy]:
                self.engine.stop(worker)

    def _draw(self) -> Iterator[Outcome]:
        """Draw units until each worker could have one, and yield those that are done already."""
        while len(self.waiting) < self.engine.workers:
            unit = next(self.units, None)
            if unit is None:
                return
            counts = self.out.counts_if_done(self.stage, unit)
            if counts is None:
                self.waiting.append(unit)
            else:
                yield Outcome(unit.name, counts, is_new=False)

    def _handle(self, event: Event) -> Outcome | None:
        worker = event.worker
        unit = self.busy.pop(worker, None)
        self.building.discard(worker)
        if event.error is not None:
            self.engine.stop(worker)
            raise event.error
        if event.lost:
            return self._lose(worker, unit, event.lost)
        self.build_losses = 0
        if self.waiting:
            self.busy[worker] = self.waiting.popleft()
            self.engine.submit(worker, self.busy[worker])
        else:
            self.engine.release(worker)  # while others finish
        return settle(self.stage, self.out, event.outcome) if event.outcome else None

    def _lose(self, worker: Hashable, unit: Unit | None, reason: str) -> Outcome | None:
        self.engine.lost += 1
        self.engine.stop(worker)
        if unit is None:
            self.build_losses += 1
            if self.build_losses > self.engine.retries:
                raise WorkersDied(
                    f'{self.build_losses} workers of {self.stage.name} died while they were built: {reason}'
                )
            return None
        self.attempts[unit.name] = self.attempts.get(unit.name, 0) + 1
        if self.attempts[unit.name] <= self.engine.retries:
            self.waiting.appendleft(unit)
            return None
        error = f'its worker died {count_of(self.attempts.pop(unit.name), "time")}: {reason}'
        if self.stage.in_place:
            raise WorkersDied(f'{self.stage.name}, {unit.name}: {error}')
        return settle(self.stage, self.out, Outcome(unit.name, error=error))


def settle(stage: Stage, out: OutputFolder, outcome: Outcome) -> Outcome:
    """Keep the error of an outcome. Raises OSError for one that ends the run."""
    if outcome.stops:
        raise OSError(f'{stage.name}, {outcome.unit}: {outcome.error}')
    if outcome.error:
        out.write_failure(stage, outcome.unit, outcome.error, outcome.details)
    return outcome
