"""Rows of captioned tiles, with bars that say what colours mean: what the panels of all dense tasks are made of.

Pictures are (H, W, 3) uint8 RGB.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from PIL import ImageFont

from .labels import NOTHING
from .layout import LINE, caption, join, scaled, write

__all__ = [
    'DEPTH_COLORS',
    'ERROR_COLORS',
    'Tile',
    'color_bar',
    'draw_error',
    'join_tiles',
    'missing',
    'sized',
    'tile_image',
]

DEPTH_COLORS = cv2.COLORMAP_INFERNO
ERROR_COLORS = cv2.COLORMAP_VIRIDIS  # unlike any colour of depth


class Tile(NamedTuple):
    """A picture with what is said above and below it.

    Attributes:
        picture: (H, W, 3) uint8 RGB.
        text: a line above it.
        below: a picture under it, such as a :func:`color_bar`.
    """

    picture: np.ndarray
    text: str = ''
    below: np.ndarray | None = None


def join_tiles(rows: Sequence[Sequence[Tile]], columns: Sequence[str]) -> np.ndarray:
    """Lay rows of tiles out below each other; above the first stand the names of the columns."""
    blocks = []
    for number, row in enumerate(rows):
        parts = []
        for name, tile in zip(columns, row, strict=True):
            width = tile.picture.shape[1]
            above = caption(width, *([name] if not number else []), tile.text)
            below = [] if tile.below is None else [tile.below]
            parts.append(join([above, tile.picture, *below], axis=0, gap=0))
        blocks.append(join(parts, axis=1))
    return join(blocks, axis=0)


def tile_image(image: np.ndarray, side: int) -> np.ndarray:
    """The image at the size of its tiles: its longer side is ``side`` pixels."""
    return scaled(image, side)


def sized(values: np.ndarray, tile: np.ndarray) -> np.ndarray:
    """A map (H, W) or (H, W, C) at the size of a tile; values are taken, never mixed."""
    if values.shape[:2] == tile.shape[:2]:
        return values
    known = values.astype(np.uint8) if values.dtype.kind == 'b' else values  # OpenCV has no bool
    return cv2.resize(known, tile.shape[1::-1], interpolation=cv2.INTER_NEAREST_EXACT).astype(values.dtype)


def missing(tile: np.ndarray) -> np.ndarray:
    """White, in the place of a picture of this size that there is not."""
    return np.full_like(tile, 255)


def color_bar(width: int, low: str, high: str, colors: int, middle: str = '') -> np.ndarray:
    """A strip of all colours of an OpenCV colour map, with texts under its ends and its middle."""
    ramp = np.rint(np.linspace(0, 255, width)).astype(np.uint8)[None].repeat(9, axis=0)
    strip = cv2.applyColorMap(ramp, colors)[..., ::-1]
    texts = np.full((LINE, width, 3), 255, np.uint8)
    font = ImageFont.load_default()
    for text, place in ((middle, 0.5), (low, 0), (high, 1)):
        free = width - 4 - font.getlength(text)
        if text and free >= 0:
            write(texts, text, (round(2 + place * free), 1), (0, 0, 0))
    return join([strip, texts], axis=0, gap=0)


def draw_error(error: np.ndarray, valid: np.ndarray, limit: float) -> np.ndarray:
    """Errors in OpenCV's VIRIDIS colours: dark blue is 0, yellow is the limit and more; grey where nothing is known.

    Args:
        error: (H, W), 0 or more, in any unit. NaN is white.
        valid: (H, W) bool.
        limit: of the same unit.
    """
    share = np.clip(np.nan_to_num(error / max(limit, 1e-12)), 0, 1)
    colors = cv2.applyColorMap(np.rint(share * 255).astype(np.uint8), ERROR_COLORS)[..., ::-1]
    colors = np.where(np.isnan(error)[..., None], np.uint8(255), colors)
    return np.where(valid[..., None], colors, np.uint8(NOTHING))
