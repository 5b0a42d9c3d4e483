"""Pictures of keypoints: people over an image, heatmaps over an image, and the panel of a training run.

Everything takes and returns numpy arrays; pictures are (H, W, 3) uint8 RGB and are never changed in place. Coordinates
are in pixels of the picture, with the centre of the top-left pixel at (0, 0); boxes are x1, y1, x2, y2.

Legend: N people, K keypoints, H W picture, h w heatmap.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from sapiens.metainfo import Skeleton, get_skeleton

from .layout import caption, join, resized_points, scaled

__all__ = ['PosePanelRow', 'draw_heatmaps', 'draw_pose', 'draw_pose_panel', 'mean_error', 'paint', 'skeleton_of']

BOX_COLOR = (255, 255, 255)
COLUMNS = ('crop', 'ground truth', 'prediction', 'heatmaps')
_SHIFT = 4  # OpenCV draws at 1/16 of a pixel


def draw_pose(
    image: np.ndarray,
    keypoints: np.ndarray,
    scores: np.ndarray | None,
    skeleton: Skeleton | str,
    *,
    boxes: np.ndarray | None = None,
    threshold: float = 0.3,
    radius: float | None = None,
    thickness: int | None = None,
    box_color: Sequence[int] = BOX_COLOR,
) -> np.ndarray:
    """Draw the keypoints of people and the links between them.

    A keypoint is drawn where its score reaches the threshold and it lies in the picture; a link where both of its ends
    are drawn. NaN is never drawn.

    Args:
        image: (H, W, 3) uint8 RGB.
        keypoints: (N, K, 2) x, y, or (K, 2) of one person; N may be 0.
        scores: (N, K) or (K,), also visibilities; None draws every keypoint.
        skeleton: whatever :func:`sapiens.metainfo.get_skeleton` takes; gives links and colours.
        boxes: (M, 4), drawn thinly below the people; M need not be N.
        threshold: least score of a keypoint that is drawn.
        radius: of a keypoint in pixels, for all; by default 1.2 % of a person's size, less where the keypoints of a
            group (a face, a hand) lie closer.
        thickness: of a link in whole pixels, for all; by default three quarters of the radius of its smaller end, at
            least 1. 0 draws no links.
        box_color: RGB.

    Raises:
        ValueError: another number of keypoints than the skeleton's, or scores of another shape.
    """
    skeleton = get_skeleton(skeleton)
    keypoints, scores = _people(keypoints, scores, skeleton)
    picture = np.ascontiguousarray(image).copy()
    height, width = picture.shape[:2]
    line = max(1, round(max(height, width) / 500))
    for box in np.asarray([] if boxes is None else boxes, np.float64).reshape(-1, 4):
        if np.isfinite(box).all():
            start, end = np.rint(np.clip(box.reshape(2, 2), -line, [width, height])).astype(int).tolist()
            cv2.rectangle(picture, start, end, tuple(map(int, box_color)), line)
    shown = _inside(keypoints, picture) & (scores >= threshold)  # never where NaN
    for points, drawn in zip(keypoints, shown, strict=True):
        radii = _radii(points, drawn, skeleton) if radius is None else np.full(len(points), float(radius))
        paint(picture, points, drawn, skeleton, radii, thickness)
    return picture


def _people(keypoints, scores, skeleton: Skeleton) -> tuple[np.ndarray, np.ndarray]:
    """(N, K, 2) and (N, K), checked."""
    keypoints = np.asarray(keypoints, np.float64)
    if keypoints.ndim == 2:
        keypoints, scores = keypoints[None], None if scores is None else np.asarray(scores)[None]
    if keypoints.ndim != 3 or keypoints.shape[1:] != (len(skeleton), 2):
        raise ValueError(
            f'keypoints of {skeleton.name!r} are (N, {len(skeleton)}, 2) or ({len(skeleton)}, 2), found {keypoints.shape}'
        )
    scores = np.full(keypoints.shape[:2], np.inf) if scores is None else np.asarray(scores, np.float64)
    if scores.shape != keypoints.shape[:2]:
        raise ValueError(f'scores are {scores.shape}, expected {keypoints.shape[:2]}: one for each keypoint')
    return keypoints, scores


def _inside(points: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """(..., K) bool, which points (..., K, 2) lie on a pixel of the picture; NaN does not."""
    return ((points >= -0.5) & (points < np.array(picture.shape[1::-1]) - 0.5)).all(-1)


def _radii(points: np.ndarray, drawn: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Radius of each keypoint: in proportion to the person, and so small that the points of a face or a hand stay apart."""
    radii = np.ones(len(points))
    if not drawn.any():
        return radii
    low, high = points[drawn].min(0), points[drawn].max(0)
    base = np.clip(0.012 * np.hypot(*(high - low)), 1.5, 12)
    radii[:] = base
    named = list(skeleton.groups.values())
    rest = np.setdiff1d(np.arange(len(points)), np.concatenate(named) if named else [])
    for ids in [*named, rest]:
        ids = ids[drawn[ids]]
        if len(ids) > 1:
            distances = np.linalg.norm(points[ids][:, None] - points[ids][None], axis=-1)
            np.fill_diagonal(distances, np.inf)
            radii[ids] = np.clip(0.3 * np.percentile(distances.min(1), 75), 0.6, base)
    return radii


