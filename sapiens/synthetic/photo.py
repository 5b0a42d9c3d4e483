"""Camera simulation from light to an image: exposure, white balance, tone curve, lens, sensor, compression."""

from dataclasses import dataclass

import cv2
import numpy as np

from sapiens.utils.matte import OPAQUE, multiply

__all__ = ['Photo', 'develop', 'develop_foreground', 'sample_photo', 'to_linear']

# Alpha that rounds to 0 or 1 in 8 bits.
_NOTHING = 1 / 512


@dataclass
class Photo:
    """Parameters of a photograph.

    Attributes:
        exposure: factor on the automatic exposure.
        balance: (3,) factors on red, green, blue.
        contrast: slope of the tone curve at middle gray; 1 is plain sRGB.
        saturation: factor on the distance from gray.
        vignette: darkening of the corners, 0..1.
        blur: standard deviation in pixels.
        motion: length in pixels and angle in radians of motion blur.
        noise: standard deviation at middle gray, in gray levels of 8 bits.
        quality: JPEG quality, or 0 for none.
        white: light that becomes white, 1 or more; 1 has no shoulder below it.
        aperture: standard deviation in meters of the light over the lens; 0 for a sharp background, see :mod:`.lens`.
    """

    exposure: float = 1.0
    balance: tuple = (1.0, 1.0, 1.0)
    contrast: float = 1.0
    saturation: float = 1.0
    vignette: float = 0.0
    blur: float = 0.0
    motion: tuple = (0.0, 0.0)
    noise: float = 0.0
    quality: int = 0
    white: float = 3.0
    aperture: float = 0.0


def sample_photo(rng: np.random.Generator) -> Photo:
    """Draw parameters of mostly good photographs and some poor ones."""
    warm = rng.normal(0, 0.06)
    return Photo(
        exposure=float(np.exp(rng.normal(0, 0.22))),
        balance=(float(np.exp(warm)), 1.0, float(np.exp(-warm + rng.normal(0, 0.02)))),
        contrast=float(rng.uniform(0.9, 1.25)),
        saturation=float(rng.uniform(0.8, 1.15)),
        vignette=float(rng.uniform(0, 0.35) if rng.random() < 0.5 else 0),
        blur=float(abs(rng.normal(0, 0.5)) if rng.random() < 0.6 else 0),
        motion=(float(rng.uniform(2, 7)), float(rng.uniform(0, np.pi))) if rng.random() < 0.06 else (0.0, 0.0),
        noise=float(np.exp(rng.normal(0.3, 0.8))),
        quality=int(rng.integers(60, 98)) if rng.random() < 0.8 else 0,
        white=float(np.exp(rng.uniform(0, np.log(2.2)))),
        aperture=float(np.exp(rng.uniform(np.log(0.002), np.log(0.015)))) if rng.random() < 0.4 else 0.0,
    )


def develop(color: np.ndarray, weight: np.ndarray, photo: Photo, rng: np.random.Generator) -> np.ndarray:
    """Convert linear light to an 8-bit image.

    Args:
        color: (H, W, 3) float32 linear RGB, any scale, at least 0.
        weight: (H, W) weights of the automatic exposure (people count more).

    Returns:
        (H, W, 3) uint8 sRGB.
    """
    height, width = color.shape[:2]
    image = color * _exposure(color, weight, photo)
    if photo.vignette:
        image *= _vignette(image.shape, photo)
    image = _tone(_blur(image, photo), photo)
    if photo.noise:
        # Shot noise and read noise, with the fine grain that photographs have after processing.
        level = cv2.sqrt(np.clip(image, 0, 255) * np.float32(1 / 128)) * np.float32(0.65) + np.float32(0.35)
        level *= np.clip((255 - image) * np.float32(0.1), 0, 1)  # a full sensor has no noise
        image += rng.standard_normal(image.shape, np.float32) * level * np.float32(photo.noise)
    out = np.clip(image + 0.5, 0, 255).astype(np.uint8)
    if photo.quality:
        ok, data = cv2.imencode('.jpg', out, [cv2.IMWRITE_JPEG_QUALITY, photo.quality])
        if not ok:
            raise RuntimeError(f'OpenCV could not encode a {width}x{height} JPEG of quality {photo.quality}')
        out = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return out


