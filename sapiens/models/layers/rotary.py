"""Rotary positions in two dimensions, as in DINOv3: angles from normalized patch centers.

Source: Siméoni et al., "DINOv3" (2025), section 3.2; Su et al., "RoFormer" (2021).
"""

# B batch, N patches, D channels per head, h w grid of patches

import math

import torch
from torch import Tensor, nn

from .pos_embed import is_open
from .sample_random import POSITIONS, draw_seeds, uniform

__all__ = ['RotaryPositions', 'rotate']


class RotaryPositions(nn.Module):
    """Rotation angles of the patches of a grid.

    The center of a patch is mapped to [-1, 1] on each axis, so that angles do not depend on the size of the image. Each axis has
    D/4 angles ``2 pi coordinate / period`` with periods ``base^(4j/D)``. The D channels are the y angles, the x angles, and both
    again.

    Args:
        head_dims: channels D per head, a multiple of 4.
        base: longest period.
        dtype: in which angles, sines and cosines are computed, and in which queries and keys are rotated. The published code uses
            bfloat16, whose sines are off by up to 0.03 on a grid of 64x48.
        shift: in training, add to each axis a number drawn from [-shift, shift], of each sample its own.
        jitter: in training, multiply each axis by a number drawn log-uniformly from [1/jitter, jitter], of each sample its own.
        rescale: as ``jitter``, one number for both axes.

    Raises:
        ValueError: an option out of its range.
    """

    # See :func:`sapiens.utils.checkpoint.load_state`.
    derived_state = ('periods',)

    def __init__(
        self,
        head_dims: int,
        base: float = 100.0,
        dtype: torch.dtype = torch.float32,
        shift: float | None = None,
        jitter: float | None = None,
        rescale: float | None = None,
    ) -> None:
        super().__init__()
        if head_dims % 4:
            raise ValueError(f'rotary positions need a multiple of 4 channels per head, got {head_dims}')
        if shift is not None and shift < 0:
            raise ValueError(f'rope_shift={shift} must be 0 or more')
        for name, value in dict(rope_jitter=jitter, rope_rescale=rescale).items():
            if value is not None and value < 1:
                raise ValueError(f'{name}={value} must be 1 or more: factors are drawn from [1/{name}, {name}]')
        self.head_dims, self.base, self.dtype = head_dims, base, dtype
        self.shift, self.jitter, self.rescale = shift, jitter, rescale
        # Published files hold the periods in bfloat16. They follow from base, so files without them are complete.
        self.register_buffer('periods', self._periods().to(torch.bfloat16))
        self.table: tuple[tuple[int, int], Tensor, Tensor] | None = None

    def _periods(self, device: torch.device | None = None) -> Tensor:
        numbers = torch.arange(self.head_dims // 4, dtype=self.dtype, device=device)
        return self.base ** (2 * numbers / (self.head_dims // 2))

    def set_grid(self, grid: tuple[int, int]) -> None:
        """Keep the angles of a grid (h, w). In the graph of an export they are constants."""
        self.table = (tuple(grid), *self.compute(grid))

    @property
    def is_augmented(self) -> bool:
        return self.training and any(option is not None for option in (self.shift, self.jitter, self.rescale))

    def forward(self, grid: tuple[int, int], seeds: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Sines and cosines, each (h*w, D), patches in row-major order.

        In training with an augmentation, each is (B, h*w, D) for the seeds (B,) of samples, or drawn for B = 1 without seeds.
        """
        if self.is_augmented:
            return self.compute(grid, draw_seeds(1, self.periods.device) if seeds is None else seeds)
        if not is_open(grid) and self.table and self.table[0] == tuple(grid):
            return self.table[1:]
        return self.compute(grid)

    def compute(self, grid: tuple[int, int], seeds: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Without the table: see :meth:`forward`. ``seeds`` asks for the augmentation."""
        options = dict(dtype=self.dtype, device=self.periods.device)
        axes = [torch.arange(0.5, side, **options) / side for side in grid]
        coords = torch.stack(torch.meshgrid(*axes, indexing='ij'), dim=-1).flatten(0, 1) * 2 - 1  # (N, 2), (y, x)
        if seeds is not None:
            coords = self._augment(coords, seeds)
        angles = 2 * math.pi * coords[..., None] / self._periods(coords.device)  # (..., N, 2, D/4)
        angles = angles.flatten(-2).tile(2)
        return angles.sin(), angles.cos()

    def _augment(self, coords: Tensor, seeds: Tensor) -> Tensor:
        """(N, 2) -> (B, N, 2)"""
        draws = uniform(seeds, POSITIONS, 1, 5) * 2 - 1  # (B, 1, 5) from [-1, 1)
        coords = coords.expand(len(seeds), -1, -1)
        if self.shift is not None:
            coords = coords + (draws[..., :2] * self.shift).to(coords.dtype)
        for limit, draw in ((self.jitter, draws[..., 2:4]), (self.rescale, draws[..., 4:])):
            if limit is not None:
                coords = coords * (draw * math.log(limit)).exp().to(coords.dtype)
        return coords

    def _apply(self, fn, recurse=True) -> 'RotaryPositions':
        # The table follows the device, and keeps its dtype where parameters are cast.
        super()._apply(fn, recurse)
        if self.table:
            self.set_grid(self.table[0])
        return self

    def _load_from_state_dict(self, state_dict, prefix, *args) -> None:
        state_dict.setdefault(f'{prefix}periods', self._periods(self.periods.device).to(self.periods.dtype))
        super()._load_from_state_dict(state_dict, prefix, *args)


def rotate(x: Tensor, sin: Tensor, cos: Tensor) -> Tensor:
    """Rotate queries or keys (..., L, D) by angles (..., L, D) whose two halves are equal; channel j is paired with j + D/2."""
    first, second = x.to(sin.dtype).chunk(2, dim=-1)
    half = sin.shape[-1] // 2
    sin, cos = sin[..., :half], cos[..., :half]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1).to(x.dtype)
