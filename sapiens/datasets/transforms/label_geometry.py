"""What geometry does to each label map, from the declaration of its field (:class:`sapiens.tasks.MapField`).

Legend: every map of a sample is (H, W) or (H, W, C) over the pixels of its image.

Geometry keeps the values of depth: crops and resizes change the camera's intrinsics, rotations and mirrors turn the camera about
its axis, and the distance along that axis stays. The published code does the same, as far as it is documented.
"""

from collections.abc import Iterable

import cv2
import numpy as np

from sapiens.metainfo.classes import IGNORE
from sapiens.tasks import MapField, get_field, map_fields, target_fields

from .decoding import BadImage

__all__ = ['is_map', 'label_maps', 'outside_value', 'shared_targets', 'transform_values']


def is_map(key: str) -> bool:
    """Whether a key of a sample holds a declared label map: ``gt_<field>``, ``valid_mask`` or ``valid_<field>``."""
    return key.startswith(('gt_', 'valid_')) and get_field(key) is not None


def label_maps(results: dict, size: tuple) -> dict[str, np.ndarray]:
    """The maps of a sample, by key.

    Args:
        size: (w, h) of the image, which all of them must have.

    Raises:
        BadImage: a map of another size.
        ValueError: an array ``gt_*`` with the size of the image that no task declares.
    """
    maps = {}
    for key, value in results.items():
        if is_map(key):
            if value.shape[:2] != size[::-1]:
                raise BadImage(
                    f'{key} is {value.shape[1]} x {value.shape[0]}, the upright image is {size[0]} x {size[1]} (w x h): '
                    'labels must cover the pixels of their image'
                )
            maps[key] = value
        elif key.startswith('gt_') and isinstance(value, np.ndarray) and value.shape[:2] == size[::-1]:
            raise ValueError(
                f'{key} is a map over the image, but no task declares the field {key[3:]!r}: register a task with it '
                f'(docs/add_a_task.md). Declared: {", ".join(map_fields())}'
            )
    return maps


def shared_targets(keys: Iterable[str]) -> dict[str, MapField]:
    """The fields among ``gt_<field>`` keys that tasks predict and whose unknown values are in the shared ``valid_mask``. Fields
    that are known everywhere, in the image and outside, have none."""
    targets = target_fields()
    names = [key[3:] for key in keys if key.startswith('gt_')]
    fields = {name: targets[name] for name in names if name in targets and not targets[name].own_validity}
    return {name: field for name, field in fields.items() if field.known is not None or not field.known_outside}


def outside_value(key: str, results: dict, seg_padding: int = IGNORE) -> float:
    """Value of a map outside the image.

    Args:
        key: of the map.
        results: the sample.
        seg_padding: label of segmentation there: 255, ignored; or a class, which then counts.
    """
    if key == 'gt_sem_seg' and seg_padding != IGNORE:
        return seg_padding
    if key == 'valid_mask':
        # Outside the image no field has a value, but those that say so, and segmentation with a class there.
        restricting = shared_targets(results).keys()
        if seg_padding != IGNORE and restricting == {'sem_seg'}:
            return 1
        known = [field for name, field in target_fields().items() if f'gt_{name}' in results and field.known_outside]
        return int(not restricting and bool(known))
    field = get_field(f'gt_{key.removeprefix("valid_")}')
    if key.startswith('valid_') and field is not None:
        return int(field.known_outside)
    return get_field(key).padding


def transform_values(
    key: str, field: MapField, values: np.ndarray, turn: np.ndarray, results: dict, interpolation: str
) -> np.ndarray:
    """Adapt the values of a map whose pixels are already in place.

    Args:
        values: (H, W) or (H, W, C), with its own memory; it may be modified.
        turn: (2, 2) orthogonal: maps a vector (x, y) of the camera frame. Its determinant is -1 in a mirrored image.
        results: has the table of ``field.swap``.
        interpolation: by which the pixels were sampled.

    Raises:
        ValueError: ids in a mirrored image, and no table to exchange them.
    """
    if field.swap and np.linalg.det(turn) < 0:
        if field.swap not in results:
            raise ValueError(
                f'{results.get("img_path")}: {key} in a mirrored image, but {field.swap!r} is missing, which says which classes '
                'swap. Datasets provide it; for your own arrays use sapiens.metainfo.get_classes(NAME).flip_table'
            )
        table = np.asarray(results[field.swap])
        if (table != np.arange(256)).any():
            values = cv2.LUT(values, table)
    if field.kind in ('vectors', 'unit_vectors') and (turn != np.eye(2)).any():
        matrix = np.eye(3, dtype=np.float32)
        matrix[:2, :2] = turn
        values = cv2.transform(values, matrix)
    if field.kind == 'unit_vectors' and interpolation == 'linear':
        length = np.sqrt(cv2.transform(values * values, np.ones((1, 3), np.float32)))[..., None]
        values = np.divide(values, length, out=np.zeros_like(values), where=length > 1e-6)
    return values
