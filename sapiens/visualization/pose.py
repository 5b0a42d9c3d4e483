"""Figures of keypoints: people over an image, and heatmaps over an image.

Images are (H, W, 3) uint8 RGB NumPy arrays and are never changed in place. Coordinates are in pixels; the center of the top-left
pixel is (0, 0). Boxes are x1, y1, x2, y2.

Legend: N people, K keypoints, H W image, h w heatmap.
"""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from sapiens.metainfo import Skeleton, get_skeleton
from sapiens.metainfo.coco17 import HEAD
from sapiens.metainfo.palettes import PALETTES, with_palette

from .sizes import BOX, RADIUS, RIM, pixels

__all__ = [
    'cells_to_pixels',
    'dash',
    'draw_box',
    'draw_heatmaps',
    'draw_pose',
    'heatmap_limit',
    'is_inside',
    'paint',
    'skeleton_of',
]

BOX_COLOR = (255, 255, 255)
DASH = 2.0  # length of a dash and of a gap, in widths of the line
_SHIFT = 4  # OpenCV draws at 1/16 of a pixel
_FRINGE = 0.5  # pixels by which the smooth edges of OpenCV's circles and polygons reach beyond them, about


def draw_pose(
    image: np.ndarray,
    keypoints: np.ndarray,
    scores: np.ndarray | None,
    skeleton: Skeleton | str,
    *,
    boxes: np.ndarray | None = None,
    threshold: float = 0.3,
    radius: float | None = None,
    thickness: float | None = None,
    box_color: Sequence[int] = BOX_COLOR,
    palette: str = PALETTES[0],
) -> np.ndarray:
    """Draw the keypoints of people and the links between them.

    A keypoint is drawn if its score reaches the threshold and it lies in the image; a link if both of its ends are drawn. NaN is
    never drawn.

    Args:
        image: (H, W, 3) uint8 RGB.
        keypoints: (N, K, 2) x, y, or (K, 2) of one person; N may be 0.
        scores: (N, K) or (K,), also visibilities; None draws every keypoint.
        skeleton: of the keypoints; see :func:`sapiens.metainfo.get_skeleton`.
        boxes: (M, 4), drawn with a dark rim below the people; M may differ from N.
        threshold: minimum score of a drawn keypoint.
        radius: of all keypoints in pixels; by default 1.2 % of a person's size, at most 1.6 % of the shorter side of the image,
            and less if the keypoints of a group (a face, a hand) lie closer.
        thickness: of all links in pixels; by default 3/4 of the radius of the smaller end, at least 1. 0 draws no links.
        box_color: RGB.
        palette: of keypoints and links; see :func:`sapiens.metainfo.palettes.with_palette`.

    Raises:
        ValueError: the number of keypoints is not that of the skeleton, scores have another shape, or an unknown palette.
    """
    skeleton = with_palette(get_skeleton(skeleton), palette)
    keypoints, scores = _people(keypoints, scores, skeleton)
    canvas = np.ascontiguousarray(image).copy()
    for box in np.asarray([] if boxes is None else boxes, np.float64).reshape(-1, 4):
        if np.isfinite(box).all():
            draw_box(canvas, box, box_color)
    shown = is_inside(keypoints, canvas) & (scores >= threshold)  # never where NaN
    for points, drawn in zip(keypoints, shown, strict=True):
        radii = (
            _radii(points, drawn, skeleton, canvas.shape) if radius is None else np.full(len(points), float(radius))
        )
        paint(canvas, points, drawn, skeleton, radii, thickness)
    return canvas


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


def is_inside(points: np.ndarray, canvas: np.ndarray) -> np.ndarray:
    """Return (..., K) bool, which points (..., K, 2) lie in the image (H, W, ...); NaN does not."""
    return ((points >= -0.5) & (points < np.array(canvas.shape[1::-1]) - 0.5)).all(-1)


