"""Pictures of segmentation: labels over images with a legend, and which pixels are wrong."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import ImageFont

from sapiens.metainfo import ClassList, get_classes
from sapiens.metainfo.classes import IGNORE

from .labels import NOTHING, draw_segmentation
from .layout import LINE, join, write
from .panel import Tile, join_tiles, missing, sized, tile_image

__all__ = ['SegPanelRow', 'draw_legend', 'draw_seg_panel', 'draw_wrong_pixels']

WRONG = (235, 40, 40)
COLUMNS = 'image', 'ground truth', 'prediction', 'wrong pixels'


class SegPanelRow(NamedTuple):
    """One row of :func:`draw_seg_panel`.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        prediction: (H, W) integer class ids.
        truth: (H, W) integer class ids, 255 where ignored; None without labels.
        name: what the row shows.
    """

    image: np.ndarray
    prediction: np.ndarray
    truth: np.ndarray | None = None
    name: str = ''


def draw_seg_panel(
    rows: Sequence[SegPanelRow],
    classes: str | Path | Mapping | ClassList,
    *,
    side: int = 384,
    alpha: float = 0.6,
) -> np.ndarray:
    """Draw rows [image | ground truth | prediction | wrong pixels], and under them the colours of all classes that occur.

    Args:
        rows: at least one.
        classes: whatever :func:`sapiens.metainfo.get_classes` takes.
        side: longer side of a tile in pixels.
        alpha: share of the classes' colours in those of the image, 0 to 1.

    Raises:
        ValueError: no rows.
    """
    if not rows:
        raise ValueError('a panel of no rows: expected at least one image')
    classes = get_classes(classes)
    lines, found = [], set()
    for row in rows:
        image = tile_image(row.image, side)
        ids = np.unique(row.prediction)
        tiles = [Tile(image, row.name)]
        if row.truth is None:
            tiles.append(Tile(missing(image), 'no labels'))
        else:
            ids = np.union1d(ids, labelled := np.unique(row.truth))
            truth = sized(row.truth.astype(np.uint8), image)
            count = int((labelled < len(classes)).sum())
            tiles.append(Tile(draw_segmentation(image, truth, classes.palette, alpha), f'{count} classes'))
        found |= set(ids.tolist())
        prediction = sized(row.prediction.astype(np.uint8), image)
        text = f'{len(np.unique(row.prediction))} classes'
        tiles.append(Tile(draw_segmentation(image, prediction, classes.palette, alpha), text))
        if row.truth is None:
            tiles.append(Tile(missing(image)))
        else:
            counted = row.truth != IGNORE
            wrong = (row.truth != row.prediction)[counted].mean() if counted.any() else float('nan')
            tiles.append(Tile(draw_wrong_pixels(image, truth, prediction), f'{100 * wrong:.1f} % of the pixels'))
        lines.append(tiles)
    panel = join_tiles(lines, COLUMNS)
    # The background has no colour of its own in an overlay.
    legend = draw_legend(classes, [index for index in sorted(found) if 0 < index < len(classes)], panel.shape[1])
    return join([panel, legend], axis=0) if len(legend) else panel


def draw_wrong_pixels(image: np.ndarray, truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Wrong pixels red over the darkened image without its colours; ignored ones are grey.

    Args:
        image: (H, W, 3) uint8 RGB.
        truth: (H, W) integer class ids, 255 where ignored.
        prediction: (H, W) integer class ids.
    """
    picture = (cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)[..., None] * np.full(3, 0.6)).astype(
        np.uint8
    )
    picture[(truth != prediction) & (truth != IGNORE)] = WRONG
    picture[truth == IGNORE] = NOTHING
    return picture


def draw_legend(classes: str | Path | Mapping | ClassList, ids: Iterable[int], width: int) -> np.ndarray:
    """Colours and names of classes, line by line on white.

    Args:
        classes: whatever :func:`sapiens.metainfo.get_classes` takes.
        ids: of the classes.
        width: of the picture in pixels.

    Returns:
        (15 n, width, 3) uint8 RGB, n the lines that it takes; none for no classes.
    """
    classes = get_classes(classes)
    font = ImageFont.load_default()
    places, x, y = [], 2, 0
    for index in ids:
        step = round(LINE + font.getlength(classes.classes[index]) + 12)
        if x + step > width and x > 2:
            x, y = 2, y + LINE
        places.append((index, x, y))
        x += step
    picture = np.full((y + LINE if places else 0, width, 3), 255, np.uint8)
    for index, x, y in places:
        color = classes.palette[index].tolist()
        cv2.rectangle(picture, (x, y + 2), (x + LINE - 5, y + LINE - 4), color, -1)
        cv2.rectangle(picture, (x, y + 2), (x + LINE - 5, y + LINE - 4), (0, 0, 0), 1)
        write(picture, classes.classes[index], (x + LINE, y + 1), (0, 0, 0))
    return picture
