"""Base classes of datasets with numbered samples."""

from collections.abc import Iterable, Iterator

import numpy as np
from mmengine.dataset import Compose
from torch import Tensor
from torch.utils.data import Dataset

from sapiens.registry import TRANSFORMS

from .checks import Findings, check_images
from .draw import Draw, hash63, seed_everything_for
from .path_table import PathTable
from .transforms import BadImage, Rejected
from .weights import read_weights

__all__ = ['PathDataset', 'SampleDataset', 'build_pipeline']

_TRIES = 10
_REJECTIONS = 1000


class SampleDataset(Dataset):
    """Numbered samples. Subclasses define their number (``__len__``) and the input of the pipeline (``load``).

    ``dataset[draw]`` runs the pipeline with the global generators seeded from the draw. A file that cannot be used is
    replaced by another one, drawn from the sample's own generator. So is a sample that the pipeline rejects
    (:class:`sapiens.datasets.transforms.Rejected`). The result has ``bad``, the (path, reason) of the replaced files,
    ``rejected``, the names of the reasons of rejections, one in a line: a text, which every collate function takes, and
    ``seeds``, the seed of the draw, from which the model draws. A plain int instead of a draw seeds nothing and has no seed.

    Args:
        pipeline: transforms or their configs; the first one reads the result of ``load``.
        metainfo: ``dataset_name`` and what evaluation and visualization need.
        test_mode: for evaluation: replace nothing, since a metric over other samples would be wrong.

    A data set whose samples have weights sets ``weights``. They are in the metainfo of its packed samples (``weight``), whatever
    the pipeline, and losses weigh the samples (:mod:`sapiens.models.losses.weights`).

    Attributes:
        weights: (N,) float32, of each sample, 0 or more; None for no weights.
        sampler: the kind of sampler that takes the place of a ResumableSampler in training, for datasets whose samples cannot be
            read in any order at the same cost; else None.

    Raises:
        ValueError: on access, where ten files in a row cannot be used, or a thousand samples in a row are rejected; in
            test mode where one is.
    """

    sampler = None

    def __init__(self, pipeline: list, metainfo: dict | None, test_mode: bool = False):
        self.pipeline = build_pipeline(pipeline)
        self.metainfo = {'dataset_name': type(self).__name__, **(metainfo or {})}
        self.test_mode = test_mode
        self.weights: Tensor | None = None

    def load(self, index: int) -> dict:
        """The input of the pipeline; it has ``img_path``, for reports, and ``sample_idx``."""
        raise NotImplementedError

    def load_drawn(self, index: int, seed: int | None) -> dict:
        """Like :meth:`load`, for datasets that make a new sample from the seed of each draw; None for a plain int."""
        return self.load(index)

    def load_weighed(self, index: int, seed: int | None) -> dict:
        """Like :meth:`load_drawn`, with ``weight`` where the data set has weights."""
        results = self.load_drawn(index, seed)
        if self.weights is not None:
            results['weight'] = float(self.weights[index])
        return results

    def set_weights(self, path: str, names: Iterable[str]) -> None:
        """Take the weights of all samples from a table; see :func:`sapiens.datasets.weights.read_weights`.

        Raises:
            FileNotFoundError, ValueError: no such table, or a wrong one; weights in test mode.
        """
        self.refuse_weights_in_test_mode(f'weights={path!r}')
        self.weights = read_weights(path, names)

    def refuse_weights_in_test_mode(self, given: str) -> None:
        """Raise ValueError for an option that has an effect in training only."""
        if self.test_mode:
            raise ValueError(f'{given} in test mode: an evaluation counts every sample once. Leave it out')

    def another(self, index: int, number: int) -> int:
        """Draw the ``number``-th sample, from 1, that takes the place of one that cannot be used; from the global generator."""
        return int(np.random.randint(len(self)))

    def check(self, findings: Findings, read: bool = False, progress=iter) -> None:
        """Add problems of the data to ``findings``; with ``read`` decode every image. ``progress`` wraps a long iterable."""

    def __getitem__(self, draw: Draw | int) -> dict:
        index, seed = int(draw), getattr(draw, 'seed', None)
        bad, rejected = [], []
        with seed_everything_for(draw):
            while len(bad) < _TRIES and len(rejected) < _REJECTIONS:
                path = ''
                try:
                    results = self.load_weighed(index, seed)
                    path = results['img_path']
                    weight = results.pop('weight', None)
                    sample = self.pipeline(results)
                except (BadImage, Rejected) as error:
                    if self.test_mode:
                        raise ValueError(
                            f'sample {index} of {self!r}, {path}: {error}. In test mode no other sample takes its '
                            'place: fix the file, or remove it from the list'
                        ) from error
                    if isinstance(error, Rejected):
                        rejected.append(error.name)
                        last = error
                    else:
                        bad.append((error.path or path, str(error)))
                    index = self.another(index, len(bad) + len(rejected))
                    seed = None if seed is None else hash63(seed, len(bad) + len(rejected))
                    continue
                sample['bad'], sample['rejected'] = bad, '\n'.join(rejected)
                if weight is not None:
                    sample['data_samples'].set_metainfo(dict(weight=weight))
                if isinstance(draw, Draw):
                    sample['seeds'] = draw.seed
                return sample
        if len(rejected) == _REJECTIONS:
            raise ValueError(f'the pipeline rejected {_REJECTIONS} samples of {self!r} in a row; the last one: {last}')
        listing = '\n'.join(f'  {path}: {reason}' for path, reason in bad)
        raise ValueError(f'{_TRIES} files in a row of {self!r} cannot be used:\n{listing}')


class PathDataset(SampleDataset):
    """Images by path. Subclasses fill the table.

    Args:
        table: the paths, relative to ``root`` or complete.
        root: what relative paths are relative to; '' for none.
        pipeline, metainfo, test_mode: see :class:`SampleDataset`; the pipeline gets ``dict(img_path, sample_idx)``.
    """

    def __init__(self, table: PathTable, root: str, pipeline: list, metainfo: dict | None, test_mode: bool = False):
        super().__init__(pipeline, metainfo, test_mode)
        self.table, self.root = table, root

    def __len__(self) -> int:
        return len(self.table)

    def path(self, index: int) -> str:
        """Return the path of an entry for opening and messages."""
        return join_path(self.root, self.table[index])

    def load(self, index: int) -> dict:
        return dict(img_path=self.path(index), sample_idx=index)

    def image_paths(self) -> Iterator[str]:
        return (self.path(index) for index in range(len(self)))

    def check(self, findings: Findings, read: bool = False, progress=iter) -> None:
        check_images(findings, self.image_paths(), len(self), read, progress)

    def __repr__(self) -> str:
        return f'{type(self).__name__}({len(self)} images, root={self.root!r})'


def join_path(root: str, path: str) -> str:
    """``path`` below ``root``, unless it is complete by itself or a URL."""
    if not root or path.startswith('/') or '://' in path:
        return path
    return f'{root}/{path}' if path else root


def build_pipeline(pipeline: list) -> Compose:
    """Compose transforms given as objects or configs."""
    # mmengine's Compose looks names up in its own scope where no Runner has set one.
    return Compose([TRANSFORMS.build(step) if isinstance(step, dict) else step for step in pipeline])
