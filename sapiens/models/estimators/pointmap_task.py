"""Pointmaps as a dense task; see :class:`.dense_task.DenseTask`."""

# B batch, h w size of the network's output, H W of its input, of the target or of the prediction

import numpy as np
import torch
from torch import Tensor

from sapiens.registry import MODELS
from sapiens.utils.batch_labels import stack_labels
from sapiens.utils.pinhole import MIN_SCALE, input_intrinsics

from ..layers.upsample import upsample
from .dense_task import DenseTask, where
from .pixel_grid import PixelGrid

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

    def read(
        self, samples: list, size: tuple[int, int], device, labels: dict[str, Tensor] | None = None
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """Canonical points (B, 3, H, W) and validity (B, H, W), see :meth:`.DenseTask.read`."""
        labels = stack_labels(samples, size) if labels is None else labels
        found = super().read(samples, size, device, labels)
        target, valid = found['pointmap']
        scale = _scale(self._intrinsics(samples, size, target.device, labels), size)
        return dict(found, pointmap=(target * scale[:, None, None, None], valid))

    def prepare(self, target: Tensor, valid: Tensor, samples: list, name: str) -> tuple[Tensor, Tensor]:
        target = target.float()
        valid = valid & (target[:, 2] > 0) & target.isfinite().all(1)
        return torch.where(valid[:, None], target, 0), valid

    def whole_targets(
        self,
        targets: dict,
        samples: list,
        size: tuple[int, int],
        grid: PixelGrid | None,
        labels: dict[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        target, valid = targets['pointmap']
        depth = torch.where(valid, target[:, 2], 0).flatten(1).sum(1)
        count = valid.flatten(1).sum(1)
        intrinsics = self._intrinsics(samples, size, target.device, labels)
        return dict(
            scale=_scale(intrinsics, size),
            mean_depth=torch.where(count > 0, depth / count.clamp(min=1), 1),
            intrinsics=intrinsics if grid is None else grid.intrinsics(intrinsics),
        )

    def decode(self, output: dict[str, Tensor], size: tuple[int, int]) -> dict[str, Tensor]:
        """Points (B, 3, H, W) in meters, and the scale (B,), at least ``MIN_SCALE``."""
        scale = output['scale'].float().clamp(min=MIN_SCALE)
        return dict(pointmap=upsample(output['pointmap'], size) / scale[:, None, None, None], scale=scale)

    @staticmethod
    def _intrinsics(samples: list, size: tuple[int, int], device, labels: dict[str, Tensor] | None = None) -> Tensor:
        """(B, 3, 3) float32 of the cameras of labeled samples, in pixels of the input of ``size``."""
        # On the host, where impossible ones are found without waiting for the device.
        found = np.stack([camera_of(sample, size) for sample in samples])
        if labels and {'gt_pointmap', 'intrinsics'} <= labels.keys():  # of maps of the input's size, so the same
            return labels['intrinsics'].to(device)
        return torch.from_numpy(found).float().to(device)


def _scale(intrinsics: Tensor, size: tuple[int, int]) -> Tensor:
    """(B,): :func:`sapiens.utils.pinhole.canonical_scale` of each camera (B, 3, 3)."""
    return size[1] / intrinsics[:, 0, 0]


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
