"""A tree of image files."""

from mmengine.logging import print_log

from sapiens.registry import DATASETS
from sapiens.utils.image_files import SUFFIXES, LeftOut, walk_images
from sapiens.utils.paths import describe_path, require_folder

from .base import PathDataset
from .path_table import PathTable

__all__ = ['ImageFolder']


@DATASETS.register_module()
class ImageFolder(PathDataset):
    """Every image file under a folder, at any depth, in the order of the names.

    Links are followed; hidden names are skipped. Files that are not images are counted in one line of the log. The tree is
    scanned when the dataset is built: for many millions of files, or on a slow network file system, scan once into a list
    (docs/data.md) and use :class:`ImageList`.

    Args:
        data_root: the folder.
        pipeline, metainfo: see :class:`sapiens.datasets.base.PathDataset`.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: no image files in it.
    """

    def __init__(self, data_root: str, pipeline: list = (), metainfo: dict | None = None):
        data_root = require_folder(data_root)
        left_out = LeftOut()
        table = PathTable.from_strings(walk_images(data_root, left_out))
        if not len(table):
            where, endings = describe_path(data_root), ', '.join(SUFFIXES)
            raise ValueError(
                f'no images in {where}: no file at any depth ends in one of {endings}. {left_out}'.rstrip()
            )
        if left_out:
            print_log(f'{data_root}: {left_out}', 'current')
        super().__init__(table, data_root, pipeline, metainfo)
