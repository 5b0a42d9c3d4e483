"""Position embeddings of plain vision transformers: fixed 2-D sine-cosine tables, and resizing between grids."""

# C channels, h w grid of patches

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ['is_open', 'resize_grid', 'sincos_2d']


def sincos_2d(grid_size: tuple[int, int], embed_dims: int, num_extra: int = 0) -> Tensor:
    """Compute the fixed position embedding of a grid of patches in row-major order.

    Four quarter-width parts ``[sin(row w), cos(row w), sin(col w), cos(col w)]`` with ``w_i = 10000^(-i / (C/4))``. The row
    comes first, as in the published checkpoints, although the code that wrote them calls that axis the width.

    Args:
        grid_size: patches (h, w).
        embed_dims: channels C, a multiple of 4.
        num_extra: rows of zeros before the patches, for extra tokens.

    Returns:
        (1, num_extra + h*w, C), float32.

    Raises:
        ValueError: ``embed_dims`` is not a multiple of 4.
    """
    if embed_dims % 4:
        raise ValueError(f'sincos_2d: embed_dims={embed_dims} is not a multiple of 4')
    omega = 10000.0 ** (-torch.arange(embed_dims // 4, dtype=torch.float64) / (embed_dims / 4.0))
    h, w = grid_size
    rows = torch.arange(h, dtype=torch.float64)[:, None] * omega
    cols = torch.arange(w, dtype=torch.float64)[:, None] * omega
    rows = torch.cat([rows.sin(), rows.cos()], dim=1)[:, None].expand(h, w, -1)
    cols = torch.cat([cols.sin(), cols.cos()], dim=1)[None].expand(h, w, -1)
    embed = torch.cat([rows, cols], dim=2).reshape(h * w, embed_dims).float()
    return torch.cat([embed.new_zeros(num_extra, embed_dims), embed])[None]


def is_open(grid: tuple[int, int]) -> bool:
    """Return whether a grid belongs to a graph of ``torch.export`` that takes images of any size."""
    return any(isinstance(side, torch.SymInt) for side in grid)


def resize_grid(embed: Tensor, source: tuple[int, int], target: tuple[int, int], num_extra: int = 0) -> Tensor:
    """Resize a position embedding between grids as the published system does: bicubic, float32, no antialiasing.

    Args:
        embed: (1, num_extra + h*w, C); the first ``num_extra`` rows are kept.
        source: grid (h, w) of ``embed``.
        target: grid (h', w') of the result.

    Returns:
        (1, num_extra + h'*w', C), of the dtype of ``embed``.
    """
    if not is_open(target) and tuple(source) == tuple(target):
        return embed
    extra, patches = embed[:, :num_extra], embed[:, num_extra:]
    channels = embed.shape[-1]
    patches = patches.reshape(1, *source, channels).permute(0, 3, 1, 2).float()
    patches = F.interpolate(patches, size=tuple(target), mode='bicubic', align_corners=False)
    patches = patches.flatten(2).transpose(1, 2).to(embed.dtype)
    return torch.cat([extra, patches], dim=1)
