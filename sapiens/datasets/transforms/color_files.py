"""Files of colors without light and of colors without background: albedo, alpha, foreground.

Legend: maps are (H, W) or (H, W, 3) over the pixels of the upright image. Straight colors are not multiplied by alpha,
premultiplied ones are.
"""

import numpy as np

from sapiens.utils.matte import OPAQUE, multiply
from sapiens.utils.srgb import decode_srgb

from .decoding import BadImage
from .label_files import decode, read_array
from .loading import open_image, read_file

__all__ = ['ALBEDO_CODINGS', 'check_premultiplied', 'load_albedo', 'load_foreground', 'read_albedo', 'read_alpha']

ALBEDO_CODINGS = ('srgb', 'linear')
# Gray levels of 8 bits by which a premultiplied color may exceed its alpha: both are rounded.
_ROUNDING = 1
# Floats beyond [0, 1] by more than this are values of another range.
_TOLERATED = 0.01
_ARRAYS = ('.npy', '.npz')


def read_albedo(path: str, coding: str | None) -> np.ndarray:
    """(H, W, 3) float32 linear RGB in [0, 1].

    Args:
        path: an image of 8 or 16 bits (.png, .tif), or floats in [0, 1] (.npy; .npz, its array 'albedo' or its only one; .exr).
        coding: of the file, ``'srgb'`` or ``'linear'``.

    Raises:
        BadImage: not such a file, or no coding.
    """
    if coding not in ALBEDO_CODINGS:
        raise BadImage(
            "albedo files may be sRGB-coded or linear, which the numbers do not tell: albedo_coding='srgb' or 'linear' of the "
            'dataset'
        )
    colors = read_array(path, 'albedo')
    if colors.ndim != 3 or colors.shape[2] != 3:
        raise BadImage(f'albedo of shape {colors.shape}: expected (H, W, 3)')
    colors = _fractions(colors, 'albedo')
    return decode_srgb(colors) if coding == 'srgb' else colors


def load_albedo(path: str, info: dict) -> np.ndarray:
    """See :func:`read_albedo`; ``info`` holds ``albedo_coding``."""
    return read_albedo(path, info.get('albedo_coding'))


def read_alpha(path: str, info: dict | None = None) -> np.ndarray:
    """(H, W) float32 in [0, 1]: the only channel, the last of two or four, or the first of three equal ones.

    Args:
        path: an image of 8 or 16 bits, or floats in [0, 1] (.npy; .npz, its array 'alpha' or its only one).

    Raises:
        BadImage: not such a file; colors without alpha; integers of nothing but 0 and 1, where the largest value of their type is
            full coverage.
    """
    alpha = read_array(path, 'alpha') if path.lower().endswith(_ARRAYS) else _read_channels(path)
    if alpha.ndim == 3:
        if alpha.shape[2] == 3 and (alpha[..., :1] != alpha[..., 1:]).any():
            raise BadImage('colors without alpha: expected one channel, or four')
        alpha = alpha[..., {2: 1, 4: 3}.get(alpha.shape[2], 0)]
    if alpha.dtype.kind == 'u' and alpha.any() and alpha.max() == 1:
        raise BadImage(
            f'alpha from 0 to 1 in {alpha.dtype.itemsize * 8}-bit integers, where {np.iinfo(alpha.dtype).max} is full coverage: '
            'ranges are mixed; multiply such files'
        )
    return _fractions(alpha, 'alpha')


