"""Workers that are actors of Ray, on one machine or many."""

import math
import os
import signal
import sys
import threading
from collections.abc import Hashable
from pathlib import Path
from types import ModuleType
from typing import Any

from sapiens.utils.optional import require
from sapiens.version import __version__

from .engine import Engine, Event
from .output import OutputFolder
from .runner import UnitRunner, portable_error
from .units import Outcome, Stage, Unit

__all__ = ['RayEngine']

_PATIENCE = 30.0  # seconds without a worker until the waiting is explained
_TRIES = 3  # to start Ray on this machine


class RayEngine(Engine):
    """Actors of a Ray cluster, each of which holds the CPUs and GPUs that its stage asks for.

    Every machine needs this package in the same version, and the output folder under the same path.

    Args:
        address: of the cluster: ``auto`` for the one that runs on this machine, ``ray://HOST:10001``; None starts a Ray on this
            machine, which ends with the command.
        workers: number of actors at most; None for as many as the cluster has room for when a stage begins.
        options: arguments of ``ray.init``.

    Raises:
        ImportError: Ray is not installed.
        OSError: Ray does not start on this machine.
        ValueError: no cluster at the address.
    """

    def __init__(self, address: str | None = None, workers: int | None = None, **options: Any) -> None:
        super().__init__(workers or 1)
        os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')  # tells nobody outside
        self.ray = require('ray', '--engine ray')
        self.fixed_workers = workers
        self._actors: dict[Any, Hashable] = {}  # reference to what an actor is doing -> the actor
        self._has_started = False
        if not self.ray.is_initialized():
            _connect(self.ray, address, options)

    def run(self, stage: Stage, units, out: OutputFolder):
        self.workers = self.fixed_workers or self._room(stage)
        self._has_started = False
        yield from super().run(stage, units, out)

    def start(self, stage: Stage, out: OutputFolder) -> Hashable:
        # Lost actors are replaced by the engine, which counts the attempts of their units.
        options = dict(num_cpus=stage.cpus, num_gpus=stage.gpus, max_restarts=0, max_task_retries=0)
        actor = self.ray.remote(**options)(_Actor).remote(sys.path)
        self._actors[actor.build.remote(stage, out.path, __version__)] = actor
        return actor

    def submit(self, worker: Hashable, unit: Unit) -> None:
        self._actors[worker.run.remote(unit)] = worker

    def wait(self) -> list[Event]:
        references = list(self._actors)
        ready, _ = self.ray.wait(references, timeout=None if self._has_started else _PATIENCE)
        if not ready:
            self._has_started = True  # says it once
            have = {name: self.ray.cluster_resources().get(name, 0) for name in ('CPU', 'GPU')}
            print(
                f'waiting for a worker: the cluster has {have["CPU"]:g} CPUs and {have["GPU"]:g} GPUs', file=sys.stderr
            )
            return []
        self._has_started = True
        return [self._receive(reference) for reference in ready]

    def stop(self, worker: Hashable) -> None:
        self._actors = {reference: actor for reference, actor in self._actors.items() if actor is not worker}
        self.ray.kill(worker)

    def close(self) -> None:
        """Disconnect from the cluster, or end a Ray that this engine has started."""
        self.ray.shutdown()

    def _receive(self, reference: Any) -> Event:
        worker = self._actors.pop(reference)
        try:
            content = self.ray.get(reference)
        except self.ray.exceptions.RayTaskError as error:
            return Event(worker, error=RuntimeError(str(error)))
        except self.ray.exceptions.RayError as error:  # the actor, its machine, or the memory of it is gone
            return Event(worker, lost=' '.join(str(error).split())[:300])
        if isinstance(content, Exception):
            return Event(worker, error=content)
        return Event(worker, outcome=content)

    def _room(self, stage: Stage) -> int:
        """Return how many workers the cluster has room for, 1 at least: machines may still join."""
        have = self.ray.cluster_resources()
        counts = [have.get('CPU', 0) / stage.cpus] if stage.cpus else []
        counts += [have.get('GPU', 0) / stage.gpus] if stage.gpus else []
        return max(1, math.floor(min(counts, default=1)))


def _connect(ray: ModuleType, address: str | None, options: dict) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    if address is None:
        _start(ray, dict(include_dashboard=False) | options)
    else:
        try:
            ray.init(address=address, logging_level='warning', **options)
        except Exception as error:
            raise ValueError(
                f'no Ray cluster at --address {address} ({_line(error)}): start one (ray start --head), or leave --address out'
            ) from error
    if handler is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)  # Ray has put its own in the place of the command's


def _start(ray: ModuleType, options: dict) -> None:
    """Start Ray on this machine. Its processes wait 15 seconds for each other, which is short on a busy machine."""
    for left in reversed(range(_TRIES)):
        try:
            ray.init(logging_level='warning', **options)
            return
        except Exception as error:  # Ray raises a plain Exception where a node does not start
            ray.shutdown()
            if not left:
                raise OSError(
                    f'Ray did not start on this machine ({_line(error)}): its memory or processors may be taken. Try again, or '
                    'start it by `ray start --head` and add --address auto'
                ) from error
            print('Ray did not start on this machine: trying again', file=sys.stderr)


def _line(error: Exception) -> str:
    return ' '.join(str(error).split())


class _Actor:
    """What runs in a process of Ray."""

    def __init__(self, path: list[str]) -> None:
        sys.path.extend(folder for folder in path if folder not in sys.path)
        self.runner: UnitRunner | None = None

    def build(self, stage: Stage, folder: Path, version: str) -> Exception | None:
        try:
            self.runner = UnitRunner(stage, folder, version)
        except Exception as error:
            return portable_error(error)
        return None

    def run(self, unit: Unit) -> Outcome | Exception:
        return self.runner.run(unit)
