"""Figures of reconstructions: [original | masked | reconstructed], one row per image."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from .layout import GAP, NOTHING, caption, join

__all__ = ['draw_reconstructions']

COLUMNS = ('original', 'masked', 'reconstructed')


def draw_reconstructions(
    images: Sequence[np.ndarray],
    masks: Sequence[np.ndarray],
    reconstructions: Sequence[np.ndarray],
    max_side: int = 384,
) -> np.ndarray:
    """Draw rows [original | masked | reconstructed] below a header with the names of the columns.

    Args:
        images: uint8 RGB (H, W, 3) each.
        masks: bool (h, w) each, True for a masked patch.
        reconstructions: uint8 RGB (H, W, 3) each.
        max_side: longer side of a tile in pixels; larger images are shrunk.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ValueError: a mask whose patches do not tile its image.
    """
    rows = []
    for image, mask, reconstruction in zip(images, masks, reconstructions, strict=True):
        height, width = image.shape[:2]
        if height % mask.shape[0] or width % mask.shape[1]:
            raise ValueError(f'a mask of {mask.shape} patches does not tile an image of {image.shape[:2]} pixels')
        removed = mask.repeat(height // mask.shape[0], axis=0).repeat(width // mask.shape[1], axis=1)
        masked = np.where(removed[..., None], np.uint8(NOTHING), image)
        scale = min(1.0, max_side / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        tiles = [np.asarray(Image.fromarray(tile).resize(size)) for tile in (image, masked, reconstruction)]
        rows.append(join(tiles, axis=1))
    tile_width = (rows[0].shape[1] - 2 * GAP) // 3
    header = join([caption(tile_width, name) for name in COLUMNS], axis=1)
    return join([header, *rows], axis=0)
