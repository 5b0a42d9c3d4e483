"""The pixels of each image that the losses of a dense task compare."""

# B batch, H W size of the input, P Q rows and columns of the grid

from dataclasses import dataclass

import torch
from torch import Tensor

from ..layers.sample_random import LOSS_GRID, bits

__all__ = ['PixelGrid']


@dataclass(frozen=True)
class PixelGrid:
    """Every n-th row and column of each image, from a first pixel that differs between images.

    All images have floor(H / n) rows and floor(W / n) columns, so the last H mod n rows and W mod n columns never belong to it.

    Attributes:
        size: (H, W) of the images.
        stride: n.
        first: (B, 2) first row and column of each image, each below n.
    """

    size: tuple[int, int]
    stride: int
    first: Tensor

    @classmethod
    def draw(cls, seeds: Tensor, size: tuple[int, int], stride: int) -> 'PixelGrid':
        """Draw the first pixels from the seeds (B,) of the samples."""
        return cls(size, stride, bits(seeds, LOSS_GRID, 2) % stride)

    @property
    def rows(self) -> Tensor:
        """(B, P)"""
        return self._lines(0)

    @property
    def columns(self) -> Tensor:
        """(B, Q)"""
        return self._lines(1)

    def take(self, labels: Tensor) -> Tensor:
        """(B, ..., H, W) -> (B, ..., P, Q)"""
        image = torch.arange(len(labels), device=labels.device)[:, None, None]
        pixels = labels.movedim((-2, -1), (1, 2))
        return pixels[image, self.rows[:, :, None], self.columns[:, None]].movedim((1, 2), (-2, -1))

    def intrinsics(self, intrinsics: Tensor) -> Tensor:
        """Cameras (B, 3, 3) in pixels of the input -> in pixels of the grid."""
        first = self.first.flip(1)[..., None]  # (B, 2, 1), of x and y
        moved = (intrinsics[:, :2] - first * intrinsics[:, 2:]) / self.stride
        return torch.cat([moved, intrinsics[:, 2:]], dim=1)

    def _lines(self, axis: int) -> Tensor:
        steps = torch.arange(self.size[axis] // self.stride, device=self.first.device)
        return self.first[:, axis, None] + steps * self.stride
