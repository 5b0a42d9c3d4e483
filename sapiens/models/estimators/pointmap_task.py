"""Pointmaps as a dense task; see :class:`.dense_task.DenseTask`."""

# B batch, h w size of the network's output, H W of its input, of the target or of the prediction

import numpy as np
import torch
from torch import Tensor

from sapiens.registry import MODELS

from ..layers.upsample import upsample
from .dense_task import DenseTask, Grid, where

__all__ = ['MIN_SCALE', 'PointmapTask']

# Smaller predicted scales, also negative ones, count as this one: a focal length of a hundred widths of the input.
MIN_SCALE = 0.01


@MODELS.register_module()
class PointmapTask(DenseTask):
    """Points in the camera frame (x right, y down, z forward): ``pred_pointmap`` (3, H, W) float32 meters, and ``pred_scale``.

    An image does not tell a near person at a short focal length from a far one at a long focal length. The network therefore
    predicts canonical points, those that a camera of the canonical focal length would see in the same image, and the scale
    between both. The canonical focal length is the width of the network's input in pixels. For an image of focal length f, in
    pixels of the input: ``scale = width / f`` and ``canonical = meters * scale``. A predicted scale so also estimates f.

    Labels are in meters, and the metainfo ``intrinsics`` (3, 3) of a sample is in pixels of its labels, with the center of the
    top-left pixel at (0, 0): K P / Z is the pixel of a point P. Pixels whose point is not finite or not in front of the camera
    never count.

    Losses of several outputs also get, of each image, ``scale`` (B,), ``mean_depth`` (B,), the mean canonical depth of the valid
    pixels (1 without any), and ``intrinsics`` (B, 3, 3) in pixels of the maps that they compare.

    Raises:
        ValueError: in training, a sample whose intrinsics are missing or impossible.
    """

    task_name = 'pointmap'
    channels = 3
    scalars = ('scale',)
    default_losses = (dict(type='PointmapL1Loss'), dict(type='PointmapScaleLoss'))

    def prepare(self, target: Tensor, valid: Tensor, samples: list, name: str) -> tuple[Tensor, Tensor]:
        target = target.float()
        valid = valid & (target[:, 2] > 0) & target.isfinite().all(1)
        scale = self._scale(samples, tuple(target.shape[-2:])).to(target.device)
        return torch.where(valid[:, None], target, 0) * scale[:, None, None, None], valid

    def whole_targets(
        self, targets: dict, samples: list, size: tuple[int, int], grid: Grid | None
    ) -> dict[str, Tensor]:
        target, valid = targets['pointmap']
        depth = torch.where(valid, target[:, 2], 0).flatten(1).sum(1)
        count = valid.flatten(1).sum(1)
        intrinsics = torch.from_numpy(self._intrinsics(samples, size, grid)).float()
        return dict(
            scale=self._scale(samples, size).to(target.device),
            mean_depth=torch.where(count > 0, depth / count.clamp(min=1), 1),
            intrinsics=intrinsics.to(target.device),
        )

    def decode(self, output: dict[str, Tensor], size: tuple[int, int]) -> dict[str, Tensor]:
        """Points (B, 3, H, W) in meters, and the scale (B,), at least ``MIN_SCALE``."""
        scale = output['scale'].float().clamp(min=MIN_SCALE)
        return dict(pointmap=upsample(output['pointmap'], size) / scale[:, None, None, None], scale=scale)

    def _scale(self, samples: list, size: tuple[int, int]) -> Tensor:
        return torch.from_numpy(size[1] / self._intrinsics(samples, size)[:, 0, 0]).float()

    @staticmethod
    def _intrinsics(samples: list, size: tuple[int, int], grid: Grid | None = None) -> np.ndarray:
        """(B, 3, 3) float64 of the cameras of labeled samples, in pixels of the input of ``size``, or of its grid."""
        found = np.stack([input_intrinsics(sample, tuple(sample.gt_pointmap.shape[-2:]), size) for sample in samples])
        for row, pixels in enumerate(reversed(grid or ())):
            found[:, row] -= pixels.start * found[:, 2]
            found[:, row] /= pixels.step
        return found


def input_intrinsics(sample, size: tuple[int, int], input_size: tuple[int, int]) -> np.ndarray:
    """(3, 3) float64 of the camera of a sample in pixels of the network's input.

    Args:
        sample: with ``intrinsics`` in its metainfo, in pixels of an image of ``size`` (H, W).
        size: that of the input, if the sample went through all steps of geometry; else that of the original image, which the
            sample's ``warp_matrix`` (2, 3) maps to the input. Without one, the image was stretched to it.
        input_size: (H, W).

    Raises:
        ValueError: no intrinsics, or impossible ones.
    """
    if 'intrinsics' not in sample.metainfo:
        raise ValueError(
            f"{where(sample)} has no 'intrinsics' (3, 3) in its metainfo, without which meters have no canonical scale: the data "
            'set must give the camera of each image'
        )
    intrinsics = np.asarray(sample.metainfo['intrinsics'], np.float64)
    if intrinsics.shape != (3, 3) or not np.isfinite(intrinsics).all() or min(intrinsics[0, 0], intrinsics[1, 1]) <= 0:
        raise ValueError(
            f'{where(sample)}: intrinsics={intrinsics.tolist()}: expected a finite (3, 3) matrix with focal lengths above 0 in '
            'pixels'
        )
    if tuple(size) == tuple(input_size):
        return intrinsics
    matrix = sample.metainfo.get('warp_matrix')
    if matrix is None:
        factors = [new / old for new, old in zip(reversed(input_size), reversed(size), strict=True)]
        matrix = np.array([[factors[0], 0, (factors[0] - 1) / 2], [0, factors[1], (factors[1] - 1) / 2]])
    return np.vstack([np.asarray(matrix, np.float64), [0, 0, 1]]) @ intrinsics
