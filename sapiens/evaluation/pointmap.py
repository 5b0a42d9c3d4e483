"""Errors of pointmaps of people."""

import numpy as np
import torch
from mmengine.logging import print_log
from prettytable import PrettyTable
from torch import Tensor

from sapiens.registry import METRICS
from sapiens.utils.pinhole import MIN_SCALE, canonical_scale, input_intrinsics, normals_of_points, window_inside

from .dense_functional import angular_error, person_means
from .streaming import StreamingMetric, field_of, name_of

__all__ = ['PointmapMetric']

DISTANCES = 0.05, 0.1, 0.2
ANGLES = 5, 11.25, 22.5, 30  # degrees
_POINTS = 'L2', 'RMSE', 'X', 'Y', 'Z', *(f'within_{limit:g}' for limit in DISTANCES)
_NORMALS = 'normal_mean', 'normal_RMSE', *(f'normal_within_{limit:g}' for limit in ANGLES)
# Rows of the sums that need only predictions and labels, and of those that need the camera.
_PLAIN, _CAMERA = ('', 'true_distance', 'flat'), ('true_scale', 'canonical', 'canonical_flat')


@METRICS.register_module()
class PointmapMetric(StreamingMetric):
    """Distances between predicted and true points, on the pixels of people.

    Reports, each under ``prefix/``:

    - ``L2``, ``RMSE``, ``X``, ``Y``, ``Z``: the mean distance, the root of the mean square distance, and the mean absolute
      difference of each coordinate, in meters; ``within_0.05``, ``within_0.1``, ``within_0.2``: fractions of points with a
      smaller distance. With the scale that the network predicts.
    - ``true_scale_...``: the same with the scale of the true camera, as for users who give their focal length.
    - ``true_distance_...``: the same after the depths of each person are multiplied by one number that gives them the true mean,
      and put on the rays of the true points. This is the error of shapes, and what ``flat_L2`` compares with on equal terms: both
      know the camera and the distance.
    - ``canonical_...``: the same in canonical units, of a camera whose focal length is the width of the network's input, as
      published. They are meters times the true scale.
    - ``scale_error``: mean over images of abs(predicted / true scale - 1).
    - ``normal_mean``, ``normal_RMSE`` in degrees, ``normal_within_5``, ``normal_within_11.25``, ``normal_within_22.5``,
      ``normal_within_30``: angles between normals of predicted and true points (:func:`sapiens.utils.pinhole.normals_of_points`),
      where all points of the 5 x 5 window are labeled.
    - ``flat_L2``, ``flat_normal_mean``: of a baseline that knows the camera and the distance but not the shape. It predicts flat
      people: every pixel at the mean depth of its person if the sample has ``gt_instance``, otherwise of all people of the image.

    The log has all numbers of all. Only pixels where ``valid_mask`` is true count. Images without any are skipped with a warning.
    Images whose camera is unknown count only for what needs none.

    Args:
        average: ``'pixel'``, over all pixels, as published, or ``'image'``, the mean of the values of the images.
        **options: prefix, collect_device, collect_dir of :class:`StreamingMetric`.

    Raises:
        ValueError: an unknown mode.
    """

    default_prefix = 'pointmap'
    names = (
        *_POINTS,
        *(f'{row}_{name}' for row in ('true_scale', 'true_distance', 'canonical') for name in _POINTS),
        'scale_error',
        *_NORMALS,
        'flat_L2',
        'flat_normal_mean',
    )

    def __init__(self, average: str = 'pixel', **options):
        if average not in ('pixel', 'image'):
            raise ValueError(f"PointmapMetric: average={average!r}, expected 'pixel' or 'image'")
        super().__init__(**options)
        self.average = average

    def measure(self, sample: dict) -> dict:
        """Errors of a sample: a dict with ``pred_pointmap`` and ``gt_pointmap`` (3, H, W) in meters in the camera frame (x right,
        y down, z forward), ``pred_scale`` (a number), ``valid_mask`` (H, W) bool; where known ``intrinsics`` (3, 3) in pixels of
        the labels, with ``img_shape`` and ``warp_matrix``, and ``gt_instance`` (H, W) integer."""
        pred = field_of(sample, 'pred_pointmap')
        target = field_of(sample, 'gt_pointmap', pred)
        valid = field_of(sample, 'valid_mask', pred).bool()
        scale = float(field_of(sample, 'pred_scale'))
        if not valid.any():
            return self.note('have no labeled pixel and are skipped', sample)
        persons = field_of(sample, 'gt_instance', valid)[valid] if 'gt_instance' in sample else None
        seen, true = pred[:, valid].double(), target[:, valid].double()
        distance = person_means(true[2], persons)
        flat = true * (distance / true[2])
        placed = true * (seen[2] / person_means(seen[2], persons) * distance / true[2])
        found = dict(points=self._rows([_point_sums(points - true) for points in (seen, placed, flat)]), images=1)
        if 'intrinsics' in sample:
            factor = _true_scale(sample, tuple(valid.shape))
            errors = seen * (scale / factor) - true, (seen * scale - true * factor), (flat - true) * factor
            found.update(
                camera=self._rows(map(_point_sums, errors)), with_camera=1, scale_error=abs(scale / factor - 1)
            )
        else:
            found.update(self.note('have no intrinsics: they do not count with the true scale', sample))
        angles = _normal_errors(pred, target, valid)
        if angles.shape[1]:
            found.update(normals=self._rows(map(_angle_sums, angles)), with_normals=1)
        if not all(np.isfinite(found[name]).all() for name in ('points', 'camera', 'normals') if name in found):
            found.update(self.note('have a prediction that is not finite', sample))
        elif not scale > MIN_SCALE:  # lower ones, also those below 0, arrive as it
            found.update(self.note('have a predicted scale that is not above 0', sample))
        return found

    def _rows(self, sums) -> np.ndarray:
        """Sums of several predictions; of the mode 'image' already the errors."""
        rows = torch.stack(list(sums)).cpu().numpy()
        return rows if self.average == 'pixel' else _errors(rows)

    def _values(self, sums: dict, name: str, count: str) -> np.ndarray:
        return _errors(sums[name]) if self.average == 'pixel' else sums[name] / sums[count]

    def report(self, sums: dict) -> dict[str, float]:
        if 'points' not in sums:
            self._warn('no pixel is labeled; nothing is reported')
            return {}
        rows = dict(zip(_PLAIN, self._values(sums, 'points', 'images').tolist(), strict=True))
        found = dict(zip(_POINTS, rows[''], strict=True))
        found.update(
            (f'true_distance_{name}', value) for name, value in zip(_POINTS, rows['true_distance'], strict=True)
        )
        if 'camera' in sums:
            rows.update(zip(_CAMERA, self._values(sums, 'camera', 'with_camera').tolist(), strict=True))
            for row in ('true_scale', 'canonical'):
                found.update((f'{row}_{name}', value) for name, value in zip(_POINTS, rows[row], strict=True))
            found['scale_error'] = sums['scale_error'] / sums['with_camera']
        titles = {
            '': 'predicted scale',
            'true_scale': 'true scale',
            'true_distance': 'true distance',
            'flat': 'flat person',
        }
        titles |= dict(canonical='canonical', canonical_flat='canonical, flat person')
        table = _table(_POINTS, {title: rows[row] for row, title in titles.items() if row in rows}, digits=4)
        text = f'{self.prefix}, in meters: {sums["samples"]} images; average over {self.average}s\n{table}'
        flat = dict(flat_L2=rows['flat'][0])
        if 'normals' in sums:
            normals = self._values(sums, 'normals', 'with_normals').tolist()
            found.update(zip(_NORMALS, normals[0], strict=True))
            flat['flat_normal_mean'] = normals[1][0]
            named = dict(zip(('prediction', 'facing the camera'), normals, strict=True))
            text += f'\nnormals of these points, in degrees\n{_table(_NORMALS, named, digits=2)}'
        print_log(text, 'current')
        return found | flat


