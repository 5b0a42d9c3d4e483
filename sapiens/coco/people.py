"""Annotated people of a COCO file as arrays: the one reader for training, evaluation and tools.

Legend: N annotations, M images, K keypoints. Coordinates are pixels with the center of the top-left pixel at (0, 0).
"""

import os
from array import array
from dataclasses import dataclass

import numpy as np

from sapiens.metainfo import Skeleton, get_skeleton, skeleton_names
from sapiens.utils.paths import require_file

from .json_stream import BrokenJson, NotAnObject, stream_items

__all__ = ['WHOLEBODY_LISTS', 'AnnotatedPeople', 'read_people']

# COCO-WholeBody stores the 133 keypoints of a person in five lists.
WHOLEBODY_LISTS = {'keypoints': 17, 'foot_kpts': 6, 'face_kpts': 68, 'lefthand_kpts': 21, 'righthand_kpts': 21}
# Names of the fields with keypoints, the preferred one first.
_FIELDS = ('keypoints', 'goliath_wholebody_kpts', '+'.join(WHOLEBODY_LISTS))
_MAX_KEPT = 4

# {absolute path: (size and time of the file, its people)}
_kept: dict[str, tuple] = {}


@dataclass
class AnnotatedPeople:
    """All annotations of a file in file order. Nothing is filtered: training and evaluation choose from it.

    Attributes:
        path: of the file.
        names: file names of the M images; None where the file has none.
        image_ids: (M,) int64, unique.
        image_sizes: (M, 2) int32 width and height; -1 where the file has none.
        repeated_images: ids that occur again; the last entry counts.
        ids: (N,) int64 annotation ids.
        image_id, image: (N,) int64, id of the image and its position among the M; -1 for an image that is not listed.
        boxes: (N, 4) float64 x, y, width, height; NaN without a box.
        areas: (N,) float64 square pixels; NaN without one.
        crowd: (N,) bool.
        num_keypoints: (N,) int64 as stated by the file; -1 where it does not say.
        categories: (N,) int64; 1 where the file does not say.
        lists: {(field, count of numbers): (rows (n,), numbers (n, count) float32)}.
    """

    path: str
    names: list
    image_ids: np.ndarray
    image_sizes: np.ndarray
    repeated_images: list
    ids: np.ndarray
    image_id: np.ndarray
    image: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray
    crowd: np.ndarray
    num_keypoints: np.ndarray
    categories: np.ndarray
    lists: dict

    def __len__(self) -> int:
        return len(self.ids)

    def points(self, skeleton: Skeleton) -> tuple[np.ndarray, np.ndarray]:
        """Keypoints in the order of a skeleton, from whichever field has as many numbers as it needs.

        Returns:
            (N, K, 3) float32 x, y, v (do not modify), and (N,) bool: whether the annotation has keypoints; zeros if not.

        Raises:
            ValueError: an annotation has another number of keypoints.
        """
        count = 3 * len(skeleton)
        fitting = [self.lists[field, count] for field in _FIELDS if (field, count) in self.lists]
        if fitting and len(fitting[0][0]) == len(self):
            return fitting[0][1].reshape(-1, len(skeleton), 3), np.ones(len(self), bool)
        values, found = np.zeros((len(self), count), np.float32), np.zeros(len(self), bool)
        for rows, numbers in reversed(fitting):
            values[rows], found[rows] = numbers, True
        wrong = self.has_keypoints & ~found
        if wrong.any():
            raise ValueError(self._wrong_count(int(np.flatnonzero(wrong)[0]), skeleton))
        return values.reshape(-1, len(skeleton), 3), found

    @property
    def has_keypoints(self) -> np.ndarray:
        """(N,) bool: whether the annotation has a list of keypoints, of any length."""
        found = np.zeros(len(self), bool)
        for (field, _), (rows, _) in self.lists.items():
            found[rows] |= field in _FIELDS[:2]
        return found

    @property
    def in_keypoint_category(self) -> np.ndarray:
        """(N,) bool: whether any annotation of the same category has keypoints."""
        return np.isin(self.categories, self.categories[self.has_keypoints])

    def check_images(self) -> None:
        """Raise ValueError for an image without file name, width or height."""
        for image_id, name, (width, height) in zip(self.image_ids, self.names, self.image_sizes, strict=True):
            missing = dict(file_name=name is None, height=height < 0, width=width < 0)
            if any(missing.values()):
                listing = ', '.join(key for key in missing if missing[key])
                raise ValueError(f'{self.path!r}: image {image_id} has no {listing}')

    def _wrong_count(self, row: int, skeleton: Skeleton) -> str:
        found = {field: count for (field, count), (rows, _) in self.lists.items() if row in rows}
        counts = ', '.join(f'{field} has {count / 3:g} keypoints ({count} numbers)' for field, count in found.items())
        fitting = [repr(name) for name in skeleton_names() if 3 * len(get_skeleton(name)) in found.values()]
        hint = 'Give a skeleton with the names of these keypoints (docs/add_a_dataset.md)'
        if fitting:
            hint = f'Did you mean skeleton={" or ".join(fitting)}? To map keypoints by name, set source_skeleton={fitting[0]}'
        expected = f'skeleton {skeleton.name!r} has {len(skeleton)}'
        return f'annotation {self.ids[row]} of {self.path!r}: {counts}, but {expected}. {hint}'


