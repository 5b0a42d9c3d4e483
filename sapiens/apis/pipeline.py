"""Runs one or several models on many images. Threads read and preprocess while the device computes batches.

A batch holds inputs of the network (people for pose, else images) from any number of images. On a CPU a few batches are computed
side by side and share the cores: the cores of a single batch wait for each other at every layer.
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sapiens.datasets.transforms.decoding import BadImage

from .detectors.base import leave_out, whole_image
from .inputs import Item, read_pixels
from .results import ImageResults, Result

if TYPE_CHECKING:
    from .predictors import Predictor

__all__ = ['Job', 'in_order', 'run']

SIDE_BY_SIDE = 4  # batches on a CPU at a time; each holds its activations in memory


@dataclass
class Job:
    """One image in the pipeline.

    Attributes:
        item: source and name.
        image: (H, W, 3) uint8 RGB; None if it could not be read.
        error: why the image has no results; '' if it has.
        boxes, box_scores: (N, 4) and (N,), the people of the image.
        results: by name of the model; of a model with several tasks, by task.
        units: inputs of each model, by name, until the results of all are there.
        finished: models whose results are there.
    """

    item: Item
    image: np.ndarray | None = None
    error: str = ''
    boxes: np.ndarray | None = None
    box_scores: np.ndarray | None = None
    results: dict[str, Result] = field(default_factory=dict)
    units: dict[str, list] = field(default_factory=dict)
    finished: set[str] = field(default_factory=set)


def run(
    predictors: Mapping[str, 'Predictor'],
    items: Iterable[Item],
    *,
    detector: Callable | None = None,
    boxes_of: Callable | None = None,
    workers: int = 2,
    pixels_of: Callable = lambda item: read_pixels(item.source),
) -> Iterator[Job]:
    """Yield the job of each image with its results or its error, about in the order of the items.

    Args:
        predictors: models by name; see :func:`sapiens.apis.load_model`.
        items: may be endless; read as needed.
        detector: takes images and returns (boxes (N, 4), scores (N,)) of each. Called once for all models.
        boxes_of: takes an item and its image and returns (boxes, scores), or None to call the detector; BadImage becomes the
            error of the image. Without both, the whole image is one person.
        workers: threads that read and preprocess.
        pixels_of: reads an item.
    """
    wants_boxes = any(predictor.preprocess.needs_boxes for predictor in predictors.values())
    batch_size = max(predictor.batch_size for predictor in predictors.values())

    def load(item: Item) -> Job:
        try:
            return Job(item, pixels_of(item))
        except BadImage as error:
            return Job(item, error=str(error))

    def preprocess(job: Job) -> Job:
        if not job.error:
            for name, predictor in predictors.items():
                job.units[name] = predictor.units(job.image, job.boxes, job.box_scores)
        return job

    cores, width = torch.get_num_threads(), 1
    if all(predictor.on_cores for predictor in predictors.values()):
        width = min(cores, SIDE_BY_SIDE)
    computing = None
    if width > 1:
        computing = ThreadPoolExecutor(width, 'sapiens-compute', torch.set_num_threads, (cores // width,))
    batchers = {name: Batcher(name, predictor, computing, width) for name, predictor in predictors.items()}
    ahead = batch_size * width + workers
    pool = ThreadPoolExecutor(workers, 'sapiens-read')
    try:
        jobs = ordered(pool, load, items, ahead)
        if wants_boxes:
            jobs = _with_boxes(jobs, detector, boxes_of, batch_size)
        for job in ordered(pool, preprocess, jobs, ahead):
            if job.error:
                yield job
                continue
            finished = [done for batcher in batchers.values() for done in batcher.add(job)]
            yield from _complete(finished, predictors)
        for batcher in batchers.values():
            yield from _complete(batcher.flush(), predictors)
    finally:
        pool.shutdown(cancel_futures=True)
        if computing is not None:
            computing.shutdown(cancel_futures=True)
            torch.set_num_threads(cores)  # the setting is process-wide


def ordered(pool: ThreadPoolExecutor, function: Callable, inputs: Iterable, ahead: int) -> Iterator:
    """Map in threads, in order, reading at most ``ahead`` inputs in advance."""
    waiting: deque = deque()
    for value in inputs:
        waiting.append(pool.submit(function, value))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def in_order(jobs: Iterable[Job]) -> Iterator[Job]:
    """Yield jobs of items named '0', '1', ... in that order. Several models finish images in different orders."""
    waiting, following = {}, 0
    for job in jobs:
        waiting[int(job.item.name)] = job
        while following in waiting:
            yield waiting.pop(following)
            following += 1


def _with_boxes(
    jobs: Iterable[Job], detector: Callable | None, boxes_of: Callable | None, batch_size: int
) -> Iterator[Job]:
    for group in batched(jobs, batch_size if detector else 1):
        unknown = []
        for job in group:
            found = None
            try:
                found = None if job.error or boxes_of is None else boxes_of(job.item, job.image)
            except BadImage as error:
                job.error = str(error)
            if found is None and detector is None and not job.error:
                found = whole_image(job.image)
            if found is not None:
                job.boxes, job.box_scores = found
            elif not job.error:
                unknown.append(job)
        if unknown:
            for job, found in zip(unknown, detector([job.image for job in unknown]), strict=True):
                job.boxes, job.box_scores = leave_out(found, job.image, job.item.source or f'image {job.item.name}')
        yield from group


def batched(values: Iterable, size: int) -> Iterator[list]:
    values = iter(values)
    while group := list(itertools.islice(values, size)):
        yield group


def _complete(jobs: Iterable[Job], predictors: Mapping) -> Iterator[Job]:
    """Yield the jobs that have the results of all models, once each."""
    for job in jobs:
        if len(job.finished) == len(predictors) and job.units:
            job.units = {}
            yield job


class Batcher:
    """Collects the inputs of images to batches of one model.

    Args:
        predictor: the model.
        pool: threads that compute up to ``width`` batches side by side; None to compute in the calling thread.
    """

    def __init__(
        self, name: str, predictor: 'Predictor', pool: ThreadPoolExecutor | None = None, width: int = 1
    ) -> None:
        self.name, self.predictor, self.pool, self.width = name, predictor, pool, width
        self.waiting: deque[tuple[Job, int, list]] = deque()  # image, index of the input, outputs of the image
        self.flying: deque[tuple[list, Future]] = deque()
        self.open: deque[tuple[Job, list]] = deque()  # images in order, with their outputs so far

    def add(self, job: Job) -> list[Job]:
        """Take an image and return the images that are finished."""
        outputs: list[Any] = [None] * len(job.units[self.name])
        self.open.append((job, outputs))
        self.waiting.extend((job, index, outputs) for index in range(len(outputs)))
        size, done = self.predictor.batch_size, self._finished()
        # Images without people must not pile up behind an image whose people do not fill a batch.
        while len(self.waiting) >= size or (self.waiting and len(self.open) >= (4 + len(self.flying)) * size):
            self._run(min(len(self.waiting), size))
            done += self._finished()
        return done

    def flush(self) -> list[Job]:
        """Compute the remaining inputs."""
        while self.waiting:
            self._run(min(len(self.waiting), self.predictor.batch_size))
        while self.flying:
            self._land()
        return self._finished()

    def _run(self, count: int) -> None:
        chosen = [self.waiting.popleft() for _ in range(count)]
        units = [(job.image, *job.units[self.name][index]) for job, index, _ in chosen]
        # A single batch is faster on all cores than on one.
        alone = self.pool is None or (not self.flying and count < self.predictor.batch_size)
        if alone:
            future: Future = Future()
            future.set_result(self.predictor.forward(units))
        else:
            future = self.pool.submit(self.predictor.forward, units)
        self.flying.append((chosen, future))
        while len(self.flying) > (0 if alone else self.width):
            self._land()

    def _land(self) -> None:
        chosen, future = self.flying.popleft()
        for (_, index, outputs), output in zip(chosen, future.result(), strict=True):
            outputs[index] = output

    def _finished(self) -> list[Job]:
        done = []
        while self.open and all(output is not None for output in self.open[0][1]):
            job, outputs = self.open.popleft()
            try:
                found = self.predictor.result(job.image, job.item.source, outputs)
                job.results.update(found if isinstance(found, ImageResults) else {self.name: found})
            except BadImage as error:  # such as intrinsics of another image
                job.error = str(error)
            job.finished.add(self.name)
            done.append(job)
        return done
