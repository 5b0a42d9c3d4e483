"""Figures of reconstructions: [original | masked | reconstructed], one row per image."""

from collections.abc import Sequence

import numpy as np

from .layout import NOTHING
from .tiles import Tile, arrange, join_tiles

__all__ = ['draw_reconstructions']

COLUMNS = ('original', 'masked', 'reconstructed')


def draw_reconstructions(
    images: Sequence[np.ndarray],
    masks: Sequence[np.ndarray],
    reconstructions: Sequence[np.ndarray],
    side: int = 384,
    first: str = COLUMNS[0],
) -> np.ndarray:
    """Draw rows [original | masked | reconstructed] below a header with the names of the columns.

    Args:
        images: uint8 RGB (H, W, 3) each.
        masks: bool (h, w) each, True for a masked patch.
        reconstructions: uint8 RGB (H, W, 3) each.
        side: longer side of a tile in pixels, less where the figure would be too large; see :func:`.tiles.arrange`.
        first: name of the first column.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ValueError: no images, or a mask whose patches do not tile its image.
    """
    rows, places = [], arrange(images, len(COLUMNS), side)
    for image, mask, reconstruction in zip(images, masks, reconstructions, strict=True):
        height, width = image.shape[:2]
        if height % mask.shape[0] or width % mask.shape[1]:
            raise ValueError(f'a mask of {mask.shape} patches does not tile an image of {image.shape[:2]} pixels')
        removed = mask.repeat(height // mask.shape[0], axis=0).repeat(width // mask.shape[1], axis=1)
        masked = np.where(removed[..., None], np.uint8(NOTHING), image)
        rows.append([Tile(places.scaled(tile)) for tile in (image, masked, reconstruction)])
    return join_tiles(rows, (first, *COLUMNS[1:]), places.blocks)
