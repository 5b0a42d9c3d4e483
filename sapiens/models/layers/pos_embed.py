"""Position embeddings of the plain vision transformers: fixed 2-D sine-cosine, and resizing between grids."""

# L tokens, C channels, h w grid of patches

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ['resize_grid', 'sincos_2d']


def sincos_2d(grid_size: tuple[int, int], embed_dims: int, with_cls_token: bool = False) -> Tensor:
    """Fixed position embedding of a grid of patches in row-major order.

    Four quarter-width blocks ``[sin(row w), cos(row w), sin(col w), cos(col w)]`` with ``w_i = 10000^(-i / (C/4))``. The row
    comes first: published checkpoints have it so, although the code that wrote them calls that axis the width.

    Args:
        grid_size: patches (h, w).
        embed_dims: channels C, a multiple of 4.
        with_cls_token: prepend a row of zeros for the class token.

    Returns:
        (1, h*w (+1), C), float32.
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
    if with_cls_token:
        embed = torch.cat([embed.new_zeros(1, embed_dims), embed])
    return embed[None]


def resize_grid(embed: Tensor, source: tuple[int, int], target: tuple[int, int], num_extra: int = 0) -> Tensor:
    """Resize a position embedding between grids, as the published system does: bicubic, float32, no antialiasing.

    Args:
        embed: (1, num_extra + h*w, C); the first ``num_extra`` rows (class token) are kept as they are.
        source: grid (h, w) of ``embed``.
        target: grid (h, w) wanted.

    Returns:
        (1, num_extra + h'*w', C) in the type of ``embed``.
    """
    if tuple(source) == tuple(target):
        return embed
    extra, patches = embed[:, :num_extra], embed[:, num_extra:]
    channels = embed.shape[-1]
    patches = patches.reshape(1, *source, channels).permute(0, 3, 1, 2).float()
    patches = F.interpolate(patches, size=tuple(target), mode='bicubic', align_corners=False)
    patches = patches.flatten(2).transpose(1, 2).to(embed.dtype)
    return torch.cat([extra, patches], dim=1)
