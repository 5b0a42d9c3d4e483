"""Masks of people, for results that mean something on people only: from a file, or from another result of the image."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from sapiens.datasets.transforms.decoding import BadImage
from sapiens.datasets.transforms.label_files import decode, read_array
from sapiens.datasets.transforms.loading import read_file
from sapiens.metainfo import ClassList
from sapiens.tasks import task_names

from .results import Result
from .results.by_task import get_inference_task

__all__ = ['MASK_SUFFIXES', 'Masking', 'read_mask', 'set_masks']

MASK_SUFFIXES = {'.npy': 0, '.png': 127}  # with the largest value of the background


@dataclass(frozen=True)
class Masking:
    """How the result of one task masks those of others.

    Attributes:
        by: name of the result, usually its task, that is cut out of the maps of the others: they are not-a-number outside, also
            in files. None: the mask is set where there is one, and only drawings, normals of depth and point clouds use it.
        classes: names of the classes that are people; () for all but the background.
    """

    by: str | None = None
    classes: tuple[str, ...] = ()

    def check(self, tasks: Mapping[str, str], classes: Mapping[str, ClassList | None]) -> None:
        """Check that the results of an image can be masked.

        Args:
            tasks: task of each result, by name.
            classes: class list of each of them that has one, by name.

        Raises:
            ValueError: no such result, nothing to mask, or an unknown class.
        """
        specs = {name: get_inference_task(name) for name in task_names(inference=True)}
        giving = [name for name, spec in specs.items() if spec.gives_mask]
        masked = [name for name, spec in specs.items() if spec.masked_by_people]
        if self.by is not None and tasks.get(self.by, self.by) not in giving:
            raise ValueError(f'mask by {self.by!r}: masks come from {" or ".join(giving)}')
        if self.by is not None and self.by not in tasks:
            raise ValueError(
                f'mask by {self.by!r}: no model of this task is given, only for {", ".join(tasks)}: add one'
            )
        if (self.by or self.classes) and not set(masked) & set(tasks.values()):
            raise ValueError(f'a mask of people is for {" and ".join(masked)}, the models are for {", ".join(tasks)}')
        if self.classes:
            named = [name for name, task in tasks.items() if task in giving and classes.get(name) is not None]
            known = classes.get(self.by or next(iter(named), ''))
            if known is None:
                raise ValueError(f'mask of the classes {", ".join(self.classes)}: no model gives masks of classes')
            for name in self.classes:
                known.index(name)

    def mask_of(self, results: Mapping[str, Result]) -> np.ndarray | None:
        """Return the mask (H, W) bool that a result of an image gives; None without one."""
        for name, result in results.items():
            attribute = get_inference_task(result.task).gives_mask
            if attribute is None or self.by not in (None, name):
                continue
            if not self.classes:
                return getattr(result, attribute)
            if hasattr(result, 'of_classes'):  # a matte has no classes
                return result.of_classes(self.classes)
        return None


def set_masks(results: Mapping[str, Result], stem: Path | None = None, masking: Masking | None = None) -> None:
    """Set the mask of people of results that are meaningful on people only, if there is one.

    Args:
        results: of one image, by task; a result that gives a mask is used.
        stem: path of a mask without suffix; used instead of the results.
        masking: how a result masks the others.
    """
    masking = masking or Masking()
    masked = [result for result in results.values() if get_inference_task(result.task).masked_by_people]
    if not masked:
        return
    mask = masking.mask_of(results) if stem is None else read_mask(stem, masked[0].image.shape[:2])
    for result in masked:
        result.mask = mask
        if masking.by:
            result.cut_out()
            result.is_cut_out = True


def read_mask(stem: Path, size: tuple[int, int]) -> np.ndarray | None:
    """Read a mask (H, W) bool from ``stem``.npy (above 0) or ``stem``.png (above 127); None if neither exists.

    Raises:
        ValueError: the mask cannot be read, or has another size than the image.
    """
    for suffix, limit in MASK_SUFFIXES.items():
        path = f'{stem}{suffix}'
        if not os.path.lexists(path):
            continue
        try:
            pixels = read_array(path, 'mask') if suffix == '.npy' else decode(read_file(path), cv2.IMREAD_GRAYSCALE)
        except BadImage as error:
            raise ValueError(f'the mask {path} cannot be read: {error}') from error
        if pixels.dtype.kind not in 'buif':
            raise ValueError(f'the mask {path} has values of type {pixels.dtype}, expected numbers')
        if pixels.shape != size:
            found = ' x '.join(map(str, pixels.shape))
            raise ValueError(f'the mask {path} is {found}, the image {size[0]} x {size[1]} (H x W)')
        return pixels > limit
    return None
