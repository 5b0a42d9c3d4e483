"""Batch inference: results of many images are written to files, on one or several devices.

Every worker is a process with its own models. It requests the next image when it has room for one, so faster devices get more
images and nothing is split in advance.
"""

import contextlib
import errno
import logging
import multiprocessing
import os
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path

import cv2
import torch

from .detectors import BoxesFile, build_detector
from .found import Found
from .inputs import Item
from .loading.load_model import load_models
from .masks import Masking, set_masks
from .pipeline import Job, run
from .predictors import Predictor
from .results import ImageResults, PoseResult, Result, Saving
from .results.by_task import get_result_class
from .writers.files import is_complete, write_file

__all__ = ['FIGURE', 'Outcome', 'Plan', 'run_plan']

FIGURE = 'figure'  # folder of the figures of all results
SAVERS = 2  # threads per worker that draw and write
# Errors of a disk that end a run: each further image would fail too.
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass(frozen=True)
class Plan:
    """What to do with every image, in plain values that can be sent to other processes.

    Attributes:
        models: options of :func:`sapiens.apis.load_model` by task.
        out: folder of the results.
        saving: which files to write.
        subfolders: whether each task has a folder below ``out``.
        detector: options of :func:`sapiens.apis.detectors.build_detector`; None for no detector.
        boxes: file of boxes, used instead of the detector.
        mask_dir: folder with masks of people, <name>.npy or .png, for tasks that are ``masked_by_people``.
        hidden: tasks whose results are used for masks and not written.
        masking: how the result of one task masks those of others.
        figure: write a picture of the image and all results side by side too, to the folder ``figure`` below ``out``.
        workers: threads per worker that read and preprocess.
        form: 'files' for a file or several of each image, else one of :data:`sapiens.apis.bulk.FORMS`.
        label_threshold: score of keypoints that count as labeled, in COCO files of labels.
        content: texts that change with the files that decide the results (weights, configs, boxes), by what they are.
    """

    models: dict[str, dict]
    out: Path
    saving: Saving
    subfolders: bool = False
    detector: dict | None = None
    boxes: str | None = None
    mask_dir: Path | None = None
    hidden: tuple[str, ...] = ()
    masking: Masking = field(default_factory=Masking)
    figure: bool = False
    workers: int = 2
    form: str = 'files'
    label_threshold: float = Saving.threshold
    content: dict[str, str] = field(default_factory=dict)

    def stem(self, task: str, name: str) -> Path:
        """Return the path without suffix of the results of an image."""
        return (self.out / task if self.subfolders else self.out) / name

    def figure_stem(self, name: str) -> Path:
        """Return the path without suffix of the figure of an image."""
        return self.out / FIGURE / name

    def figure_path(self, name: str) -> Path:
        stem = self.figure_stem(name)
        return stem.with_name(f'{stem.name}.{self.saving.picture_format}')

    def folders(self, name: str) -> set[Path]:
        """Return the folders that the files of an image are in."""
        stems = [self.stem(task, name) for task in self.written()] + [self.figure_stem(name)] * self.figure
        return {stem.parent for stem in stems}

    def files(self, name: str) -> dict[Path, bool]:
        """Return the files of an image, and whether each may be absent because some images lack it."""
        found = {}
        for task in self.written():
            result = get_result_class(task)
            optional = {file.kind for file in result.files if file.sometimes}
            paths = result.paths(self.stem(task, name), self.saving)
            found.update((path, kind in optional) for kind, path in paths.items())
        return found | ({self.figure_path(name): False} if self.figure else {})

    def load(self, device: str, loaded: Mapping[str, Predictor] | None = None) -> tuple:
        """Return the models by name, unless they are loaded already, and the detector or None."""
        loaded = loaded or load_models(self.models, device)
        return loaded, build_detector(**self.detector, device=device) if self.detector else None

    def written(self) -> list[str]:
        """Return the tasks whose results are written."""
        return [task for task in self.models if task not in self.hidden]

    @property
    def writes_people(self) -> bool:
        """Whether the people of pose are written to a COCO file of labels."""
        return self.form in ('coco', 'shards') and any(
            issubclass(get_result_class(task), PoseResult) for task in self.written()
        )

    def is_done(self, name: str, since: int = 0) -> bool:
        """Return whether all files of an image are complete. Those that some images lack may be absent.

        Args:
            since: time in nanoseconds; older files do not count.
        """
        return all(
            is_complete(path, since) or (optional and not os.path.lexists(path))
            for path, optional in self.files(name).items()
        )


