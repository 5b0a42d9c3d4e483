"""Colors with and without their alpha.

Legend: alpha (H, W) float32 in [0, 1] is the fraction of a pixel that people cover. Straight colors (H, W, 3) are those of the
people; premultiplied ones are multiplied by alpha.
"""

import numpy as np

__all__ = ['OPAQUE', 'multiply', 'straight_colors']

# Alpha from which the color of the picture is that of the people. Source: the published matting data.
OPAQUE = 0.996


def multiply(colors: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Premultiplied colors (H, W, 3) float32 in [0, 1] of straight ones, float32 in [0, 1] or uint8."""
    factor = alpha * np.float32(1 / 255) if colors.dtype == np.uint8 else alpha
    return colors * factor[..., None]


def straight_colors(foreground: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Straight colors uint8 of premultiplied ones, float32 in [0, 1]; black where alpha is 0."""
    factor = np.divide(255, alpha, out=np.zeros_like(alpha), where=alpha > 0)
    return np.clip(np.rint(foreground * factor[..., None]), 0, 255).astype(np.uint8)