def _radii(points: np.ndarray, drawn: np.ndarray, skeleton: Skeleton, shape: Sequence[int]) -> np.ndarray:
    """Radius of each keypoint in a picture of ``shape`` (H, W, ...): proportional to the person, and small enough to separate the
    points of a face or a hand."""
    radii = np.ones(len(points))
    if not drawn.any():
        return radii
    least, small, large = (pixels(size, shape, least) for size, least in zip(RADIUS, (0.6, 1.0, 1.0), strict=True))
    low, high = points[drawn].min(0), points[drawn].max(0)
    base = np.clip(0.012 * np.hypot(*(high - low)), small, large)
    radii[:] = base
    named = list(skeleton.groups.values())
    rest = np.setdiff1d(np.arange(len(points)), np.concatenate(named) if named else [])
    for ids in [*named, rest]:
        ids = ids[drawn[ids]]
        if len(ids) > 1:
            distances = np.linalg.norm(points[ids][:, None] - points[ids][None], axis=-1)
            np.fill_diagonal(distances, np.inf)
            radii[ids] = np.clip(0.3 * np.percentile(distances.min(1), 75), min(least, base), base)
    face = [index for index in skeleton.groups.get('face', ()) if drawn[index]]
    if len(face) > 1:  # the nose, eyes and ears of the body do not cover the face
        head = [skeleton.index(name) for name in HEAD if name in skeleton]
        radii[head] = np.minimum(radii[head], 2 * radii[face].max())
    return radii


def draw_box(canvas: np.ndarray, box: np.ndarray, color: Sequence[int] = BOX_COLOR) -> None:
    """Draw a box x1, y1, x2, y2 in place, with a dark rim that shows it on a bright image."""
    line, rim = pixels(BOX, canvas.shape, 1), pixels(RIM, canvas.shape, 1)
    _frame(canvas, box, line / 2 + rim, (0, 0, 0))
    _frame(canvas, box, line / 2, color)


def _frame(canvas: np.ndarray, box: np.ndarray, reach: float, color: Sequence[int]) -> None:
    """Color what is closer than ``reach`` pixels to the edges of a box, in place.

    Pixels at its borders are blended. OpenCV's lines have whole widths, which would make boxes heavier in small pictures.
    """
    x1, y1, x2, y2 = np.asarray(box, np.float64).tolist()
    height, width = canvas.shape[:2]
    outer_x, outer_y = _covered(width, x1 - reach, x2 + reach), _covered(height, y1 - reach, y2 + reach)
    inner_x, inner_y = _covered(width, x1 + reach, x2 - reach), _covered(height, y1 + reach, y2 - reach)
    for rows, columns in (
        ((outer_y > 0) & (inner_y < 1), outer_x > 0),
        (inner_y == 1, (outer_x > 0) & (inner_x < 1)),
    ):
        rows, columns = np.flatnonzero(rows), np.flatnonzero(columns)
        share = np.outer(outer_y[rows], outer_x[columns]) - np.outer(inner_y[rows], inner_x[columns])
        place, share = np.ix_(rows, columns), share[..., None]
        canvas[place] = np.rint(canvas[place] * (1 - share) + np.array(color) * share)


def _covered(size: int, low: float, high: float) -> np.ndarray:
    """Fraction of each of ``size`` pixels of a row that lies between two coordinates."""
    centers = np.arange(size)
    return np.clip(np.minimum(centers + 0.5, high) - np.maximum(centers - 0.5, low), 0, 1)


