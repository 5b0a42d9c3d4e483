"""Rows of a figure of keypoints during training: crop, ground truth, prediction, heatmaps.

Images are (H, W, 3) uint8 RGB. Coordinates are in pixels; the center of the top-left pixel is (0, 0).

Legend: K keypoints, H W crop, h w heatmap.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sapiens.metainfo import Skeleton, get_skeleton
from sapiens.metainfo.palettes import PALETTES

from .layout import resized_points
from .pose import cells_to_pixels, draw_heatmaps, draw_pose, heatmap_limit
from .tiles import Tile, arrange, join_tiles

__all__ = ['PosePanelRow', 'draw_pose_panel', 'mean_error']

COLUMNS = ('crop', 'ground truth', 'prediction', 'heatmaps')


class PosePanelRow(NamedTuple):
    """One row of :func:`draw_pose_panel`.

    Attributes:
        image: (H, W, 3) uint8 RGB crop.
        keypoints: (K, 2) predicted, in pixels of the crop.
        scores: (K,) of the prediction.
        true_keypoints: (K, 2) labeled, in pixels of the crop; None without labels.
        visible: (K,), above 0 for a labeled keypoint.
        heatmaps: (K, h, w) predicted; its corner pixels coincide with those of the crop. None leaves out the column.
        name: caption of the crop.
    """

    image: np.ndarray
    keypoints: np.ndarray
    scores: np.ndarray
    true_keypoints: np.ndarray | None = None
    visible: np.ndarray | None = None
    heatmaps: np.ndarray | None = None
    name: str = ''


def draw_pose_panel(
    rows: Sequence[PosePanelRow],
    skeleton: Skeleton | str,
    *,
    threshold: float = 0.3,
    side: int = 384,
    palette: str = PALETTES[0],
) -> np.ndarray:
    """Draw rows [crop | ground truth | prediction | heatmaps] with captions: name, number of labeled keypoints, their mean error
    in pixels of the crop, mean score, value of the brightest color of the heatmaps.

    Args:
        rows: at least one.
        skeleton: see :func:`sapiens.metainfo.get_skeleton`.
        threshold: minimum score of a drawn keypoint.
        side: longer side of a tile in pixels, less where the figure would be too large; see :func:`.tiles.arrange`. Crops
            are resized before drawing.
        palette: see :func:`sapiens.metainfo.palettes.with_palette`.

    Raises:
        ValueError: no rows.
    """
    skeleton = get_skeleton(skeleton)
    look = dict(threshold=threshold, palette=palette)
    columns = COLUMNS if any(row.heatmaps is not None for row in rows) else COLUMNS[:-1]
    lines, places = [], arrange([row.image for row in rows], len(columns), side)
    for row in rows:
        image = places.scaled(row.image)
        labelled = row.true_keypoints is not None
        truth = np.full_like(image, 255)
        if labelled:
            points = resized_points(row.true_keypoints, row.image, image)
            truth = draw_pose(image, points, row.visible > 0, skeleton, threshold=0.5, palette=palette)
        points = resized_points(row.keypoints, row.image, image)
        tiles = [image, truth, draw_pose(image, points, row.scores, skeleton, **look)]
        texts = [row.name, '', f'mean score {np.mean(row.scores):.2f}']
        if row.heatmaps is not None:
            to_tile = cells_to_pixels(row.heatmaps.shape[1:], row.image.shape, image.shape)
            highest = heatmap_limit([row.heatmaps])
            tiles.append(draw_heatmaps(image, row.heatmaps, skeleton, transforms=[to_tile], limit=highest, **look))
            texts.append(f'brightest: {highest:.2g}')
        if labelled:
            error = mean_error(row.keypoints, row.true_keypoints, row.visible)
            texts[1] = f'{int((row.visible > 0).sum())} of {len(skeleton)} labeled'
            texts[2] = f'mean error {error:.1f} px, {texts[2]}'
        lines.append([Tile(tile, text) for tile, text in zip(tiles, texts, strict=False)])
    return join_tiles(lines, columns, places.blocks)


def mean_error(keypoints: np.ndarray, true_keypoints: np.ndarray, visible: np.ndarray) -> float:
    """Compute the mean distance in pixels over the labeled keypoints (``visible`` > 0); NaN if none is labeled or predicted.

    Args:
        keypoints, true_keypoints: (K, 2).
        visible: (K,).
    """
    distances = np.linalg.norm(np.asarray(keypoints) - np.asarray(true_keypoints), axis=-1)[np.asarray(visible) > 0]
    distances = distances[np.isfinite(distances)]
    return float(distances.mean()) if len(distances) else float('nan')
