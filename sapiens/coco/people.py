"""Annotated people of a COCO file as arrays: the one reader for training, evaluation and tools.

Legend: N annotations, M images, K keypoints. Coordinates are pixels with the center of the top-left pixel at (0, 0).
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from sapiens.metainfo import Skeleton, get_skeleton, skeleton_names
from sapiens.metainfo.naming import find_names
from sapiens.utils.paths import require_file

from .columns import GOLIATH_FIELD, WHOLEBODY_LISTS, Columns, read_category, read_image, whole
from .json_stream import BrokenJson, NotAnObject, stream_items

__all__ = ['AnnotatedPeople', 'read_people']

# Names of the fields with keypoints, the preferred one first.
_FIELDS = ('keypoints', GOLIATH_FIELD, '+'.join(WHOLEBODY_LISTS))
# mmpose's estimate of a person's area where the file does not state it, as a fraction of the box.
_AREA_OF_BOX = 0.53
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
        areas: (N,) float64 square pixels as stated by the file; NaN without one.
        crowd: (N,) bool.
        num_keypoints: (N,) int64 as stated by the file; -1 where it does not say.
        categories: (N,) int64; 1 where the file does not say.
        lists: {(field, count of numbers): (rows (n,), numbers (n, count) float32)}. Coordinates that are not numbers are 0 where
            the keypoint is not labeled.
        category_names: {category: names of its ``keypoints``} of categories that name them.
        person_categories: ids of the categories called person; without one, that of COCO, 1.
        weights: (N,) float64, 0 or more; None if they were not asked for.
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
    category_names: dict
    person_categories: tuple[int, ...] = (1,)
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def points(self, skeleton: Skeleton) -> tuple[np.ndarray, np.ndarray]:
        """Keypoints in the order of a skeleton.

        They come from the field with as many numbers as the skeleton needs. Where the category names its keypoints, they are
        found by these names, whatever their order and number.

        Returns:
            (N, K, 3) float32 x, y, v (do not modify), and (N,) bool: whether the annotation has these keypoints; zeros if not.

        Raises:
            ValueError: annotations have keypoints, and none of them has those of the skeleton.
        """
        parts = [
            part
            for wanted in _FIELDS
            for (field, _), (rows, numbers) in self.lists.items()
            if field == wanted
            for part in self._ordered(field, rows, numbers, skeleton)
        ]
        if parts and len(parts[0][0]) == len(self):
            return parts[0][1].reshape(-1, len(skeleton), 3), np.ones(len(self), bool)
        values, found = np.zeros((len(self), len(skeleton), 3), np.float32), np.zeros(len(self), bool)
        for rows, numbers in reversed(parts):
            values[rows], found[rows] = numbers.reshape(-1, len(skeleton), 3), True
        if not found.any() and self.has_keypoints.any():
            raise ValueError(self._misfit(int(np.flatnonzero(self.has_keypoints)[0]), skeleton))
        return values, found

    def _ordered(self, field: str, rows, numbers, skeleton: Skeleton) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Parts of a list as (rows, numbers in the order of the skeleton)."""
        rest = np.ones(len(rows), bool)
        for category, names in self.category_names.items() if field == 'keypoints' else ():
            chosen = self.categories[rows] == category
            if 3 * len(names) != numbers.shape[1] or not chosen.any():
                continue
            rest &= ~chosen
            order = find_names(skeleton.keypoints, names)
            if order is None:
                continue
            part = numbers if chosen.all() else numbers[chosen]
            if order != list(range(len(names))):
                part = part.reshape(len(part), -1, 3)[:, order]
            yield rows[chosen], part
        if numbers.shape[1] == 3 * len(skeleton) and rest.any():
            yield (rows, numbers) if rest.all() else (rows[rest], numbers[rest])

    @property
    def has_keypoints(self) -> np.ndarray:
        """(N,) bool: whether the annotation has a list of keypoints that is not empty."""
        return self._in_lists(lambda count: count > 0)

    @property
    def has_empty_list(self) -> np.ndarray:
        """(N,) bool: whether the annotation has an empty list of keypoints."""
        return self._in_lists(lambda count: count == 0)

    def _in_lists(self, accept) -> np.ndarray:
        found = np.zeros(len(self), bool)
        for (_, count), (rows, _) in self.lists.items():
            found[rows] |= accept(count)
        return found

    def same_category(self, chosen: np.ndarray) -> np.ndarray:
        """(N,) bool: whether any annotation of the same category is among the chosen, (N,) bool."""
        return np.isin(self.categories, self.categories[chosen])

    def person_areas(self, points: np.ndarray, stated: bool = True) -> np.ndarray:
        """Areas of the people, the scale of OKS: as stated, where the file states one above 0.

        Otherwise 0.53 of the box, as in mmpose, or of the extent of the labeled keypoints where there is no box.

        Args:
            points: (N, K, 3) x, y, v.
            stated: use the areas of the file.

        Returns:
            (N,) float64 square pixels.
        """
        size = self.boxes[:, 2:].copy()
        bare = np.flatnonzero(np.isnan(size).any(1))
        xy, labelled = points[bare, :, :2], points[bare, :, 2:] > 0
        low, high = np.where(labelled, xy, np.inf), np.where(labelled, xy, -np.inf)
        size[bare] = high.max(1, initial=-np.inf) - low.min(1, initial=np.inf)
        estimate = np.maximum(size.clip(0).prod(1) * _AREA_OF_BOX, 1.0)
        return np.where(self.has_area & stated, self.areas, estimate)

    @property
    def has_area(self) -> np.ndarray:
        """(N,) bool: whether the file states an area above 0."""
        return (self.areas > 0) & np.isfinite(self.areas)

    def check_images(self) -> None:
        """Raise ValueError for an image without file name, width or height."""
        for image_id, name, (width, height) in zip(self.image_ids, self.names, self.image_sizes, strict=True):
            missing = dict(file_name=name is None, height=height < 0, width=width < 0)
            if any(missing.values()):
                listing = ', '.join(key for key in missing if missing[key])
                raise ValueError(f'{self.path!r}: image {image_id} has no {listing}')

    @property
    def bad_boxes(self) -> dict[str, np.ndarray]:
        """{problem: (N,) bool} of boxes that are none. Annotations without a box have no problem."""
        with np.errstate(invalid='ignore'):
            finite = np.isfinite(self.boxes).all(1) | np.isnan(self.boxes).all(1)
            return {'not finite': ~finite, 'of negative size': finite & (self.boxes[:, 2:] < 0).any(1)}

    def check_boxes(self, chosen: np.ndarray) -> None:
        """Raise ValueError if one of the chosen annotations, (N,) bool, has a box that is not finite or of negative size."""
        for problem, wrong in self.bad_boxes.items():
            if (wrong & chosen).any():
                row = (wrong & chosen).argmax()
                box = self.boxes[row].tolist()
                raise ValueError(f'{self.path}: annotation {self.ids[row]} has a box that is {problem}: {box}')

    def check_for_evaluation(self, points: np.ndarray, chosen: np.ndarray) -> None:
        """Refuse what an evaluation could not count: data sets in test mode and metrics have the same rule.

        Args:
            points: (N, K, 3) x, y, v.
            chosen: (N,) bool, the annotations that are evaluated.

        Raises:
            ValueError: annotations of images that are not listed, keypoints that are not finite, or a box of :meth:`check_boxes`.
        """
        lost = sorted({str(image_id) for image_id in self.image_id[chosen & (self.image < 0)]})
        if lost:
            raise ValueError(f'{self.path} has annotations of images that it does not list: {", ".join(lost[:10])}')
        wrong = ~np.isfinite(points).all((1, 2)) & chosen
        if wrong.any():
            raise ValueError(f'{self.path}: annotation {self.ids[wrong.argmax()]} has keypoints that are not finite')
        self.check_boxes(chosen)

    def _misfit(self, row: int, skeleton: Skeleton) -> str:
        found = {field: count for (field, count), (rows, _) in self.lists.items() if row in rows}
        names = self.category_names.get(int(self.categories[row]), ())
        fitting = [repr(name) for name in skeleton_names() if 3 * len(get_skeleton(name)) in found.values()]
        if len(names) == len(skeleton) and found.get('keypoints') == 3 * len(names):
            unknown = [name for name in skeleton.keypoints if find_names([name], names) is None]
            fitting = [repr(name) for name in skeleton_names() if find_names(get_skeleton(name).keypoints, names)]
            problem = (
                f'annotation {self.ids[row]} of {self.path!r}: category {self.categories[row]} names its keypoints '
                f'{", ".join(names[:4])}, ..., but not {", ".join(unknown[:4])} of skeleton {skeleton.name!r}'
            )
            hint = (
                "Use the same names in both, or remove 'keypoints' of the category to take the keypoints in this order"
            )
        else:
            counts = ', '.join(f'{field} has {n / 3:g} keypoints ({n} numbers)' for field, n in found.items())
            problem = f'annotation {self.ids[row]} of {self.path!r}: {counts}, but skeleton {skeleton.name!r} has {len(skeleton)}'
            hint = 'Give a skeleton with the names of these keypoints (docs/add_a_dataset.md)'
        if fitting:
            hint = f'Did you mean skeleton={" or ".join(fitting)}? To map keypoints by name, set source_skeleton={fitting[0]}'
        return f'{problem}. {hint}'


