"""Several datasets as one."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from sapiens.metainfo import Skeleton, dataset_metainfo, get_skeleton, match_keypoints
from sapiens.registry import DATASETS

from .base import SampleDataset
from .checks import Findings
from .keypoints import map_keypoints, refuse_unreachable, skeleton_fields

__all__ = ['CombinedDataset']


def is_weighted(dataset: SampleDataset) -> bool:
    """Whether the samples of a data set have weights."""
    return getattr(dataset, 'is_weighted', dataset.weights is not None)


@DATASETS.register_module()
class CombinedDataset(SampleDataset):
    """Datasets one after the other, or mixed by weights, with one pipeline.

    With weights an epoch has ``length`` samples, divided exactly by the weights. Each dataset is sampled evenly: if a dataset
    of m samples gets n places, place j takes a random sample between ``j m / n`` and ``(j + 1) m / n``, drawn from the sample's
    own generator. So all samples of a dataset are equally frequent, and a large one gives other samples in each epoch. A sample
    depends on its :class:`Draw` only, so a run resumes exactly. Shuffle with the sampler: places of one dataset are adjacent.

    A file that cannot be used is replaced by a sample of the mixture.

    Samples keep their own weights in the losses (:attr:`.SampleDataset.weights`); those of datasets without have weight 1.

    Args:
        datasets: datasets or their configs, without pipelines.
        weights: relative number of samples of each dataset; None takes every sample of each once an epoch.
        length: samples in an epoch; default: the total of the datasets. Without weights, a length is divided by their sizes.
        skeleton: all keypoints are mapped to it by name; missing ones have weight 0. If names of equal keypoints differ, let the
            dataset map them (``source_skeleton``, ``names``). None for datasets of one skeleton, or without keypoints.
        pipeline, metainfo: see :class:`SampleDataset`.

    Attributes:
        test_mode: that of the datasets.

    Raises:
        ValueError: nothing to combine; datasets with pipelines or of different skeletons, classes or modes; invalid weights; a
            length that leaves one of them without a sample.
    """

    def __init__(
        self,
        datasets: Sequence[Dataset | dict],
        weights: Sequence[float] | None = None,
        length: int | None = None,
        skeleton: str | Path | Mapping | Skeleton | None = None,
        pipeline: list = (),
        metainfo: dict | None = None,
    ):
        if not datasets:
            raise ValueError('datasets=[]: nothing to combine')
        self.datasets = [DATASETS.build(item) if isinstance(item, dict) else item for item in datasets]
        for item in self.datasets:
            if not isinstance(item, SampleDataset):
                raise ValueError(f'{item!r} cannot be combined: expected a dataset with numbered samples')
            if item.sampler is not None:
                raise ValueError(
                    f'{item!r} cannot be combined: its samples are read in the order of {item.sampler.__name__}'
                )
            if item.pipeline.transforms:
                raise ValueError(f'{item!r} has a pipeline, which would not be used: give it to the CombinedDataset')
        modes = {item.test_mode for item in self.datasets}
        if len(modes) > 1:
            raise ValueError('some of the datasets have test_mode=True and some have not')
        test_mode = modes.pop()
        if test_mode and not (weights is None and length is None):
            raise ValueError('weights= and length= draw samples at random, which test mode does not allow')
        self._set_skeleton(skeleton)
        self._check_classes()
        first = dataset_metainfo(self.skeleton) if self.skeleton is not None else self.datasets[0].metainfo
        super().__init__(pipeline, {**first, **(metainfo or {})}, test_mode)
        if self.skeleton is not None:
            refuse_unreachable(self.pipeline, self.skeleton)
        self.is_weighted = any(is_weighted(item) for item in self.datasets)
        self._set_counts(weights, length)

    def _set_skeleton(self, skeleton) -> None:
        found = {}
        for item in self.datasets:
            if getattr(item, 'skeleton', None) is not None:
                own = get_skeleton(item.skeleton)
                found.setdefault(own.keypoints, own)
        if skeleton is None and len(found) > 1:
            names = ', '.join(repr(own.name) for own in found.values())
            raise ValueError(f'the datasets have different skeletons ({names}): give skeleton= to map all to it')
        if skeleton is not None and not found:
            raise ValueError(f'skeleton={skeleton!r}: none of the datasets has keypoints')
        self.skeleton = get_skeleton(skeleton) if skeleton is not None else next(iter(found.values()), None)
        self._maps = [None] * len(self.datasets)
        if self.skeleton is None:
            return
        self._fields = skeleton_fields(self.skeleton)
        for number, item in enumerate(self.datasets):
            if getattr(item, 'skeleton', None) is None:
                raise ValueError(f'{item!r} has no keypoints, the others have')
            own = get_skeleton(item.skeleton)
            if own.keypoints != self.skeleton.keypoints:
                self._maps[number] = match_keypoints(own, self.skeleton)

    def _check_classes(self) -> None:
        lists = {}
        for item in self.datasets:
            if 'classes' in item.metainfo:
                lists.setdefault(tuple(item.metainfo['classes']), item.metainfo.get('class_list'))
        names = list(lists.values())
        if len(names) > 1:
            raise ValueError(
                f'the datasets have different classes ({", ".join(map(repr, names))}): set source_classes= '
                'to map labels of other classes'
            )

    def _set_counts(self, weights, length) -> None:
        sizes = np.array([len(item) for item in self.datasets])
        self._mixed = weights is not None or length is not None
        if not self._mixed:
            self._ends = np.cumsum(sizes)
            return
        weighting = np.array(sizes if weights is None else weights, np.float64)
        if weighting.shape != sizes.shape or not (np.isfinite(weighting).all() and (weighting > 0).all()):
            raise ValueError(f'weights={weights!r}: expected {len(sizes)} positive numbers, one for each dataset')
        length = int(sizes.sum()) if length is None else length
        if not (isinstance(length, int) and length > 0):
            raise ValueError(f'length={length!r}: expected a positive number of samples')
        exact = length * weighting / weighting.sum()
        counts = np.floor(exact).astype(np.int64)
        # Rounding down leaves samples over; they go to the largest remainders.
        for number in np.argsort(counts - exact, kind='stable')[: length - counts.sum()]:
            counts[number] += 1
        if (counts == 0).any():
            raise ValueError(f'length={length} gives the datasets {counts.tolist()} samples: make it larger')
        self._ends = np.cumsum(counts)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def locate(self, index: int) -> tuple[int, int]:
        """(number of the dataset, sample in it) of a position; mixed datasets draw it from numpy's generator."""
        number = int(np.searchsorted(self._ends, index, side='right'))
        if number == len(self.datasets) or index < 0:
            raise IndexError(f'sample {index} of {len(self)}')
        place = index - (int(self._ends[number - 1]) if number else 0)
        if not self._mixed:
            return number, place
        count = int(np.diff(self._ends, prepend=0)[number])
        size = len(self.datasets[number])
        return number, min(int((place + np.random.random()) * size / count), size - 1)

    def load(self, index: int) -> dict:
        return self.load_drawn(index, None)

    def load_drawn(self, index: int, seed: int | None) -> dict:
        number, inner = self.locate(index)
        results = self.datasets[number].load_weighed(inner, seed)
        if self.is_weighted:  # all samples or none: processes exchange the sums
            results.setdefault('weight', 1.0)
        results['sample_idx'] = index
        if self._maps[number] is not None:
            map_keypoints(results, self._maps[number], self._fields)
        return results

    def check(self, findings: Findings, read: bool = False, progress=iter) -> None:
        for item in self.datasets:
            own = Findings()
            item.check(own, read, progress)
            findings.update({f'{what} [{item!r}]': finding for what, finding in own.items()})

    def image_paths(self) -> Iterator[str]:
        """Paths of the used images."""
        for item in self.datasets:
            yield from item.image_paths() if hasattr(item, 'image_paths') else ()

    def __repr__(self) -> str:
        counts = np.diff(self._ends, prepend=0)
        parts = ', '.join(f'{count} of {item!r}' for count, item in zip(counts, self.datasets, strict=True))
        return f'{type(self).__name__}({len(self)} samples: {parts})'
