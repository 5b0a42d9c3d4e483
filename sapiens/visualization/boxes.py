"""Figures of detected people: boxes with their scores.

Images are (H, W, 3) uint8 RGB. Boxes are x1, y1, x2, y2 in pixels.
"""

from collections.abc import Sequence

import numpy as np

from .layout import write
from .point_labels import text_height, text_rim
from .pose import BOX_COLOR, draw_box

__all__ = ['IGNORED_COLOR', 'TRUE_COLOR', 'draw_boxes', 'resized_boxes']

TRUE_COLOR = (0, 170, 255)
IGNORED_COLOR = (128, 128, 128)


def draw_boxes(
    image: np.ndarray,
    boxes: np.ndarray,
    scores: np.ndarray | None = None,
    *,
    threshold: float = 0.0,
    color: Sequence[int] = BOX_COLOR,
) -> np.ndarray:
    """Draw boxes over an image.

    Args:
        image: the image.
        boxes: (N, 4).
        scores: (N,), written in the upper left corners in percent; None for none.
        threshold: smallest score of a box that is drawn.
        color: of the lines.
    """
    canvas = np.ascontiguousarray(image).copy()
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    order = range(len(boxes)) if scores is None else np.argsort(scores, kind='stable')  # the best ones last, on top
    line, rim = text_height(canvas.shape), text_rim(canvas.shape)
    for index in order:
        if not np.isfinite(boxes[index]).all() or (scores is not None and scores[index] < threshold):
            continue
        # Edges of pixels, where drawings count centers.
        draw_box(canvas, boxes[index] - 0.5, color)
        if scores is not None:
            x, y = np.clip(np.rint(boxes[index, :2]), 0, np.array(canvas.shape[1::-1]) - 1).astype(int).tolist()
            write(canvas, f'{100 * scores[index]:.0f}', (x + 2 * rim + 1, y + 2 * rim), (255, 255, 255), line, rim)
    return canvas


def resized_boxes(boxes: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Boxes (N, 4) of an image as those of a resized one; they are edges of pixels, not centers."""
    scale = np.array(after.shape[1::-1]) / np.array(before.shape[1::-1])
    return np.asarray(boxes, np.float64).reshape(-1, 4) * np.tile(scale, 2)
