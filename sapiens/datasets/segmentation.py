"""Images with label maps, of any list of classes."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from sapiens.metainfo import ClassList, get_classes, remap_table
from sapiens.registry import DATASETS
from sapiens.tasks import map_fields

from .paired_folders import PairedFolders

__all__ = ['SegmentationDataset', 'class_metainfo']


@DATASETS.register_module()
class SegmentationDataset(PairedFolders):
    """A folder of images and one of label maps: 8-bit PNGs of ids (also with a palette), 255 ignored.

    The pipeline starts from a dict with ``img_path``, ``sample_idx``, and for
    :class:`sapiens.datasets.transforms.LoadLabels` and ``RandomFlip`` ``label_files``, ``label_table``, ``num_classes``,
    ``flip_table``.

    Args:
        classes: name, path of a .py file, or dict (:func:`sapiens.metainfo.get_classes`).
        data_root: what folders are relative to; '' for the working directory.
        images, labels: folders. Both '.' with ``label_ending='_seg'`` for ``000001.png`` beside ``000001_seg.png``.
        label_ending: suffix of the stem of label files.
        source_classes: of the files, where they have other classes: ids are mapped as
            :func:`sapiens.metainfo.remap_table` says ('atr18', 'cihp20', 'goliath34', 'goliath52', 'lip20', 'pascal25' to
            'goliath28'), what has no partner is ignored.
        mask, alpha: folders of masks of people (PNG, JPEG) and of the fraction of each pixel that they cover (PNG), for
            :class:`sapiens.datasets.transforms.RandomBackground`, which otherwise takes the labels above 0.
        metainfo: begins with the class list, so that it travels with the checkpoint.
        **options: sequences, part, partial, pipeline, test_mode of :class:`sapiens.datasets.paired_folders.PairedFolders`.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: images and labels that do not belong together, or an unknown class list.
    """

    def __init__(
        self,
        classes: str | Path | Mapping | ClassList,
        data_root: str = '',
        images: str = 'images',
        labels: str = 'labels',
        label_ending: str = '',
        source_classes: str | Path | Mapping | ClassList | None = None,
        mask: str | None = None,
        alpha: str | None = None,
        metainfo: dict | None = None,
        **options,
    ):
        self.classes = get_classes(classes)
        self.label_table = None if source_classes is None else remap_table(source_classes, self.classes)
        folders = dict(sem_seg=labels, mask=mask, alpha=alpha)
        folders = {name: (folder, map_fields()[name].suffixes) for name, folder in folders.items() if folder}
        metainfo = {**class_metainfo(self.classes), **(metainfo or {})}
        super().__init__(data_root or '.', images, folders, label_ending, metainfo=metainfo, **options)

    def label_options(self) -> dict:
        return dict(
            label_table=self.label_table, num_classes=len(self.classes), flip_table=np.asarray(self.classes.flip_table)
        )

    def __repr__(self) -> str:
        return f'{super().__repr__()[:-1]}, {self.classes.name})'


def class_metainfo(classes: ClassList) -> dict:
    """Metainfo for evaluation and visualization, under mmseg's names where it has them."""
    return dict(
        class_list=classes.name, classes=classes.classes, palette=[list(map(int, rgb)) for rgb in classes.palette]
    )