def load_foreground(path: str, info: dict) -> tuple[np.ndarray, np.ndarray | None]:
    """Premultiplied foreground (H, W, 3) float32 in [0, 1], sRGB-coded, and where it is known (H, W) bool; None for everywhere.

    From an image of four channels: its color times its alpha. From one of three: its color times ``gt_alpha``. From one of a
    single channel, or of three that all are ``gt_alpha``: the colors of the picture where alpha is at least 0.996; unknown below,
    except where it is 0.

    Args:
        path: an image of 8 or 16 bits; or an array file of alpha.
        info: the sample, which gets ``gt_alpha`` where it has none, and ``img`` where the picture is read. ``premultiplied`` is
            True for files whose color is multiplied by alpha already.

    Raises:
        BadImage: not such a file, another size than that of the picture, or premultiplied colors above their alpha.
    """
    pixels = None if path.lower().endswith(_ARRAYS) else _read_channels(path)
    if pixels is None or pixels.ndim == 2 or pixels.shape[2] < 3:
        return _from_picture(info.setdefault('gt_alpha', read_alpha(path)), info)
    if pixels.dtype.kind != 'u':
        raise BadImage(f'foreground of type {pixels.dtype}: expected 8 or 16 bits')
    if pixels.shape[2] == 4:
        alpha = _fractions(pixels[..., 3], 'alpha')
        info.setdefault('gt_alpha', alpha)
    elif 'gt_alpha' in info:
        alpha = info['gt_alpha']
        if alpha.shape != pixels.shape[:2]:
            raise BadImage(f'{_size(pixels)}, its alpha is {_size(alpha)} (w x h)')
        if np.array_equal(_fractions(pixels, 'foreground'), np.broadcast_to(alpha[..., None], pixels.shape)):
            return _from_picture(alpha, info)  # the file of alpha, saved as gray in three channels
    else:
        raise BadImage('a foreground of three channels without an alpha file: expected four channels')
    colors = _fractions(pixels[..., :3], 'foreground')
    if not info.get('premultiplied'):
        return multiply(colors, alpha), None
    check_premultiplied(colors, alpha)
    return np.minimum(colors, alpha[..., None]), None


def check_premultiplied(colors: np.ndarray, alpha: np.ndarray) -> None:
    """Raise BadImage where colors (H, W, 3) are above their alpha (H, W), both float32 in [0, 1], by more than rounding."""
    excess = (colors.max(-1) - alpha) * 255
    above = int((excess > _ROUNDING + 0.01).sum())
    if above:
        raise BadImage(
            f'colors of {above} of {excess.size} pixels are above their alpha, by up to {excess.max():.3g} of 255: they are not '
            'premultiplied. Straight colors need premultiplied=False'
        )


def _from_picture(alpha: np.ndarray, info: dict) -> tuple[np.ndarray, np.ndarray]:
    image = open_image(info)
    info['img'], _ = image.crop((0, 0, *image.size), image.size, True)  # decoded once
    if alpha.shape != info['img'].shape[:2]:
        raise BadImage(f'{_size(alpha)}, the upright image is {_size(info["img"])} (w x h)')
    opaque = alpha >= OPAQUE
    colors = np.where(opaque[..., None], info['img'] * np.float32(1 / 255), np.float32(0))
    return colors, opaque | (alpha == 0)


def _read_channels(path: str) -> np.ndarray:
    """Channels of an image file in the order red, green, blue, alpha."""
    pixels = decode(read_file(path))
    return pixels[..., [2, 1, 0, 3][: pixels.shape[2]]] if pixels.ndim == 3 and pixels.shape[2] > 2 else pixels


def _fractions(values: np.ndarray, what: str) -> np.ndarray:
    """Values as float32 in [0, 1]. Raises BadImage for other types and ranges."""
    if values.dtype in (np.uint8, np.uint16):
        return values * np.float32(1 / np.iinfo(values.dtype).max)
    if values.dtype.kind != 'f':
        raise BadImage(f'{what} of type {values.dtype}: expected 8 or 16 bits, or floats from 0 to 1')
    low, high = float(values.min()), float(values.max())
    if not (low >= -_TOLERATED and high <= 1 + _TOLERATED):
        raise BadImage(f'{what} from {low:g} to {high:g}: expected floats from 0 to 1')
    return np.clip(values.astype(np.float32), 0, 1)


def _size(pixels: np.ndarray) -> str:
    return f'{pixels.shape[1]} x {pixels.shape[0]}'
