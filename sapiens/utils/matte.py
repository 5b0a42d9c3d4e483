"""Colors with and without their alpha.

Legend: alpha (H, W) float32 in [0, 1] is the fraction of a pixel that people cover. Straight colors (H, W, 3) are those of the
people; premultiplied ones are multiplied by alpha.
"""

import cv2
import numpy as np

from .srgb import decode_srgb, encode_srgb

__all__ = ['OPAQUE', 'compose_linear', 'multiply', 'straight_colors']

_DECODED = decode_srgb(np.arange(256, dtype=np.float32) / 255)  # light of each 8-bit value
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


def compose_linear(front: np.ndarray, behind: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Mix two images in linear light: ``encode(alpha decode(front) + (1 - alpha) decode(behind))`` with the curve of sRGB.

    Args:
        front, behind: (H, W, 3) uint8, sRGB.
        alpha: (H, W) float32 in [0, 1], the share of ``front``.

    Returns:
        (H, W, 3) uint8, sRGB. Pixels of alpha 0 and 1 are exactly those of the images.
    """
    result = cv2.copyTo(front, (alpha >= 1).view(np.uint8), behind.copy())
    mixed = (alpha > 0) & (alpha < 1)
    share = alpha[mixed][:, None]
    light = share * _DECODED[front[mixed]] + (1 - share) * _DECODED[behind[mixed]]
    result[mixed] = np.rint(encode_srgb(light) * 255).astype(np.uint8)
    return result
