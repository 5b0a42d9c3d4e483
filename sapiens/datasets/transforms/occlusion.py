"""Hiding parts of the image. Labels stay: the model must infer what is hidden."""

import numpy as np
from mmcv.transforms import BaseTransform

from sapiens.registry import TRANSFORMS

from .loading import check_prob

__all__ = ['CoarseDropout']


@TRANSFORMS.register_module()
class CoarseDropout(BaseTransform):
    """Fill one random rectangle of the image.

    Required and Modified Keys: img (uint8 (H, W, 3)), in place

    Args:
        height, width: smallest and largest fraction of the image's side, drawn uniformly and independently.
        prob: probability.
        fill: gray level.

    Raises:
        ValueError: an argument out of its range.
    """

    def __init__(self, height: tuple = (0.2, 0.4), width: tuple = (0.2, 0.4), prob: float = 1.0, fill: int = 0):
        for name, limits in (('height', height), ('width', width)):
            if len(limits) != 2 or not 0 < limits[0] <= limits[1] <= 1:
                raise ValueError(f'{name}={limits!r}: expected (smallest, largest) fraction, within (0, 1]')
        check_prob(prob=prob)
        if not 0 <= fill <= 255:
            raise ValueError(f'fill={fill!r}: expected a gray level from 0 to 255')
        self.height, self.width, self.prob, self.fill = height, width, prob, fill

    def transform(self, results: dict) -> dict:
        if np.random.random() < self.prob:
            image = results['img']
            height, width = image.shape[:2]
            h = max(1, int(height * np.random.uniform(*self.height)))
            w = max(1, int(width * np.random.uniform(*self.width)))
            y, x = np.random.randint(height - h + 1), np.random.randint(width - w + 1)
            image[y : y + h, x : x + w] = self.fill
        return results
