"""Losses of pointmaps.

Each takes predictions and targets by name, and ``valid`` (B, H, W) bool, see :class:`DenseLoss`: ``pointmap`` (B, 3, H, W),
canonical points in the camera frame (x right, y down, z forward), and ``scale`` (B,); targets also have ``mean_depth`` (B,) and
``intrinsics`` (B, 3, 3) in pixels of the maps, see :class:`~sapiens.models.PointmapTask`. Source: the second generation of
Sapiens (weights there: absolute error 2, multiscale 1, shift-invariant 1, logarithm 1, intrinsics 1, normals 2, scale 4).
"""

# B batch, H W size in pixels

import torch
import torch.nn.functional as F
from torch import Tensor

from sapiens.registry import MODELS

from ..layers.unit_vectors import unit_vectors
from .base import DenseLoss
from .depth import SiLogLoss

__all__ = [
    'PointmapIntrinsicsLoss',
    'PointmapL1Loss',
    'PointmapMultiscaleL1Loss',
    'PointmapNormalLoss',
    'PointmapScaleLoss',
    'PointmapShiftInvariantLoss',
    'PointmapSiLogLoss',
]

# Lower bounds of the logarithm of canonical depth: ours, and the published one.
MIN_DEPTH, PUBLISHED_MIN_DEPTH = 0.1, 1e-4
# Differences of points are multiplied by this before their cross product, and shorter products are not normalized to length 1.
ZOOM, SHORTEST = 100, 1e-6


