"""Packing samples for the model: the last step of a pipeline."""

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample

from sapiens.registry import TRANSFORMS
from sapiens.structures import DenseDataSample
from sapiens.tasks import get_field

from .decoding import BadImage
from .label_geometry import is_map

__all__ = ['PackDense', 'PackImage', 'PackPose']

_IMAGE_KEYS = ('img_path', 'ori_shape', 'img_shape', 'crop', 'flip', 'warp_matrix', 'sample_idx')
_DENSE_KEYS = (*_IMAGE_KEYS, 'rotation', 'intrinsics', 'background', 'padding')
_POSE_KEYS = (
    *('img_id', 'id', 'img_path', 'ori_shape', 'img_shape', 'input_size', 'input_center', 'input_scale', 'sample_idx'),
    *('flip', 'bbox_rotation'),
)
_UNIT_VECTORS = ('fp32', 'fp16')


@TRANSFORMS.register_module()
class PackImage(BaseTransform):
    """Pack an image without labels for the model.

    Required Keys: img (uint8 (H, W, 3) RGB); img_path, ori_shape, img_shape, crop, flip, warp_matrix, sample_idx where present

    Returns:
        dict(inputs=uint8 (3, H, W) tensor, RGB, not normalized (the device does that);
        data_samples=:class:`sapiens.structures.DenseDataSample` with the keys above as metainfo).
    """

    def transform(self, results: dict) -> dict:
        sample = DenseDataSample(metainfo={key: results[key] for key in _IMAGE_KEYS if key in results})
        return dict(inputs=to_planes(results['img']), data_samples=sample)


@TRANSFORMS.register_module()
class PackDense(BaseTransform):
    """Pack an image with its label maps for the model.

    In training the maps have the size of the input, in evaluation that of the original image.

    Args:
        unit_vectors: data type of maps of unit vectors such as normals, ``'fp32'`` or ``'fp16'``. Half precision takes half of
            the memory and turns normals by 0.028 degrees at most (2^-11 of their length), 0.006 on average
            (``tools/benchmark/batch_labels.py``). :class:`sapiens.models.NormalTask` scales them to length 1 again. For
            training: metrics need exact labels.

    Required Keys: img (uint8 (h, w, 3) RGB), img_shape, ori_shape; maps ``gt_<field>`` of declared fields, valid_mask and
    valid_<field>; the keys of the metainfo where present

    Returns:
        dict(inputs=uint8 (3, h, w) tensor, RGB, not normalized; data_samples=:class:`sapiens.structures.DenseDataSample`) with

        - the maps as tensors: gt_sem_seg (H, W) uint8, gt_depth (1, H, W) and gt_normal (3, H, W) float32 (float16 with
          ``unit_vectors='fp16'``), gt_mask and valid_mask (H, W) bool, ...;
        - metainfo, where known: img_path, ori_shape, img_shape, crop, flip, rotation, warp_matrix, intrinsics, sample_idx,
          background, padding.

    Raises:
        BadImage: maps that are neither of the image's size nor of the original's.
        ValueError: another ``unit_vectors``.
    """

    def __init__(self, unit_vectors: str = 'fp32') -> None:
        if unit_vectors not in _UNIT_VECTORS:
            raise ValueError(f'unit_vectors={unit_vectors!r} is not one of {_UNIT_VECTORS}')
        self.unit_vectors = unit_vectors

    def transform(self, results: dict) -> dict:
        sample = DenseDataSample(metainfo={key: results[key] for key in _DENSE_KEYS if key in results})
        shapes = tuple(results['img_shape']), tuple(results['ori_shape'])
        for key in filter(is_map, results):
            values = results[key]
            if values.shape[:2] not in shapes:
                raise BadImage(
                    f'{key} is {values.shape[1]} x {values.shape[0]} (w x h), the upright image {shapes[1][1]} x {shapes[1][0]}: '
                    'labels must cover the pixels of their image'
                )
            values = to_planes(values) if values.ndim == 3 else torch.from_numpy(np.ascontiguousarray(values))
            field = get_field(key)
            if self.unit_vectors == 'fp16' and field.kind == 'unit_vectors':
                values = values.half()
            setattr(sample, key, values[None] if values.ndim == 2 and field.leading else values)
        return dict(inputs=to_planes(results['img']), data_samples=sample)


@TRANSFORMS.register_module()
class PackPose(BaseTransform):
    """Pack the crop of one person, with its keypoints if known, for the model.

    Required Keys: those of :class:`sapiens.datasets.transforms.LoadPerson`; bbox (1, 4), bbox_score (1,)

    Returns:
        dict(inputs=uint8 (3, h, w) tensor, RGB, not normalized; data_samples=mmpose's ``PoseDataSample``) with

        - ``gt_instances``, arrays in pixels of the original image: bboxes (1, 4) x1, y1, x2, y2, bbox_scores (1,), and
          where labeled keypoints (1, K, 2) and keypoints_visible (1, K);
        - ``gt_instance_labels``, where labeled, float32 tensors: keypoints (1, K, 2) in pixels of the crop,
          keypoint_weights (1, K), in the order of the crop: left and right are swapped if ``flip`` is set;
        - metainfo: img_id, id, img_path, ori_shape and img_shape (h, w), input_size (w, h), input_center and input_scale
          (2,) in pixels of the original image, sample_idx, flip, bbox_rotation (1,), as far as known.
    """

    def transform(self, results: dict) -> dict:
        sample = PoseDataSample(metainfo={key: results[key] for key in _POSE_KEYS if key in results})
        instances = InstanceData(bboxes=results['bbox'], bbox_scores=results['bbox_score'])
        if 'transformed_keypoints' in results:
            instances.keypoints, instances.keypoints_visible = results['keypoints'], results['keypoints_visible']
            sample.gt_instance_labels = PickledAsArrays(
                keypoints=torch.from_numpy(results['transformed_keypoints']),
                keypoint_weights=torch.from_numpy(results['transformed_visible']),
            )
        sample.gt_instances = instances
        return dict(inputs=to_planes(results['img']), data_samples=sample)


class PickledAsArrays(InstanceData):
    """InstanceData whose CPU tensors are pickled as arrays.

    Otherwise each tensor would travel from worker to trainer in its own shared memory file, hundreds for a batch. As arrays they
    are a few kilobytes in the pipe that the rest of the sample uses.
    """

    def __reduce__(self):
        fields = {
            key: value.numpy() if isinstance(value, torch.Tensor) and value.device.type == 'cpu' else value
            for key, value in self.items()
        }
        return _from_arrays, (fields, self.metainfo)


def _from_arrays(fields: dict, metainfo: dict) -> PickledAsArrays:
    made = PickledAsArrays(metainfo=metainfo)
    for key, value in fields.items():
        setattr(made, key, torch.from_numpy(value) if isinstance(value, np.ndarray) else value)
    return made


def to_planes(image: np.ndarray) -> torch.Tensor:
    """Copy an (H, W, C) array to a (C, H, W) tensor."""
    planes = np.empty((image.shape[2], *image.shape[:2]), image.dtype)
    cv2.split(image, list(planes))  # a third of the time of a transposing copy
    return torch.from_numpy(planes)
