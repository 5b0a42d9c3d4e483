"""Figures of maps beside their ground truth, for tasks without a drawing of their own."""

from collections.abc import Sequence

import cv2
import numpy as np

from .dense_panel import DenseRow, draw_rows
from .depth import depth_limits
from .maps import draw_map
from .tiles import Tile, color_bar, error_tile, resize_map

__all__ = ['draw_map_panel']


def draw_map_panel(rows: Sequence[DenseRow], *, side: int = 384, kind: str = 'values') -> np.ndarray:
    """Draw rows [image | ground truth | prediction | error]; see :func:`.maps.draw_map` for colors.

    Ground truth and prediction share the color range of the ground truth. The error is the absolute difference, averaged over
    channels, and its range is a quarter of that range. Labels have the error 1 where they differ.

    Args:
        rows: at least one.
        side: longer side of a tile in pixels.
        kind: of :class:`sapiens.tasks.MapField`.

    Raises:
        ValueError: no rows.
    """

    def draw(row: DenseRow, image: np.ndarray) -> tuple:
        valid = row.mask & _channels(np.isfinite(row.prediction)).all(-1)
        limits = _limits(row.prediction if row.truth is None else row.truth, valid)
        shown, bar = resize_map(valid, image), None
        if kind == 'values':
            bar = color_bar(image.shape[1], f'{limits[0]:.3g}', f'{limits[1]:.3g}', cv2.COLORMAP_INFERNO)

        def colors(values: np.ndarray) -> np.ndarray:
            return draw_map(resize_map(values, image), kind, shown, limits)

        prediction = Tile(colors(row.prediction), row.note, bar)
        if row.truth is None:
            return None, prediction, None
        error, limit = row.error, 1.0 if kind == 'labels' else (limits[1] - limits[0]) / 4
        if error is None:
            error = np.abs(row.prediction.astype(np.float32) - row.truth)
            error = _channels(error > 0 if kind == 'labels' else error).mean(-1)
        mean = error[valid].mean() if valid.any() else float('nan')
        return (
            Tile(colors(row.truth), f'{100 * valid.mean():.0f} % labeled', bar),
            prediction,
            error_tile(error, shown, limit, f'mean {mean:.3g}', f'{limit:.3g}'),
        )

    return draw_rows(rows, draw, side)


def _channels(values: np.ndarray) -> np.ndarray:
    """(H, W, K), with K = 1 for a map (H, W)."""
    return values.reshape(*values.shape[:2], -1)


def _limits(values: np.ndarray, valid: np.ndarray) -> tuple[float, float]:
    """Color range: (0, 1) of three channels in it, else from low to high values of all drawn channels."""
    drawn = _channels(values)
    drawn = drawn if drawn.shape[2] == 3 else drawn[..., :1]
    inside = drawn[valid]
    if drawn.shape[2] == 3 and inside.size and inside.min() >= 0 and inside.max() <= 1:
        return 0.0, 1.0
    return depth_limits(drawn.reshape(len(drawn), -1), valid.repeat(drawn.shape[2], axis=1))
