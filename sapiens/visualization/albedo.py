"""Figures of albedo beside its ground truth."""

from collections.abc import Sequence

import numpy as np

from .dense_panel import DenseRow, draw_rows
from .layout import NOTHING
from .tiles import Tile, error_tile, resize_map

__all__ = ['draw_albedo', 'draw_albedo_panel']


def draw_albedo(albedo: np.ndarray, valid: np.ndarray | None = None, background: int = NOTHING) -> np.ndarray:
    """Draw albedo as a picture.

    Args:
        albedo: (H, W, 3) in [0, 1], sRGB-coded, as screens expect.
        valid: (H, W) bool; by default where it is finite.
        background: gray level of invalid pixels.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    finite = np.isfinite(albedo).all(-1)
    valid = finite if valid is None else finite & valid
    colors = np.rint(np.clip(np.nan_to_num(albedo), 0, 1) * 255).astype(np.uint8)
    return np.where(valid[..., None], colors, np.uint8(background))


def draw_albedo_panel(rows: Sequence[DenseRow], *, side: int = 384, limit: float = 0.3) -> np.ndarray:
    """Draw rows [image | ground truth | prediction | error]. The error is the absolute difference, averaged over channels.

    Args:
        rows: at least one. Albedo (H, W, 3) is sRGB-coded.
        side: longer side of a tile in pixels.
        limit: error at the end of the color bar.

    Raises:
        ValueError: no rows.
    """

    def draw(row: DenseRow, image: np.ndarray) -> tuple:
        shown = resize_map(row.mask, image)
        prediction = Tile(draw_albedo(resize_map(row.prediction, image), shown), row.note)
        if row.truth is None:
            return None, prediction, None
        error = np.abs(row.prediction.astype(np.float32) - row.truth).mean(-1)
        mean = error[row.mask].mean() if row.mask.any() else float('nan')
        truth = Tile(draw_albedo(resize_map(row.truth, image), shown), f'{100 * row.mask.mean():.0f} % labeled')
        return truth, prediction, error_tile(error, shown, limit, f'mean {mean:.3f}', f'{limit:g}')

    return draw_rows(rows, draw, side, error='difference')
