"""Images on surfaces, in sizes from that of the file to a few pixels, so that a distant surface does not flicker."""

from dataclasses import dataclass

import cv2
import numpy as np

from sapiens.utils.srgb import decode_srgb, encode_srgb

__all__ = ['ImageLevels']

_SMALLEST = 4  # pixels of the shorter side of the last level


@dataclass(frozen=True)
class ImageLevels:
    """An image in several sizes, as the renderer reads it.

    Attributes:
        pixels: (N,) uint32 of all levels, row by row: sRGB, 8 bits each, red in the lowest ones.
        levels: (first pixel, width, height) of each level; a level has half the width and height of the one before.
    """

    pixels: np.ndarray
    levels: list

    @classmethod
    def build(cls, image: np.ndarray, used: np.ndarray | None = None) -> 'ImageLevels':
        """Make the levels of an image. Light is averaged, not its sRGB code.

        Args:
            image: (H, W, 3) uint8 sRGB.
            used: (H, W) bool, the pixels that surfaces show. The others take the colors of the nearest ones, so that those
                between the patches of an atlas do not bleed into them. None for all.
        """
        if used is None or not used.any():
            used = np.ones(image.shape[:2], bool)
        coded, masks, mask = [image], [used], used
        while min(mask.shape) > _SMALLEST:
            image, mask = _half(image, mask)
            coded.append(image)
            masks.append(mask)
        mean = image[mask].mean(0).astype(np.uint8)
        coded[-1] = np.where(mask[..., None], image, mean)
        for number in range(len(coded) - 2, -1, -1):
            if not masks[number].all():
                larger = cv2.resize(coded[number + 1], masks[number].shape[::-1], interpolation=cv2.INTER_NEAREST)
                coded[number] = np.where(masks[number][..., None], coded[number], larger)
        levels, start = [], 0
        for level in coded:
            levels.append((start, level.shape[1], level.shape[0]))
            start += level.shape[0] * level.shape[1]
        pixels = np.zeros((start, 4), np.uint8)
        for (first, width, height), level in zip(levels, coded, strict=True):
            pixels[first : first + width * height, :3] = level.reshape(-1, 3)
        return cls(pixels.view('<u4').ravel(), levels)


_LIGHT = decode_srgb(np.arange(256) / 255).astype(np.float32)
_STEPS = 1 << 14
_CODE = np.rint(encode_srgb(np.arange(_STEPS) / (_STEPS - 1)) * 255).astype(np.uint8)


def _half(image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An image of half the size, of the pixels in the mask (H, W) bool, and the mask of its pixels."""
    size = mask.shape[1] // 2, mask.shape[0] // 2
    light = cv2.LUT(image, _LIGHT)
    if mask.all():
        light = cv2.resize(light, size, interpolation=cv2.INTER_AREA)
        mask = np.ones(size[::-1], bool)
    else:
        light *= mask[..., None]
        share = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        light = cv2.resize(light, size, interpolation=cv2.INTER_AREA) / np.maximum(share, 1e-6)[..., None]
        mask = share > 1e-3
    return _CODE[np.minimum(light * (_STEPS - 1) + 0.5, _STEPS - 1).astype(np.uint16)], mask
