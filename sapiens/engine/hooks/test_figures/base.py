"""Writes a figure for each image of a test: labels beside predictions."""

import itertools
from abc import abstractmethod
from pathlib import Path

import numpy as np
from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.structures import BaseDataElement
from PIL import Image

from sapiens.datasets.transforms.decoding import EncodedImage
from sapiens.datasets.transforms.loading import read_file
from sapiens.tasks import member_of

__all__ = ['ShowHook']


class ShowHook(Hook):
    """Writes ``<out_dir>/<name of the image>.jpg``. Consecutive samples of one image go into one figure.

    Each of several processes writes its own files, ``<name>.rank<i>.jpg``. If an image occurs again later, or another image
    has the same name, its figure is ``<name>-2.jpg``.

    A subclass draws (:meth:`figure`).

    Args:
        out_dir: output folder.
        limit: maximum number of figures over all processes; None for all.
        task: of a model of several tasks, the one that is shown.

    Raises:
        ValueError: a limit below 1; at the start of the test, a task that the model does not have.
    """

    priority = 'LOW'

    def __init__(self, out_dir: str | Path, limit: int | None = None, task: str | None = None) -> None:
        if limit is not None and limit < 1:
            raise ValueError(f'limit={limit} must be 1 or more, or None for all images')
        self.out_dir, self.limit, self.task = Path(out_dir), limit, task

    @abstractmethod
    def figure(self, image: np.ndarray, samples: list) -> np.ndarray:
        """Draw an image, (H, W, 3) uint8 RGB, with the output of :meth:`keep` for its samples. Returns (H, W, 3) uint8 RGB."""

    def keep(self, sample: BaseDataElement):
        """Select what to keep of a sample until its image is complete."""
        return sample

    def before_test(self, runner) -> None:
        self.model = member_of(runner.bare_model, self.task, f'{type(self).__name__}.task')
        self.waiting: list = []
        self.path: str | None = None
        self.written: set[str] = set()
        ranks = get_world_size()
        self.quota = None if self.limit is None else self.limit // ranks + (get_rank() < self.limit % ranks)
        self.out_dir.mkdir(parents=True, exist_ok=True)

    @property
    def done(self) -> bool:
        return self.quota is not None and len(self.written) >= self.quota

    def after_test_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        for sample in outputs:
            if self.task is not None and sample.metainfo['task'] != self.task:
                continue
            if sample.get('img_path') != self.path:
                self.flush()
            if self.done:
                return
            self.path = sample.get('img_path')
            self.waiting.append(self.keep(sample))

    def after_test_epoch(self, runner, metrics=None) -> None:
        self.flush()
        runner.logger.info(f'{len(self.written)} figures: {self.out_dir}')

    def flush(self) -> None:
        """Write the figure of the waiting samples."""
        if self.waiting:
            image = EncodedImage(read_file(self.path))
            pixels, _ = image.crop((0, 0, *image.size), image.size, exact=True)
            figure = self.figure(pixels, self.waiting)
            # Thin colored lines need color at full resolution.
            Image.fromarray(figure).save(self.out_dir / self.free_name(), quality=92, subsampling=0)
        self.waiting = []

    def free_name(self) -> str:
        """Choose a file name that this test has not used."""
        rank = f'.rank{get_rank()}' if get_world_size() > 1 else ''
        stem = Path(self.path).stem
        for number in itertools.count(1):
            name = f'{stem}{f"-{number}" if number > 1 else ""}{rank}.jpg'
            if name not in self.written:
                self.written.add(name)
                return name
