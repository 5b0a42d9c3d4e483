"""Pictures of surface normals beside their truth."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .labels import draw_normals
from .panel import ERROR_COLORS, Tile, color_bar, draw_error, join_tiles, missing, sized, tile_image

__all__ = ['NormalPanelRow', 'draw_normal_panel']

COLUMNS = 'image', 'ground truth', 'prediction', 'angle between them'
FRAME = 'red right, green up, blue to the camera'


class NormalPanelRow(NamedTuple):
    """One row of :func:`draw_normal_panel`. Normals are in the frame of the released models (x right, y up, z towards the
    camera), see :mod:`sapiens.frames`.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        prediction: (H, W, 3) unit vectors.
        truth: (H, W, 3) unit vectors; None without labels.
        valid: (H, W) bool, where the truth is known; there normals and error are drawn. None: everywhere.
        error: (H, W) degrees between the two; None without labels.
        name: what the row shows.
    """

    image: np.ndarray
    prediction: np.ndarray
    truth: np.ndarray | None = None
    valid: np.ndarray | None = None
    error: np.ndarray | None = None
    name: str = ''


def draw_normal_panel(rows: Sequence[NormalPanelRow], *, side: int = 384, limit: float = 60) -> np.ndarray:
    """Draw rows [image | ground truth | prediction | angle between them]. Red, green and blue are (n + 1) / 2: right, up and
    towards the camera, so that a surface that faces the camera is light blue.

    Args:
        rows: at least one.
        side: longer side of a tile in pixels.
        limit: the angle in degrees, and any larger one, that has the last colour of the bar.

    Raises:
        ValueError: no rows.
    """
    if not rows:
        raise ValueError('a panel of no rows: expected at least one image')
    lines = []
    for row in rows:
        image = tile_image(row.image, side)
        valid = np.ones(row.prediction.shape[:2], bool) if row.valid is None else row.valid
        shown = sized(valid, image)
        prediction = draw_normals(sized(row.prediction.astype(np.float32), image), shown)
        tiles = [
            Tile(image, row.name),
            Tile(missing(image), 'no labels'),
            Tile(prediction, FRAME),
            Tile(missing(image)),
        ]
        if row.truth is not None:
            truth = draw_normals(sized(row.truth.astype(np.float32), image), shown)
            tiles[1] = Tile(truth, f'{100 * valid.mean():.0f} % labelled')
        if row.error is not None:
            angles = row.error[valid]
            text = (
                f'mean {angles.mean():.1f}, median {np.median(angles):.1f} deg' if len(angles) else 'nothing labelled'
            )
            bar = color_bar(image.shape[1], '0', f'{limit:g} degrees and more', ERROR_COLORS)
            tiles[3] = Tile(draw_error(sized(row.error.astype(np.float32), image), shown, limit), text, bar)
        lines.append(tiles)
    return join_tiles(lines, COLUMNS)
