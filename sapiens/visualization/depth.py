"""Figures of depth beside its ground truth, in one color range."""

from collections.abc import Sequence

import numpy as np

from .dense_panel import DenseRow, draw_rows
from .labels import draw_depth
from .tiles import DEPTH_COLORS, Tile, color_bar, error_tile, resize_map

__all__ = ['depth_limits', 'draw_depth_panel']

# Number of pixels that percentiles are computed from. On a large map they take longer than drawing it.
LIMIT_PIXELS = 1 << 16


def draw_depth_panel(rows: Sequence[DenseRow], *, side: int = 384, unit: str = 'm') -> np.ndarray:
    """Draw rows [image | ground truth | prediction | error]. Near is bright. Ground truth and prediction share the color range
    of the ground truth; the error's range is a quarter of it. Bars below the tiles show the ranges.

    Args:
        rows: at least one. Depth (H, W) of the prediction is in the unit of the ground truth.
        side: longer side of a tile in pixels.
        unit: of the ground truth, for the bars.

    Raises:
        ValueError: no rows.
    """

    def draw(row: DenseRow, image: np.ndarray) -> tuple:
        valid = row.mask & np.isfinite(row.prediction)
        labelled = row.truth is not None
        limits = low, high = depth_limits(row.truth if labelled else row.prediction, valid)
        shown = resize_map(valid, image)
        far, near = (f'{value:.2f} {unit}' if labelled else f'{value:.2f}' for value in (high, low))
        bar = color_bar(image.shape[1], f'far: {far}', f'near: {near}', DEPTH_COLORS)

        def colors(depth: np.ndarray) -> np.ndarray:
            return draw_depth(resize_map(depth.astype(np.float32), image), shown, limits)

        prediction = Tile(colors(row.prediction), row.note, bar)
        if not labelled:
            return None, prediction, None
        error = np.abs(row.prediction.astype(np.float32) - row.truth)
        limit = (high - low) / 4
        rmse = float(np.sqrt(np.mean(np.square(error[valid], dtype=np.float64)))) if valid.any() else float('nan')
        return (
            Tile(colors(row.truth), f'{100 * valid.mean():.0f} % labeled', bar),
            prediction,
            error_tile(error, shown, limit, f'RMSE {rmse:.3g} {unit}', f'{limit:.3g} {unit}'),
        )

    return draw_rows(rows, draw, side)


def depth_limits(depth: np.ndarray, valid: np.ndarray) -> tuple[float, float]:
    """Compute the color range: the 0.5 and 99.5 percentiles of the valid pixels, (0, 1) without any.

    Of a large map only a grid of pixels is used.

    Args:
        depth: (H, W).
        valid: (H, W) bool.
    """
    step = max(1, int(np.sqrt(depth.size / LIMIT_PIXELS)))
    values = depth[::step, ::step][valid[::step, ::step]]
    if not len(values):
        values = depth[valid]  # a few pixels beside the grid
    if not len(values):
        return 0.0, 1.0
    low, high = np.percentile(values, (0.5, 99.5)).tolist()
    return low, high
