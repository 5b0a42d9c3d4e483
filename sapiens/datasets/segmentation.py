"""Images with label maps, of any list of classes, from folders of PNGs or from the segments of a COCO file."""

import json
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path

import numpy as np

from sapiens.coco import AnnotatedSegments, read_segments
from sapiens.coco.segments import OVERLAPS
from sapiens.metainfo import ClassList, get_classes, remap_table
from sapiens.metainfo.classes import IGNORE
from sapiens.metainfo.naming import not_known
from sapiens.registry import DATASETS
from sapiens.tasks import map_fields

from .base import PathDataset, join_path
from .checks import Findings
from .paired_folders import PairedFolders
from .path_table import PathTable

__all__ = ['SegmentationDataset', 'class_metainfo']


@DATASETS.register_module()
class SegmentationDataset(PairedFolders):
    """A folder of images with label maps, or with the polygons and run lengths of a COCO file.

    Label maps are 8-bit PNGs (or TIFF, BMP) of ids, also with a palette; 255 is ignored.

    The pipeline starts from a dict with ``img_path``, ``sample_idx``, and for
    :class:`sapiens.datasets.transforms.LoadLabels` and ``RandomFlip`` ``label_files``, ``label_table``, ``num_classes``,
    ``flip_table``; from a COCO file also ``segments``, from which the label map is made.

    Args:
        classes: name, path of a .py file, or dict (:func:`sapiens.metainfo.get_classes`).
        data_root: what folders are relative to; '' for the working directory.
        images, labels: folders. Both '.' with ``label_ending='_seg'`` for ``000001.png`` beside ``000001_seg.png``.
        label_ending: suffix of the stem of label files: '.jpg' for ``000001.jpg.png``.
        shards: tar shards with the images and label maps, relative to ``data_root``: then ``labels``, ``mask`` and ``alpha`` are
            parts of samples, ``labels='seg'`` for ``KEY.seg.png`` (:class:`.shard_parts.ShardParts`).
        source_classes: of the files, where they have other classes: ids are mapped as
            :func:`sapiens.metainfo.remap_table` says ('goliath34', 'goliath52' and 'internal33' to 'goliath29'; 'atr18',
            'cihp20', 'goliath34', 'goliath52', 'lip20', 'pascal25' to
            'goliath28'), what has no partner is ignored.
        values: {value in the files: class, or None to ignore it}, where values are not the ids: ``{0: 'background',
            255: 'person'}``. Any other value is an error.
        ann_file: COCO file with ``segmentation``, relative to ``data_root``, instead of ``labels``. Its categories are the
            classes of the same names. Images without any segment of a class are left out.
        categories: {category in ``ann_file``: class}, where names differ; None leaves its segments out, 255 ignores their pixels.
        unlabeled: label of pixels in no segment of ``ann_file``; 255 ignores them.
        overlap: 'smaller': where segments overlap, the smaller one counts; 'later': the one that is later in ``ann_file``.
        mask, alpha: folders of masks of people (PNG, JPEG) and of the fraction of each pixel that they cover (PNG), for
            :class:`sapiens.datasets.transforms.RandomBackground`, which otherwise takes the labels above 0.
        metainfo: begins with the class list, so that it travels with the checkpoint.
        **options: sequences, part, partial, pipeline, test_mode, weights of
            :class:`sapiens.datasets.paired_folders.PairedFolders`; with ``ann_file`` the last three, and part. Names in the table
            of weights are those of ``ann_file`` then.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: images and labels that do not belong together, an unknown class list, or categories that are not classes.
    """

    def __init__(
        self,
        classes: str | Path | Mapping | ClassList,
        data_root: str = '',
        images: str = 'images',
        labels: str = 'labels',
        label_ending: str = '',
        source_classes: str | Path | Mapping | ClassList | None = None,
        values: Mapping[int, str | None] | None = None,
        ann_file: str | None = None,
        categories: Mapping[str, str | int | None] | None = None,
        unlabeled: int = 0,
        overlap: str = 'smaller',
        mask: str | None = None,
        alpha: str | None = None,
        metainfo: dict | None = None,
        weights: str | None = None,
        shards: str | PathLike | Sequence[str | PathLike] | None = None,
        **options,
    ):
        self.classes = get_classes(classes)
        if values is not None and source_classes is not None:
            raise ValueError(
                'values= and source_classes= both say what the values of the files mean: give one of them'
            )
        self.label_table = None if source_classes is None else remap_table(source_classes, self.classes)
        if values is not None:
            self.label_table = _value_table(values, self.classes)
        metainfo = {**class_metainfo(self.classes), **(metainfo or {})}
        self.ann_file = None if ann_file is None else join_path(data_root, ann_file)
        if ann_file is None:
            folders = dict(sem_seg=labels, mask=mask, alpha=alpha)
            folders = {name: (folder, map_fields()[name].suffixes) for name, folder in folders.items() if folder}
            options = dict(options, metainfo=metainfo, weights=weights, shards=shards)
            super().__init__(data_root or '.', images, folders, label_ending, **options)
            return
        unused = dict(label_ending=label_ending, source_classes=source_classes, values=values, mask=mask, alpha=alpha,
                      shards=shards)  # fmt: skip
        for name, value in unused.items():
            if value:
                raise ValueError(f'{name}={value!r} has no effect with ann_file={ann_file!r}')
        if overlap not in OVERLAPS:
            raise ValueError(f'overlap={overlap!r}: expected one of {", ".join(map(repr, OVERLAPS))}')
        if unlabeled != IGNORE and not 0 <= unlabeled < len(self.classes):
            raise ValueError(f'unlabeled={unlabeled!r}: expected a class, or {IGNORE} to ignore such pixels')
        self.unlabeled, self.overlap = unlabeled, overlap
        self._read(join_path(data_root, images), dict(categories or {}), metainfo, **options)
        if weights is not None:
            self.set_weights(join_path(data_root, weights), self.names())

    def _read(self, root, names, metainfo, part=(0.0, 1.0), pipeline=(), test_mode=False) -> None:
        """Take images and segments of ``ann_file``."""
        found, self.unused = read_segments(self.ann_file), Findings()
        for reason, numbers in found.left_out.items():
            for number in numbers:
                self.unused.add(f'annotation with {reason}', number, wrong=reason != 'no segment')
        used = [{category for category, _ in json.loads(text)} for text in found.items]
        labels = _labels_of(found, set().union(*used), names, self.classes)
        rows = []
        for row, present in enumerate(used):
            if any(labels[category] is not None for category in present):
                rows.append(row)
            else:
                self.unused.add('image without a segment of any class', found.names[row], wrong=False)
        begin, end = (round(edge * len(rows)) for edge in part)
        rows = rows[begin:end]
        if not rows:
            raise ValueError(
                f'{found.path!r}: none of its {len(found.names)} images can be used, part={part!r}; {self.unused.counts()}'
            )
        self.labels, self.sizes = labels, np.array([found.sizes[row] for row in rows])
        self.image_ids = np.array([found.image_ids[row] for row in rows])
        self.segments = PathTable.from_strings(found.items[row] for row in rows)
        self.tables = dict(image=PathTable.from_strings(found.names[row] for row in rows))
        PathDataset.__init__(self, self.tables['image'], root, pipeline, metainfo, test_mode)

    def load(self, index: int) -> dict:
        if self.ann_file is None:
            return super().load(index)
        segments = [
            (self.labels[category], segment)
            for category, segment in json.loads(self.segments[index])
            if self.labels[category] is not None
        ]
        return dict(
            img_path=self.path(index),
            sample_idx=index,
            label_files=dict(sem_seg=f'{self.ann_file}, image {self.image_ids[index]}'),
            segments=dict(
                segments=segments,
                size=tuple(self.sizes[index].tolist()),
                unlabeled=self.unlabeled,
                overlap=self.overlap,
            ),
            **self.label_options(),
        )

    def label_options(self) -> dict:
        return dict(
            label_table=self.label_table, num_classes=len(self.classes), flip_table=np.asarray(self.classes.flip_table)
        )

    def __repr__(self) -> str:
        if self.ann_file is not None:
            return f'SegmentationDataset({len(self)} images of {self.ann_file!r}, {self.classes.name})'
        return f'{super().__repr__()[:-1]}, {self.classes.name})'


