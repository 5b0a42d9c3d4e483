"""A run of inference on units: what is missing is computed, then the parts are joined."""

import csv
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from sapiens.bulk import Engine, LocalEngine, OutputFolder, RayEngine, Stage, Unit, follow
from sapiens.coco.dataset_file import write_dataset
from sapiens.utils.counting import count_of
from sapiens.utils.device import pick_device
from sapiens.utils.files import atomic_path

from ..batch_job import Plan
from ..output_dir import FAILURES, skeleton_of
from ..results import PoseResult
from ..results.by_task import get_result_class
from ..run_record import write_settings
from .forms import PARTS
from .labels import category_of
from .units import find_units
from .worker import Labeler, failures_of, with_absolute_paths

__all__ = ['ANNOTATIONS', 'WEIGHTS', 'BulkRun', 'make_engine']

STAGE = 'label'
ANNOTATIONS, WEIGHTS = 'annotations.json', 'weights.csv'


@dataclass(frozen=True)
class BulkRun:
    """Labels the images of sources.

    Attributes:
        plan: what to do with every image; its ``form`` is one of :data:`.forms.FORMS`.
        sources, images, column: see :func:`.units.find_units`.
        overwrite: compute all units again.
        retry: compute the units with failed images again.
        device: of the workers.
        jobs: workers of a device.
    """

    plan: Plan
    sources: list[str]
    images: int
    column: str
    overwrite: bool = False
    retry: bool = False
    device: str = 'auto'
    jobs: int = 1

    def stage(self, engine: Engine) -> Stage:
        on_gpu = self._is_on_gpu(engine)
        threads = 0
        if isinstance(engine, RayEngine):
            threads = 1  # as many as the CPUs that an actor holds
        elif engine.workers > 1:
            threads = max(1, (os.cpu_count() or 1) // engine.workers)
        factory = partial(
            Labeler, with_absolute_paths(self.plan), 'cuda' if on_gpu else self.device, 0 if on_gpu else threads
        )
        return Stage(STAGE, factory, self.version(), cpus=1, gpus=1 / self.jobs if on_gpu else 0)

    def _is_on_gpu(self, engine: Engine) -> bool:
        if isinstance(engine, RayEngine) and self.device == 'auto':
            return engine.ray.cluster_resources().get('GPU', 0) > 0  # this machine may have none
        return pick_device(self.device).type == 'cuda'

    def version(self) -> str:
        """A text that changes with which files are written. The folder's record has the other settings."""
        chosen = [self.plan.saving.kinds, self.plan.saving.extra, self.plan.form]
        return hashlib.sha256(json.dumps(chosen).encode()).hexdigest()[:16]

    def write_results(self, engine: Engine) -> int:
        """Label what is missing and join the parts. Returns the number of failures."""
        with OutputFolder(self.plan.out, 'wait for that run, or choose another --out') as out:
            write_settings(self.plan, None, self.overwrite)
            stage, names = self.stage(engine), []
            self._forget(out, stage)
            units = _noting(find_units(self.sources, self.images, self.column), names)
            total = follow(engine.run(stage, units, out), stage)
            for name in _recorded(out, stage) - set(names):  # of a longer list, before
                out.forget(stage, name)
            done = [name for name in names if name not in total.failed]
            for line in self._join(out.path, done):
                print(line)
            failed = sum(len(failures_of(out.path, name)) for name in done)
            _write_failures(out.path, done, total.failed)
            print(
                f'{count_of(total.counts["images"], "image")}'
                + (f', {count_of(total.counts["people"], "person", "people")}' if total.counts['people'] else '')
                + f' in {count_of(len(done), "unit")} of {out.path}; {count_of(failed, "image")} and '
                f'{count_of(len(total.failed), "unit")} failed'
            )
            return failed + len(total.failed)

    def _forget(self, out: OutputFolder, stage: Stage) -> None:
        for name in sorted(_recorded(out, stage)) if self.overwrite or self.retry else ():
            if self.overwrite or (out.read_record(stage, name) or {}).get('counts', {}).get('failed'):
                out.forget(stage, name)

    def _join(self, folder: Path, names: list[str]) -> Iterator[str]:
        """Join the parts of units, in their order, and yield a line for each file."""
        if self.plan.writes_people:
            task = next(task for task in self.plan.written() if issubclass(get_result_class(task), PoseResult))
            category = category_of(skeleton_of(self.plan.models[task]))
            count = write_dataset(folder / ANNOTATIONS, partial(_lines, folder, names), category)
            yield f'{count_of(count, "person", "people")} in {folder / ANNOTATIONS}'
        weights = [path for name in names if (path := folder / PARTS / f'{name}.weights.csv').is_file()]
        if weights:
            with (
                atomic_path(folder / WEIGHTS) as temporary,
                open(temporary, 'w', encoding='utf-8', newline='') as file,
            ):
                write = csv.writer(file, lineterminator='\n').writerows
                write([('image', 'weight', 'shard')])
                for path in weights:
                    shard = path.name.replace('.weights.csv', '.tar')
                    with open(path, encoding='utf-8', newline='') as part:
                        write((*row, shard) for row in csv.reader(part))
            yield f'scores in {folder / WEIGHTS}'


def make_engine(name: str, address: str | None, devices: list[str], jobs: int) -> Engine:
    """Build the engine of a run: processes on devices, or actors of Ray."""
    if name == 'ray':
        return RayEngine(address)
    gpus = [device.partition(':')[2] for device in devices if device.startswith('cuda:')]
    count = len(devices) * jobs
    # A single worker runs in this process, as without an engine.
    return LocalEngine(count if count > 1 or gpus else 0, gpus)


def _noting(units: Iterable[Unit], names: list[str]) -> Iterator[Unit]:
    for unit in units:
        names.append(unit.name)
        yield unit


def _recorded(out: OutputFolder, stage: Stage) -> set[str]:
    return {path.stem for path in out.record_of(stage, 'x').parent.glob('*.json')}


def _lines(folder: Path, names: list[str]) -> Iterator[dict]:
    """The images of the parts with their annotations."""
    for name in names:
        with open(folder / PARTS / f'{name}.jsonl', encoding='utf-8') as file:
            yield from map(json.loads, file)


def _write_failures(folder: Path, names: list[str], units: dict[str, str]) -> None:
    path = folder / FAILURES
    path.unlink(missing_ok=True)
    rows = chain.from_iterable(failures_of(folder, name) for name in names)
    rows = chain(rows, ((f'unit {name}', error) for name, error in units.items()))
    first = next(rows, None)
    if first is not None:
        with atomic_path(path) as temporary, open(temporary, 'w', encoding='utf-8') as file:
            file.writelines(f'{source}\t{error}\n' for source, error in chain([first], rows))
        print(f'failed images are listed in {path}, such as {first[0]}: {first[1]}')