def read_people(path: str, keep: bool = False, weight: str | None = None) -> AnnotatedPeople:
    """Read and check the annotations of a COCO file, one item at a time.

    Args:
        path: JSON file with ``images`` and ``annotations``.
        keep: keep the result in memory for the next reader of the file: evaluation reads what its dataset has read. A
            file that has changed is read again.
        weight: field of the annotations with their weights. Those without it have weight 1.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not COCO's format, ids that are not integers, or values that are not numbers; a weight below 0, or a field of
            weights that no annotation has.
    """
    path = require_file(path, 'annotation file')
    key, status = os.path.abspath(path), os.stat(path)
    version = status.st_size, status.st_mtime_ns
    if weight is None and key in _kept and _kept[key][0] == version:
        return _kept[key][1]
    people = _read(path, weight)
    if weight is not None and len(people) and people.weights is None:
        raise ValueError(f'{path!r}: no annotation has the field {weight!r}, which weight= names')
    _kept.pop(key, None)
    if keep and weight is None:
        _kept[key] = version, people
        while len(_kept) > _MAX_KEPT:
            del _kept[next(iter(_kept))]
    return people


def _read(path: str, weight: str | None) -> AnnotatedPeople:
    images, repeated, columns, names, persons = {}, [], Columns(weight), {}, []
    count = dict(images=0, categories=0)
    try:
        for kind, item in stream_items(path, ('images', 'annotations'), optional=('categories',)):
            if kind == 'annotations':
                columns.add(item)
                continue
            if kind == 'images':
                number, *about = read_image(item, count[kind])
                if number in images:
                    repeated.append(number)
                images[number] = about
            else:
                number, named = read_category(item, count[kind])
                names |= {number: named} if named else {}
                persons += [_category_id(item, count[kind])] if str(item.get('name')).lower() == 'person' else []
            count[kind] += 1
    except NotAnObject as error:
        hint = '. Detections belong in boxes=' if "'score'" in str(error) else ''
        raise ValueError(
            f"{path!r} is not an annotation file of COCO's format: expected an object with 'images' and 'annotations', "
            f'found {error}{hint}'
        ) from None
    except BrokenJson as error:
        raise ValueError(f'{path!r} is not JSON: {error}') from None
    except ValueError as error:
        raise ValueError(f'{path!r}: {error}') from error
    people = _people(path, images, repeated, columns, names)
    return replace(people, person_categories=tuple(persons)) if persons else people


