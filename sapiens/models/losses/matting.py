"""Losses of matting.

Each takes predictions ``alpha`` (B, 1, H, W) and ``foreground`` (B, 3, H, W) in [0, 1], targets of the same names with
``foreground_valid`` (B, H, W) bool, and ``valid`` (B, H, W) bool, and returns the sum of an error of alpha and one of the
foreground. Invalid pixels have error 0 and count in the mean, as published. Source: the second generation of Sapiens (weights
there: 1 each).
"""

# B batch, K channels, h w size in pixels

import torch
import torch.nn.functional as F
from torch import Tensor

from sapiens.registry import MODELS

from .base import DenseLoss

__all__ = ['MattingGradientLoss', 'MattingL1Loss', 'MattingLaplacianLoss']


class MattingLoss(DenseLoss):
    """Base of the losses of matting.

    Errors of differences between pixels also read the neighbors of a pixel. Invalid ones are 0 there, in prediction and target.

    Args:
        published: the published variant: invalid neighbors keep their values, so a foreground that is unknown at soft edges is
            drawn towards the black of its target.
        **options: of :class:`DenseLoss`.
    """

    outputs = ('alpha', 'foreground')
    divides_by_valid = False

    def __init__(self, published: bool = False, **options) -> None:
        super().__init__(**options)
        self.published = published

    def forward(self, output: dict[str, Tensor], target: dict[str, Tensor], valid: Tensor) -> Tensor:
        total = 0
        for name, known in (('alpha', valid), ('foreground', valid & target.get('foreground_valid', valid))):
            known, maps = known[:, None], (output[name].float(), target[name].float())
            if not self.published:
                maps = (torch.where(known, values, 0) for values in maps)
            total = total + self.error(*maps, known)
        return self.loss_weight * total

    def error(self, output: Tensor, target: Tensor, known: Tensor) -> Tensor:
        """Error of maps (B, K, h, w) where ``known`` (B, 1, h, w), a scalar."""
        raise NotImplementedError


@MODELS.register_module()
class MattingL1Loss(MattingLoss):
    """Absolute error."""

    default_name = 'l1'

    def error(self, output: Tensor, target: Tensor, known: Tensor) -> Tensor:
        return self.mean(torch.where(known, (output - target).abs(), 0))


@MODELS.register_module()
class MattingGradientLoss(MattingLoss):
    """Absolute error of the length of Sobel gradients, ``sqrt(gx^2 + gy^2 + 1e-6)``, with reflected borders."""

    default_name = 'grad'

    def error(self, output: Tensor, target: Tensor, known: Tensor) -> Tensor:
        return self.mean(torch.where(known, (sobel(output) - sobel(target)).abs(), 0))


@MODELS.register_module()
class MattingLaplacianLoss(MattingLoss):
    """Absolute error of the levels of a Laplacian pyramid: the mean of each, times 2^level, summed and divided by the number of
    levels.

    A level is the difference of a map and its blurred half, upsampled; the last one is the rest. Maps below 4 pixels are not
    halved. Validity is resized by nearest pixels.

    Args:
        levels: the rest included.
        **options: see :class:`MattingLoss`.

    Raises:
        ValueError: ``levels`` below 1.
    """

    default_name = 'laplacian'

    def __init__(self, levels: int = 5, **options) -> None:
        super().__init__(**options)
        if levels < 1:
            raise ValueError(f'levels={levels}: expected 1 or more')
        self.levels = levels

    def error(self, output: Tensor, target: Tensor, known: Tensor) -> Tensor:
        total = 0
        for level, values in enumerate(laplacian_pyramid(output - target, self.levels)):  # linear: of the difference
            at_level = F.interpolate(known.float(), size=values.shape[-2:], mode='nearest') > 0
            total = total + 2**level * self.mean(torch.where(at_level, values.abs(), 0))
        return total / self.levels


# ---------------------------------------------------------------------- parts


def sobel(maps: Tensor) -> Tensor:
    """Length of the Sobel gradient of each channel, (B, K, h, w)."""
    maps = reflected(reflected(maps, 1, dim=2), 1, dim=3)
    across = maps[..., 2:] - maps[..., :-2]
    down = maps[:, :, 2:] - maps[:, :, :-2]
    across = across[:, :, :-2] + 2 * across[:, :, 1:-1] + across[:, :, 2:]
    down = down[..., :-2] + 2 * down[..., 1:-1] + down[..., 2:]
    return (across.square() + down.square() + 1e-6).sqrt()


def laplacian_pyramid(maps: Tensor, levels: int) -> list[Tensor]:
    """Levels of (B, K, h, w), the finest first."""
    found = []
    while len(found) < levels - 1 and min(maps.shape[-2:]) >= 4:
        h, w = maps.shape[-2:]
        maps = maps[..., : h - h % 2, : w - w % 2]
        half = halved(halved(maps, 2), 3)
        found.append(maps - doubled(doubled(half, 2), 3))
        maps = half
    return [*found, maps]


def halved(maps: Tensor, dim: int) -> Tensor:
    """Every second value along a dimension of even length, blurred by (1, 4, 6, 4, 1) / 16 with reflected borders."""
    every = [slice(None)] * dim
    maps, size = reflected(maps, 2, dim), maps.shape[dim]
    a, b, c, d, e = (maps[(*every, slice(first, first + size, 2))] for first in range(5))
    return (a + e + 4 * (b + d) + 6 * c) / 16


def doubled(maps: Tensor, dim: int) -> Tensor:
    """Twice the values with zeros after each, blurred as in :func:`halved`."""
    size = maps.shape[dim]
    before, after = maps.narrow(dim, 1, 1), maps.narrow(dim, size - 1, 1)  # what the reflected borders hold
    wide = torch.cat([before, maps, after], dim)
    left, right = wide.narrow(dim, 0, size), wide.narrow(dim, 2, size)
    even, odd = (left + right + 6 * maps) / 8, (maps + right) / 2
    return torch.stack([even, odd], dim + 1).flatten(dim, dim + 1)


def reflected(maps: Tensor, count: int, dim: int) -> Tensor:
    """Maps with ``count`` reflected values at both ends of a dimension. Unlike F.pad's, its gradient is deterministic on GPUs."""
    size = maps.shape[dim]
    first, last = maps.narrow(dim, 1, count).flip(dim), maps.narrow(dim, size - 1 - count, count).flip(dim)
    return torch.cat([first, maps, last], dim)
