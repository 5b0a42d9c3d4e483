"""Drawing of a map of any kind as colors."""

import cv2
import numpy as np

from sapiens.frames import to_published

from .labels import distinct_palette, draw_normals
from .layout import NOTHING

__all__ = ['draw_map']


def draw_map(
    values: np.ndarray,
    kind: str,
    valid: np.ndarray | None = None,
    limits: tuple[float, float] | None = None,
    background: int = NOTHING,
) -> np.ndarray:
    """Draw a map.

    Args:
        values: (H, W) or (H, W, K).
        kind: of :class:`sapiens.tasks.MapField`. Labels get distinct colors, unit vectors the colors of normals. Three
            channels become red, green and blue: unchanged if all values are in [0, 1], else scaled to their range. Other
            maps are drawn by their first channel, high values bright.
        valid: (H, W) bool; by default where all values are finite.
        limits: values that are darkest and brightest, for all channels; by default those of the map.
        background: gray level of pixels that are not valid.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    finite = np.isfinite(values) if values.ndim == 2 else np.isfinite(values).all(-1)
    valid = finite if valid is None else finite & valid
    if kind == 'labels':
        canvas = distinct_palette(256)[np.where(valid, values, 0).astype(np.int64) % 256]
    elif kind == 'unit_vectors':
        return draw_normals(to_published(values), valid, background)
    else:
        values = values if values.ndim == 2 or values.shape[2] == 3 else values[..., 0]
        shown = values[valid] if valid.any() else np.zeros((1, *values.shape[2:]))
        low, high = limits or (shown.min(0), shown.max(0))
        if limits is None and values.ndim == 3 and low.min() >= 0 and high.max() <= 1:
            low, high = 0, 1
        scaled = np.clip((np.where(valid if values.ndim == 2 else valid[..., None], values, low) - low)
                         / np.maximum(high - low, 1e-9), 0, 1)  # fmt: skip
        canvas = np.rint(scaled * 255).astype(np.uint8)
        if canvas.ndim == 2:
            canvas = cv2.cvtColor(cv2.applyColorMap(canvas, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    canvas[~valid] = background
    return canvas
