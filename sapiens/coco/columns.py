"""The values of images, categories and annotations, checked one by one and appended to compact arrays."""

import os
from array import array

import numpy as np

__all__ = ['GOLIATH_FIELD', 'WHOLEBODY_LISTS', 'Columns', 'read_category', 'read_image', 'whole']

# COCO-WholeBody stores the 133 keypoints of a person in five lists.
WHOLEBODY_LISTS = {'keypoints': 17, 'foot_kpts': 6, 'face_kpts': 68, 'lefthand_kpts': 21, 'righthand_kpts': 21}
GOLIATH_FIELD = 'goliath_wholebody_kpts'
# Sums of weights are float32.
_MOST_WEIGHT = 1e30


class Columns:
    """Annotations appended one by one.

    Attributes:
        ids, image_id, num_keypoints, categories, boxes, areas, crowd: see :class:`sapiens.coco.AnnotatedPeople`.
        lists: {(field, count of numbers): (rows, numbers)}.
        weights: of the field ``weight``, 1 where there is none; empty without that name.
        has_weights: whether an annotation has the field.

    Args:
        weight: name of the field of weights.
    """

    def __init__(self, weight: str | None = None):
        self.weight, self.weights, self.has_weights = weight, array('d'), False
        self.ids, self.image_id, self.num_keypoints, self.categories = (array('q') for _ in range(4))
        self.boxes, self.areas, self.crowd = array('d'), array('d'), array('b')
        self.lists = {}

    def add(self, annotation: dict) -> None:
        """Append an annotation.

        Raises:
            ValueError: not an object, no integer ids, or values of other types; with the id.
        """
        if not isinstance(annotation, dict):
            raise ValueError(f'entry {len(self.ids)} of annotations is {_short(annotation)}, expected an object')
        try:
            number, image_id = whole(annotation.get('id')), whole(annotation.get('image_id'))
        except TypeError:
            raise ValueError(f'annotation {_short(annotation)} has no integer id, or no integer image_id') from None
        try:
            self._add(annotation, number, image_id)
        except (TypeError, OverflowError) as error:
            raise ValueError(f'annotation {number} has values that are not numbers: {error}') from error

    def _add(self, annotation: dict, number: int, image_id: int) -> None:
        row = len(self.ids)
        if self.weight is not None:
            self._add_weight(annotation.get(self.weight), number)
        box, area, known = annotation.get('bbox'), annotation.get('area'), annotation.get('num_keypoints')
        category, crowd = annotation.get('category_id'), annotation.get('iscrowd')
        box = array('d') if box is None else _floats(box, 'd', 'bbox')
        self.ids.append(number)
        self.image_id.append(image_id)
        self.boxes.extend(box if len(box) == 4 else [np.nan] * 4)
        self.areas.append(np.nan if area is None else area)
        self.crowd.append(crowd is not None and whole(crowd) != 0)
        self.num_keypoints.append(-1 if known is None else whole(known))
        self.categories.append(1 if category is None else whole(category))
        for field in ('keypoints', GOLIATH_FIELD):
            if annotation.get(field) is not None:
                self._add_list(row, field, _floats(annotation[field], 'f', field))
        parts = [annotation.get(part) for part in WHOLEBODY_LISTS]
        if None not in parts:
            numbers = array('f')
            for name, part in zip(WHOLEBODY_LISTS, parts, strict=True):
                numbers.extend(_floats(part, 'f', name))
            self._add_list(row, '+'.join(WHOLEBODY_LISTS), numbers)

    def _add_weight(self, value: object, number: int) -> None:
        self.has_weights |= value is not None
        value = 1.0 if value is None else value
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _MOST_WEIGHT:
            raise ValueError(
                f'annotation {number} has the weight {_short(value)} in {self.weight!r}: expected a number, 0 or more'
            )
        self.weights.append(value)

    def _add_list(self, row: int, field: str, numbers: array) -> None:
        rows, values = self.lists.setdefault((field, len(numbers)), (array('q'), array('f')))
        values.extend(numbers)
        rows.append(row)


def read_image(item: dict, position: int) -> tuple[int, str | None, int, int]:
    """Id, file name, width and height of an image; None or -1 for what is not there.

    Raises:
        ValueError: not an object, no integer id, or values of other types.
    """
    if not isinstance(item, dict):
        raise ValueError(f'entry {position} of images is {_short(item)}, expected an object')
    try:
        number = whole(item.get('id'))
    except TypeError:
        raise ValueError(f'image id {_short(item.get("id"))} is not an integer') from None
    name, size = item.get('file_name'), []
    try:
        if name is not None:
            os.fsencode(name)
    except (TypeError, UnicodeEncodeError):
        raise ValueError(f'image {number}: file_name {_short(name)} is not a name') from None
    for key in ('width', 'height'):
        try:
            size.append(-1 if item.get(key) is None else whole(item[key], bits=32))
        except TypeError as error:
            raise ValueError(f'image {number}: {key} {error}') from None
    return number, name, *size


def read_category(item: dict, position: int) -> tuple[int, tuple[str, ...]]:
    """Id and names of the keypoints of a category; () where it does not name them.

    Raises:
        ValueError: not an object, or keypoints that are not different names.
    """
    if not isinstance(item, dict):
        raise ValueError(f'entry {position} of categories is {_short(item)}, expected an object')
    names = item.get('keypoints')
    if not names:
        return 0, ()
    try:
        number = whole(item.get('id'))
    except TypeError:
        raise ValueError(f'category id {_short(item.get("id"))} is not an integer') from None
    if not (
        isinstance(names, list) and all(isinstance(name, str) for name in names) and len(set(names)) == len(names)
    ):
        raise ValueError(
            f'category {number}: its keypoints, {_short(names)}, are not different names. Correct them, or remove them to '
            'take the keypoints in the order of the skeleton'
        )
    return number, tuple(names)


def whole(value: object, bits: int = 64) -> int:
    """An integer; other languages write 3.0 for 3.

    Raises:
        TypeError: anything else, or an integer of more than ``bits`` bits.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or not -(1 << bits - 1) <= value < 1 << bits - 1:
        raise TypeError(f'{_short(value)} is not an integer')
    return value


def _floats(values: list, code: str, name: str) -> array:
    """An array of a list of numbers; not-a-number for null."""
    if not isinstance(values, list):
        raise TypeError(f'{name} {_short(values)} is not a list')
    try:
        return array(code, values)
    except TypeError:
        return array(code, [np.nan if value is None else value for value in values])


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f'{text[:77]}...'
