"""Figures of surface normals beside their ground truth."""

from collections.abc import Sequence

import numpy as np

from .dense_panel import DenseRow, draw_rows
from .labels import draw_normals
from .tiles import Tile, error_tile, resize_map

__all__ = ['draw_normal_panel']

FRAME = 'red right, green up, blue to the camera'


def draw_normal_panel(rows: Sequence[DenseRow], *, side: int = 384, limit: float = 60) -> np.ndarray:
    """Draw rows [image | ground truth | prediction | angular error]. Red, green and blue are (n + 1) / 2.

    Args:
        rows: at least one. Normals are unit vectors (H, W, 3) in the frame of the published models (x right, y up, z towards
            the camera): a surface that faces the camera is light blue. ``error`` is the angle in degrees.
        side: longer side of a tile in pixels.
        limit: angle in degrees at the end of the color bar.

    Raises:
        ValueError: no rows.
    """

    def draw(row: DenseRow, image: np.ndarray) -> tuple:
        shown = resize_map(row.mask, image)

        def colors(normal: np.ndarray) -> np.ndarray:
            return draw_normals(resize_map(normal.astype(np.float32), image), shown)

        truth = error = None
        if row.truth is not None:
            truth = Tile(colors(row.truth), f'{100 * row.mask.mean():.0f} % labeled')
        if row.error is not None:
            angles = row.error[row.mask]
            text = 'nothing labeled'
            if len(angles):
                text = f'mean {angles.mean():.1f}, median {np.median(angles):.1f} deg'
            error = error_tile(row.error, shown, limit, text, f'{limit:g} degrees')
        return truth, Tile(colors(row.prediction), FRAME), error

    return draw_rows(rows, draw, side, error='angle between them')
