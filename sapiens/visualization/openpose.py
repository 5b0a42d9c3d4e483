"""OpenPose's pictures of people: coloured sticks on black, as ControlNet takes them."""

import math

import cv2
import numpy as np

from sapiens.metainfo import Skeleton
from sapiens.metainfo.openpose import to_openpose

__all__ = ['draw_openpose']

LINK_OPACITY = 0.6


def draw_openpose(
    image: np.ndarray,
    keypoints: np.ndarray,
    scores: np.ndarray,
    skeleton: Skeleton | str,
    *,
    threshold: float = 0.3,
    radius: int = 4,
    thickness: int = 4,
    opacity: float = 0.8,
) -> np.ndarray:
    """Draw people in OpenPose's order and colours on black.

    A link is a filled ellipse, half as long as the link and ``thickness`` to either side, six tenths opaque; it is drawn where
    both ends reach the threshold and lie in the picture, not on its first row or column (as published). A keypoint is a disc,
    those of feet, face and hands of half the radius.

    Args:
        image: (H, W, 3), for the size.
        keypoints: (N, K, 2) pixels.
        scores: (N, K).
        skeleton: of 17, 133 or any other points among which are COCO's of the body.
        threshold: least score that is drawn.
        radius: of a keypoint in whole pixels.
        thickness: half the width of a link in whole pixels.
        opacity: of the keypoints, 0 to 1.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ValueError: a skeleton without COCO's body keypoints.
    """
    points, scores, target = to_openpose(keypoints, scores, skeleton, threshold)
    picture = np.zeros((*image.shape[:2], 3), np.uint8)
    height, width = picture.shape[:2]
    for person, values in zip(points, scores, strict=True):
        known = (values >= threshold) & np.isfinite(person).all(1)
        # Far outside of the picture OpenCV's numbers overflow; there nothing is seen anyway.
        known &= (np.abs(np.nan_to_num(person)) < 8 * max(height, width)).all(1)
        cells = np.where(known[:, None], person, 0).astype(int)  # towards zero, as published
        inside = known & (cells > 0).all(1) & (cells < (width, height)).all(1)
        for (start, end), color in zip(target.links.tolist(), target.link_colors.tolist(), strict=True):
            if inside[start] and inside[end]:
                _blend(picture, _ellipse(cells[start], cells[end], thickness), color, LINK_OPACITY)
        for index in np.flatnonzero(known):
            size = radius // 2 if index > 17 else radius
            _disc(picture, cells[index], size, target.colors[index].tolist(), opacity)
    return picture


def _ellipse(start: np.ndarray, end: np.ndarray, thickness: int) -> np.ndarray:
    """Corners of the ellipse between two points."""
    x, y = start - end
    middle = (start + end) / 2
    angle = math.degrees(math.atan2(y, x))
    axes = int(math.hypot(x, y) / 2), int(thickness)
    return cv2.ellipse2Poly((int(middle[0]), int(middle[1])), axes, int(angle), 0, 360, 1)


def _blend(picture: np.ndarray, polygon: np.ndarray, color, opacity: float) -> None:
    """Fill a convex polygon, in place; only its surroundings are touched."""
    low, high = polygon.min(0) - 1, polygon.max(0) + 2
    part = _part(picture, low, high)
    if part.size:
        shift = -np.maximum(low, 0)
        filled = cv2.fillConvexPoly(part.copy(), polygon + shift, color)
        part[...] = cv2.addWeighted(part, 1 - opacity, filled, opacity, 0)


def _disc(picture: np.ndarray, center: np.ndarray, radius: int, color, opacity: float) -> None:
    low, high = center - radius - 1, center + radius + 2
    part = _part(picture, low, high)
    if part.size:
        shift = -np.maximum(low, 0)
        filled = cv2.circle(part.copy(), (center + shift).tolist(), int(radius), color, -1)
        part[...] = cv2.addWeighted(part, 1 - opacity, filled, opacity, 0)


def _part(picture: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    (x, y), (right, bottom) = np.maximum(low, 0), np.maximum(high, 0)
    return picture[y:bottom, x:right]
