"""Target heatmaps as their profiles along x and y, which take 1 % of the memory of the maps."""

# B batch, K keypoints, W H size of a heatmap in cells, N cells of a window

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

__all__ = ['HeatmapTarget']


@dataclass(frozen=True)
class HeatmapTarget:
    """Heatmaps (B, K, H, W) that are products of two profiles, as an isotropic Gaussian is.

    The value of cell (x, y) is ``along_y[y] * along_x[x]``. An empty map has profiles of zeros.

    Args:
        along_y: (B, K, H) float32, not zero in one run of cells.
        along_x: (B, K, W).
    """

    along_y: Tensor
    along_x: Tensor

    def mass(self) -> Tensor:
        """Sum of each map (B, K)."""
        return self.along_y.sum(-1) * self.along_x.sum(-1)

    def dense(self) -> Tensor:
        """The maps (B, K, H, W) float32."""
        # Write only the windows: they are 3 % of a published map, and the zeros around them cost one fill.
        (along_y, y), (along_x, x) = _window(self.along_y), _window(self.along_x)
        height, width, device = self.along_y.shape[-1], self.along_x.shape[-1], self.along_x.device
        windows, places = along_y[..., None] * along_x[..., None, :], y[..., None] * width + x[..., None, :]
        shape = (*self.along_x.shape[:2], height * width)
        # On a CPU zeros of numpy use memory that the system has cleared; torch clears it again.
        on_cpu = device.type == 'cpu'
        maps = torch.from_numpy(np.zeros(shape, np.float32)) if on_cpu else torch.zeros(shape, device=device)
        return maps.scatter_(2, places.flatten(2), windows.flatten(2)).unflatten(2, (height, width))


def _window(along: Tensor) -> tuple[Tensor, Tensor]:
    """The part of profiles (B, K, W) that is not zero, (B, K, N), N that of the widest, and its cells (B, K, N)."""
    filled = along != 0
    count = int(filled.sum(-1).max()) if filled.numel() else 0
    first = filled.byte().argmax(-1, keepdim=True).clamp(max=along.shape[-1] - count)
    cells = first + torch.arange(count, device=along.device)
    return along.gather(-1, cells), cells
