"""Boxes of people that are drawn by hand: two clicks on opposite corners, or numbers in a text.

The text is the only place where boxes are kept: one box a line, ``left, top, right, bottom`` in pixels of the image.
"""

import re

import cv2
import numpy as np

from sapiens.visualization.pose import draw_box
from sapiens.visualization.sizes import BOX, pixels

__all__ = ['add_click', 'draw_boxes', 'format_boxes', 'parse_boxes', 'without_last']

NEAR = 0.03  # of the longer side of the image: a click this near to a corner takes it up


def format_boxes(boxes: np.ndarray) -> str:
    """Return the text of boxes (N, 4) x1, y1, x2, y2 in pixels."""
    return '\n'.join(', '.join(str(round(float(value))) for value in box) for box in boxes)


def parse_boxes(text: str, size: tuple[int, int] | None = None) -> np.ndarray:
    """Return the boxes (N, 4) float32 of a text. Corners may come in any order; boxes are cut at the border of the image.

    Args:
        size: (h, w) of the image; None to leave boxes as they are.

    Raises:
        ValueError: a line that is not four numbers, or a box that shows less than a pixel of the image.
    """
    found = []
    for line in (line.strip() for line in text.splitlines()):
        if not line:
            continue
        parts = re.split(r'[\s,;]+', line.strip('[]() '))
        try:
            values = [float(part) for part in parts]
        except ValueError:
            values = []
        if len(values) != 4 or not np.isfinite(values).all():
            raise ValueError(f'the box {line!r}: expected four numbers, left, top, right, bottom in pixels')
        x1, x2 = sorted(values[0::2])
        y1, y2 = sorted(values[1::2])
        if size is not None:
            x1, x2 = (min(max(value, 0), size[1]) for value in (x1, x2))
            y1, y2 = (min(max(value, 0), size[0]) for value in (y1, y2))
        if x2 - x1 < 1 or y2 - y1 < 1:
            of_size = f' of {size[1]} x {size[0]}' if size is not None else ''
            raise ValueError(f'the box {line!r} shows no pixel of the picture{of_size}')
        found.append((x1, y1, x2, y2))
    return np.array(found, np.float32).reshape(-1, 4)


def without_last(text: str) -> str:
    """Return the text without its last box."""
    return '\n'.join([line for line in text.splitlines() if line.strip()][:-1])


def add_click(
    text: str, corner: tuple[int, int] | None, click: tuple[int, int], size: tuple[int, int]
) -> tuple[str, tuple[int, int] | None]:
    """Take a click.

    The first click sets a corner and the second one the opposite corner. A first click near a corner of a box takes that box up:
    the second click is the new place of the corner.

    Args:
        text: the boxes so far.
        corner: (x, y) of the corner that waits for the second click, or None.
        click: (x, y) in pixels of the image.
        size: (h, w) of the image.

    Returns:
        the text, and the corner that waits, or None.

    Raises:
        ValueError: see :func:`parse_boxes`.
    """
    boxes = parse_boxes(text)
    if corner is not None:
        box = (*corner, *click)
        if abs(corner[0] - click[0]) < 2 or abs(corner[1] - click[1]) < 2:
            return text, None  # a double click is not a box
        return format_boxes(parse_boxes(format_boxes(np.concatenate([boxes, [box]])), size)), None
    corners = boxes[:, [[0, 1], [2, 1], [0, 3], [2, 3]]]  # (N, 4, 2)
    distances = np.linalg.norm(corners - np.array(click, np.float32), axis=-1)
    if distances.size and distances.min() <= NEAR * max(size):
        box, nearest = np.unravel_index(distances.argmin(), distances.shape)
        opposite = corners[box, 3 - nearest]
        return format_boxes(np.delete(boxes, box, 0)), (round(float(opposite[0])), round(float(opposite[1])))
    return text, click


def draw_boxes(image: np.ndarray, text: str, corner: tuple[int, int] | None = None) -> np.ndarray:
    """Draw the boxes of a text, and the corner that waits for the second click, over an image (H, W, 3) uint8 RGB.

    Raises:
        ValueError: see :func:`parse_boxes`.
    """
    canvas = image.copy()
    for box in parse_boxes(text, image.shape[:2]):
        draw_box(canvas, box)
    if corner is not None:
        line = round(pixels(BOX, image.shape, 2))
        cv2.drawMarker(canvas, corner, (255, 255, 255), cv2.MARKER_CROSS, 12 * line, 3 * line)
        cv2.drawMarker(canvas, corner, (220, 30, 30), cv2.MARKER_CROSS, 12 * line, line)
    return canvas
