"""A tree of image files."""

from mmengine.logging import print_log

from sapiens.registry import DATASETS
from sapiens.utils.image_files import SUFFIXES, LeftOut, walk_images
from sapiens.utils.paths import describe_path, require_folder

from .base import PathDataset
from .paired_folders import part_of
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
        part: (begin, end), within [0, 1]: the range of images to take, in the order of their names.
        pipeline, metainfo: see :class:`sapiens.datasets.base.PathDataset`.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: no image files in it, or a part that is not a range or has none of them.
    """

    def __init__(
        self,
        data_root: str,
        pipeline: list = (),
        metainfo: dict | None = None,
        part: tuple[float, float] = (0.0, 1.0),
    ):
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
        begin, end = part_of(part, len(table), describe_path(data_root))
        if end - begin < len(table):
            table = PathTable.from_strings(table[index] for index in range(begin, end))
        super().__init__(table, data_root, pipeline, metainfo)
