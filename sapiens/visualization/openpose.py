"""Figures of people in OpenPose's style: colored links on black, as ControlNet expects them."""

import math

import cv2
import numpy as np

from sapiens.metainfo import Skeleton
from sapiens.metainfo.openpose import to_openpose

from .sizes import STICK, pixels

__all__ = ['draw_openpose']

LINK_OPACITY = 0.6


def draw_openpose(
    image: np.ndarray,
    keypoints: np.ndarray,
    scores: np.ndarray,
    skeleton: Skeleton | str,
    *,
    threshold: float = 0.3,
    radius: int | None = None,
    thickness: int | None = None,
    opacity: float = 0.8,
) -> np.ndarray:
    """Draw people in OpenPose's keypoint order and colors on black.

    A link is a filled ellipse with the half axes length / 2 and ``thickness``, and an opacity of 0.6. It is drawn if both ends
    reach the threshold and lie in the image, not on its first row or column (as published). A keypoint is a disc; keypoints of
    feet, face and hands have half the radius.

    Args:
        image: (H, W, 3); only its size is used.
        keypoints: (N, K, 2) pixels.
        scores: (N, K).
        skeleton: of the keypoints. Must contain COCO's body keypoints.
        threshold: minimum score of a drawn keypoint.
        radius: of a keypoint in whole pixels; by default 0.8 % of the shorter side, 4 (as published) of 512 pixels.
        thickness: half the width of a link in whole pixels; the same by default.
        opacity: of the keypoints, 0 to 1.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ValueError: a skeleton without COCO's body keypoints.
    """
    points, scores, target = to_openpose(keypoints, scores, skeleton, threshold)
    canvas = np.zeros((*image.shape[:2], 3), np.uint8)
    height, width = canvas.shape[:2]
    stick = round(pixels(STICK, canvas.shape, 1))
    radius, thickness = (stick if size is None else size for size in (radius, thickness))
    for person, values in zip(points, scores, strict=True):
        known = (values >= threshold) & np.isfinite(person).all(1)
        # OpenCV's numbers overflow far outside the image.
        known &= (np.abs(np.nan_to_num(person)) < 8 * max(height, width)).all(1)
        cells = np.where(known[:, None], person, 0).astype(int)  # rounds towards zero, as published
        inside = known & (cells > 0).all(1) & (cells < (width, height)).all(1)
        for (start, end), color in zip(target.links.tolist(), target.link_colors.tolist(), strict=True):
            if inside[start] and inside[end]:
                link = _ellipse(cells[start], cells[end], thickness)
                _blend(canvas, link.min(0) - 1, link.max(0) + 2, cv2.fillConvexPoly, link, (color,), LINK_OPACITY)
        for index in np.flatnonzero(known):
            size = radius // 2 if index > 17 else radius
            look = int(size), target.colors[index].tolist(), -1
            _blend(canvas, cells[index] - size - 1, cells[index] + size + 2, cv2.circle, cells[index], look, opacity)
    return canvas


def _ellipse(start: np.ndarray, end: np.ndarray, thickness: int) -> np.ndarray:
    """Polygon of the ellipse between two points."""
    x, y = start - end
    middle = (start + end) / 2
    angle = math.degrees(math.atan2(y, x))
    axes = int(math.hypot(x, y) / 2), int(thickness)
    return cv2.ellipse2Poly((int(middle[0]), int(middle[1])), axes, int(angle), 0, 360, 1)


def _blend(
    canvas: np.ndarray, low: np.ndarray, high: np.ndarray, draw, points: np.ndarray, look, opacity: float
) -> None:
    """Blend a shape in place that lies between the corners ``low`` and ``high`` (x, y): ``draw(image, points, *look)``."""
    (x, y), (right, bottom) = np.maximum(low, 0), np.maximum(high, 0)
    part = canvas[y:bottom, x:right]
    if part.size:
        filled = draw(part.copy(), points - (x, y), *look)
        part[...] = cv2.addWeighted(part, 1 - opacity, filled, opacity, 0)
