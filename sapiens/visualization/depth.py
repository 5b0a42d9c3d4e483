"""Pictures of depth beside its truth, in one range of colours."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .labels import draw_depth
from .panel import DEPTH_COLORS, ERROR_COLORS, Tile, color_bar, draw_error, join_tiles, missing, sized, tile_image

__all__ = ['DepthPanelRow', 'depth_limits', 'draw_depth_panel']

COLUMNS = 'image', 'ground truth', 'prediction', 'error'
# Percentiles of a map are taken over about as many pixels: of a large map's they take longer than drawing it.
LIMIT_PIXELS = 1 << 16


class DepthPanelRow(NamedTuple):
    """One row of :func:`draw_depth_panel`.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        prediction: (H, W) depth, in the unit of the truth (after an alignment, where it needs one).
        truth: (H, W) depth; None without labels.
        valid: (H, W) bool, where the truth is known; there depth and error are drawn. None: everywhere.
        name: what the row shows.
        note: of the prediction, such as its alignment.
    """

    image: np.ndarray
    prediction: np.ndarray
    truth: np.ndarray | None = None
    valid: np.ndarray | None = None
    name: str = ''
    note: str = ''


def draw_depth_panel(rows: Sequence[DepthPanelRow], *, side: int = 384, unit: str = 'm') -> np.ndarray:
    """Draw rows [image | ground truth | prediction | error]: near is bright, and truth and prediction share one range of
    colours, that of the truth; the error's range is a quarter of it. Bars under the tiles say what the ranges are.

    Args:
        rows: at least one.
        side: longer side of a tile in pixels.
        unit: of the truth, for the bars.

    Raises:
        ValueError: no rows.
    """
    if not rows:
        raise ValueError('a panel of no rows: expected at least one image')
    lines = []
    for row in rows:
        image = tile_image(row.image, side)
        width = image.shape[1]
        valid = np.ones(row.prediction.shape, bool) if row.valid is None else row.valid
        valid = valid & np.isfinite(row.prediction)
        labelled = row.truth is not None
        low, high = depth_limits(row.truth if labelled else row.prediction, valid)
        shown = sized(valid, image)
        far, near = (f'{value:.2f} {unit}' if labelled else f'{value:.2f}' for value in (high, low))
        bar = color_bar(width, f'far: {far}', f'near: {near}', DEPTH_COLORS)
        prediction = draw_depth(sized(row.prediction.astype(np.float32), image), shown, (low, high))
        tiles = [Tile(image, row.name), Tile(missing(image), 'no labels'), Tile(prediction, row.note, bar)]
        if labelled:
            truth = draw_depth(sized(row.truth.astype(np.float32), image), shown, (low, high))
            tiles[1] = Tile(truth, f'{100 * valid.mean():.0f} % labelled', bar)
            error = np.abs(row.prediction.astype(np.float32) - row.truth)
            limit = (high - low) / 4
            rmse = float(np.sqrt(np.mean(np.square(error[valid], dtype=np.float64)))) if valid.any() else float('nan')
            below = color_bar(width, '0', f'{limit:.3g} {unit} and more', ERROR_COLORS)
            tiles.append(Tile(draw_error(sized(error, image), shown, limit), f'RMSE {rmse:.3g} {unit}', below))
        else:
            tiles.append(Tile(missing(image)))
        lines.append(tiles)
    return join_tiles(lines, COLUMNS)


def depth_limits(depth: np.ndarray, valid: np.ndarray) -> tuple[float, float]:
    """Nearest and farthest depth to draw: all valid pixels but the outermost half percent at either end; (0, 1) without any.

    Large maps are judged by a grid of pixels.
    """
    step = max(1, int(np.sqrt(depth.size / LIMIT_PIXELS)))
    values = depth[::step, ::step][valid[::step, ::step]]
    if not len(values):
        values = depth[valid]  # a few pixels between those of the grid
    if not len(values):
        return 0.0, 1.0
    low, high = np.percentile(values, (0.5, 99.5)).tolist()
    return low, high