def read_people(path: str, keep: bool = False) -> AnnotatedPeople:
    """Read and check the annotations of a COCO file, one item at a time.

    Args:
        path: JSON file with ``images`` and ``annotations``.
        keep: keep the result in memory for the next reader of the file: evaluation reads what its dataset has read. A
            file that has changed is read again.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not COCO's format, ids that are not integers, or values that are not numbers.
    """
    path = require_file(path, 'annotation file')
    key, status = os.path.abspath(path), os.stat(path)
    version = status.st_size, status.st_mtime_ns
    if key in _kept and _kept[key][0] == version:
        return _kept[key][1]
    people = _read(path)
    _kept.pop(key, None)
    if keep:
        _kept[key] = version, people
        while len(_kept) > _MAX_KEPT:
            del _kept[next(iter(_kept))]
    return people


def _read(path: str) -> AnnotatedPeople:
    images, repeated, columns = {}, [], _Columns()
    try:
        for kind, item in stream_items(path, ('images', 'annotations')):
            if kind == 'annotations':
                columns.add(item, path)
                continue
            if not isinstance(item.get('id'), int):
                raise ValueError(f'{path!r}: image id {item.get("id")!r} is no integer')
            if item['id'] in images:
                repeated.append(item['id'])
            images[item['id']] = item.get('file_name'), item.get('width', -1), item.get('height', -1)
    except NotAnObject as error:
        hint = '. Detections belong in boxes=' if "'score'" in str(error) else ''
        raise ValueError(
            f"{path!r} is no annotation file of COCO's format: expected an object with 'images' and 'annotations', "
            f'found {error}{hint}'
        ) from None
    except BrokenJson as error:
        raise ValueError(f'{path!r} is no JSON: {error}') from None
    return columns.finish(path, images, repeated)


class _Columns:
    """Annotations appended one by one, in compact arrays."""

    def __init__(self):
        self.ids, self.image_id, self.num_keypoints, self.categories = (array('q') for _ in range(4))
        self.boxes, self.areas, self.crowd = array('d'), array('d'), array('b')
        self.lists = {}

    def add(self, annotation: dict, path: str) -> None:
        number, image_id = annotation.get('id'), annotation.get('image_id')
        if not isinstance(number, int) or not isinstance(image_id, int):
            raise ValueError(f'{path!r}: annotation {str(annotation)[:80]} has no integer id, or no integer image_id')
        row, box = len(self.ids), annotation.get('bbox')
        area, known = annotation.get('area'), annotation.get('num_keypoints')
        try:
            self.ids.append(number)
            self.image_id.append(image_id)
            self.boxes.extend(box if box is not None and len(box) == 4 else [np.nan] * 4)
            self.areas.append(np.nan if area is None else area)
            self.crowd.append(bool(annotation.get('iscrowd')))
            self.num_keypoints.append(-1 if known is None else known)
            self.categories.append(annotation.get('category_id', 1))
            for field in _FIELDS[:2]:
                if annotation.get(field) is not None:
                    self._add_list(row, field, annotation[field])
            if WHOLEBODY_LISTS.keys() <= annotation.keys():
                numbers = [number for part in WHOLEBODY_LISTS for number in annotation[part]]
                self._add_list(row, _FIELDS[2], numbers)
        except (TypeError, OverflowError) as error:
            raise ValueError(f'{path!r}: annotation {number} has values that are no numbers: {error}') from error

    def _add_list(self, row: int, field: str, numbers: list) -> None:
        rows, values = self.lists.setdefault((field, len(numbers)), (array('q'), array('f')))
        values.extend(numbers)
        rows.append(row)

    def finish(self, path: str, images: dict, repeated: list) -> AnnotatedPeople:
        image_ids = np.array(list(images), np.int64)
        position = {image_id: index for index, image_id in enumerate(images)}
        lists = {
            (field, count): (_array(rows), _array(values, np.float32).reshape(len(rows), count))
            for (field, count), (rows, values) in self.lists.items()
        }
        return AnnotatedPeople(
            path=path,
            names=[name for name, _, _ in images.values()],
            image_ids=image_ids,
            image_sizes=np.array([size for _, *size in images.values()], np.int32).reshape(-1, 2),
            repeated_images=repeated,
            ids=_array(self.ids),
            image_id=_array(self.image_id),
            image=np.array([position.get(image_id, -1) for image_id in self.image_id], np.int64),
            boxes=_array(self.boxes, np.float64).reshape(-1, 4),
            areas=_array(self.areas, np.float64),
            crowd=_array(self.crowd, np.int8).astype(bool),
            num_keypoints=_array(self.num_keypoints),
            categories=_array(self.categories),
            lists=lists,
        )


def _array(values: array, dtype=np.int64) -> np.ndarray:
    """A read-only view, since readers share it."""
    result = np.frombuffer(values, dtype) if len(values) else np.empty(0, dtype)
    result.flags.writeable = False
    return result