class PointmapLoss(DenseLoss):
    """Base of the losses of relative points: canonical points, divided by the mean depth of the image.

    Args:
        clamp: largest value of the loss, its weight included; an outlier above has no gradient. None for no limit.
        **options: of :class:`DenseLoss`.

    Raises:
        ValueError: a ``clamp`` that is not above 0.
    """

    outputs = ('pointmap',)

    def __init__(self, clamp: float | None = 4.0, **options) -> None:
        super().__init__(**options)
        if clamp is not None and not clamp > 0:
            raise ValueError(f'clamp={clamp}: expected a number above 0 (published: 4.0), or None')
        self.clamp = clamp

    def forward(self, output: dict[str, Tensor], target: dict[str, Tensor], valid: Tensor) -> Tensor:
        # Without a valid pixel there is no mean depth. Dividing by 0 would spoil the gradient, even of pixels that do not count.
        depth = torch.where(valid.flatten(1).any(1), target['mean_depth'].float(), 1)[:, None, None, None]
        maps = (side['pointmap'].float() / depth for side in (output, target))
        value = self.loss_weight * self.error(*maps, valid)
        if self.clamp is None:
            return value
        total, processes = self.over_processes(value)
        return torch.where(total / processes > self.clamp, self.clamp, value)  # a value that is not finite stays

    def error(self, output: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        """Error of relative points (B, 3, H, W), a scalar."""
        raise NotImplementedError


@MODELS.register_module()
class PointmapL1Loss(PointmapLoss):
    """Absolute error of relative points, summed over x, y and z; the mean over the valid pixels of the batch."""

    default_name = 'l1'

    def error(self, output: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        return self.mean_where(valid, difference(output, target, valid).abs().sum(1))


@MODELS.register_module()
class PointmapMultiscaleL1Loss(PointmapLoss):
    """:class:`PointmapL1Loss` of resized maps. Invalid pixels have error 0 in the interpolation.

    Args:
        factor: of the bilinear resize; validity is resized by nearest pixels. Published is 2, so between the pixels.
        published: the published variant: invalid pixels keep their values in the interpolation, so they count at borders.
        **options: see :class:`PointmapLoss`.

    Raises:
        ValueError: a ``factor`` that is not above 0.
    """

    def __init__(self, factor: float = 2.0, published: bool = False, name: str | None = None, **options) -> None:
        super().__init__(name=name or f'l1_{factor:g}', **options)
        if not factor > 0:
            raise ValueError(f'factor={factor}: expected a number above 0 (published: 2)')
        self.factor, self.published = factor, published

    def error(self, output: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        # Linear, so of the difference.
        error = output - target.nan_to_num(0, 0, 0) if self.published else difference(output, target, valid)
        error = F.interpolate(error, scale_factor=self.factor, mode='bilinear', align_corners=False)
        valid = F.interpolate(valid[:, None].float(), scale_factor=self.factor, mode='nearest')[:, 0] > 0
        return self.mean_where(valid, error.abs().sum(1))


@MODELS.register_module()
class PointmapShiftInvariantLoss(PointmapLoss):
    """:class:`PointmapL1Loss` after the mean error of x, y and z over the valid pixels of each image is subtracted: it compares
    shapes, not places."""

    default_name = 'shift'

    def error(self, output: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        error = difference(output, target, valid)
        mean = error.sum((2, 3)) / valid.sum((1, 2)).clamp(min=1)[:, None]
        return self.mean_where(valid, (error - mean[:, :, None, None]).abs().sum(1))


@MODELS.register_module()
class PointmapSiLogLoss(SiLogLoss):
    """:class:`SiLogLoss` of canonical depth.

    Args:
        published: see :class:`SiLogLoss`.
        min_depth: lower bound of the logarithm; by default 0.1, or 1e-4 with ``published``.
        **options: see :class:`SiLogLoss`.
    """

    outputs = ('pointmap',)

    def __init__(self, published: bool = False, min_depth: float | None = None, **options) -> None:
        if min_depth is None:
            min_depth = PUBLISHED_MIN_DEPTH if published else MIN_DEPTH
        super().__init__(published, min_depth, **options)

    def forward(self, output: dict[str, Tensor], target: dict[str, Tensor], valid: Tensor) -> Tensor:
        return super().forward(output['pointmap'][:, 2:], target['pointmap'][:, 2:], valid)


@MODELS.register_module()
class PointmapIntrinsicsLoss(DenseLoss):
    """Distance of each predicted point from the ray of its pixel, in canonical units: ``|X - (u - cx) Z / fx|`` plus the same of
    y; the mean over the valid pixels of the batch. Other entries of the intrinsics count too, those of a sheared image."""

    default_name = 'intrinsics'
    outputs = ('pointmap',)

    def forward(self, output: dict[str, Tensor], target: dict[str, Tensor], valid: Tensor) -> Tensor:
        points, camera = torch.where(valid[:, None], output['pointmap'].float(), 0), target['intrinsics'].float()
        (height, width), total = points.shape[-2:], 0
        across, down = (torch.arange(side, device=points.device) for side in (width, height))
        for row, pixel in enumerate((across, down[:, None])):
            x, y, z = (camera[:, row, column, None, None] / camera[:, row, row, None, None] for column in range(3))
            z = z - pixel.to(points) / camera[:, row, row, None, None]
            total = total + (x * points[:, 0] + y * points[:, 1] + z * points[:, 2]).abs()
        return self.loss_weight * self.mean_where(valid, total)


@MODELS.register_module()
class PointmapNormalLoss(DenseLoss):
    """Error of surface normals of the points: one minus the cosine of their angle, plus the mean absolute difference of x, y and
    z; the mean over the valid pixels of the batch.

    The normal is the cross product of the differences to the pixels right of and below a pixel, which must be valid. At the last
    column and row it is those on the other side.

    Args:
        published: the published variant: invalid neighbors count too, so normals at the border of people mean nothing.
        **options: of :class:`DenseLoss`.
    """

    default_name = 'normal'
    outputs = ('pointmap',)

    def __init__(self, published: bool = False, **options) -> None:
        super().__init__(**options)
        self.published = published

    def forward(self, output: dict[str, Tensor], target: dict[str, Tensor], valid: Tensor) -> Tensor:
        output, target = output['pointmap'].float(), target['pointmap'].float()
        if self.published:
            target = target.nan_to_num(0, 0, 0)
        else:
            output, target = (torch.where(valid[:, None], points, 0) for points in (output, target))
            valid = valid & right(valid) & below(valid)
        output, target = (surface_normals(points) for points in (output, target))
        error = 1 - (output * target).sum(1) + (output - target).abs().mean(1)
        return self.loss_weight * self.mean_where(valid, error)


@MODELS.register_module()
class PointmapScaleLoss(DenseLoss):
    """Absolute error of the scale; the mean over the images that have valid pixels."""

    default_name = 'scale'
    outputs = ('scale',)

    def forward(self, output: dict[str, Tensor], target: dict[str, Tensor], valid: Tensor) -> Tensor:
        error = (output['scale'].float() - target['scale'].float()).abs()
        return self.loss_weight * self.mean_where(valid.flatten(1).any(1), error)


# ---------------------------------------------------------------------- parts


def difference(output: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Output minus target, 0 where not valid."""
    valid = valid[:, None]
    return torch.where(valid, output, 0) - torch.where(valid, target, 0)


def right(maps: Tensor) -> Tensor:
    """The values of the pixels on the right, at the last column those on the left."""
    return torch.cat([maps[..., 1:], maps[..., -2:-1]], -1)


def below(maps: Tensor) -> Tensor:
    """The values of the pixels below, at the last row those above."""
    return torch.cat([maps[..., 1:, :], maps[..., -2:-1, :]], -2)


def surface_normals(points: Tensor) -> Tensor:
    """Unit vectors (B, 3, H, W) of the cross products of the differences to the right and down."""
    across, down = ZOOM * (right(points) - points), ZOOM * (below(points) - points)
    return unit_vectors(torch.cross(across, down, dim=1), dim=1, eps=SHORTEST)
