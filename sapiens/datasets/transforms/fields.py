"""The one table that says what geometry does to each label map.

Legend: every map of a sample is (H, W) or (H, W, C) over the pixels of its image.

The values of depth are kept by all of it: cutting and resizing change the camera's intrinsics, turning and mirroring turn and
mirror it about its axis, and the distance along that axis stays. So does the published code, as far as it is documented.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from .decoding import BadImage

__all__ = ['FIELDS', 'Field', 'label_maps', 'move_values']


@dataclass(frozen=True)
class Field:
    """What one label map needs.

    Attributes:
        interpolation: 'nearest' or 'linear'. Nearest keeps ids, and never mixes a person with what is behind.
        padding: value beside the image. It means nothing where ``valid_mask`` travels, which is False there.
        vectors: x and y in the camera frame are the first two channels: x is negated by a mirror, both turn with a rotation.
        unit: vectors of length 1, which they are made again after a linear interpolation.
        swap: key of the (256,) uint8 table that exchanges ids in a mirrored image.
    """

    interpolation: str = 'nearest'
    padding: float = 0
    vectors: bool = False
    unit: bool = False
    swap: str | None = None


FIELDS = {
    'gt_sem_seg': Field(padding=255, swap='flip_table'),
    'gt_instance': Field(),
    'gt_depth': Field(),
    'gt_normal': Field(vectors=True, unit=True),
    'gt_pointmap': Field(vectors=True),
    'gt_albedo': Field('linear'),
    'gt_alpha': Field('linear'),
    'gt_mask': Field(),
    'valid_mask': Field(),
}


def label_maps(results: dict, size: tuple) -> dict[str, np.ndarray]:
    """The maps of a sample, by key.

    Args:
        size: (w, h) of the image, which all of them must have.

    Raises:
        BadImage: a map of another size.
        ValueError: an array ``gt_*`` with the size of the image that has no row in the table.
    """
    maps = {}
    for key, value in results.items():
        if key in FIELDS:
            if value.shape[:2] != size[::-1]:
                raise BadImage(
                    f'{key} is {value.shape[1]} x {value.shape[0]}, the upright image is {size[0]} x {size[1]} (w x h): '
                    'labels must cover the pixels of their image'
                )
            maps[key] = value
        elif key.startswith('gt_') and isinstance(value, np.ndarray) and value.shape[:2] == size[::-1]:
            raise ValueError(
                f'{key} is a map over the image that geometry does not know: give it a row in '
                f'sapiens.datasets.transforms.fields.FIELDS, which has {", ".join(FIELDS)}'
            )
    return maps


def move_values(key: str, field: Field, values: np.ndarray, turn: np.ndarray, results: dict) -> np.ndarray:
    """The values of a map whose pixels have been moved, in the new image.

    Args:
        values: (H, W) or (H, W, C), of its own memory; may be changed.
        turn: (2, 2) orthogonal: what became of a vector (x, y) of the camera frame. Its determinant is -1 in a mirrored image.
        results: has the table of ``field.swap``.

    Raises:
        ValueError: ids in a mirrored image, and no table to exchange them.
    """
    if field.swap and np.linalg.det(turn) < 0:
        if field.swap not in results:
            raise ValueError(
                f'{results.get("img_path")}: {key} in a mirrored image, and no {field.swap!r} says which classes change places. '
                'The data sets give it; for own arrays: sapiens.metainfo.get_classes(NAME).flip_table'
            )
        table = np.asarray(results[field.swap])
        if (table != np.arange(256)).any():
            values = cv2.LUT(values, table)
    if field.vectors and (turn != np.eye(2)).any():
        matrix = np.eye(3, dtype=np.float32)
        matrix[:2, :2] = turn
        values = cv2.transform(values, matrix)
    if field.unit and field.interpolation == 'linear':
        length = np.sqrt(cv2.transform(values * values, np.ones((1, 3), np.float32)))[..., None]
        values = np.divide(values, length, out=np.zeros_like(values), where=length > 1e-6)
    return values
