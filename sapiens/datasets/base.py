"""What the map-style data sets share: one sample, made from one draw, whatever goes wrong with its file."""

from collections.abc import Iterator

import numpy as np
from mmengine.dataset import Compose
from torch.utils.data import Dataset

from sapiens.registry import TRANSFORMS

from .checks import Findings, check_images
from .draw import Draw, seed_everything_for
from .path_table import PathTable
from .transforms import BadImage, Rejected

__all__ = ['PathDataset', 'SampleDataset', 'build_pipeline']

_TRIES = 10
_REJECTIONS = 1000


class SampleDataset(Dataset):
    """Samples by number. Subclasses say how many there are (``__len__``) and what the pipeline starts from (``load``).

    ``dataset[draw]`` runs the pipeline with the global generators seeded from the draw and returns its result with
    ``bad``, the (path, reason) of the files that were skipped for it: a file that cannot be used is replaced by another
    one, drawn from the sample's own generator, and so is a sample that the pipeline rejects
    (:class:`sapiens.datasets.transforms.Rejected`), which is no bad file. A plain int seeds nothing.

    Args:
        pipeline: transforms or their configs; its first one reads what ``load`` gives.
        metainfo: ``dataset_name`` and whatever evaluation and visualization want to know.
        test_mode: for evaluation: nothing is replaced, since a metric over other samples would be wrong.

    Raises:
        ValueError: on access, where ten files in a row cannot be used, or a thousand samples in a row are rejected; in
            test mode where one is.
    """

    def __init__(self, pipeline: list, metainfo: dict | None, test_mode: bool = False):
        self.pipeline = build_pipeline(pipeline)
        self.metainfo = {'dataset_name': type(self).__name__, **(metainfo or {})}
        self.test_mode = test_mode

    def load(self, index: int) -> dict:
        """What the pipeline starts from; has ``img_path``, for reports, and ``sample_idx``."""
        raise NotImplementedError

    def check(self, findings: Findings, read: bool = False, progress=iter) -> None:
        """Look for what is wrong with the data (tools/misc/check_dataset.py).

        Args:
            findings: takes what is found.
            read: decode every image too.
            progress: wraps an iterable that takes long and has a length.
        """

    def __getitem__(self, draw: Draw | int) -> dict:
        index = draw.index if isinstance(draw, Draw) else int(draw)
        bad, rejected = [], 0
        with seed_everything_for(draw):
            while len(bad) < _TRIES and rejected < _REJECTIONS:
                results = self.load(index)
                path = results['img_path']
                try:
                    sample = self.pipeline(results)
                except (BadImage, Rejected) as error:
                    if self.test_mode:
                        raise ValueError(
                            f'sample {index} of {self!r}, {path}: {error}. In test mode no other sample takes its '
                            'place: mend the file, or take it out of the list'
                        ) from error
                    if isinstance(error, Rejected):
                        rejected, last = rejected + 1, error
                    else:
                        bad.append((path, str(error)))
                    index = int(np.random.randint(len(self)))
                    continue
                sample['bad'] = bad
                return sample
        if rejected == _REJECTIONS:
            raise ValueError(f'the pipeline rejected {rejected} samples of {self!r} in a row; the last one: {last}')
        listing = '\n'.join(f'  {path}: {reason}' for path, reason in bad)
        raise ValueError(f'{_TRIES} files in a row of {self!r} cannot be used:\n{listing}')


class PathDataset(SampleDataset):
    """Images by path. Subclasses fill the table.

    Args:
        table: the paths, relative to ``root`` or complete.
        root: what relative paths are relative to; '' for none.
        pipeline, metainfo: see :class:`SampleDataset`; the pipeline gets ``dict(img_path, sample_idx)``.
    """

    def __init__(self, table: PathTable, root: str, pipeline: list, metainfo: dict | None):
        super().__init__(pipeline, metainfo)
        self.table = table
        self.root = root

    def __len__(self) -> int:
        return len(self.table)

    def path(self, index: int) -> str:
        """The path of an entry, as it is opened and reported."""
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
