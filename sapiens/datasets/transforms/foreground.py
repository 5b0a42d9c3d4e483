"""The colors of people without their background, which follow the colors of the picture.

Legend: a foreground is (H, W, 3) float32 in [0, 1], sRGB-coded RGB times alpha; alpha (H, W) float32 in [0, 1].
"""

from collections.abc import Callable

import numpy as np

from .color_files import multiply

__all__ = ['change_foreground', 'straight_colors']


def straight_colors(foreground: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 colors that are not multiplied by alpha; black where alpha is 0."""
    factor = np.divide(255, alpha, out=np.zeros_like(alpha), where=alpha > 0)
    return np.clip(np.rint(foreground * factor[..., None]), 0, 255).astype(np.uint8)


def change_foreground(results: dict, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Apply a change of the picture's colors to ``gt_foreground``, where a sample has one, with its ``gt_alpha``.

    Args:
        change: of images (H, W, 3) uint8 RGB.
    """
    if 'gt_foreground' in results:
        alpha = results['gt_alpha']
        colors = straight_colors(results['gt_foreground'], alpha)
        results['gt_foreground'] = multiply(change(colors), alpha)
