"""Drawing of labels: segmentation, depth, normals, keypoints and boxes.

Images are (H, W, 3) uint8 RGB NumPy arrays and are never changed in place. Coordinates are in pixels; the center of the top-left
pixel is (0, 0).
"""

from collections.abc import Sequence

import cv2
import numpy as np

from sapiens.metainfo import Skeleton, get_skeleton
from sapiens.metainfo.palettes import PALETTES, with_palette

from .layout import NOTHING, write
from .pose import paint

__all__ = ['distinct_palette', 'draw_boxes', 'draw_depth', 'draw_keypoints', 'draw_normals', 'draw_segmentation']


def draw_segmentation(image: np.ndarray, labels: np.ndarray, palette: np.ndarray, alpha: float = 0.6) -> np.ndarray:
    """Overlay the colors of classes. Class 0 (background) and labels outside the palette (255: ignored) are not drawn.

    Args:
        image: (H, W, 3) uint8 RGB.
        labels: (H, W) integer class ids.
        palette: (C, 3) uint8 RGB, as in :attr:`sapiens.metainfo.ClassList.palette`.
        alpha: opacity of the colors, 0 to 1.

    Raises:
        ValueError: labels and image differ in size.
    """
    if labels.shape != image.shape[:2]:
        raise ValueError(f'labels are {labels.shape}, but the image is {image.shape[:2]} (H, W)')
    count = min(len(palette), 256)
    table, is_shown = np.zeros((256, 3), np.uint8), np.zeros(256, np.uint8)
    table[1:count], is_shown[1:count] = palette[1:count], 1
    labels = np.where((labels > 0) & (labels < count), labels, 0).astype(np.uint8)
    colors = cv2.LUT(cv2.merge([labels] * 3), table[:, None])
    return cv2.copyTo(cv2.addWeighted(colors, alpha, image, 1 - alpha, 0), cv2.LUT(labels, is_shown), image.copy())


def draw_depth(
    depth: np.ndarray,
    valid: np.ndarray | None = None,
    limits: tuple[float, float] | None = None,
    background: int = NOTHING,
) -> np.ndarray:
    """Draw depth in OpenCV's INFERNO colors, near is bright.

    Args:
        depth: (H, W) along z, in any unit.
        valid: (H, W) bool; by default where the depth is finite and above 0.
        limits: nearest and farthest depth of the color range; values outside are clipped. By default those of the valid pixels.
        background: gray level of invalid pixels.
    """
    valid = np.isfinite(depth) & (depth > 0) if valid is None else valid.astype(bool)
    values, everywhere = np.asarray(depth, np.float32), valid.all()
    if not everywhere:
        if not valid.any():
            return np.full((*depth.shape, 3), background, np.uint8)
        values = np.where(valid, values, values[valid].max())
    low, high = map(float, (values.min(), values.max()) if limits is None else limits)
    scale = 255 / max(high - low, 1e-9)
    # convertScaleAbs rounds; its absolute value has no effect within the limits.
    brightness = cv2.convertScaleAbs(np.clip(values, low, high) - np.float32(low), alpha=-scale, beta=255)
    canvas = cv2.cvtColor(cv2.applyColorMap(brightness, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    if not everywhere:
        canvas[~valid] = background
    return canvas


def draw_normals(normal: np.ndarray, valid: np.ndarray | None = None, background: int = NOTHING) -> np.ndarray:
    """Draw normals as colors (n + 1) / 2.

    Args:
        normal: (H, W, 3) in the frame of the published models (x right, y up, z towards the camera): a surface that faces the
            camera is light blue.
        valid: (H, W) bool; by default where the normal is not zero.
        background: gray level of invalid pixels.
    """
    valid = (normal != 0).any(-1) if valid is None else valid.astype(bool)
    # convertScaleAbs rounds and clips at 255.
    colors = cv2.convertScaleAbs(np.maximum(normal, -1, dtype=np.float32), alpha=127.5, beta=127.5)
    colors[~valid] = background
    return colors


def draw_keypoints(
    image: np.ndarray,
    keypoints: np.ndarray,
    skeleton: Skeleton | str,
    radius: float = 3,
    thickness: int = 1,
    palette: str = PALETTES[0],
) -> np.ndarray:
    """Draw the keypoints and links of one person: a disc for a visible keypoint, a ring for a hidden one.

    Args:
        image: (H, W, 3) uint8 RGB.
        keypoints: (K, 2) x, y, all visible; or (K, 3) with COCO's visibility: 2 visible, 1 hidden, 0 not drawn. NaN is not drawn.
        skeleton: of the keypoints; see :func:`sapiens.metainfo.get_skeleton`.
        radius: of a keypoint in pixels.
        thickness: of links and rings in pixels; 0 draws no links.
        palette: see :func:`sapiens.metainfo.palettes.with_palette`.

    Raises:
        ValueError: the number of keypoints is not that of the skeleton.
    """
    skeleton = with_palette(get_skeleton(skeleton), palette)
    if keypoints.ndim != 2 or len(keypoints) != len(skeleton) or keypoints.shape[1] not in (2, 3):
        raise ValueError(
            f'keypoints of {skeleton.name!r} are ({len(skeleton)}, 2 or 3), found {tuple(keypoints.shape)}'
        )
    points = keypoints[:, :2]
    seen = keypoints[:, 2] if keypoints.shape[1] == 3 else np.full(len(points), 2)
    drawn = (seen > 0) & np.isfinite(points).all(1)
    # OpenCV's fixed-point numbers overflow far outside the image.
    limit = 8 * max(image.shape)
    drawn &= (np.abs(np.nan_to_num(points)) < limit).all(1)
    canvas = np.ascontiguousarray(image).copy()
    paint(canvas, points, drawn, skeleton, np.full(len(points), float(radius)), thickness, hidden=seen < 2)
    return canvas


def draw_boxes(
    image: np.ndarray,
    boxes: np.ndarray,
    colors: np.ndarray | Sequence[int] = (255, 255, 255),
    names: Sequence[str] | None = None,
    thickness: int = 2,
) -> np.ndarray:
    """Draw boxes, optionally with a name in the upper left corner.

    Args:
        image: (H, W, 3) uint8 RGB.
        boxes: (N, 4) x, y, w, h.
        colors: (3,) or (N, 3) uint8 RGB.
        names: N texts.
    """
    canvas = np.ascontiguousarray(image).copy()
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    colors = np.broadcast_to(np.asarray(colors, int), (len(boxes), 3)).tolist()
    for i, ((x, y, w, h), color) in enumerate(zip(boxes, colors, strict=True)):
        # The outermost pixels inside the box.
        start, end = (round(x), round(y)), (round(x + w) - 1, round(y + h) - 1)
        cv2.rectangle(canvas, start, end, color, thickness)
        if names is not None:
            write(canvas, str(names[i]), (start[0] + thickness + 1, start[1] + thickness + 1), color)
    return canvas


def distinct_palette(count: int) -> np.ndarray:
    """Make ``count`` distinct colors (count, 3) uint8 RGB, black first. Hues are spaced by the golden angle."""
    hue = (np.arange(count) * 0.61803398875 * 180 % 180).astype(np.uint8)
    value = np.where(np.arange(count) % 2, 255, 190).astype(np.uint8)
    palette = cv2.cvtColor(np.stack([hue, np.full(count, 210, np.uint8), value], -1)[None], cv2.COLOR_HSV2RGB)[0]
    palette[:1] = 0
    return palette