def paint(
    picture: np.ndarray,
    points: np.ndarray,
    drawn: np.ndarray,
    skeleton: Skeleton,
    radii: np.ndarray,
    thickness: int | None = None,
    hidden: np.ndarray | None = None,
) -> None:
    """Draw one person into a picture, in place.

    Args:
        picture: (H, W, 3) uint8 RGB, contiguous.
        points: (K, 2).
        drawn: (K,) bool.
        radii: (K,) in pixels.
        thickness: of links; see :func:`draw_pose`.
        hidden: (K,) bool, drawn as a ring and not as a disc.
    """
    fixed = _fixed(np.where(drawn[:, None], points, 0))
    if thickness != 0:
        for (start, end), color in zip(skeleton.links.tolist(), skeleton.link_colors.tolist(), strict=True):
            if drawn[start] and drawn[end]:
                width = thickness or max(1, round(0.75 * min(radii[start], radii[end])))
                cv2.line(picture, fixed[start], fixed[end], color, width, cv2.LINE_AA, _SHIFT)
    for i in np.flatnonzero(drawn):
        size, color = round(radii[i] * (1 << _SHIFT)), skeleton.colors[i].tolist()
        if hidden is not None and hidden[i]:
            cv2.circle(picture, fixed[i], size, color, max(1, thickness or 1), cv2.LINE_AA, _SHIFT)
            continue
        if radii[i] >= 2.5:  # a dark rim tells a keypoint from its links; around smaller ones it would be all there is
            cv2.circle(picture, fixed[i], size + (1 << _SHIFT), (0, 0, 0), -1, cv2.LINE_AA, _SHIFT)
        cv2.circle(picture, fixed[i], size, color, -1, cv2.LINE_AA, _SHIFT)


def _fixed(points: np.ndarray) -> list[list[int]]:
    """OpenCV's fixed-point coordinates."""
    return np.rint(np.asarray(points) * (1 << _SHIFT)).astype(int).tolist()


