"""Calling with images: what a model and several models side by side have in common."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from sapiens.datasets.transforms.decoding import BadImage

from ..detectors.base import find_outside
from ..inputs import Item, read_pixels
from ..pipeline import Job, run
from ..results import ImageResults, Result

if TYPE_CHECKING:
    from .base import Predictor

__all__ = ['TakesImages']


class TakesImages:
    """Takes images and returns one result for each. Subclasses define :meth:`models` and :meth:`collect`.

    Attributes:
        detector: finds people where no boxes are given; None to take the whole image as one person.
    """

    detector: Callable | None = None

    def models(self) -> Mapping[str, 'Predictor']:
        """Return the models that run, by name."""
        raise NotImplementedError

    def collect(self, job: Job) -> Result | ImageResults:
        """Return what the caller gets for a finished image."""
        raise NotImplementedError

    def __call__(self, images, boxes=None) -> Result | ImageResults | list:
        """Predict one image or several.

        Args:
            images: a path, URL, Pillow image or (H, W, 3) uint8 RGB array, or a list of these.
            boxes: of people, for pose: (N, 4) x1, y1, x2, y2 in pixels, or (N, 5) with a score. A list for several images.

        Returns:
            One result, or a list with one result per image.

        Raises:
            BadImage: an image cannot be read, or one of its boxes lies outside it. :meth:`stream` continues instead.
            ValueError: boxes for models that take none, or of a wrong shape.
        """
        single = isinstance(images, str | Path | np.ndarray | Image.Image)
        images = [images] if single else list(images)
        if boxes is not None:
            models = self.models()
            if not any(model.preprocess.needs_boxes for model in models.values()):
                raise ValueError(f'boxes: a model for {" and ".join(map(repr, models))} sees the whole image')
            boxes = [boxes] if single else list(boxes)
            if len(boxes) != len(images):
                raise ValueError(f'boxes for {len(boxes)} images, but {len(images)} images')
        results: list = [None] * len(images)
        for index, _, result in self._run(images, boxes):
            if isinstance(result, BadImage):
                raise result
            results[index] = result
        return results[0] if single else results

    def stream(self, images: Iterable, workers: int = 2) -> Iterator[tuple[object, Result | ImageResults | BadImage]]:
        """Yield (image, result), or (image, error) for an image that cannot be read, about in the order of the images.

        Memory does not grow.
        """
        for _, image, result in self._run(images, None, workers):
            yield image, result

    def _run(self, images: Iterable, boxes: list | None, workers: int = 2) -> Iterator[tuple]:
        """Yield (index, image, result or error)."""
        waiting = {}

        def items() -> Iterator[Item]:
            for index, image in enumerate(images):
                waiting[str(index)] = image
                yield Item(os.fspath(image) if isinstance(image, str | Path) else '', str(index))

        def boxes_of(item: Item, image: np.ndarray):
            return None if boxes is None else _boxes_with_scores(boxes[int(item.name)], image)

        for job in run(
            self.models(),
            items(),
            detector=self.detector,
            boxes_of=boxes_of,
            workers=workers,
            pixels_of=lambda item: read_pixels(waiting[item.name]),
        ):
            result = BadImage(f'{job.item.source or "image"}: {job.error}') if job.error else self.collect(job)
            yield int(job.item.name), waiting.pop(job.item.name), result


def _boxes_with_scores(boxes, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    boxes = np.asarray(boxes, np.float32)
    if boxes.size == 0:
        return np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
    boxes = boxes[None] if boxes.ndim == 1 else boxes
    if boxes.ndim != 2 or boxes.shape[1] not in (4, 5) or not np.isfinite(boxes).all():
        raise ValueError(f'boxes {boxes.shape}: expected (N, 4) x1, y1, x2, y2 or (N, 5) with a score, finite')
    sentence = find_outside(boxes[:, :4], image)[1]
    if sentence:
        raise BadImage(sentence)
    return boxes[:, :4], boxes[:, 4] if boxes.shape[1] == 5 else np.ones(len(boxes), np.float32)