def paint(
    canvas: np.ndarray,
    points: np.ndarray,
    drawn: np.ndarray,
    skeleton: Skeleton,
    radii: np.ndarray,
    thickness: float | None = None,
    hidden: np.ndarray | None = None,
) -> None:
    """Draw one person in place.

    Args:
        canvas: (H, W, 3) uint8 RGB, contiguous.
        points: (K, 2).
        drawn: (K,) bool.
        radii: (K,) in pixels.
        thickness: of links; see :func:`draw_pose`.
        hidden: (K,) bool, drawn as a ring instead of a disc.
    """
    rim = pixels(RIM, canvas.shape)
    if thickness != 0:
        dashed = np.zeros(len(skeleton.links), bool) if skeleton.dashed is None else skeleton.dashed
        for (start, end), color, dashes in zip(
            skeleton.links.tolist(), skeleton.link_colors.tolist(), dashed.tolist(), strict=True
        ):
            if drawn[start] and drawn[end]:
                width = thickness or max(1.0, 0.75 * min(radii[start], radii[end]))
                _line(canvas, points[start], points[end], width, color)
                for tip in (start, end):
                    if width > 2 * radii[tip]:
                        _disc(canvas, points[tip], width / 2, color)
                if dashes:
                    dash(canvas, points[start], points[end], width, (radii[start], radii[end]))
    for i in np.flatnonzero(drawn):
        color = skeleton.colors[i].tolist()
        if hidden is not None and hidden[i]:
            ring = max(1, round(thickness or 1))
            cv2.circle(canvas, _fixed(points[i]), _fixed(radii[i]), color, ring, cv2.LINE_AA, _SHIFT)
            continue
        if radii[i] >= 2.5 * rim:  # separates a keypoint from its links; smaller ones would be covered by it
            _disc(canvas, points[i], radii[i] + rim, (0, 0, 0))
        _disc(canvas, points[i], radii[i], color)


def _fixed(values: np.ndarray | float) -> list[int] | int:
    """Pixels in the unit that OpenCV draws with."""
    return np.rint(np.asarray(values, np.float64) * (1 << _SHIFT)).astype(int).tolist()


def _disc(canvas: np.ndarray, center: np.ndarray, radius: float, color: Sequence[int]) -> None:
    cv2.circle(canvas, _fixed(center), _fixed(max(radius - _FRINGE, 0.1)), color, -1, cv2.LINE_AA, _SHIFT)


def _line(canvas: np.ndarray, start: np.ndarray, end: np.ndarray, width: float, color: Sequence[int]) -> None:
    """Draw a line with flat ends in place. The widths of OpenCV's own lines are whole, and one or two pixels more than asked for,
    which is much in a small picture."""
    along = np.asarray(end, np.float64) - start
    across = np.array([-along[1], along[0]]) / max(float(np.hypot(*along)), 1e-9) * max(width / 2 - _FRINGE, 0)
    corners = np.array(_fixed(np.stack([start + across, end + across, end - across, start - across])), np.int32)
    cv2.fillConvexPoly(canvas, corners, color, cv2.LINE_AA, _SHIFT)


