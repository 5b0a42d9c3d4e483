"""Which patches of an image masked pretraining removes."""

# B batch, N patches of an image, K kept, h w grid of patches

from dataclasses import dataclass

import torch
from torch import Tensor

from .sample_random import MASK, SHIFT, SQUARE, bits

__all__ = ['Masking', 'evaluation_noise', 'training_noise']


def training_noise(seeds: Tensor, grid: tuple[int, int], side: int = 1) -> Tensor:
    """Draw the noise that decides which patches are kept in training.

    Args:
        seeds: (B,) of the samples.
        grid: (h, w) patches.
        side: of the squares of patches that are kept or removed together. Their grid is shifted at random.

    Returns:
        (B, N) int64.
    """
    noise = bits(seeds, MASK, *grid)
    if side > 1:
        squares = bits(seeds, SQUARE, *(-(-length // side) + 1 for length in grid))
        squares = _spread(squares, bits(seeds, SHIFT, 2).T % side, grid, side)
        # The lower half only breaks ties inside a square, so that squares are kept or removed whole.
        noise = (squares >> 32 << 32) | (noise >> 31)
    return noise.flatten(1)


def evaluation_noise(seed: int, grid: tuple[int, int], side: int = 1) -> Tensor:
    """Draw the noise (1, N) float32 of one image in evaluation, as :func:`training_noise`.

    Held-out losses compare with those of earlier versions, whose generator this is.
    """
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(1, *grid, generator=generator)
    if side > 1:
        squares = torch.rand(1, *(-(-length // side) + 1 for length in grid), generator=generator)
        shift = torch.randint(side, (2, 1), generator=generator)
        noise = _spread(squares, shift, grid, side) + 1e-4 * noise
    return noise.flatten(1)


def _spread(squares: Tensor, shift: Tensor, grid: tuple[int, int], side: int) -> Tensor:
    """The value of its square for each patch: (B, h', w') and shifts (2, B) of rows and columns -> (B, h, w)."""
    row, col = (
        (torch.arange(length, device=shift.device) + first[:, None]) // side
        for length, first in zip(grid, shift, strict=True)
    )  # (B, h), (B, w)
    index = torch.arange(len(squares), device=shift.device)[:, None, None]
    return squares[index, row[:, :, None], col[:, None, :]]


@dataclass(frozen=True)
class Masking:
    """Which patches the encoder sees.

    ``order`` (B, N): patch numbers, the ``num_keep`` kept ones first, then the removed ones, both in order of their noise.
    """

    order: Tensor
    num_keep: int

    @classmethod
    def from_noise(cls, noise: Tensor, mask_ratio: float) -> 'Masking':
        """Keep the ``int(N * (1 - mask_ratio))`` patches with the smallest noise (B, N).

        Raises:
            ValueError: no patch would be kept, or none removed.
        """
        num_keep = int(noise.shape[1] * (1 - mask_ratio))
        if not 0 < num_keep < noise.shape[1]:
            raise ValueError(
                f'mask_ratio={mask_ratio} keeps {num_keep} of {noise.shape[1]} patches: at least one must be kept and '
                'one removed'
            )
        return cls(noise.argsort(dim=1), num_keep)

    @property
    def kept(self) -> Tensor:
        """(B, K) patch numbers."""
        return self.order[:, : self.num_keep]

    @property
    def removed(self) -> Tensor:
        """(B, N - K) patch numbers."""
        return self.order[:, self.num_keep :]

    @property
    def mask(self) -> Tensor:
        """(B, N) bool, True where a patch was removed."""
        mask = torch.ones_like(self.order, dtype=torch.bool)
        return mask.scatter_(1, self.kept, False)
