"""What the data sets over paths share: one sample, made from one draw, whatever goes wrong with its file."""

import numpy as np
from mmengine.dataset import Compose
from torch.utils.data import Dataset

from sapiens.registry import TRANSFORMS

from .draw import Draw, seed_everything_for
from .path_table import PathTable
from .transforms import BadImage

__all__ = ['PathDataset', 'build_pipeline']

_TRIES = 10


class PathDataset(Dataset):
    """Images by path. Subclasses fill the table.

    ``dataset[draw]`` runs the pipeline on ``dict(img_path, sample_idx)`` with the global generators seeded from the
    draw and returns its result with ``bad``, the (path, reason) of the files that were skipped for it: a file that
    cannot be used is replaced by another one, drawn from the sample's own generator. A plain int seeds nothing.

    Args:
        table: the paths, relative to ``root`` or complete.
        root: what relative paths are relative to; '' for none.
        pipeline: transforms or their configs; its first one reads ``img_path``.
        metainfo: ``dataset_name`` and whatever evaluation and visualization want to know.

    Raises:
        ValueError: on access, where ten files in a row cannot be used.
    """

    def __init__(self, table: PathTable, root: str, pipeline: list, metainfo: dict | None):
        self.table = table
        self.root = root
        self.pipeline = build_pipeline(pipeline)
        self.metainfo = {'dataset_name': type(self).__name__, **(metainfo or {})}

    def __len__(self) -> int:
        return len(self.table)

    def path(self, index: int) -> str:
        """The path of an entry, as it is opened and reported."""
        path = self.table[index]
        if not self.root or path.startswith('/') or '://' in path:
            return path
        return f'{self.root}/{path}'

    def __getitem__(self, draw: Draw | int) -> dict:
        index = draw.index if isinstance(draw, Draw) else int(draw)
        bad = []
        with seed_everything_for(draw):
            for _ in range(_TRIES):
                path = self.path(index)
                try:
                    sample = self.pipeline(dict(img_path=path, sample_idx=index))
                except BadImage as error:
                    bad.append((path, str(error)))
                    index = int(np.random.randint(len(self)))
                    continue
                sample['bad'] = bad
                return sample
        listing = '\n'.join(f'  {path}: {reason}' for path, reason in bad)
        raise ValueError(f'{_TRIES} files in a row of {self!r} cannot be used:\n{listing}')

    def __repr__(self) -> str:
        return f'{type(self).__name__}({len(self)} images, root={self.root!r})'


def build_pipeline(pipeline: list) -> Compose:
    """Compose transforms given as objects or configs."""
    # mmengine's Compose looks names up in its own scope where no Runner has set one.
    return Compose([TRANSFORMS.build(step) if isinstance(step, dict) else step for step in pipeline])