def develop_foreground(
    front: np.ndarray, alpha: np.ndarray, color: np.ndarray, weight: np.ndarray, photo: Photo, image: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """People without their background, as the camera of :func:`develop` sees them.

    Where they cover the pixel, the color is that of the picture. Elsewhere it has no noise and no compression.

    Args:
        front: (H, W, 3) float32 linear RGB of people alone, times alpha, in the scale of ``color``.
        alpha: (H, W) float32, their fraction of the pixel before the lens.
        color, weight, photo: those of :func:`develop`.
        image: its result.

    Returns:
        The foreground (H, W, 3) float32 in [0, 1], sRGB-coded color times alpha, and alpha (H, W) float32, both with the blur of
        the lens.
    """
    alpha = _blur(alpha, photo)
    alpha = np.where(alpha < _NOTHING, np.float32(0), np.where(alpha > 1 - _NOTHING, np.float32(1), alpha))
    foreground = multiply(image, alpha)
    mixed = alpha < OPAQUE
    foreground[mixed] = 0
    mixed &= alpha > 0
    if not mixed.any():
        return foreground, alpha
    # Only the part around edges goes through the lens again.
    rows, columns = (np.flatnonzero(mixed.any(axis)) for axis in (1, 0))
    reach = int(4 * photo.blur + photo.motion[0]) + 2
    part = tuple(slice(max(lines[0] - reach, 0), lines[-1] + 1 + reach) for lines in (rows, columns))
    light = front[part] * _exposure(color, weight, photo)
    if photo.vignette:
        light *= _vignette(image.shape, photo)[part]
    light, where = _blur(light, photo), mixed[part]
    share = alpha[mixed][:, None]
    coded = np.clip(_tone(light[where][None] / share, photo)[0], 0, 255)
    foreground[mixed] = coded * np.float32(1 / 255) * share
    return foreground, alpha


def to_linear(image: np.ndarray) -> np.ndarray:
    """Convert (..., 3) uint8 sRGB to float32 linear RGB in [0, 1]."""
    values = np.arange(256) / 255
    table = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4).astype(np.float32)
    return table[image]


def _exposure(color: np.ndarray, weight: np.ndarray, photo: Photo) -> np.ndarray:
    """(3,) float32 factors of red, green and blue."""
    small = cv2.resize(color, (96, 96), interpolation=cv2.INTER_AREA) @ np.float32([0.3, 0.6, 0.1])
    attention = cv2.resize(weight.astype(np.float32), (96, 96), interpolation=cv2.INTER_AREA) + 0.15
    level = np.exp((np.log(small + 1e-3) * attention).sum() / attention.sum())
    high = np.quantile(small, 0.97)
    gain = photo.exposure * min(0.2 / level, 1.6 / max(high, 1e-3))
    return np.float32(gain) * np.array(photo.balance, np.float32)


def _vignette(shape: tuple, photo: Photo) -> np.ndarray:
    """(H, W, 1) float32 factors on light."""
    height, width = shape[:2]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None] ** 2
    x = np.linspace(-1, 1, width, dtype=np.float32)[None] ** 2
    return (1 - photo.vignette * 0.5 * (x + y))[..., None]


def _blur(image: np.ndarray, photo: Photo) -> np.ndarray:
    """What the lens and a movement do to (H, W) or (H, W, C)."""
    if photo.blur > 0.3:
        image = cv2.GaussianBlur(image, (0, 0), photo.blur)
    if photo.motion[0] > 1:
        image = cv2.filter2D(image, -1, _motion_kernel(*photo.motion))
    return image


def _tone(light: np.ndarray, photo: Photo) -> np.ndarray:
    """(H, W, 3) float32 gray levels of 8 bits, sRGB-coded, of light in which 1 is white."""
    # The shoulder, sRGB and contrast, by table.
    image = np.take(_tone_table(photo), (np.minimum(light, np.float32(3.999)) * np.float32(1024)).astype(np.uint16))
    if photo.saturation != 1:
        grey = (image @ np.float32([0.3, 0.59, 0.11]))[..., None]
        image = grey + (image - grey) * np.float32(photo.saturation)
    return image


def _tone_table(photo: Photo) -> np.ndarray:
    x = np.arange(4096, dtype=np.float64) / 1024
    # A smooth shoulder from 0.6 to white: it begins with a slope of 1 and ends level.
    rest = 1 - np.clip((x - 0.6) / (photo.white - 0.6), 0, 1)
    rolled = np.where(x < 0.6, x, 1 - 0.4 * rest ** ((photo.white - 0.6) / 0.4))
    contrast = photo.contrast
    s = np.where(rolled <= 0.0031308, 12.92 * rolled, 1.055 * rolled ** (1 / 2.4) - 0.055)
    s = 0.5 + np.tanh((s - 0.5) * contrast) / (2 * np.tanh(0.5 * contrast)) if contrast != 1 else s
    return (255 * np.clip(s, 0, 1)).astype(np.float32)


def _motion_kernel(length: float, angle: float) -> np.ndarray:
    size = int(np.ceil(length)) | 1
    kernel = np.zeros((size, size), np.float32)
    half = (size - 1) / 2
    for t in np.linspace(-length / 2, length / 2, 4 * size):
        kernel[round(half + t * np.sin(angle) * 0.99), round(half + t * np.cos(angle) * 0.99)] += 1
    return kernel / kernel.sum()
