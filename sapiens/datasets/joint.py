"""People with the label maps of their images: one sample for several tasks."""

import os
from collections.abc import Iterator

import numpy as np
import torch

from sapiens.registry import DATASETS

from .base import SampleDataset
from .checks import Findings
from .paired_folders import PairedFolders

__all__ = ['JointDataset']


@DATASETS.register_module()
class JointDataset(SampleDataset):
    """The samples of one dataset, each with the label files that others have for the same image.

    One image then serves several tasks in a step: a model encodes it once (:class:`sapiens.models.MultiTaskEstimator`).
    :class:`.LoadLabels` with ``apart=True`` reads the files, and :class:`.PackTasks` packs all labels.

    Args:
        dataset: whose samples count, such as a :class:`.KeypointDataset`; a dataset or its config, without a pipeline.
        labels: datasets of images with label files, or their configs, by any name, without pipelines. Each must have every image
            of ``dataset``, under the same path.
        pipeline, metainfo: see :class:`SampleDataset`; ``metainfo`` begins as those of all, that of ``dataset`` first.

    Raises:
        ValueError: other kinds of datasets, pipelines, test mode, or an image without its label files.
    """

    def __init__(self, dataset, labels: dict, pipeline: list = (), metainfo: dict | None = None):
        self.dataset = _built(dataset)
        self.labels = {name: _built(item) for name, item in sorted(labels.items())}
        if not isinstance(self.dataset, SampleDataset) or not hasattr(self.dataset, 'path'):
            raise ValueError(f'dataset={self.dataset!r}: expected samples with a path each, such as a KeypointDataset')
        for name, item in self.labels.items():
            if not isinstance(item, PairedFolders):
                raise ValueError(
                    f'labels.{name}={item!r}: expected images with label files, such as a GeometryDataset'
                )
        for item in (self.dataset, *self.labels.values()):
            if item.pipeline.transforms or item.test_mode:
                raise ValueError(
                    f'{item!r} has a pipeline of its own or test_mode=True, which a JointDataset would not use'
                )
        found = {key: value for item in self.labels.values() for key, value in item.metainfo.items()}
        super().__init__(pipeline, {**found, **self.dataset.metainfo, **(metainfo or {})})
        self.skeleton = getattr(self.dataset, 'skeleton', None)
        self.weights = self.dataset.weights
        # For each sample its number in each of the others, as a tensor, which workers share.
        self.numbers = torch.from_numpy(np.stack([self._numbers(*pair) for pair in self.labels.items()], 1))

    def _numbers(self, name: str, item: PairedFolders) -> np.ndarray:
        known = {os.path.abspath(item.path(number)): number for number in range(len(item))}
        numbers = [known.get(os.path.abspath(self.dataset.path(index)), -1) for index in range(len(self.dataset))]
        if -1 in numbers:
            lacking = [self.dataset.path(index) for index, number in enumerate(numbers) if number < 0]
            raise ValueError(
                f'{len(lacking)} of {len(numbers)} samples have no labels.{name} of {item!r}, such as {lacking[0]}'
            )
        return np.array(numbers, np.int64)

    def __len__(self) -> int:
        return len(self.dataset)

    def path(self, index: int) -> str:
        """Path of the image of a sample."""
        return self.dataset.path(index)

    def load(self, index: int) -> dict:
        results, files = self.dataset.load(index), {}
        for item, number in zip(self.labels.values(), self.numbers[index].tolist(), strict=True):
            own = item.load(number)
            files |= own.pop('label_files')
            results = {**own, **results}
        return dict(results, label_files=files)

    def check(self, findings: Findings, read: bool = False, progress=iter) -> None:
        for item in (self.dataset, *self.labels.values()):
            own = Findings()
            item.check(own, read, progress)
            findings.update({f'{what} [{item!r}]': finding for what, finding in own.items()})

    def image_paths(self) -> Iterator[str]:
        """Paths of the images."""
        return self.dataset.image_paths()

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.dataset!r} with labels of {", ".join(self.labels)})'


def _built(item):
    return DATASETS.build(item) if isinstance(item, dict) else item