@dataclass(frozen=True)
class Outcome:
    """Outcome for an image or video: ``error`` is '' if its results were written, else the reason. ``found``: what an image
    shows, or each frame of a video; empty for tasks that report nothing. ``ended``: when it was done, of ``time.time()``."""

    item: Item
    error: str = ''
    found: tuple[Found, ...] = ()
    ended: float = field(default_factory=time.time, compare=False)


def run_plan(
    plan: Plan,
    items: Sequence[Item],
    devices: Sequence[str] = ('auto',),
    jobs: int = 1,
    loaded: Mapping[str, Predictor] | None = None,
) -> Iterator[Outcome]:
    """Process images and yield the outcome of each when it is done.

    Args:
        devices: devices to use, each with ``jobs`` workers.
        jobs: workers per device. A single worker runs in this process.
        loaded: models that are loaded already, for a single worker.

    Raises:
        FileNotFoundError, ValueError, ImportError: from :func:`load_model` and :func:`build_detector`.
        ChildProcessError: all workers ended.
        OSError: the disk is full or read-only.
    """
    places = [device for device in devices for _ in range(jobs)]
    if not items:
        return
    if len(places) == 1:
        yield from work(plan, places[0], iter(items), loaded)
        return
    yield from _distribute(plan, list(items), places[: len(items)])


def work(
    plan: Plan, device: str, items: Iterable[Item], loaded: Mapping[str, Predictor] | None = None
) -> Iterator[Outcome]:
    """Run one worker. Threads write results while the device computes."""
    predictors, cleaner = plan.load(device, loaded)
    boxes = BoxesFile(plan.boxes, cleaner) if plan.boxes else None
    saving: deque[tuple[Job, Future]] = deque()
    with ThreadPoolExecutor(SAVERS, 'sapiens-save') as pool:
        for job in run(predictors, items, detector=None if boxes else cleaner, boxes_of=boxes, workers=plan.workers):
            if job.error:
                yield Outcome(job.item, job.error)
            else:
                saving.append((job, pool.submit(_timed_save, plan, job)))
            # Limits the results that wait in memory.
            while saving and (saving[0][1].done() or len(saving) > 2 * SAVERS):
                yield _outcome(*saving.popleft())
        while saving:
            yield _outcome(*saving.popleft())


def _outcome(job: Job, future: Future) -> Outcome:
    try:
        found, ended = future.result()
    except (OSError, ValueError) as error:  # such as a long name or a mask of another size: only this image fails
        if isinstance(error, OSError) and error.errno in NO_SPACE:
            advice = 'existing results are complete: make room and repeat the command to continue'
            raise OSError(error.errno, f'{error.strerror} ({advice})', error.filename or str(job.item.name)) from error
        return Outcome(job.item, f'{type(error).__name__}: {error}')
    return Outcome(job.item, found=(found,) if found else (), ended=ended)


def _timed_save(plan: Plan, job: Job) -> tuple[Found | None, float]:
    return save(plan, job), time.time()


def save(plan: Plan, job: Job) -> Found | None:
    """Write the results of an image. Returns what it shows, see :func:`found_in`."""
    set_masks(job.results, plan.mask_dir and plan.mask_dir / job.item.name, plan.masking)
    results, pictures = {task: job.results[task] for task in plan.written()}, {}
    if plan.figure:
        pictures = {task: result.picture(result.choose(plan.saving)) for task, result in results.items()}
        write_file(plan.figure_path(job.item.name), ImageResults(results).figure(list(pictures.values())))
    for task, result in results.items():
        result.write(plan.stem(task, job.item.name), plan.saving, pictures.get(task))
    return found_in(results, plan.saving)


