"""Relighting, a demonstration of what albedo and normals are for: albedo times the shading by one distant light.

There are no shadows, no highlights and no light between surfaces, so results look like clay under a lamp, not like photographs.

Camera frame: x right, y down, z forward. H W size of an image in pixels.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sapiens.utils.srgb import decode_srgb, encode_srgb

from .results import Result

__all__ = ['Light', 'around', 'relight', 'relight_results']


@dataclass(frozen=True)
class Light:
    """A distant light, and an equal light from everywhere.

    Args:
        azimuth: degrees to the right of the camera, as the camera sees it: 0 shines along its axis, 90 from the right, 180 from
            behind the person.
        elevation: degrees above the camera, -90 to 90.
        strength: of the distant light; a surface of albedo 1 that faces it reflects this much.
        ambient: of the light from everywhere.
        color: of the distant light, linear RGB.

    Raises:
        ValueError: a value out of its range.
    """

    azimuth: float = 45.0
    elevation: float = 30.0
    strength: float = 0.9
    ambient: float = 0.2
    color: Sequence[float] = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        values = (self.azimuth, self.elevation, self.strength, self.ambient, *self.color)
        if len(self.color) != 3 or not all(math.isfinite(value) for value in values):
            raise ValueError(f'{self}: expected finite numbers, and three of a color')
        if not -90 <= self.elevation <= 90:
            raise ValueError(f'elevation={self.elevation}: expected degrees from -90 (below) to 90 (above)')
        if min(self.strength, self.ambient, *self.color) < 0:
            raise ValueError(f'{self}: strength, ambient and color are at least 0')

    @property
    def direction(self) -> np.ndarray:
        """(3,) float32 unit vector from the person to the light, in the camera frame."""
        azimuth, elevation = math.radians(self.azimuth), math.radians(self.elevation)
        across = math.cos(elevation)
        return np.array([across * math.sin(azimuth), -math.sin(elevation), -across * math.cos(azimuth)], np.float32)


def relight(
    albedo: np.ndarray,
    normals: np.ndarray,
    light: Light,
    alpha: np.ndarray | None = None,
    background: np.ndarray | None = None,
) -> np.ndarray:
    """Draw surfaces under another light: ``albedo * (ambient + strength * color * max(0, normal . direction))``.

    Args:
        albedo: (H, W, 3) float32 linear RGB.
        normals: (H, W, 3) float32 unit vectors in the camera frame; a surface that faces the camera has (0, 0, -1).
        light: the light.
        alpha: (H, W) in [0, 1] or bool, what is drawn over the background; None draws all pixels.
        background: (H, W, 3) uint8 RGB; black by default. It is mixed in linear light.

    Returns:
        (H, W, 3) uint8 RGB. Where albedo or normal is not a number, the background is drawn.

    Raises:
        ValueError: maps of different sizes.
    """
    if albedo.shape != normals.shape or albedo.ndim != 3:
        raise ValueError(f'albedo {albedo.shape} and normals {normals.shape}: expected (H, W, 3) of both')
    for name, given in (('alpha', alpha), ('background', background)):
        if given is not None and given.shape[:2] != albedo.shape[:2]:
            raise ValueError(f'{name} {given.shape} is not of the size of the albedo, {albedo.shape[:2]}')
    facing = np.maximum(normals @ light.direction, 0)[..., None]
    lit = albedo * (light.ambient + light.strength * np.asarray(light.color, np.float32) * facing)
    cover = np.ones(albedo.shape[:2], np.float32) if alpha is None else np.asarray(alpha, np.float32)
    cover = np.where(np.isfinite(lit).all(-1), cover, 0)[..., None]
    behind = np.float32(0) if background is None else decode_srgb(background / np.float32(255))
    mixed = cover * np.clip(np.nan_to_num(lit), 0, 1) + (1 - cover) * behind
    return np.rint(encode_srgb(mixed) * 255).astype(np.uint8)


def relight_results(results: Mapping[str, Result], light: Light, dim: float = 0.25) -> np.ndarray:
    """Draw the person of an image under another light.

    Args:
        results: of one image, with 'albedo' and 'normal'. The matte of 'matting', else the person of 'seg', else the mask of the
            albedo says what is drawn over the photograph.
        light: the light.
        dim: brightness of the photograph behind the person, as a fraction.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ValueError: no albedo or no normals.
    """
    for name in ('albedo', 'normal'):
        if name not in results:
            raise ValueError(f'relighting needs the results of albedo and normal, found {", ".join(results)}')
    albedo, normals = results['albedo'], results['normal']
    alpha = albedo.mask
    if 'matting' in results:
        alpha = results['matting'].alpha
    elif 'seg' in results:
        alpha = results['seg'].foreground
    behind = encode_srgb(dim * decode_srgb(albedo.image / np.float32(255)))
    return relight(albedo.linear, normals.normals, light, alpha, np.rint(behind * 255).astype(np.uint8))


def around(light: Light, steps: int) -> Iterator[Light]:
    """The light on its way once around the person, in equal steps to the right."""
    for step in range(steps):
        yield replace(light, azimuth=light.azimuth + 360 * step / steps)
