"""Bilinear upsampling of dense outputs, corners not aligned, as in torch, mmseg and the published code."""

# B batch, K channels, h w size of the output, H W of the prediction, P Q rows and columns

import torch
import torch.nn.functional as F
from torch import Tensor

from .in_place import is_recorded

__all__ = ['upsample', 'upsample_grid', 'upsampled_argmax']

# Pixels per step: scores of a megabyte, which stay in the cache of a CPU core, or enough to keep a GPU busy.
PIXELS_AT_ONCE = dict(cpu=1 << 13, cuda=1 << 20)


def upsample(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize (B, K, h, w) to (B, K, H, W), in float32."""
    maps = maps.float()
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    if maps.device.type == 'cpu' and maps.shape[1] == 3 and not is_recorded():
        # Equal to the last bit, in a third of the time. Pixels are together, as results have them.
        maps = maps.contiguous(memory_format=torch.channels_last)
    return F.interpolate(maps, size=tuple(size), mode='bilinear', align_corners=False)


def upsample_grid(maps: Tensor, size: tuple[int, int], rows: Tensor, columns: Tensor) -> Tensor:
    """Compute the pixels of ``upsample(maps, size)`` at the rows (B, P) and columns (B, Q) of each image, in float32.

    Two matrix products, one for each direction. Their backward pass is deterministic on GPUs too.

    Returns:
        (B, K, P, Q)
    """
    with torch.autocast(maps.device.type, enabled=False):
        down, across = (
            _interpolation(old, new, chosen)
            for old, new, chosen in zip(maps.shape[-2:], size, (rows, columns), strict=True)
        )
        B, K, h, _ = maps.shape
        # Rows last, for all channels in one product: one matrix for each channel would be kept for the backward pass.
        cells = (maps.float().flatten(1, 2) @ across.mT).unflatten(1, (K, h)).transpose(1, 2)  # (B, h, K, Q)
        return (down @ cells.reshape(B, h, -1)).unflatten(2, (K, -1)).transpose(1, 2)


def upsampled_argmax(scores: Tensor, size: tuple[int, int]) -> Tensor:
    """Compute ``upsample(scores, size).argmax(0)`` (the first of equal classes) without upsampling all scores.

    Pixels between four cells of one class have that class, so only pixels between cells of different classes are computed.

    Args:
        scores: (K, h, w).
        size: (H, W).

    Returns:
        (H, W) int64.
    """
    scores = scores.float()
    here = scores.argmax(0)
    if tuple(here.shape) == tuple(size):
        return here
    (top, bottom, down), (left, right, across) = (
        _neighbors(old, new, scores.device) for old, new in zip(here.shape, size, strict=True)
    )
    beside = torch.cat([here[:, 1:], here[:, -1:]], 1)
    below, opposite = (torch.cat([labels[1:], labels[-1:]]) for labels in (here, beside))
    mixed = (here != beside) | (here != below) | (here != opposite)
    found = here[top][:, left]
    pixels = mixed[top][:, left].flatten().nonzero()[:, 0]
    cells = scores.flatten(1).T.contiguous()  # (h * w, K): a pixel reads its four cells whole
    width, flat = here.shape[1], found.view(-1)
    for part in pixels.split(PIXELS_AT_ONCE.get(scores.device.type, 1 << 16)):
        y, x = part // size[1], part % size[1]
        weight = across[x, None]
        above, under = (
            torch.lerp(*(cells.index_select(0, row[y] * width + column[x]) for column in (left, right)), weight)
            for row in (top, bottom)
        )
        flat[part] = torch.lerp(above, under, down[y, None]).argmax(1)
    return found


def _interpolation(old: int, new: int, chosen: Tensor) -> Tensor:
    """(B, P, old) weights of the cells for each of the pixels (B, P) of ``new``."""
    first, second, weight = (part[chosen][..., None] for part in _neighbors(old, new, chosen.device))
    weights = torch.zeros(*chosen.shape, old, device=chosen.device).scatter_(2, first, 1 - weight)
    return weights.scatter_add_(2, second, weight)


def _neighbors(old: int, new: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """For each of ``new`` pixels, its two neighbors of ``old`` cells and the weight of the second."""
    position = ((torch.arange(new, device=device) + 0.5) * (old / new) - 0.5).clamp(min=0)
    first = position.long()
    return first, (first + 1).clamp(max=old - 1), position - first