def _category_id(item: dict, position: int) -> int:
    """Id of a category. Raises ValueError for one that is no integer."""
    try:
        return whole(item.get('id'))
    except TypeError as error:
        raise ValueError(f'entry {position} of categories: id {error}') from None


def _people(path: str, images: dict, repeated: list, columns: Columns, names: dict) -> AnnotatedPeople:
    position = {image_id: index for index, image_id in enumerate(images)}
    lists = {}
    for (field, count), (rows, values) in columns.lists.items():
        if values and count % 3 == 0:
            _clear_unlabeled(np.frombuffer(values, np.float32).reshape(-1, 3))
        lists[field, count] = _array(rows), _array(values, np.float32).reshape(len(rows), count)
    return AnnotatedPeople(
        path=path,
        names=[name for name, _, _ in images.values()],
        image_ids=np.array(list(images), np.int64),
        image_sizes=np.array([size for _, *size in images.values()], np.int32).reshape(-1, 2),
        repeated_images=repeated,
        ids=_array(columns.ids),
        image_id=_array(columns.image_id),
        image=np.array([position.get(image_id, -1) for image_id in columns.image_id], np.int64),
        boxes=_array(columns.boxes, np.float64).reshape(-1, 4),
        areas=_array(columns.areas, np.float64),
        crowd=_array(columns.crowd, np.int8).astype(bool),
        num_keypoints=_array(columns.num_keypoints),
        categories=_array(columns.categories),
        lists=lists,
        category_names=names,
        weights=_array(columns.weights, np.float64) if columns.has_weights else None,
    )


def _clear_unlabeled(points: np.ndarray) -> None:
    """Set x, y, v (n, 3) to 0, in place, where v is 0 or none of the three is a number, and the coordinates are not finite."""
    bad = np.flatnonzero(~np.isfinite(points).all(1))
    x, y, v = points[bad].T
    points[bad[(v == 0) | (np.isnan(x) & np.isnan(y) & np.isnan(v))]] = 0


def _array(values, dtype=np.int64) -> np.ndarray:
    """A read-only view, since readers share it."""
    result = np.frombuffer(values, dtype) if len(values) else np.empty(0, dtype)
    result.flags.writeable = False
    return result
