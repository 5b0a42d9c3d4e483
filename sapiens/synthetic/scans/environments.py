"""Environment maps: panoramas of light. They give the light on a scan, and what is behind it.

Maps are equirectangular, as poly haven's and others are: the columns are directions from left to right all around, the rows from
straight up to straight down. World: z up.
"""

from pathlib import Path

import cv2
import numpy as np

from sapiens.utils.optional import require
from sapiens.utils.srgb import decode_srgb

from ..camera import Camera
from ..render import Lighting

__all__ = ['SUFFIXES', 'backdrop', 'find_environments', 'light_of', 'read_environment']

SUFFIXES = ('.hdr', '.pic', '.exr')
_FIT = 256, 128  # width and height to which a map is reduced to find its lights
_CAP = 0.25  # radians around the brightest direction that belong to the light with shadows
_SATURATED = 3.0  # times the mean light: cameras are exposed for people, and what is brighter is white
_BRIGHT = 0.2  # of the brightest pixel: what is darker is no part of that light


def find_environments(root: str | Path) -> list[Path]:
    """Maps of a folder, at any depth, sorted; or one file.

    Raises:
        FileNotFoundError: no such folder or file.
        ValueError: no map in it.
    """
    root = Path(root).expanduser()
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise FileNotFoundError(f'no folder of environment maps {str(root)!r}')
    found = sorted(path for path in root.rglob('*') if path.suffix.lower() in SUFFIXES and path.name[0] != '.')
    if not found:
        raise ValueError(f'no environment maps in {str(root)!r}: no file at any depth ends in {", ".join(SUFFIXES)}')
    return found


def read_environment(path: str | Path) -> np.ndarray:
    """(H, W, 3) float32 linear RGB of a Radiance file or an OpenEXR file, scaled to a mean luminance of 1 over the sphere.

    Raises:
        ValueError: not such a file, not twice as wide as high, or without light. The message names the file.
        ImportError: the package that reads OpenEXR is missing.
    """
    path = Path(path)
    image = _read_exr(path) if path.suffix.lower() == '.exr' else _read_radiance(path)
    height, width = image.shape[:2]
    if abs(width - 2 * height) > 2:
        raise ValueError(
            f'the environment map {str(path)!r} has {width} x {height} pixels: expected a panorama, twice as wide as high'
        )
    image = np.clip(np.nan_to_num(image, posinf=6e4), 0, 6e4)
    luminance = image @ np.float32([0.2126, 0.7152, 0.0722])
    level = float((luminance * _solid_angles(*luminance.shape)).sum() / (4 * np.pi))
    if not level > 0:
        raise ValueError(f'the environment map {str(path)!r} is black')
    return image / np.float32(level)


