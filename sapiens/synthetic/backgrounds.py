"""Photographs behind people, and the light that fits them."""

from pathlib import Path

import cv2
import numpy as np

from .camera import Camera
from .photo import to_linear
from .render import Lighting

__all__ = ['list_images', 'load_background', 'match_light']

_SUFFIXES = ('.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.webp', '.bmp')
# Focal length of photographs relative to their longer side.
_PHOTO_FOCAL = 28 / 36


def list_images(folder: Path) -> list[Path]:
    """Images of a folder at any depth, sorted.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: no image in it.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f'no folder of backgrounds {str(folder)!r}')
    found = sorted(path for path in folder.rglob('*') if path.suffix.lower() in _SUFFIXES)
    if not found:
        raise ValueError(
            f'no images in backgrounds={str(folder)!r}: no file at any depth ends in {", ".join(_SUFFIXES)}'
        )
    return found


def load_background(path: Path, camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """Load a crop of a photograph, sometimes mirrored; linear RGB.

    The photograph is taken for a level one by a lens of 28 mm. The crop has about the field of view of the camera, and its
    horizon at that of the camera, as far as the photograph reaches: people who stand on its ground then have its scale.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f'the background {str(path)!r} is not a readable image: fix or remove it')
    width, height = camera.width, camera.height
    whole = min(image.shape[1] / width, image.shape[0] / height)
    scale = _PHOTO_FOCAL * max(image.shape[:2]) / camera.intrinsics[0, 0] * rng.uniform(0.85, 1.15)
    scale = float(np.clip(scale, 0.35 * whole, whole))
    w, h = max(1, int(width * scale)), max(1, int(height * scale))
    x = rng.integers(image.shape[1] - w + 1)
    y = int(np.clip(image.shape[0] / 2 - camera.horizon() * scale, 0, image.shape[0] - h))
    crop = cv2.resize(
        image[y : y + h, x : x + w],
        (width, height),
        interpolation=cv2.INTER_AREA if scale > 1 else cv2.INTER_CUBIC,
    )
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    return to_linear(np.ascontiguousarray(crop[..., ::-1]))


def match_light(background: np.ndarray, lighting: Lighting) -> Lighting:
    """Give the lighting the colors of the upper and lower half of a photograph, and its brightness."""
    half = len(background) // 2
    above, below = background[:half].mean((0, 1)), background[half:].mean((0, 1))
    level = max(float(background.mean()), 0.02)
    tint = (above + below) / 2 / level
    sun = np.array(lighting.sun_color) / max(lighting.sun_color) * level * 2.2
    lighting.sky, lighting.ground = tuple(above + 0.2 * level), tuple(0.7 * below + 0.1 * level)
    lighting.sun_color = tuple(sun * (0.5 + 0.5 * tint))
    lighting.fill_color = tuple(0.25 * level * tint)
    return lighting
