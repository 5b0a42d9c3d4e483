"""Workers that are processes of this machine."""

import atexit
import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from sapiens.version import __version__

from .engine import Engine, Event, settle
from .output import OutputFolder
from .runner import UnitRunner, portable_error
from .units import Outcome, Stage, Unit

__all__ = ['LocalEngine']


class LocalEngine(Engine):
    """Processes of this machine. They are spawned, so a worker may use CUDA and threads.

    Args:
        workers: number of processes; 0 runs the units in this process, for a debugger.
        devices: numbers or names of GPUs (values of ``CUDA_VISIBLE_DEVICES``) for the workers of stages that ask for some; a
            worker sees one of them, and they are given out in turn. Empty: a worker sees all.
    """

    def __init__(self, workers: int = 1, devices: Iterable[str] = ()) -> None:
        super().__init__(workers)
        self.devices = tuple(devices)
        self._processes: dict[Connection, BaseProcess] = {}
        self._device_of: dict[Connection, str | None] = {}  # of workers that hold one; None: all that there are
        self._spare: dict[Connection, BaseProcess] = {}
        # The interpreter waits for its children before it ends.
        atexit.register(self.close)

    def run(self, stage: Stage, units: Iterable[Unit], out: OutputFolder) -> Iterator[Outcome]:
        if self.workers:
            yield from super().run(stage, units, out)
        else:
            yield from _run_here(stage, units, out)

    def start(self, stage: Stage, out: OutputFolder) -> Connection:
        if self._spare and not stage.gpus:
            worker, process = self._spare.popitem()
            self._processes[worker] = process
            with contextlib.suppress(OSError):  # see submit
                worker.send((stage, out.path))
            return worker
        context = multiprocessing.get_context('spawn')
        worker, other = context.Pipe()
        device = self._next_device() if stage.gpus else None
        process = context.Process(target=_serve, args=(other, stage, out.path, __version__, device), name=stage.name)
        process.start()
        other.close()  # so that the end of the process ends the connection
        self._processes[worker] = process
        if stage.gpus:
            self._device_of[worker] = device
        return worker

    def submit(self, worker: Connection, unit: Unit) -> None:
        with contextlib.suppress(OSError):  # the process has ended: wait() says so
            worker.send(unit)

    def wait(self) -> list[Event]:
        return [self._receive(worker) for worker in wait(list(self._processes))]

    def stop(self, worker: Connection) -> None:
        process = self._processes.pop(worker)
        self._device_of.pop(worker, None)
        _end(worker, process)

    def release(self, worker: Connection) -> None:
        if worker in self._device_of:
            self.stop(worker)
        else:  # the next stage finds its imports done
            self._spare[worker] = self._processes.pop(worker)

    def close(self) -> None:
        while self._spare:
            _end(*self._spare.popitem())

    def _receive(self, worker: Connection) -> Event:
        try:
            content = worker.recv()
        except (EOFError, OSError):
            process = self._processes[worker]
            process.join(10)
            return Event(worker, lost=describe_exit(process.exitcode))
        if isinstance(content, Exception):
            return Event(worker, error=content)
        return Event(worker, outcome=content)

    def _next_device(self) -> str | None:
        taken = list(self._device_of.values())
        return min(self.devices, key=taken.count) if self.devices else None


def _end(worker: Connection, process: BaseProcess) -> None:
    worker.close()
    process.kill()  # it holds nothing that has to be put in order: files are moved when they are complete
    process.join()
    process.close()


def describe_exit(code: int | None) -> str:
    """Say how a process has ended, by its exit code."""
    if code is not None and code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f'signal {-code}'
        hint = ', as a system does that runs out of memory' if name == 'SIGKILL' else ''
        return f'killed by {name}{hint}'
    return f'exit code {code}'


def _run_here(stage: Stage, units: Iterable[Unit], out: OutputFolder) -> Iterator[Outcome]:
    runner = None
    for unit in units:
        counts = out.counts_if_done(stage, unit)
        if counts is not None:
            yield Outcome(unit.name, counts, is_new=False)
            continue
        runner = runner or UnitRunner(stage, out.path, __version__)
        outcome = runner.run(unit)
        out.check_lock()
        if isinstance(outcome, Exception):
            raise outcome
        yield settle(stage, out, outcome)


def _serve(connection: Connection, stage: Stage, folder: Path, version: str, device: str | None) -> None:
    """Build a worker, then run the units that the connection brings, until it ends. A stage that it brings has a new worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command stops its workers itself
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if device is not None:
        os.environ['CUDA_VISIBLE_DEVICES'] = device  # before CUDA is initialized
    given: tuple[Stage, Path] | Unit = (stage, folder)
    runner: UnitRunner | None = None
    with contextlib.suppress(EOFError, OSError):  # the command has ended
        while True:
            if isinstance(given, Unit):
                connection.send(runner.run(given))
            else:
                runner = None  # frees the worker of the stage before
                try:
                    runner = UnitRunner(*given, version)
                except Exception as error:
                    connection.send(portable_error(error))
                    return
                connection.send(None)
            given = connection.recv()


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    sys.stderr.flush()
    os._exit(1)