def class_metainfo(classes: ClassList) -> dict:
    """Metainfo for evaluation and visualization, under mmseg's names where it has them."""
    return dict(
        class_list=classes.name, classes=classes.classes, palette=[list(map(int, rgb)) for rgb in classes.palette]
    )


def _value_table(values: Mapping[int, str | None], classes: ClassList) -> np.ndarray:
    """(256,) uint8: the label of each value; values that are not listed become one that is not a class."""
    table = np.full(256, IGNORE - 1, np.uint8)
    for value, name in values.items():
        if not (isinstance(value, int) and 0 <= value <= 255):
            raise ValueError(f'values={values!r}: {value!r} is not a value of 8 bits')
        table[value] = IGNORE if name is None else classes.index(name)
    return table


def _labels_of(found: AnnotatedSegments, used: set[int], names: Mapping, classes: ClassList) -> dict[int, int | None]:
    """{id: label, or None} of the categories that have segments.

    Raises:
        ValueError: one of them is neither a class nor in ``names``, or ``names`` has others.
    """
    for name in names:
        if name not in found.categories.values():
            raise ValueError(
                not_known(f'categories= of {found.path!r}: category', name, set(found.categories.values()))
            )
    labels = {}
    for number in used:
        category = found.categories[number]
        name = names.get(category, category)
        if name not in (None, IGNORE) and name not in classes:
            raise ValueError(
                f'{found.path!r}: category {category!r} is not a class of {classes.name!r} ({", ".join(classes.classes)}). '
                f'Say which one it is, or leave it out: categories={{{category!r}: None}}'
            )
        labels[number] = name if name in (None, IGNORE) else classes.index(name)
    return labels
