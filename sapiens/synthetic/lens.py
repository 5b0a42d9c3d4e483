"""Depth of field: what lies before and behind people blurs with its distance from them.

People are in focus from the nearest to the farthest, like on a photograph of a group, so that their alpha and foreground are not
blurred: the picture is the foreground over a blurred background.
"""

import cv2
import numpy as np

from .render import Rendering

__all__ = ['blur_radius', 'defocus']

_PEOPLE = 0.02, 0.98  # quantiles of the depth of people that are in focus
_LEVELS = 5  # the largest blur is 2 ** (_LEVELS - 1) pixels


def blur_radius(depth: np.ndarray, focus: tuple[float, float], aperture: float, focal: float) -> np.ndarray:
    """Standard deviations in pixels of the blur of points, by thin lens.

    Args:
        depth: meters along z; 0 is infinitely far.
        focus: nearest and farthest depth that is sharp, in meters.
        aperture: standard deviation in meters of the light over the lens.
        focal: focal length in pixels.
    """
    inverse = np.where(depth > 0, 1 / np.maximum(depth, 1e-3), 0)
    off = np.maximum(np.maximum(1 / focus[1] - inverse, inverse - 1 / focus[0]), 0)
    return (aperture * focal * off).astype(np.float32)


def defocus(rendering: Rendering, aperture: float, focal: float) -> np.ndarray:
    """Return the color (H, W, 3) of a rendering through a lens that is focused on people.

    ``front + (1 - alpha) * background``, with the background without people blurred by its own distance. Its hidden parts are
    filled with what is near them.

    Args:
        aperture, focal: see :func:`blur_radius`.
    """
    person = rendering.instance > 0
    if not person.any():
        return rendering.color
    near, far = np.quantile(rendering.depth[person], _PEOPLE)
    radius = blur_radius(rendering.depth, (float(near), float(far)), aperture, focal)
    # On the outline of people, the blur of what is next to them.
    radius = np.where(person, cv2.dilate(np.where(person, np.float32(0), radius), np.ones((3, 3))), radius)
    largest = float(radius.max())
    if largest < 0.5:
        return rendering.color
    share = 1 - rendering.alpha
    level = np.clip(np.log2(np.maximum(radius, 0.5)) + 1, 0, _LEVELS)[..., None]  # 0: sharp, n: 2 ** (n - 1) pixels
    small = np.dstack([rendering.color - rendering.front, share])
    behind = small[..., :3] * np.maximum(1 - level, 0)
    height, width = share.shape
    for n in range(1, min(int(np.ceil(np.log2(largest))) + 1, _LEVELS) + 1):
        # Each level is twice as blurred as the one before, and from the third on half as large.
        sigma = (1, np.sqrt(3), np.sqrt(3))[min(n, 3) - 1]
        if n > 2:
            small = cv2.resize(small, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        small = cv2.GaussianBlur(small, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
        full = small if small.shape[:2] == share.shape else cv2.resize(small, (width, height))
        mean = full[..., :3] / np.maximum(full[..., 3:], 1e-4)
        behind += mean * share[..., None] * np.maximum(1 - np.abs(level - n), 0)
    return rendering.front + behind
