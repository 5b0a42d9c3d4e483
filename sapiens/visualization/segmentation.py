"""Figures of segmentation: label overlays with a legend, and wrong pixels."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from sapiens.metainfo import ClassList, get_classes
from sapiens.metainfo.classes import IGNORE
from sapiens.metainfo.palettes import PALETTES, with_palette

from .dense_panel import DenseRow, draw_rows
from .labels import draw_segmentation
from .layout import LINE, NOTHING, join
from .legend import draw_legend
from .tiles import Tile, resize_map

__all__ = ['draw_seg_panel', 'draw_wrong_pixels']

WRONG = (235, 40, 40)
LEGEND_LINES = 6  # more than any list of this package fills below a figure of one row


def draw_seg_panel(
    rows: Sequence[DenseRow],
    classes: str | Path | Mapping | ClassList,
    *,
    side: int = 384,
    alpha: float = 0.6,
    palette: str = PALETTES[0],
) -> np.ndarray:
    """Draw rows [image | ground truth | prediction | wrong pixels] and a legend of the classes in them.

    Args:
        rows: at least one. Maps are (H, W) integer class ids, 255 where the ground truth is ignored; ``valid`` is not used.
        classes: see :func:`sapiens.metainfo.get_classes`.
        side: longer side of a tile in pixels.
        alpha: opacity of the classes' colors, 0 to 1.
        palette: of the classes; see :func:`sapiens.metainfo.palettes.with_palette`.

    Raises:
        ValueError: no rows.
    """
    classes = with_palette(get_classes(classes), palette)
    found: set[int] = set()

    def draw(row: DenseRow, image: np.ndarray) -> tuple:
        def overlay(labels: np.ndarray) -> np.ndarray:
            return draw_segmentation(image, labels, classes.palette, alpha)

        predicted = np.unique(row.prediction)
        found.update(predicted.tolist())
        prediction = resize_map(row.prediction.astype(np.uint8), image)
        tile = Tile(overlay(prediction), f'{len(predicted)} classes')
        if row.truth is None:
            return None, tile, None
        labelled = np.unique(row.truth)
        found.update(labelled.tolist())
        truth, counted = resize_map(row.truth.astype(np.uint8), image), row.truth != IGNORE
        wrong = (row.truth != row.prediction)[counted].mean() if counted.any() else float('nan')
        return (
            Tile(overlay(truth), f'{int((labelled < len(classes)).sum())} classes'),
            tile,
            Tile(draw_wrong_pixels(image, truth, prediction), f'{100 * wrong:.1f} % of the pixels'),
        )

    panel = draw_rows(rows, draw, side, error='wrong pixels', spare=LEGEND_LINES * LINE)
    # The background has no color in an overlay.
    legend = draw_legend(classes, [index for index in sorted(found) if 0 < index < len(classes)], panel.shape[1])
    return join([panel, legend], axis=0) if len(legend) else panel


def draw_wrong_pixels(image: np.ndarray, truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Draw wrong pixels in red over the darkened gray image. Ignored pixels are gray.

    Args:
        image: (H, W, 3) uint8 RGB.
        truth: (H, W) integer class ids, 255 where ignored.
        prediction: (H, W) integer class ids.
    """
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)[..., None]
    canvas = (grey * np.full(3, 0.6)).astype(np.uint8)
    canvas[(truth != prediction) & (truth != IGNORE)] = WRONG
    canvas[truth == IGNORE] = NOTHING
    return canvas