def _read_radiance(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if image is None:
        raise ValueError(f'the environment map {str(path)!r} is not a readable Radiance file')
    if image.dtype == np.uint8:
        return decode_srgb(image[..., ::-1].astype(np.float32) / 255)
    return np.ascontiguousarray(image[..., ::-1], np.float32)


def _read_exr(path: Path) -> np.ndarray:
    openexr = require('OpenEXR', f'the environment map {str(path)!r}')
    try:
        with openexr.File(str(path)) as file:  # which drops its channels at the end
            channels = {name: np.array(channel.pixels, np.float32) for name, channel in file.channels().items()}
    except Exception as error:  # any error of its reader
        raise ValueError(f'the environment map {str(path)!r} is not a readable OpenEXR file: {error}') from error
    for name in ('RGB', 'RGBA'):
        if name in channels:
            return np.ascontiguousarray(channels[name][..., :3])
    if {'R', 'G', 'B'} <= set(channels):
        return np.stack([channels[name] for name in 'RGB'], -1)
    raise ValueError(
        f'the environment map {str(path)!r} has the channels {", ".join(sorted(channels))}: expected R, G and B'
    )


def light_of(image: np.ndarray, turn: float = 0.0) -> Lighting:
    """Fit the lights of the renderer to a map: one with shadows where it is brightest, and the rest as spherical harmonics.

    Args:
        image: (H, W, 3) float32 linear RGB.
        turn: radians by which the map is turned to the right.
    """
    small = cv2.resize(image, _FIT, interpolation=cv2.INTER_AREA)
    directions, angles = _directions(_FIT[1], _FIT[0], turn), _solid_angles(*_FIT[::-1])
    luminance = small @ np.float32([0.2126, 0.7152, 0.0722])
    # The light with shadows: the brightest direction, and what is nearly as bright close to it, less what is around.
    smooth = cv2.GaussianBlur(luminance, (0, 0), 2, borderType=cv2.BORDER_REFLECT_101)
    peak = directions[np.unravel_index(smooth.argmax(), smooth.shape)]
    cosine = directions @ peak
    cap = cosine > np.cos(_CAP)
    bright = cap & (luminance > _BRIGHT * luminance[cap].max())
    ring = (cosine > np.cos(2 * _CAP)) & ~cap
    around = np.median(small[ring], 0)
    excess = np.where(bright[..., None], np.maximum(small - around, 0), 0) * angles[..., None]
    power = excess.sum((0, 1))
    weight = excess.sum(2)
    if weight.sum() > 0:
        sun = (directions * weight[..., None]).sum((0, 1))
        sun /= np.linalg.norm(sun)
        spread = float(np.sqrt(2 * ((1 - directions @ sun) * weight).sum() / weight.sum()))
    else:
        sun, spread = peak, _CAP
    rest = small - excess / angles[..., None]
    harmonics = np.einsum('hwk,hwc,hw->kc', _basis(directions), rest, angles)
    # Irradiance over pi (Ramamoorthi and Hanrahan 2001), to which the renderer multiplies the albedo.
    harmonics *= np.array([1, *[2 / 3] * 3, *[1 / 4] * 5])[:, None]
    return Lighting(
        sun=tuple(float(value) for value in sun),
        sun_color=tuple(float(value) for value in power / np.pi),
        spread=float(np.clip(spread, 0.01, _CAP)),
        fill_color=(0.0, 0.0, 0.0),
        around=harmonics,
    )


def backdrop(image: np.ndarray, camera: Camera, turn: float = 0.0) -> np.ndarray:
    """(H, W, 3) float32 linear RGB of a map as the camera sees it, infinitely far away, up to where its sensor is saturated."""
    rows, columns = np.mgrid[: camera.height, : camera.width]
    rays = np.stack([columns, rows, np.ones_like(rows)], -1) @ np.linalg.inv(camera.intrinsics).T @ camera.rotation
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    # A pixel of the camera is as wide as so many of the map: without a reduction it would flicker.
    factor = image.shape[1] / (2 * np.pi * camera.intrinsics[0, 0])
    if factor > 1.5:
        size = max(int(image.shape[1] / factor), 8), max(int(image.shape[0] / factor), 4)
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    height, width = image.shape[:2]
    image = np.concatenate([image[:, -1:], image, image[:, :1]], 1)  # all around
    azimuth = np.arctan2(rays[..., 0], rays[..., 1]) - turn
    x = (azimuth / (2 * np.pi) + 0.5) % 1.0 * width + 0.5
    y = np.arccos(np.clip(rays[..., 2], -1, 1)) / np.pi * height - 0.5
    seen = cv2.remap(
        image, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.minimum(seen, np.float32(_SATURATED))


def _directions(height: int, width: int, turn: float) -> np.ndarray:
    """(H, W, 3) unit vectors of the pixels; the middle column looks to +y, and the one right of it further to +x."""
    azimuth = ((np.arange(width) + 0.5) / width - 0.5) * 2 * np.pi + turn
    polar = (np.arange(height) + 0.5) / height * np.pi
    out = np.empty((height, width, 3))
    out[..., 0] = np.sin(polar)[:, None] * np.sin(azimuth)
    out[..., 1] = np.sin(polar)[:, None] * np.cos(azimuth)
    out[..., 2] = np.cos(polar)[:, None]
    return out


def _solid_angles(height: int, width: int) -> np.ndarray:
    """(H, W) float32 steradians of the pixels."""
    edges = np.cos(np.arange(height + 1) / height * np.pi)
    rows = (edges[:-1] - edges[1:]) * 2 * np.pi / width
    return np.broadcast_to(rows[:, None], (height, width)).astype(np.float32)


def _basis(n: np.ndarray) -> np.ndarray:
    """(..., 9) real spherical harmonics of unit vectors, in the order of the renderer."""
    x, y, z = np.moveaxis(n, -1, 0)
    return np.stack(
        [
            np.full_like(x, 0.282095), 0.488603 * y, 0.488603 * z, 0.488603 * x, 1.092548 * x * y, 1.092548 * y * z,
            0.315392 * (3 * z * z - 1), 1.092548 * x * z, 0.546274 * (x * x - y * y),
        ],
        -1,
    )  # fmt: skip
