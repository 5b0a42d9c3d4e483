"""A tree of image files."""

import os
from collections.abc import Iterator

from sapiens.registry import DATASETS
from sapiens.utils.paths import describe_path, require_folder

from .base import PathDataset
from .path_table import PathTable
from .transforms.decoding import SUFFIXES

__all__ = ['ImageFolder']


@DATASETS.register_module()
class ImageFolder(PathDataset):
    """Every image file under a folder, at any depth, in the order of the names.

    Links are followed; hidden names are skipped. The tree is scanned when the dataset is built: for many millions of files, or
    on a slow network file system, scan once into a list (docs/data.md) and use :class:`ImageList`.

    Args:
        data_root: the folder.
        pipeline, metainfo: see :class:`sapiens.datasets.base.PathDataset`.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: no image files in it.
    """

    def __init__(self, data_root: str, pipeline: list = (), metainfo: dict | None = None):
        data_root = require_folder(data_root)
        table = PathTable.from_strings(_scan(data_root, '', frozenset()))
        if not len(table):
            where, endings = describe_path(data_root), ', '.join(SUFFIXES)
            raise ValueError(f'no images in {where}: no file at any depth ends in one of {endings}')
        super().__init__(table, data_root, pipeline, metainfo)


def _scan(root: str, folder: str, above: frozenset) -> Iterator[str]:
    """Paths relative to ``root``, depth first, sorted within each folder. ``above``: folders that lead here."""
    here = os.path.join(root, folder)
    identity = os.stat(here)[1:3]  # inode and device
    if identity in above:  # a link to a parent folder
        return
    with os.scandir(here) as entries:
        names = sorted((entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith('.'))
    for name, is_folder in names:
        path = os.path.join(folder, name)
        if is_folder:
            yield from _scan(root, path, above | {identity})
        elif name.lower().endswith(SUFFIXES):
            yield path
