"""The last step of a pipeline."""

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform

from sapiens.registry import TRANSFORMS
from sapiens.structures import DenseDataSample

__all__ = ['PackImage']

_META_KEYS = ('img_path', 'ori_shape', 'img_shape', 'crop', 'flip', 'sample_idx')


@TRANSFORMS.register_module()
class PackImage(BaseTransform):
    """Pack an image without labels for the model.

    Required Keys: img (uint8 (H, W, 3) RGB); img_path, ori_shape, img_shape, crop, flip, sample_idx where present

    Returns:
        dict(inputs=uint8 (3, H, W) tensor, RGB, not normalised (the device does that);
        data_samples=:class:`sapiens.structures.DenseDataSample` with the keys above as metainfo).
    """

    def transform(self, results: dict) -> dict:
        image = results['img']
        planes = np.empty((3, *image.shape[:2]), np.uint8)
        cv2.split(image, list(planes))  # a third of the time of a transposing copy
        sample = DenseDataSample(metainfo={key: results[key] for key in _META_KEYS if key in results})
        return dict(inputs=torch.from_numpy(planes), data_samples=sample)
