"""Rows of captioned tiles with color bars, the parts of the figures of dense tasks.

Images are (H, W, 3) uint8 RGB.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from .layout import GAP, LINE, NOTHING, caption, join, scaled, text_size, write

__all__ = [
    'DEPTH_COLORS',
    'ERROR_COLORS',
    'LIMIT',
    'Arrangement',
    'Tile',
    'arrange',
    'color_bar',
    'draw_error',
    'error_tile',
    'join_tiles',
    'resize_map',
]

DEPTH_COLORS = cv2.COLORMAP_INFERNO
ERROR_COLORS = cv2.COLORMAP_VIRIDIS  # differs from all colors of depth


LIMIT = 2000  # pixels of the width and of the height of a figure, at most
CAPTIONS = 4 * LINE  # height of the texts and of the color bar of a row, at most


class Arrangement(NamedTuple):
    """Where the rows of a figure are, so that it has at most :data:`LIMIT` pixels in both directions.

    Attributes:
        side: longer side of a tile in pixels.
        blocks: number of blocks of rows, from left to right.
    """

    side: int
    blocks: int = 1

    def scaled(self, image: np.ndarray) -> np.ndarray:
        """Resize an image to a tile."""
        return scaled(image, self.side)


def arrange(images: Sequence[np.ndarray], columns: int, side: int, spare: int = 0) -> Arrangement:
    """Choose the largest tiles of at most ``side`` pixels that the rows of a figure can have.

    Args:
        images: (H, W, ...) of each row; only their shapes are used.
        columns: tiles in a row, all in the shape of its image.
        side: longer side of a tile in pixels, at most.
        spare: height below all rows that is needed for something else.

    Raises:
        ValueError: no images.
    """
    if not len(images):
        raise ValueError('a figure of no rows: expected at least one image')
    height, width = (max(image.shape[axis] / max(image.shape[:2]) for image in images) for axis in (0, 1))

    def longest(blocks: int) -> int:
        across, down = columns * blocks, -(-len(images) // blocks)
        free = (LIMIT - (across - 1) * GAP) / across, (LIMIT - LINE - spare) / down - CAPTIONS - GAP
        return min(side, max(16, int(min(free[0] / width, free[1] / height))))

    blocks = max(range(1, len(images) + 1), key=lambda count: (longest(count), -count))
    return Arrangement(longest(blocks), blocks)


class Tile(NamedTuple):
    """An image with a caption.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        text: a line above it.
        below: an image below it, such as a :func:`color_bar`.
    """

    image: np.ndarray
    text: str = ''
    below: np.ndarray | None = None


def join_tiles(rows: Sequence[Sequence[Tile]], columns: Sequence[str], blocks: int = 1) -> np.ndarray:
    """Stack rows of tiles. The first row also has the names of the columns. A row may have fewer tiles.

    Args:
        rows: at least one.
        columns: names.
        blocks: number of stacks, from left to right.
    """
    count = -(-len(rows) // blocks)
    stacks = [_stack(rows[start : start + count], columns) for start in range(0, len(rows), count)]
    return join(stacks, axis=1)


def _stack(rows: Sequence[Sequence[Tile]], columns: Sequence[str]) -> np.ndarray:
    blocks = []
    for number, row in enumerate(rows):
        parts, has_texts = [], any(tile.text for tile in row)
        for name, tile in zip(columns, row, strict=False):
            texts = [name] * (not number) + [tile.text] * has_texts
            above = [caption(tile.image.shape[1], *texts)] if texts else []
            below = [] if tile.below is None else [tile.below]
            parts.append(join([*above, tile.image, *below], axis=0, gap=0))
        blocks.append(join(parts, axis=1))
    return join(blocks, axis=0)


def resize_map(values: np.ndarray, tile: np.ndarray) -> np.ndarray:
    """Resize a map (H, W) or (H, W, C) to a tile by nearest pixels; values are not mixed."""
    if values.shape[:2] == tile.shape[:2]:
        return values
    known = values.astype(np.uint8) if values.dtype.kind == 'b' else values  # OpenCV has no bool
    return cv2.resize(known, tile.shape[1::-1], interpolation=cv2.INTER_NEAREST_EXACT).astype(values.dtype)


def color_bar(width: int, low: str, high: str, colors: int, line: int = LINE) -> np.ndarray:
    """Draw all colors of an OpenCV color map, with texts below the ends. Texts wider than the bar are left out.

    Args:
        line: height of the texts in pixels; that of the bar is 3/5 of it.
    """
    ramp = np.rint(np.linspace(0, 255, width)).astype(np.uint8)[None].repeat(line * 3 // 5, axis=0)
    strip = cv2.applyColorMap(ramp, colors)[..., ::-1]
    texts = np.full((line, width, 3), 255, np.uint8)
    for text, end in ((low, 0), (high, 1)):
        free = width - 4 - text_size(text, line)[0]
        if text and free >= 0:
            write(texts, text, (round(2 + end * free), 1), (0, 0, 0), line)
    return join([strip, texts], axis=0, gap=0)


def error_tile(error: np.ndarray, shown: np.ndarray, limit: float, text: str, end: str) -> Tile:
    """Make the tile of an error (H, W): :func:`draw_error`, a text above it, and its colors up to ``end`` below it.

    Args:
        shown: bool, where the error is known, in the size of the tile.
    """
    bar = color_bar(shown.shape[1], '0', f'{end} and more', ERROR_COLORS)
    return Tile(draw_error(resize_map(error.astype(np.float32), shown), shown, limit), text, bar)


def draw_error(error: np.ndarray, valid: np.ndarray, limit: float) -> np.ndarray:
    """Draw errors in OpenCV's VIRIDIS colors, from dark blue (0) to yellow (the limit and above). Invalid pixels are gray.

    Args:
        error: (H, W), 0 or above, in any unit. NaN is white.
        valid: (H, W) bool.
        limit: in the same unit.
    """
    fraction = np.clip(np.nan_to_num(error / max(limit, 1e-12)), 0, 1)
    colors = cv2.applyColorMap(np.rint(fraction * 255).astype(np.uint8), ERROR_COLORS)[..., ::-1]
    colors = np.where(np.isnan(error)[..., None], np.uint8(255), colors)
    return np.where(valid[..., None], colors, np.uint8(NOTHING))
