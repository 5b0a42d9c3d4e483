"""A whole run of inference: images to files, on one device or shared among several, and what became of each image.

Every worker is a process with models of its own. It asks for the next image when it has room for one, so fast devices get more of
them; nothing is split in advance, and no files are needed for it.
"""

import contextlib
import logging
import multiprocessing
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path

import cv2
import numpy as np
import torch

from .detectors import BoxesFile, build_detector
from .inputs import Item
from .loading.load_model import load_model
from .pipeline import Job, run
from .predictors import Predictor
from .writers.files import SOMETIMES, Saving, file_names, save_result

__all__ = ['Outcome', 'Plan', 'run_plan']

SAVERS = 2  # threads that draw and write, of each worker


@dataclass(frozen=True)
class Plan:
    """What to do with every image; plain values, so that it can be sent to other processes.

    Attributes:
        models: options of :func:`sapiens.apis.load_model` for each task.
        out: folder of the results.
        saving: what to write.
        subfolders: a folder for each task below ``out``.
        detector: options of :func:`sapiens.apis.detectors.build_detector`; None for no detector.
        boxes: file of boxes; asked instead of the detector.
        mask_dir: folder with masks of people, <name>.npy or .png, for depth and normals.
        hidden: tasks that are computed for others and not written: 'seg', for masks.
        workers: threads that read and prepare, of each worker.
    """

    models: dict[str, dict]
    out: Path
    saving: Saving
    subfolders: bool = False
    detector: dict | None = None
    boxes: str | None = None
    mask_dir: Path | None = None
    hidden: tuple[str, ...] = ()
    workers: int = 2

    def stem(self, task: str, name: str) -> Path:
        """Path without suffix of the results of an image."""
        return (self.out / task if self.subfolders else self.out) / name

    def written(self) -> list[str]:
        """The tasks whose results are written."""
        return [task for task in self.models if task not in self.hidden]

    def is_done(self, name: str) -> bool:
        """Whether the results of an image are there: of each task all files but those that not every image has."""
        return all(
            path.exists()
            for task in self.written()
            for kind, path in file_names(task, self.stem(task, name), self.saving).items()
            if kind not in SOMETIMES
        )


@dataclass(frozen=True)
class Outcome:
    """What became of an image: ``error`` is '' where its results are written, else why not."""

    item: Item
    error: str = ''


def run_plan(
    plan: Plan,
    items: Sequence[Item],
    devices: Sequence[str] = ('auto',),
    jobs: int = 1,
    loaded: Mapping[str, Predictor] | None = None,
) -> Iterator[Outcome]:
    """Work on images and yield what became of each, as they are done.

    Args:
        devices: to use, each with ``jobs`` workers.
        jobs: workers on each device. One worker altogether runs in this process.
        loaded: models that are there already, for one worker.

    Raises:
        FileNotFoundError, ValueError, ImportError: what :func:`load_model` and :func:`build_detector` refuse.
        RuntimeError: no worker is left.
    """
    places = [device for device in devices for _ in range(jobs)]
    if not items:
        return
    if len(places) == 1:
        yield from work(plan, places[0], iter(items), loaded)
        return
    yield from _share(plan, list(items), places[: len(items)])


def work(
    plan: Plan, device: str, items: Iterable[Item], loaded: Mapping[str, Predictor] | None = None
) -> Iterator[Outcome]:
    """One worker: results are written in threads while the device goes on."""
    predictors = loaded or {task: load_model(device=device, **options) for task, options in plan.models.items()}
    cleaner = build_detector(**plan.detector, device=device) if plan.detector else None
    boxes = BoxesFile(plan.boxes, cleaner) if plan.boxes else None
    saving: deque[tuple[Job, Future]] = deque()
    with ThreadPoolExecutor(SAVERS, 'sapiens-save') as pool:
        for job in run(predictors, items, detector=None if boxes else cleaner, boxes_of=boxes, workers=plan.workers):
            if job.error:
                yield Outcome(job.item, job.error)
            else:
                saving.append((job, pool.submit(save, plan, job)))
            # Results wait in memory to be written: no more than the threads need.
            while saving and (saving[0][1].done() or len(saving) > 2 * SAVERS):
                yield _outcome(*saving.popleft())
        while saving:
            yield _outcome(*saving.popleft())


