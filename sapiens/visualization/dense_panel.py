"""Rows [image | ground truth | prediction | error] of dense tasks. Images are (H, W, 3) uint8 RGB."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from .tiles import Tile, arrange, join_tiles

__all__ = ['DenseRow', 'draw_rows']


class DenseRow(NamedTuple):
    """One row of a figure of a dense task. Maps are (H, W) or (H, W, C).

    Attributes:
        image: (H, W, 3) uint8 RGB.
        prediction: the predicted map.
        truth: the labeled map; None without labels.
        valid: (H, W) bool, where the ground truth is known; None for everywhere.
        error: (H, W) in the unit of the task; None if the drawing computes it, or without labels.
        name: caption of the image.
        note: caption of the prediction.
    """

    image: np.ndarray
    prediction: np.ndarray
    truth: np.ndarray | None = None
    valid: np.ndarray | None = None
    error: np.ndarray | None = None
    name: str = ''
    note: str = ''

    @property
    def mask(self) -> np.ndarray:
        """``valid``, (H, W) bool also where it is None."""
        return np.ones(self.prediction.shape[:2], bool) if self.valid is None else self.valid


def draw_rows(
    rows: Sequence[DenseRow],
    draw: Callable[[DenseRow, np.ndarray], tuple[Tile | None, Tile, Tile | None]],
    side: int,
    error: str = 'error',
    spare: int = 0,
) -> np.ndarray:
    """Draw rows.

    Args:
        rows: at least one.
        draw: from a row and its resized image to the tiles of ground truth, prediction and error; None leaves a tile white.
        side: longer side of a tile in pixels, less where the figure would be too large; see :func:`.tiles.arrange`.
        error: name of the last column.
        spare: height that is needed below the rows.

    Raises:
        ValueError: no rows.
    """
    lines, places = [], arrange([row.image for row in rows], 4, side, spare)
    for row in rows:
        image = places.scaled(row.image)
        blank = np.full_like(image, 255)
        truth, prediction, errors = draw(row, image)
        lines.append([Tile(image, row.name), truth or Tile(blank, 'no labels'), prediction, errors or Tile(blank)])
    return join_tiles(lines, ('image', 'ground truth', 'prediction', error), places.blocks)
