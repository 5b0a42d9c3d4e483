"""Figures of pose results: people in one of the styles, with ids, or close-ups of faces and hands."""

from collections.abc import Sequence

import numpy as np

from sapiens.metainfo import Skeleton, get_skeleton
from sapiens.metainfo.palettes import PALETTES

from .layout import contact_sheet, resized_points, scaled, write
from .openpose import draw_openpose
from .point_labels import Labels, text_height, text_rim
from .pose import draw_box, draw_pose

__all__ = ['STYLES', 'draw_part', 'draw_people', 'part_box']

STYLES = ('default', 'openpose')
PARTS = {'face': ('face',), 'hand': ('left_hand', 'right_hand')}


def draw_people(
    image: np.ndarray,
    keypoints: np.ndarray,
    scores: np.ndarray,
    skeleton: Skeleton | str,
    *,
    boxes: np.ndarray | None = None,
    ids: np.ndarray | None = None,
    style: str = 'default',
    threshold: float = 0.3,
    radius: float | None = None,
    thickness: int | None = None,
    show_boxes: bool = False,
    show_indices: bool = False,
    palette: str = PALETTES[0],
) -> np.ndarray:
    """Draw people.

    Args:
        image: (H, W, 3) uint8 RGB.
        keypoints: (N, K, 2) pixels.
        scores: (N, K).
        skeleton: see :func:`sapiens.metainfo.get_skeleton`.
        boxes: (N, 4) x1, y1, x2, y2, drawn with ``show_boxes``.
        ids: (N,) ids of people, written at the upper left corners of their boxes.
        style: 'default' draws over the image (:func:`draw_pose`), 'openpose' on black (:func:`draw_openpose`).
        threshold: minimum score of a drawn keypoint.
        radius, thickness: in pixels; by default those of the style.
        show_boxes: draw the boxes.
        show_indices: write the index of each keypoint beside it, where it covers no other index. Indices of dense groups that
            have no place are left out: enlarge the image, or draw a part of it (:func:`draw_part`).
        palette: of the default style; see :func:`sapiens.metainfo.palettes.with_palette`.

    Raises:
        ValueError: an unknown style or palette, or one that the skeleton does not support.
    """
    skeleton = get_skeleton(skeleton)
    if style not in STYLES:
        raise ValueError(f'style={style!r} is not one of {STYLES}')
    if style == 'openpose':
        sizes = {key: int(value) for key, value in (('radius', radius), ('thickness', thickness)) if value is not None}
        canvas = draw_openpose(image, keypoints, scores, skeleton, threshold=threshold, **sizes)
        if show_boxes and boxes is not None:
            for box in np.asarray(boxes)[np.isfinite(boxes).all(1)]:
                draw_box(canvas, box)
    else:
        look = dict(threshold=threshold, radius=radius, thickness=thickness, palette=palette)
        canvas = draw_pose(image, keypoints, scores, skeleton, boxes=boxes if show_boxes else None, **look)
    if show_indices:
        texts = Labels(canvas)
        for points, values in zip(keypoints, scores, strict=True):
            for index in np.flatnonzero((values >= threshold) & np.isfinite(points).all(1)):
                texts.add(str(index), points[index])
    if ids is not None and boxes is not None:
        line, rim = text_height(canvas.shape), text_rim(canvas.shape)
        for number, (x, y) in zip(ids, np.rint(boxes[:, :2]).astype(int).tolist(), strict=True):
            if 0 <= x < canvas.shape[1] and 0 <= y < canvas.shape[0]:
                write(canvas, f'#{number}', (x + 2 * rim + 1, y + 2 * rim), (255, 255, 255), line, rim)
    return canvas


def draw_part(
    image: np.ndarray,
    keypoints: np.ndarray,
    scores: np.ndarray,
    skeleton: Skeleton | str,
    part: str,
    *,
    threshold: float = 0.3,
    side: int = 512,
    **options,
) -> np.ndarray | None:
    """Draw close-ups of faces or hands, where dense keypoints do not overlap.

    Args:
        image, keypoints, scores, skeleton, threshold: see :func:`draw_people`.
        part: 'face' or 'hand'.
        side: longer side of a tile in pixels.
        **options: ``style``, ``radius``, ``thickness``, ``show_indices`` and ``palette`` of :func:`draw_people`.

    Returns:
        A sheet of tiles; None if no such part is visible.

    Raises:
        ValueError: an unknown part, or a skeleton without it.
    """
    skeleton = get_skeleton(skeleton)
    if part not in PARTS:
        raise ValueError(f'part={part!r} is not one of {tuple(PARTS)}')
    for group in PARTS[part]:
        if group not in skeleton.groups:
            raise ValueError(f'{skeleton!r} has no group {group!r}: --crop {part} is for whole-body skeletons')
    tiles = []
    for points, values in zip(keypoints, scores, strict=True):
        for group in PARTS[part]:
            box = part_box(points, values, skeleton.groups[group], image.shape, threshold)
            if box is None:
                continue
            x1, y1, x2, y2 = box
            part_of_image = image[y1:y2, x1:x2]
            tile = scaled(part_of_image, side)
            moved = resized_points(points - np.array([x1, y1]), part_of_image, tile)
            tiles.append(draw_people(tile, moved[None], values[None], skeleton, threshold=threshold, **options))
    return contact_sheet(tiles, columns=4) if tiles else None


def part_box(
    points: np.ndarray, scores: np.ndarray, ids: Sequence[int], shape: Sequence[int], threshold: float
) -> tuple[int, int, int, int] | None:
    """Compute the box x1, y1, x2, y2 in whole pixels around the keypoints ``ids`` of a part, a quarter larger, inside an image of
    ``shape`` (H, W). None if fewer than three of them reach the threshold."""
    seen = np.asarray(ids)[(scores[ids] >= threshold) & np.isfinite(points[ids]).all(1)]
    if len(seen) < 3:
        return None
    low, high = points[seen].min(0), points[seen].max(0)
    margin = max(0.125 * float((high - low).max()), 2)
    x1, y1 = np.maximum(np.floor(low - margin), 0).astype(int)
    x2, y2 = np.minimum(np.ceil(high + margin) + 1, shape[1::-1]).astype(int)
    return (int(x1), int(y1), int(x2), int(y2)) if x2 - x1 > 1 and y2 - y1 > 1 else None
