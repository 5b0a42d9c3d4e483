"""Keypoints that a small difference of heatmaps may move to another place: their highest cell is not the only candidate."""

# K keypoints, h w size of a heatmap in cells

import torch
from torch import Tensor

from sapiens.models import UDPHeatmap

__all__ = ['find_near_ties']

CANDIDATES = 32  # cells of each map that are decoded; more are a plateau


def find_near_ties(
    codec: UDPHeatmap, heatmaps: Tensor, difference: Tensor, size: tuple[int, int], radius: float
) -> Tensor:
    """Find the maps whose keypoint is not determined up to a difference of their values.

    Where every value may be off by ``difference``, each cell that is at most twice that below the maximum may be the highest one.
    A keypoint is determined if all these cells are decoded to the same place, as neighbors on one peak are.

    Args:
        codec: that decodes the keypoints.
        heatmaps: (1, K, h, w) float32.
        difference: (1, K), of the values of each map.
        size: (w, h) of the image in pixels.
        radius: in pixels, of what counts as the same place.

    Returns:
        (1, K) bool, True where the keypoint is not determined.
    """
    values, places = heatmaps.flatten(2).topk(min(CANDIDATES, heatmaps.shape[-2] * heatmaps.shape[-1]))
    peaks, columns = values[..., 0], heatmaps.shape[-1]
    may_win = values >= (peaks - 2 * difference)[..., None]
    # A map without a value above 0 has no keypoint.
    tied = may_win[..., -1] | (peaks.abs() <= difference)
    want, _ = codec.decode(heatmaps, size)
    for rank in range(1, values.shape[-1]):
        (at,) = may_win[0, :, rank].nonzero(as_tuple=True)
        place = places[:, at, rank]
        cells = torch.stack([place % columns, place // columns], dim=-1)
        points, _ = codec.decode_at(heatmaps[:, at], cells, peaks[:, at], size)
        tied[:, at] |= ~((points - want[:, at]).norm(dim=-1) <= radius)
    return tied
