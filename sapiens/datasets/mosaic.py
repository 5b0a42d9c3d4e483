"""Four images as one, for detection."""

import numpy as np
from torch.utils.data import Dataset

from sapiens.registry import DATASETS
from sapiens.utils.boxes import clip_boxes

from .base import SampleDataset
from .checks import Findings
from .transforms.decoding import BadImage, resize
from .transforms.loading import open_image

__all__ = ['MosaicDataset']


@DATASETS.register_module()
class MosaicDataset(SampleDataset):
    """Samples of a dataset, some of them as mosaics: parts of four images beside each other (Bochkovskiy et al., "YOLOv4", 2020).

    A mosaic shows more people, and smaller ones. The four parts meet at a random place. Each is a random part of an image that
    fills its corner. A sample depends on its :class:`Draw` only, so a run resumes exactly.

    The pipeline starts from a dict of the dataset, or for a mosaic from ``img`` (h, w, 3) uint8 RGB, ``img_path`` of the first
    image, ``sample_idx``, ``bbox`` (N, 4) and ``bbox_ignored`` (N,). Images without ``bbox`` have no people.

    Args:
        dataset: dataset of images with boxes, or its config, without a pipeline.
        share: fraction of the samples that are mosaics.
        size: (w, h) of a mosaic in pixels.
        min_visible: people of whose box a smaller fraction shows are ignored.
        pipeline, metainfo: see :class:`SampleDataset`.

    Raises:
        ValueError: an argument out of its range; a dataset with a pipeline or in test mode.
    """

    def __init__(
        self,
        dataset: Dataset | dict,
        share: float = 0.5,
        size: tuple[int, int] = (512, 512),
        min_visible: float = 0.25,
        pipeline: list = (),
        metainfo: dict | None = None,
    ):
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        if self.dataset.pipeline.transforms:
            raise ValueError(f'{self.dataset!r} has a pipeline, which would not be used: give it to the MosaicDataset')
        if self.dataset.test_mode:
            raise ValueError(f'{self.dataset!r} is in test mode, and mosaics are drawn at random')
        if not 0 <= share <= 1:
            raise ValueError(f'share={share!r}: expected a fraction, 0 to 1')
        if not 0 <= min_visible <= 1:
            raise ValueError(f'min_visible={min_visible!r}: expected a fraction, 0 to 1')
        if len(size) != 2 or min(size) < 32:
            raise ValueError(f'size={size!r}: expected (width, height) of at least 32 pixels')
        super().__init__(pipeline, {**self.dataset.metainfo, **(metainfo or {})})
        self.share, self.size, self.min_visible = share, tuple(size), min_visible

    def __len__(self) -> int:
        return len(self.dataset)

    def load(self, index: int) -> dict:
        return self.load_drawn(index, None)

    def load_drawn(self, index: int, seed: int | None) -> dict:
        first = self.dataset.load_drawn(index, seed)
        if np.random.random() >= self.share:
            return first
        parts = [first, *(self.dataset.load_drawn(self.another(index, 1), seed) for _ in range(3))]
        width, height = self.size
        x, y = (round(side * np.random.uniform(0.3, 0.7)) for side in self.size)
        canvas, boxes, ignored = np.empty((height, width, 3), np.uint8), [], []
        for part, (left, top, right, bottom) in zip(
            parts, ((0, 0, x, y), (x, 0, width, y), (0, y, x, height), (x, y, width, height)), strict=True
        ):
            try:
                pixels, own, hidden = self._part(part, (right - left, bottom - top))
            except BadImage as error:
                raise BadImage(str(error), error.path or part['img_path']) from error  # one of four
            canvas[top:bottom, left:right] = pixels
            boxes.append(own + np.array([left, top, left, top], np.float32))
            ignored.append(hidden)
        return dict(
            img=canvas,
            img_path=first['img_path'],
            sample_idx=first['sample_idx'],
            bbox=np.concatenate(boxes).astype(np.float32),
            bbox_ignored=np.concatenate(ignored),
        )

    def _part(self, sample: dict, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A random part of an image as pixels of ``size`` (w, h), with its boxes and which of them are ignored."""
        image = open_image(sample)
        # Pixels of the image for one of the part.
        step = min(whole / side for whole, side in zip(image.size, size, strict=True)) * np.random.uniform(0.6, 1)
        shown = [max(1, min(whole, round(side * step))) for whole, side in zip(image.size, size, strict=True)]
        x, y = (int(np.random.randint(whole - side + 1)) for whole, side in zip(image.size, shown, strict=True))
        pixels, (left, top, across, down) = image.crop((x, y, *shown), size, False)
        pixels = resize(pixels, size, 'bilinear')
        boxes = np.asarray(sample.get('bbox', ()), np.float32).reshape(-1, 4)
        ignored = np.asarray(sample.get('bbox_ignored', np.zeros(len(boxes))), bool)
        scale = np.tile(np.array(size) / np.array([across, down]), 2)
        moved = (boxes - np.tile([left, top], 2)) * scale
        clipped = clip_boxes(moved, size)
        areas, whole = ((part[:, 2:] - part[:, :2]).prod(1) for part in (clipped, moved))
        shows = (clipped[:, 2:] > clipped[:, :2]).all(1)
        return pixels, clipped[shows], (ignored | (areas < self.min_visible * whole))[shows]

    def check(self, findings: Findings, read: bool = False, progress=iter) -> None:
        self.dataset.check(findings, read, progress)

    def image_paths(self):
        """Paths of the images."""
        return self.dataset.image_paths() if hasattr(self.dataset, 'image_paths') else iter(())

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.share:.0%} of {self.dataset!r})'