def draw_heatmaps(
    image: np.ndarray,
    heatmaps: np.ndarray | Sequence[np.ndarray],
    skeleton: Skeleton | str | None = None,
    *,
    transforms: np.ndarray | None = None,
    threshold: float = 0.3,
    radius: float | None = None,
) -> np.ndarray:
    """Lay heatmaps over a darkened image: the maximum over keypoints and people, in OpenCV's INFERNO colours from 0
    (nothing) to 1 (bright), and on it each keypoint's highest point in its own colour.

    The range is fixed, so that pictures of different iterations can be compared.

    Args:
        image: (H, W, 3) uint8 RGB.
        heatmaps: (K, h, w), or N of them.
        skeleton: whatever :func:`sapiens.metainfo.get_skeleton` takes; None draws no peaks.
        transforms: (N, 2, 3), from pixels of a heatmap to pixels of the image; by default the corner pixels of both lie on
            each other (UDP).
        threshold: least value of a peak that is drawn.
        radius: of a peak in pixels; by default half of what :func:`draw_pose` takes, so that the colours below stay visible.

    Raises:
        ValueError: another number of keypoints than the skeleton's, or of transforms than of heatmaps.
    """
    people = [heatmaps] if getattr(heatmaps, 'ndim', 4) == 3 else list(heatmaps)
    skeleton = None if skeleton is None else get_skeleton(skeleton)
    height, width = image.shape[:2]
    if transforms is None:
        transforms = [_cells_to_pixels(maps.shape[1:], image.shape, image.shape) for maps in people]
    if len(transforms) != len(people):
        raise ValueError(f'{len(transforms)} transforms for the heatmaps of {len(people)} people')
    highest = np.zeros((height, width), np.float32)
    for maps, transform in zip(people, transforms, strict=True):
        if skeleton is not None and len(maps) != len(skeleton):
            raise ValueError(f'{len(maps)} heatmaps, but {skeleton.name!r} has {len(skeleton)} keypoints')
        own = cv2.warpAffine(
            np.nan_to_num(maps).max(0).astype(np.float32), np.asarray(transform, np.float64), (width, height)
        )
        np.maximum(highest, own, out=highest)
    highest = np.clip(highest, 0, 1)
    colors = cv2.applyColorMap(np.rint(highest * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    share = np.sqrt(highest)[..., None]
    picture = np.rint((1 - share) * 0.5 * image + share * colors).astype(np.uint8)
    if skeleton is not None:
        for maps, transform in zip(people, transforms, strict=True):
            flat = np.nan_to_num(np.asarray(maps, np.float32)).reshape(len(maps), -1)
            y, x = np.divmod(flat.argmax(1), maps.shape[2])
            transform = np.asarray(transform, np.float64)
            points = np.stack([x, y], -1) @ transform[:, :2].T + transform[:, 2]
            found = flat.max(1)
            drawn = (found >= threshold) & (found > 0) & _inside(points, picture)
            radii = _radii(points, drawn, skeleton) / 2 if radius is None else np.full(len(points), float(radius))
            paint(picture, points, drawn, skeleton, radii, thickness=0)
    return picture


def _cells_to_pixels(cells: Sequence[int], crop: Sequence[int], shown: Sequence[int]) -> np.ndarray:
    """(2, 3), from cells of an (h, w) map to pixels of its (H, W) crop after that was resized to another (H, W): the corner cells
    lie on the corner pixels of the crop (UDP)."""
    w, h = ((crop[i] - 1) / max(cells[i] - 1, 1) for i in (1, 0))
    x, y = (shown[i] / crop[i] for i in (1, 0))
    return np.array([[w * x, 0, x / 2 - 0.5], [0, h * y, y / 2 - 0.5]])


class PosePanelRow(NamedTuple):
    """One row of :func:`draw_pose_panel`.

    Attributes:
        image: (H, W, 3) uint8 RGB crop.
        keypoints: (K, 2) predicted, in pixels of the crop.
        scores: (K,) of the prediction.
        true_keypoints: (K, 2) labelled, in pixels of the crop; None without labels.
        visible: (K,), above 0 where a keypoint is labelled.
        heatmaps: (K, h, w) predicted, corner pixels on those of the crop; None where they are not wanted.
        name: what the row shows.
    """

    image: np.ndarray
    keypoints: np.ndarray
    scores: np.ndarray
    true_keypoints: np.ndarray | None = None
    visible: np.ndarray | None = None
    heatmaps: np.ndarray | None = None
    name: str = ''


def draw_pose_panel(
    rows: Sequence[PosePanelRow], skeleton: Skeleton | str, *, threshold: float = 0.3, side: int = 384
) -> np.ndarray:
    """Draw rows [crop | ground truth | prediction | heatmaps], each with a caption: name, number of labelled keypoints,
    mean error over these in pixels of the crop, mean score.

    Args:
        rows: at least one.
        skeleton: whatever :func:`sapiens.metainfo.get_skeleton` takes.
        threshold: least score of a predicted keypoint that is drawn.
        side: longer side of a tile in pixels; crops are resized to it before anything is drawn on them.

    Raises:
        ValueError: no rows.
    """
    if not rows:
        raise ValueError('a panel of no rows: expected at least one crop')
    skeleton = get_skeleton(skeleton)
    blocks = []
    for number, row in enumerate(rows):
        image = scaled(row.image, side)
        labelled = row.true_keypoints is not None
        truth = np.full_like(image, 255)
        if labelled:
            points = resized_points(row.true_keypoints, row.image, image)
            truth = draw_pose(image, points, row.visible > 0, skeleton, threshold=0.5)
        points = resized_points(row.keypoints, row.image, image)
        tiles = [image, truth, draw_pose(image, points, row.scores, skeleton, threshold=threshold)]
        if row.heatmaps is not None:
            to_tile = _cells_to_pixels(row.heatmaps.shape[1:], row.image.shape, image.shape)
            tiles.append(draw_heatmaps(image, row.heatmaps, skeleton, transforms=[to_tile], threshold=threshold))
        width = image.shape[1]
        texts = [row.name, '', f'mean score {np.mean(row.scores):.2f}', 'maximum, 0 to 1']
        if labelled:
            error = mean_error(row.keypoints, row.true_keypoints, row.visible)
            texts[1] = f'{int((row.visible > 0).sum())} of {len(skeleton)} labelled'
            texts[2] = f'mean error {error:.1f} px, {texts[2]}'
        tiles = [
            join([tile, caption(width, *([COLUMNS[i]] if not number else []), texts[i])][::-1], axis=0, gap=0)
            for i, tile in enumerate(tiles)
        ]
        blocks.append(join(tiles, axis=1))
    return join(blocks, axis=0)


def mean_error(keypoints: np.ndarray, true_keypoints: np.ndarray, visible: np.ndarray) -> float:
    """Mean distance over the labelled keypoints (``visible`` > 0), in pixels; NaN where none is labelled or predicted.

    Args:
        keypoints, true_keypoints: (K, 2).
        visible: (K,).
    """
    distances = np.linalg.norm(np.asarray(keypoints) - np.asarray(true_keypoints), axis=-1)[np.asarray(visible) > 0]
    distances = distances[np.isfinite(distances)]
    return float(distances.mean()) if len(distances) else float('nan')


def skeleton_of(metainfo: Mapping | None) -> Skeleton | None:
    """The skeleton that a data set's ``metainfo`` describes, whether as this package writes it (``keypoint_info``) or as
    mmpose's parser does (``keypoint_id2name``); None where there is none in it."""
    metainfo = metainfo or {}
    if 'keypoint_info' in metainfo:
        return get_skeleton(metainfo)
    if 'keypoint_id2name' not in metainfo:
        return None
    names = [metainfo['keypoint_id2name'][index] for index in range(len(metainfo['keypoint_id2name']))]
    colors = np.asarray(metainfo['keypoint_colors']).tolist()
    links = np.asarray(metainfo['skeleton_links']).reshape(-1, 2).tolist()
    link_colors = np.asarray(metainfo['skeleton_link_colors']).tolist()
    return get_skeleton(
        dict(
            name=metainfo.get('dataset_name', 'skeleton'),
            keypoints=names,
            flip={name: names[partner] for name, partner in zip(names, metainfo['flip_indices'], strict=True)},
            colors=dict(zip(names, colors, strict=True)),
            links=[(names[a], names[b], color) for (a, b), color in zip(links, link_colors, strict=True)],
        )
    )
