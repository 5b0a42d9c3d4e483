"""Layout of figures: resizing, text, rows and sheets of tiles. Images are (H, W, 3) uint8 RGB."""

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

__all__ = [
    'GAP',
    'LINE',
    'NOTHING',
    'caption',
    'contact_sheet',
    'fit',
    'fit_width',
    'join',
    'resized_points',
    'scaled',
    'text_size',
    'write',
]

GAP = 4  # white pixels between tiles
LINE = 15  # height of a line of text
NOTHING = 100  # gray of pixels without a value, as in the published figures


def fit(image: np.ndarray, side: int, nearest: bool = False) -> np.ndarray:
    """Shrink an array (H, W) or (H, W, C) to at most ``side`` pixels on its longer side; ``nearest`` for labels."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_NEAREST_EXACT if nearest else cv2.INTER_AREA)


def fit_width(image: np.ndarray, width: int) -> np.ndarray:
    """Shrink an image to at most ``width`` pixels in width."""
    scale = width / image.shape[1]
    if scale >= 1:
        return image
    return cv2.resize(image, (width, max(1, round(image.shape[0] * scale))), interpolation=cv2.INTER_AREA)


def scaled(image: np.ndarray, side: int) -> np.ndarray:
    """Resize an image to ``side`` pixels on its longer side."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    if scale <= 1:
        return fit(image, side)
    return cv2.resize(image, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_LINEAR)


def resized_points(points: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Map points (..., 2) of an image to a resized one. The outer edges of both coincide, half a pixel outside the centers of
    the outermost pixels."""
    scale = np.array(after.shape[1::-1]) / np.array(before.shape[1::-1])
    return (np.asarray(points, np.float64) + 0.5) * scale - 0.5


def write(canvas: np.ndarray, text: str, corner: tuple[int, int], color, line: int = LINE, rim: int = 0) -> None:
    """Write text with its upper left corner at ``corner`` (x, y). Changes the image in place, which may be a view.

    Args:
        line: height of a line in pixels, of which letters take two thirds.
        rim: thickness of a black rim around the letters in pixels, which shows them on any image.
    """
    drawn = Image.fromarray(canvas)
    look = dict(fill=tuple(map(int, color)), font=_font(line), stroke_width=rim, stroke_fill=(0, 0, 0))
    ImageDraw.Draw(drawn).text(corner, text, **look)
    canvas[...] = np.asarray(drawn)


def text_size(text: str, line: int = LINE, rim: int = 0) -> tuple[int, int]:
    """Width and height in pixels of what :func:`write` draws, from its corner to the lower right."""
    _, _, right, bottom = _font(line).getbbox(text, stroke_width=rim)
    return int(np.ceil(right)) + rim, int(np.ceil(bottom)) + rim


def _font(line: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(line * 10 // LINE)


def caption(width: int, *lines: str, line: int = LINE) -> np.ndarray:
    """Draw lines of black text on white, each ``line`` pixels high. The middle of a text longer than ``width`` is left out."""
    strip = np.full((line * len(lines), width, 3), 255, np.uint8)
    for number, text in enumerate(lines):
        write(strip, _shortened(text, width - 4, line), (2, number * line + 2), (0, 0, 0), line)
    return strip


def _shortened(text: str, width: int, line: int) -> str:
    """Leave out as much of the middle of a text as needed for ``width`` pixels."""
    font, shown, kept = _font(line), text, len(text)
    while kept and font.getlength(shown) > width:
        kept -= 1
        shown = f'{text[: kept // 2]}...{text[len(text) - (kept - kept // 2) :]}'
    return shown if kept else ''


def join(tiles: Sequence[np.ndarray], axis: int, gap: int = GAP) -> np.ndarray:
    """Stack tiles vertically (``axis=0``) or horizontally (``axis=1``), aligned at the top left, with a white gap."""
    across = 1 - axis
    extent = max(tile.shape[across] for tile in tiles)
    parts = []
    for tile in tiles:
        white = [(0, 0), (0, 0), (0, 0)]
        white[across], white[axis] = (0, extent - tile.shape[across]), (gap if parts else 0, 0)
        parts.append(np.pad(tile, white, constant_values=255))
    return np.concatenate(parts, axis=axis)


def contact_sheet(
    tiles: Sequence[np.ndarray],
    columns: int = 6,
    names: Sequence[str] | None = None,
    gap: int = GAP,
    line: int = LINE,
) -> np.ndarray:
    """Arrange images on white, row by row, in cells of the size of the largest one.

    Args:
        tiles: (H, W, 3) uint8 RGB each, of any sizes.
        columns: maximum number of images in a row.
        names: a caption for each image, below it.
        gap: pixels between cells.
        line: height of a caption in pixels.

    Raises:
        ValueError: no images, or no columns.
    """
    if not len(tiles) or columns < 1:
        raise ValueError(f'a sheet of {len(tiles)} images in {columns} columns: expected at least one of each')
    columns = min(columns, len(tiles))
    rows = -(-len(tiles) // columns)
    below = line + 1 if names is not None else 0
    width = max(tile.shape[1] for tile in tiles) + gap
    height = max(tile.shape[0] for tile in tiles) + below + gap
    sheet = np.full((rows * height - gap, columns * width - gap, 3), 255, np.uint8)
    for i, tile in enumerate(tiles):
        y, x = i // columns * height, i % columns * width
        sheet[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
        if names is not None:
            text = caption(tile.shape[1], str(names[i]), line=line)
            sheet[y + tile.shape[0] + 1 : y + tile.shape[0] + below, x : x + tile.shape[1]] = text
    return sheet