def _true_scale(sample: dict, size: tuple[int, int]) -> float:
    try:
        intrinsics = input_intrinsics(sample, size)
        return canonical_scale(intrinsics, sample.get('img_shape', size)[1])
    except ValueError as error:
        raise ValueError(f'{name_of(sample)}: {error}') from error


def _normal_errors(pred: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """(2, N) angles in degrees to the normals of the true points: of those of the predicted ones, and of the direction to the
    camera."""
    rows, columns = (torch.nonzero(valid.any(dim))[:, 0] for dim in (1, 0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    inside = window_inside(valid[box])
    normal, truth = (normals_of_points(points[:, box[0], box[1]])[:, inside] for points in (pred, target))
    facing = torch.zeros_like(truth)
    facing[2] = -1
    return torch.stack([angular_error(vectors, truth) for vectors in (normal, facing)])


def _point_sums(error: Tensor) -> Tensor:
    """(9,) float64 from errors (3, N): number of points, sums of the values that ``_POINTS`` names, the second one squared."""
    square = error.square().sum(0)
    distance = square.sqrt()
    below = [(distance < limit).sum() for limit in DISTANCES]
    sums = [distance.sum(), square.sum(), *error.abs().sum(1), *below]
    return torch.stack([square.new_tensor(len(square)), *sums]).double()


def _angle_sums(angles: Tensor) -> Tensor:
    """(7,) float64 from angles (N,): their number, sums of the values that ``_NORMALS`` names, the second one squared."""
    angles = angles.double()
    below = [(angles < limit).sum() for limit in ANGLES]
    return torch.stack([angles.new_tensor(len(angles)), angles.sum(), angles.square().sum(), *below]).double()


def _errors(sums: np.ndarray) -> np.ndarray:
    """(n, m) means from (n, m + 1) sums; the second one is the root of its mean."""
    means = sums[:, 1:] / sums[:, :1]
    means[:, 1] = np.sqrt(means[:, 1])
    return means


def _table(names: tuple, rows: dict[str, list[float]], digits: int) -> PrettyTable:
    within = ['within' in name for name in names]
    table = PrettyTable(['', *(f'{name} %' if part else name for name, part in zip(names, within, strict=True))])
    table.align = 'r'
    for title, row in rows.items():
        shown = (f'{100 * v:.2f}' if part else f'{v:.{digits}f}' for v, part in zip(row, within, strict=True))
        table.add_row([title, *shown])
    return table