def found_in(results: Mapping[str, Result], saving: Saving) -> Found | None:
    """Return what the first result with a report shows, or None."""
    return next((found for result in results.values() if (found := result.found(saving))), None)


# ---------------------------------------------------------------------- several workers


def _distribute(plan: Plan, items: list[Item], places: list[str]) -> Iterator[Outcome]:
    """Share images among workers. Images of a worker that ends are repeated by another one, at last each by one of its own."""
    lost = yield from _share(plan, items, places)
    if len(lost) > 1:
        lost = yield from _share(plan, lost, places[:1])
    for item in lost:
        if (yield from _share(plan, [item], places[:1])):
            yield Outcome(item, 'the process that computes it ends each time')


def _share(plan: Plan, items: list[Item], places: list[str]) -> Generator[Outcome, None, list[Item]]:
    """Give images to one worker per place, and return those of workers that ended.

    Raises:
        ChildProcessError: all of several workers ended before the last image was started.
    """
    context = multiprocessing.get_context('spawn')  # CUDA does not survive a fork
    threads = max(1, (os.cpu_count() or 1) // len(places))
    pipes: dict[Connection, tuple[multiprocessing.Process, set[int]]] = {}
    for number, place in enumerate(places):
        here, there = context.Pipe()
        process = context.Process(target=_worker, args=(plan, place, there, threads, number > 0), daemon=True)
        process.start()
        there.close()
        pipes[here] = process, set()
    following, lost, status = iter(range(len(items))), [], 0
    try:
        while pipes:
            for pipe in wait(list(pipes)):
                process, given = pipes[pipe]
                try:
                    kind, *content = pipe.recv()
                except (EOFError, ConnectionResetError):
                    process.join()
                    del pipes[pipe]
                    lost.extend(items[index] for index in sorted(given))
                    status = process.exitcode or status
                    continue
                if kind == 'next':
                    index = next(following, None)
                    if index is not None:
                        given.add(index)
                    _send(pipe, None if index is None else (index, items[index]))
                elif kind == 'done':
                    index, error, found, ended = content
                    given.discard(index)
                    yield Outcome(items[index], error, found, ended)
                else:
                    raise content[0]
    finally:
        for process, _ in pipes.values():
            process.terminate()
    left = [items[index] for index in following]
    if left and len(places) > 1:
        raise ChildProcessError(
            f'all workers ended, the last with exit code {status}: {len(left)} images were not started. Run the command again to '
            'continue, with fewer --jobs-per-device if the memory was full'
        )
    return lost + left


def _send(pipe: Connection, message) -> None:
    with contextlib.suppress(OSError):  # the other process has ended
        pipe.send(message)


def _worker(plan: Plan, device: str, pipe: Connection, threads: int, quiet: bool) -> None:
    """Main function of a worker process."""
    if device == 'cpu' or (device == 'auto' and not torch.cuda.is_available()):
        torch.set_num_threads(threads)
    cv2.setNumThreads(1)
    if quiet:
        logging.disable(logging.INFO)  # the first worker logs what was loaded
    numbers: dict[Item, int] = {}

    def items() -> Iterator[Item]:
        while True:
            pipe.send(('next',))
            answer = pipe.recv()
            if answer is None:
                return
            numbers[answer[1]] = answer[0]
            yield answer[1]

    try:
        for outcome in work(plan, device, items()):
            pipe.send(('done', numbers.pop(outcome.item), outcome.error, outcome.found, outcome.ended))
    except (OSError, ValueError, ImportError) as error:
        _send(pipe, ('error', error))
    except (KeyboardInterrupt, EOFError):
        pass  # the command was stopped or killed
