"""Parts of a batch of maps, so that float32 copies of it exist for one part at a time."""

# B batch, C channels, h w size

from collections.abc import Iterator

import torch
from torch import Tensor

__all__ = ['chunks', 'items_at_once']

# Bytes of a part in float32: a CPU core's cache, or enough to keep a GPU busy.
CHUNK = dict(cpu=2**20, cuda=2**26)


def items_at_once(size: int, device: torch.device) -> int:
    """Number of items of ``size`` bytes that a part has, at least 1."""
    return max(1, CHUNK.get(device.type, CHUNK['cuda']) // max(size, 1))


def chunks(maps: Tensor) -> Iterator[tuple[slice, slice, slice]]:
    """Indices of the parts of (B, C, h, w): several samples, or some rows of one sample, with all channels."""
    B, C, h, w = maps.shape
    rows = items_at_once(4 * C * w, maps.device)
    samples = max(1, rows // max(h, 1))
    for first in range(0, B, samples):
        for top in range(0, h, rows):
            yield slice(first, first + samples), slice(None), slice(top, top + rows)
