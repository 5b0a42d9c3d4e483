"""Pointmaps as a dense task; see :class:`.dense_task.DenseTask`."""

# B batch, h w size of the network's output, H W of its input, of the target or of the prediction

import numpy as np
import torch
from torch import Tensor

from sapiens.registry import MODELS
from sapiens.utils.pinhole import MIN_SCALE, canonical_scale, input_intrinsics

from ..layers.upsample import upsample
from .dense_task import DenseTask, Grid, where

__all__ = ['PointmapTask']


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
    default_losses = (
        dict(type='PointmapL1Loss', loss_weight=2.0),
        dict(type='PointmapMultiscaleL1Loss'),
        dict(type='PointmapShiftInvariantLoss'),
        dict(type='PointmapSiLogLoss'),
        dict(type='PointmapIntrinsicsLoss'),
        dict(type='PointmapNormalLoss', loss_weight=2.0),
        dict(type='PointmapScaleLoss', loss_weight=4.0),
    )

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
        return torch.tensor([canonical_scale(one, size[1]) for one in self._intrinsics(samples, size)])

    @staticmethod
    def _intrinsics(samples: list, size: tuple[int, int], grid: Grid | None = None) -> np.ndarray:
        """(B, 3, 3) float64 of the cameras of labeled samples, in pixels of the input of ``size``, or of its grid."""
        found = np.stack([camera_of(sample, size) for sample in samples])
        for row, pixels in enumerate(reversed(grid or ())):
            found[:, row] -= pixels.start * found[:, 2]
            found[:, row] /= pixels.step
        return found


def camera_of(sample, size: tuple[int, int]) -> np.ndarray:
    """(3, 3) float64 of the camera of a labeled sample in pixels of the network's input of ``size`` (H, W); see
    :func:`sapiens.utils.pinhole.input_intrinsics`.

    Raises:
        ValueError: no intrinsics, or impossible ones.
    """
    if 'intrinsics' not in sample.metainfo:
        raise ValueError(
            f"{where(sample)} has no 'intrinsics' (3, 3) in its metainfo, without which meters have no canonical scale: the data "
            'set must give the camera of each image'
        )
    given = np.asarray(sample.metainfo['intrinsics'], np.float64)
    if given.shape != (3, 3) or not np.isfinite(given).all() or min(given[0, 0], given[1, 1]) <= 0:
        raise ValueError(
            f'{where(sample)}: intrinsics={given.tolist()}: expected a finite (3, 3) matrix with focal lengths above 0, in pixels'
        )
    return input_intrinsics(dict(sample.metainfo, img_shape=size), tuple(sample.gt_pointmap.shape[-2:]))
