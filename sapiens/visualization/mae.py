"""Reconstruction pictures: [original | masked | reconstructed], one row per image."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

__all__ = ['draw_reconstructions']

REMOVED_GREY = 100  # as in the published pictures
GAP = 4
COLUMNS = ('original', 'masked', 'reconstructed')


def draw_reconstructions(
    images: Sequence[np.ndarray],
    masks: Sequence[np.ndarray],
    reconstructions: Sequence[np.ndarray],
    max_side: int = 384,
) -> np.ndarray:
    """Draw a grid of rows [original | masked | reconstructed] under a header that names the columns.

    Args:
        images: uint8 RGB (H, W, 3) each.
        masks: bool (h, w) each, True where a patch was removed.
        reconstructions: uint8 RGB (H, W, 3) each.
        max_side: longer side of a tile in pixels; larger images are shrunk.

    Returns:
        uint8 RGB picture.
    """
    rows = []
    for image, mask, reconstruction in zip(images, masks, reconstructions, strict=True):
        height, width = image.shape[:2]
        if height % mask.shape[0] or width % mask.shape[1]:
            raise ValueError(f'a mask of {mask.shape} patches does not tile an image of {image.shape[:2]} pixels')
        removed = mask.repeat(height // mask.shape[0], axis=0).repeat(width // mask.shape[1], axis=1)
        masked = np.where(removed[..., None], np.uint8(REMOVED_GREY), image)
        scale = min(1.0, max_side / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        tiles = [np.asarray(Image.fromarray(tile).resize(size)) for tile in (image, masked, reconstruction)]
        rows.append(_join(tiles, axis=1))
    header = _header([rows[0].shape[1] // 3] * 3, rows[0].shape[1])
    return _join([header, *rows], axis=0)


def _join(tiles: list[np.ndarray], axis: int) -> np.ndarray:
    """Concatenate with white gaps; rows of different width are padded on the right."""
    if axis == 0:
        width = max(tile.shape[1] for tile in tiles)
        tiles = [np.pad(t, ((0, 0), (0, width - t.shape[1]), (0, 0)), constant_values=255) for t in tiles]
    gap_shape = list(tiles[0].shape)
    gap_shape[axis] = GAP
    gap = np.full(gap_shape, 255, np.uint8)
    return np.concatenate([part for tile in tiles for part in (tile, gap)][:-1], axis=axis)


def _header(widths: Sequence[int], total: int) -> np.ndarray:
    canvas = Image.new('RGB', (total, 18), 'white')
    pen, font, x = ImageDraw.Draw(canvas), ImageFont.load_default(), 0
    for name, width in zip(COLUMNS, widths, strict=True):
        pen.text((x + 3, 3), name, fill='black', font=font)
        x += width + GAP // 2
    return np.asarray(canvas)