def _outcome(job: Job, future: Future) -> Outcome:
    try:
        future.result()
    except (OSError, ValueError) as error:  # a full disk, a mask of another size: this image's alone
        return Outcome(job.item, f'{type(error).__name__}: {error}')
    return Outcome(job.item)


def save(plan: Plan, job: Job) -> None:
    """Write the results of an image, those of depth and normals with a mask where there is one."""
    mask = None
    if {'depth', 'normal'} & set(job.results):
        if plan.mask_dir is not None:
            mask = read_mask(plan.mask_dir / job.item.name, job.image.shape[:2])
        elif 'seg' in job.results:
            mask = job.results['seg'].foreground
    for task in plan.written():
        result = job.results[task]
        if task in ('depth', 'normal'):
            result.mask = mask
        save_result(result, plan.stem(task, job.item.name), plan.saving)


def read_mask(stem: Path, size: tuple[int, int]) -> np.ndarray | None:
    """(H, W) bool from ``stem``.npy (above 0) or ``stem``.png (above half of white); None where there is neither.

    Raises:
        ValueError: a mask of another size than the image.
    """
    for suffix in ('.npy', '.png'):
        path = stem.with_name(stem.name + suffix)
        if path.exists():
            pixels = np.load(path) if suffix == '.npy' else cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
            if pixels is None or pixels.shape != size:
                found = 'no picture' if pixels is None else ' x '.join(map(str, pixels.shape))
                raise ValueError(f'the mask {path} is {found}, the image {size[0]} x {size[1]} (H x W)')
            return pixels > (0 if suffix == '.npy' else 127)
    return None


# ---------------------------------------------------------------------- several workers


def _share(plan: Plan, items: list[Item], places: list[str]) -> Iterator[Outcome]:
    context = multiprocessing.get_context('spawn')  # CUDA does not survive a fork
    threads = max(1, (os.cpu_count() or 1) // len(places))
    pipes: dict[Connection, tuple[multiprocessing.Process, set[int]]] = {}
    for number, place in enumerate(places):
        here, there = context.Pipe()
        process = context.Process(target=_worker, args=(plan, place, there, threads, number > 0), daemon=True)
        process.start()
        there.close()
        pipes[here] = process, set()
    following = iter(range(len(items)))
    try:
        while pipes:
            for pipe in wait(list(pipes)):
                process, given = pipes[pipe]
                try:
                    kind, *content = pipe.recv()
                except EOFError:
                    process.join()
                    del pipes[pipe]
                    for index in sorted(given):
                        yield Outcome(items[index], f'its worker ended with exit code {process.exitcode}')
                    continue
                if kind == 'next':
                    index = next(following, None)
                    if index is not None:
                        given.add(index)
                    _send(pipe, None if index is None else (index, items[index]))
                elif kind == 'done':
                    index, error = content
                    given.discard(index)
                    yield Outcome(items[index], error)
                else:
                    raise content[0]
        left = [items[index] for index in following]
        if left:
            raise RuntimeError(
                f'all workers ended, {len(left)} images were not started; run the command again to go on'
            )
    finally:
        for process, _ in pipes.values():
            process.terminate()


def _send(pipe: Connection, message) -> None:
    with contextlib.suppress(OSError):  # a worker that has ended, which its pipe tells next
        pipe.send(message)


def _worker(plan: Plan, device: str, pipe: Connection, threads: int, quiet: bool) -> None:
    """The life of a process: ask, compute, tell."""
    if device == 'cpu' or (device == 'auto' and not torch.cuda.is_available()):
        torch.set_num_threads(threads)
    cv2.setNumThreads(1)
    if quiet:
        logging.disable(logging.INFO)  # the first worker says what was loaded
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
            pipe.send(('done', numbers.pop(outcome.item), outcome.error))
    except (OSError, ValueError, ImportError) as error:
        pipe.send(('error', error))
    except KeyboardInterrupt:
        pass
