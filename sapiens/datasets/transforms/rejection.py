"""Samples that are not useful for training, although their files are good."""

import numpy as np
from mmcv.transforms import BaseTransform

from sapiens.registry import TRANSFORMS
from sapiens.utils.srgb import encode_srgb

__all__ = ['RejectLabels', 'Rejected']


class Rejected(Exception):
    """The sample is not useful although its file is good: the dataset draws another one. The text is the reason; its part before
    a colon is the name under which ``sapiens check`` and training count it."""

    @property
    def name(self) -> str:
        return str(self).partition(':')[0]


@TRANSFORMS.register_module()
class RejectLabels(BaseTransform):
    """Reject samples whose labels teach nothing; the dataset draws others. Only for training.

    It looks at the labels where it stands: after :class:`.LoadLabels` at those of the whole image, after :class:`.LoadDense` at
    those of the network's input.

    Required Keys: img_path; valid_mask (H, W) bool; gt_pointmap, gt_albedo, gt_alpha, intrinsics where the options need them

    Args:
        min_pixels: fewest valid pixels.
        max_fraction: largest valid fraction of the image.
        min_canonical_depth: the nearest valid point, in meters times the canonical scale, image width / focal length. Nearer ones
            are points at the camera or in another unit. None for data without pointmaps.
        min_albedo_std: of sRGB-coded albedo over the valid pixels, in the channel with most: flat colors are placeholders of lost
            textures. None for data without albedo.
        empty_alpha: whether samples without any alpha stay.

    Source: the published loaders of Sapiens2 (16, 0.96, 0.04, 0.02).

    Raises:
        ValueError: an argument out of its range; on use, a sample without what an option needs.
        Rejected: see above.
    """

    def __init__(
        self,
        min_pixels: int = 16,
        max_fraction: float = 0.96,
        min_canonical_depth: float | None = None,
        min_albedo_std: float | None = None,
        empty_alpha: bool = True,
    ):
        if not (isinstance(min_pixels, int) and min_pixels >= 0):
            raise ValueError(f'min_pixels={min_pixels!r}: expected a number of pixels')
        if not 0 < max_fraction <= 1:
            raise ValueError(f'max_fraction={max_fraction!r}: expected a fraction above 0; 1 for any')
        for name, value in dict(min_canonical_depth=min_canonical_depth, min_albedo_std=min_albedo_std).items():
            if value is not None and not value > 0:
                raise ValueError(f'{name}={value!r}: expected a number above 0, or None')
        self.min_pixels, self.max_fraction, self.empty_alpha = min_pixels, max_fraction, empty_alpha
        self.min_canonical_depth, self.min_albedo_std = min_canonical_depth, min_albedo_std

    def transform(self, results: dict) -> dict:
        valid = self._need(results, 'valid_mask')
        count = int(np.count_nonzero(valid))
        if count < self.min_pixels:
            raise Rejected(f'fewer than {self.min_pixels} labeled pixels: {count}')
        if count > self.max_fraction * valid.size:
            raise Rejected(f'labels on more than {self.max_fraction:.0%} of the pixels: {count / valid.size:.1%}')
        if self.min_canonical_depth is not None:
            focal = self._need(results, 'intrinsics')[0, 0]
            nearest = float(self._need(results, 'gt_pointmap')[..., 2][valid].min(initial=np.inf))
            nearest *= valid.shape[1] / focal
            if nearest < self.min_canonical_depth:
                raise Rejected(f'points nearer than {self.min_canonical_depth} canonical meters: {nearest:.3g}')
        if self.min_albedo_std is not None:
            colors = encode_srgb(self._need(results, 'gt_albedo')[valid])
            deviation = float(colors.std(0, dtype=np.float64).max()) if len(colors) else 0.0
            if deviation < self.min_albedo_std:
                raise Rejected(
                    f'albedo of a single color: standard deviation {deviation:.3g}, below {self.min_albedo_std}'
                )
        if not self.empty_alpha and not self._need(results, 'gt_alpha').any():
            raise Rejected('empty alpha: no person')
        return results

    @staticmethod
    def _need(results: dict, key: str):
        if key not in results:
            raise ValueError(f'{results.get("img_path")}: RejectLabels needs {key}, which this sample has not')
        return results[key]
