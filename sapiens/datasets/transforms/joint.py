"""Samples for several tasks at once: a view of an image around a person, keypoints that follow it, and packing."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from mmcv.transforms import BaseTransform

from sapiens.registry import TRANSFORMS
from sapiens.tasks import map_fields, target_fields
from sapiens.utils.crop import crop_matrix, fit_aspect, transform_points

from .label_geometry import is_map, outside_value
from .loading import check_prob
from .packing import PackDense, PickledAsArrays
from .random_geometry import GeometricStep, check_size
from .rejection import Rejected
from .view import View, border_of, shown_mask

__all__ = ['MovePerson', 'PackTasks', 'PersonCrop']


@TRANSFORMS.register_module()
class PersonCrop(GeometricStep):
    """Show the box of the sample's person, upright or rotated, as recipes of pose do. The first step of :class:`LoadDense`.

    A sample whose labels do not cover its image (without ``gt_mask``) is always shown so: which of several people is meant is
    not to be seen in the whole image.

    Required Keys: bbox (1, 4) x1, y1, x2, y2 in pixels

    Args:
        size: (w, h) of the crop in pixels.
        prob: probability.
        otherwise: steps instead, or their configs.
        padding: factor of the box.
        shift: largest shift along each axis, as a fraction of the box.
        scale: smallest and largest factor of the box, drawn uniformly.
        rotation: largest angle in degrees; half of the crops are rotated.

    Raises:
        ValueError: an argument out of its range; on use, a step before it that changed the view.
    """

    def __init__(
        self,
        size: tuple,
        prob: float = 1.0,
        otherwise: Sequence[GeometricStep | dict] = (),
        padding: float = 1.25,
        shift: float = 0.1,
        scale: tuple = (0.75, 1.25),
        rotation: float = 45.0,
    ):
        self.size = check_size(size)
        check_prob(prob=prob)
        if len(scale) != 2 or not 0 < scale[0] <= scale[1]:
            raise ValueError(f'scale={scale!r}: expected (smallest, largest) factor, above 0')
        if not (padding > 0 and shift >= 0 and 0 <= rotation <= 180):
            raise ValueError(
                f'padding={padding!r}, shift={shift!r}, rotation={rotation!r}: expected a factor above 0, a fraction from 0 and '
                'degrees from 0 to 180'
            )
        self.otherwise = [TRANSFORMS.build(step) if isinstance(step, dict) else step for step in otherwise]
        self.prob, self.padding, self.shift, self.scale, self.rotation = prob, padding, shift, tuple(scale), rotation

    def draw(self, view: View, results: dict) -> View:
        # Always drawn, so that later draws do not depend on the probability.
        chance, shift, factor = np.random.random(), np.random.uniform(-1, 1, 2), np.random.uniform(*self.scale)
        is_turned, degrees = np.random.random() < 0.5, np.random.uniform(-self.rotation, self.rotation)
        if chance >= self.prob and 'gt_mask' in results:
            for step in self.otherwise:
                view = step.draw(view, results)
            return view
        if view.matrix.tolist() != np.eye(2, 3).tolist():
            raise ValueError('PersonCrop takes the box of the original image: it must be the first of the steps')
        left, top, right, bottom = results['bbox'][0].astype(np.float64)
        sides = np.array([right - left, bottom - top])
        center = np.array([left + right, top + bottom]) / 2 + self.shift * shift * sides
        scale = fit_aspect(sides * self.padding * factor, self.size)
        degrees = degrees if is_turned else 0.0
        matrix = crop_matrix(center, scale, degrees, self.size)
        angle = math.atan2(matrix[1, 0], matrix[0, 0])
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        return replace(view, matrix=matrix, size=self.size, turn=turn)


@TRANSFORMS.register_module()
class MovePerson(BaseTransform):
    """Move the keypoints of a person as :class:`LoadDense` moved the image, and hide what lies beyond the border of the image
    (:class:`CutByBorder`).

    Required Keys: keypoints (1, K, 2), keypoints_visible (1, K), flip_indices; img, flip, warp_matrix and ori_shape of LoadDense;
    image_border where the person is cut

    Added Keys: transformed_keypoints (1, K, 2) in pixels of the network's input and transformed_visible (1, K), with left and
    right swapped in a mirrored one

    Modified Keys: with image_border img, which is black there, and all label maps, which have the values of the outside

    Args:
        min_visible: a sample with fewer labeled keypoints inside is rejected; 0 keeps all.

    Raises:
        ValueError: ``min_visible`` below 0.
        Rejected: fewer than ``min_visible`` points.
    """

    def __init__(self, min_visible: int = 4):
        if not (isinstance(min_visible, int) and min_visible >= 0):
            raise ValueError(f'min_visible={min_visible!r}: expected a number of keypoints, 0 to keep every sample')
        self.min_visible = min_visible

    def transform(self, results: dict) -> dict:
        points, visible = results['keypoints'], results['keypoints_visible']
        if results['flip']:
            points, visible = points[:, results['flip_indices']], visible[:, results['flip_indices']]
        points = transform_points(points, results['warp_matrix'])
        size = results['img'].shape[1::-1]
        inside = ((points > -0.5) & (points < np.array(size) - 0.5)).all(-1)
        count = int((inside & (visible > 0)).sum())
        if count < self.min_visible:
            raise Rejected(f'{count} labeled keypoints inside the crop, min_visible={self.min_visible}')
        results['transformed_keypoints'] = points.astype(np.float32)
        results['transformed_visible'] = visible.astype(np.float32)
        if 'image_border' in results:
            beyond = ~shown_mask(results['warp_matrix'], border_of(results), size)
            results['img'][beyond] = 0
            for key in filter(is_map, results):
                results[key][beyond] = outside_value(key, results)
        return results


@TRANSFORMS.register_module()
class PackTasks(BaseTransform):
    """Pack an image with keypoints and label maps, for a step of several tasks.

    Required Keys: those of :class:`PackDense`; ``gt_<field>`` and ``valid_<field>`` of ``fields``; transformed_keypoints
    (1, K, 2) and transformed_visible (1, K)

    Args:
        fields: the maps that are packed, with where they are valid. Others, such as masks of people, are left out.
        unit_vectors: see :class:`PackDense`.

    Returns:
        As :class:`PackDense`, with ``gt_instance_labels`` as :class:`PackPose`.

    Raises:
        ValueError: an unknown field, or another ``unit_vectors``.
        BadImage: see :class:`PackDense`.
    """

    def __init__(self, fields: Sequence[str], unit_vectors: str = 'fp16'):
        if not fields or set(fields) - target_fields().keys():
            raise ValueError(f'fields={fields!r}: expected some of {", ".join(map(repr, target_fields()))}')
        others = map_fields().keys() - set(fields)
        self.left_out = {f'gt_{name}' for name in others} | {f'valid_{name}' for name in others - {'mask'}}
        self.pack = PackDense(unit_vectors)

    def transform(self, results: dict) -> dict:
        packed = self.pack({key: value for key, value in results.items() if key not in self.left_out})
        packed['data_samples'].gt_instance_labels = PickledAsArrays(
            keypoints=torch.from_numpy(results['transformed_keypoints']),
            keypoint_weights=torch.from_numpy(results['transformed_visible']),
        )
        return packed
