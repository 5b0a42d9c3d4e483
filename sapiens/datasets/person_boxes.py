"""Images with the boxes of all their people, from COCO files."""

import os
from collections.abc import Iterator

import numpy as np
import torch

from sapiens.coco import AnnotatedPeople, read_people
from sapiens.registry import DATASETS

from .base import SampleDataset, join_path
from .checks import Findings, check_images
from .paired_folders import part_of
from .path_table import PathTable
from .shard_members import MARK, check_shards_of

__all__ = ['PersonBoxDataset']


@DATASETS.register_module()
class PersonBoxDataset(SampleDataset):
    """The images of a COCO annotation file with the boxes of all their people, for detection.

    People are the annotations of the categories that are called person; without one, those of category 1. Crowds are ignored:
    nothing is learnt from their pixels. So are boxes that lie outside of their image or are not finite, which are left out and
    reported.

    The pipeline starts from a dict of one image:

    - ``img_path``, ``sample_idx`` (position here), ``img_id``
    - ``bbox`` (N, 4) float32 x1, y1, x2, y2, clipped to the image, N = 0 for an image without people; ``bbox_ignored`` (N,) bool

    Boxes are the edges of pixels (:mod:`sapiens.utils.boxes`).

    Args:
        ann_file: COCO-format JSON, relative to ``data_root``.
        data_root: what the other paths are relative to; '' for the working directory.
        img_prefix: folder of the images.
        keep_empty: keep images without people, which teach what no person is. Test mode always keeps them, since false
            detections in them count.
        test_mode: for evaluation: an unusable image is an error, never replaced.
        pipeline, metainfo: see :class:`sapiens.datasets.base.SampleDataset`.
        part: (begin, end), within [0, 1]: the range of images to take, in the order of the file. For training only, since the
            metric expects all images of the file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file of another format, without a box of a person, or without an image; a part in test mode.
    """

    def __init__(
        self,
        ann_file: str,
        data_root: str = '',
        img_prefix: str = '',
        keep_empty: bool = True,
        test_mode: bool = False,
        pipeline: list = (),
        metainfo: dict | None = None,
        part: tuple[float, float] = (0.0, 1.0),
    ):
        super().__init__(pipeline, metainfo, test_mode)
        data_root = os.path.expanduser(data_root)
        self.ann_file = join_path(data_root, ann_file)
        self.img_root = join_path(data_root, img_prefix)
        if test_mode and tuple(part) != (0, 1):
            raise ValueError(
                f'part={part!r} in test mode: the metric expects all images of {ann_file!r}; write a smaller file instead'
            )
        people = read_people(self.ann_file, keep=test_mode)  # evaluation reads the same file
        check_shards_of(join_path(self.img_root, name) for name in people.names if name and MARK in name)
        people.check_images()
        self.findings = Findings()
        boxes, rows = _boxes_of(people, self.findings)
        used = np.arange(len(people.names))
        if not (keep_empty or test_mode):
            used = np.unique(people.image[rows][~people.crowd[rows]])
        begin, end = part_of(part, len(used), repr(self.ann_file))
        used = used[begin:end]
        if not np.isin(people.image[rows][~people.crowd[rows]], used).any():
            left_out = self.findings.counts() or 'there is none'
            raise ValueError(f'{self.ann_file!r}: no box of a person can be used; {left_out}')
        # As tensors, which workers share without copying. Boxes of the i-th image: first[i] to first[i + 1].
        rows = rows[np.isin(people.image[rows], used)]
        self.names = PathTable.from_strings(people.names[index] for index in used)
        self.image_ids = torch.from_numpy(people.image_ids[used])
        self.image_sizes = torch.from_numpy(people.image_sizes[used])
        self.boxes = torch.from_numpy(boxes[rows].astype(np.float32))
        self.ignored = torch.from_numpy(people.crowd[rows].copy())
        self.first = torch.from_numpy(np.searchsorted(people.image[rows], [*used, len(people.names)]))

    def __len__(self) -> int:
        return len(self.names)

    def path(self, index: int) -> str:
        """Path of an image."""
        return join_path(self.img_root, self.names[index])

    def load(self, index: int) -> dict:
        own = slice(int(self.first[index]), int(self.first[index + 1]))
        return dict(
            img_path=self.path(index),
            sample_idx=index,
            img_id=int(self.image_ids[index]),
            # Copies, since transforms may change them in place.
            bbox=self.boxes[own].numpy().copy(),
            bbox_ignored=self.ignored[own].numpy().copy(),
        )

    def image_paths(self) -> Iterator[str]:
        """Paths of the images."""
        return (self.path(index) for index in range(len(self)))

    def check(self, findings: Findings, read: bool = False, progress=iter) -> None:
        findings.update(self.findings)
        sizes = self.image_sizes.tolist()
        check_images(findings, self.image_paths(), len(self), read, progress, sizes.__getitem__)

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}({len(self)} images with {int((~self.ignored).sum())} people of {self.ann_file!r})'
        )


def _boxes_of(people: AnnotatedPeople, findings: Findings) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (N, 4) x1, y1, x2, y2 of all annotations, and the numbers of those that can be used, in the order of the images."""
    for image_id in people.repeated_images:
        findings.add('repeated image id', image_id)
    with np.errstate(invalid='ignore'):
        boxes = np.concatenate([people.boxes[:, :2], people.boxes[:, :2] + people.boxes[:, 2:]], 1)
        sizes = people.image_sizes[people.image] if len(people.names) else np.zeros((len(people), 2))
        clipped = np.clip(boxes, 0, np.tile(sizes, 2))
        beyond = (np.abs(clipped - boxes) > 1).any(1)
        reasons = (
            ('another category than person', ~np.isin(people.categories, people.person_categories), False),
            ('an image that is not listed', people.image < 0, True),
            ('no box', np.isnan(people.boxes).all(1), True),
            *((f'a box that is {problem}', holds, True) for problem, holds in people.bad_boxes.items()),
            ('a box that is not finite', ~np.isfinite(boxes).all(1), True),  # nor is its end
            ('a box that is empty within its image', ~(clipped[:, 2:] > clipped[:, :2]).all(1), True),
        )
    rows = np.argsort(people.image, kind='stable')
    for text, holds, wrong in reasons:
        for row in rows[holds[rows]]:
            findings.add(text, f'annotation {people.ids[row]}', wrong=wrong)
        rows = rows[~holds[rows]]
    for row in rows[beyond[rows]]:
        findings.add('box that reaches out of its image', f'annotation {people.ids[row]}: {boxes[row].tolist()}')
    return clipped, rows