def dash(
    canvas: np.ndarray, start: np.ndarray, end: np.ndarray, width: float, margins: tuple[float, float] = (0, 0)
) -> None:
    """Draw white dashes along a line in place, which stay inside it, so that its color shows on both sides.

    Args:
        start, end: of the line, (x, y).
        width: of the line in pixels.
        margins: pixels at both ends without dashes.
    """
    length = float(np.hypot(*(end - start)))
    free, period = length - sum(margins) - 2 * width, DASH * 2 * width
    count = int((free + period / 2) // period)
    if count < 1:
        return
    first = margins[0] + width + (free - (count - 0.5) * period) / 2
    for number in range(count):
        ends = (first + number * period, first + (number + 0.5) * period)
        _line(
            canvas, *(start + (end - start) * place / length for place in ends), max(1.0, width / 2), (255, 255, 255)
        )


def draw_heatmaps(
    image: np.ndarray,
    heatmaps: np.ndarray | Sequence[np.ndarray],
    skeleton: Skeleton | str | None = None,
    *,
    transforms: np.ndarray | None = None,
    threshold: float = 0.3,
    radius: float | None = None,
    limit: float = 1.0,
    palette: str = PALETTES[0],
) -> np.ndarray:
    """Overlay heatmaps on a darkened image: the maximum over keypoints and people, in OpenCV's INFERNO colors from 0 to
    ``limit``, and the peak of each keypoint in its color.

    Args:
        image: (H, W, 3) uint8 RGB.
        heatmaps: (K, h, w), or N of them.
        skeleton: of the keypoints; see :func:`sapiens.metainfo.get_skeleton`. None draws no peaks.
        transforms: (N, 2, 3), from pixels of a heatmap to pixels of the image; by default the corner pixels of both coincide
            (UDP).
        threshold: minimum value of a drawn peak.
        radius: of a peak in pixels; by default half of that of :func:`draw_pose`, at least 1.
        limit: value with the brightest color, above 0.
        palette: of the peaks; see :func:`sapiens.metainfo.palettes.with_palette`.

    Raises:
        ValueError: the number of heatmaps is not that of the skeleton, or there are not as many transforms as heatmaps.
    """
    people = [heatmaps] if getattr(heatmaps, 'ndim', 4) == 3 else list(heatmaps)
    skeleton = None if skeleton is None else with_palette(get_skeleton(skeleton), palette)
    height, width = image.shape[:2]
    if transforms is None:
        transforms = [cells_to_pixels(maps.shape[1:], image.shape, image.shape) for maps in people]
    if len(transforms) != len(people):
        raise ValueError(f'{len(transforms)} transforms for the heatmaps of {len(people)} people')
    transforms = [np.asarray(transform, np.float64) for transform in transforms]
    highest = np.zeros((height, width), np.float32)
    for maps, transform in zip(people, transforms, strict=True):
        if skeleton is not None and len(maps) != len(skeleton):
            raise ValueError(f'{len(maps)} heatmaps, but {skeleton.name!r} has {len(skeleton)} keypoints')
        own = cv2.warpAffine(np.nan_to_num(maps).max(0).astype(np.float32), transform, (width, height))
        np.maximum(highest, own, out=highest)
    highest = np.clip(highest / limit, 0, 1)
    colors = cv2.applyColorMap(np.rint(highest * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    opacity = np.sqrt(highest)[..., None]
    canvas = np.rint((1 - opacity) * 0.5 * image + opacity * colors).astype(np.uint8)
    if skeleton is not None:
        for maps, transform in zip(people, transforms, strict=True):
            flat = np.nan_to_num(np.asarray(maps, np.float32)).reshape(len(maps), -1)
            y, x = np.divmod(flat.argmax(1), maps.shape[2])
            points = np.stack([x, y], -1) @ transform[:, :2].T + transform[:, 2]
            found = flat.max(1)
            drawn = (found >= threshold) & (found > 0) & is_inside(points, canvas)
            radii = (
                np.maximum(_radii(points, drawn, skeleton, canvas.shape) / 2, 1)
                if radius is None
                else np.full(len(points), float(radius))
            )
            paint(canvas, points, drawn, skeleton, radii, thickness=0)
    return canvas


def heatmap_limit(heatmaps: Sequence[np.ndarray]) -> float:
    """Return the largest finite value of heatmaps (K, h, w), for ``limit`` of :func:`draw_heatmaps`; 1 without any above 0.

    Heatmaps of a network that has learned little are far below 1.
    """
    highest = max((float(np.nan_to_num(maps, posinf=0).max()) for maps in heatmaps if maps.size), default=0.0)
    return highest if highest > 0 else 1.0


def cells_to_pixels(cells: Sequence[int], crop: Sequence[int], shown: Sequence[int]) -> np.ndarray:
    """(2, 3) from cells of an (h, w) map to pixels of its (H, W) crop, resized to another (H, W). The corner cells coincide with
    the corner pixels of the crop (UDP)."""
    w, h = ((crop[i] - 1) / max(cells[i] - 1, 1) for i in (1, 0))
    x, y = (shown[i] / crop[i] for i in (1, 0))
    return np.array([[w * x, 0, x / 2 - 0.5], [0, h * y, y / 2 - 0.5]])


def skeleton_of(metainfo: Mapping | None) -> Skeleton | None:
    """Get the skeleton of a dataset's ``metainfo`` in the form of this package (``keypoint_info``) or of mmpose's parser
    (``keypoint_id2name``); None without one."""
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
