"""Transforms that turn a path into pixels. The crop is part of loading: it decides how little must be decoded."""

import math
import os
import stat
from collections.abc import Callable

import cv2
import fsspec
import numpy as np
from mmcv.transforms import BaseTransform

from sapiens.registry import TRANSFORMS
from sapiens.utils.matte import multiply, straight_colors

from ..shard_members import read_member, split_path
from ..tar_reader import BrokenTar
from .decoding import BadImage, DecodedImage, EncodedImage, resize
from .view import zoom_matrix

__all__ = [
    'LoadLetterbox',
    'LoadRandomResizedCrop',
    'LoadResize',
    'LoadingTransform',
    'apply_pixel_changes',
    'change_foreground',
    'open_image',
    'read_file',
]

# No image file is this large; reading one would exhaust the memory before its header is looked at.
MAX_FILE_BYTES = 1 << 30


def read_file(path: str) -> bytes:
    """The content of a local file, of an fsspec URL, or of a member of a tar shard (:mod:`sapiens.datasets.shard_members`).

    Raises:
        BadImage: it cannot be read.
    """
    path = path.removeprefix('file://')
    try:
        if (member := split_path(path)) is not None:
            check_size(member.size)
            return read_member(member)
        if '://' in path:
            return _read_url(path)
        check_file(path)
        with open(path, 'rb') as file:
            return file.read()
    except OSError as error:
        raise BadImage(f'{type(error).__name__}: {error.strerror or error}') from error
    except BrokenTar as error:
        raise BadImage(str(error)) from error
    except ValueError as error:  # such as a null character in the path
        raise error if isinstance(error, BadImage) else BadImage(f'{type(error).__name__}: {error}') from error


def _read_url(url: str) -> bytes:
    try:
        with fsspec.open(url, 'rb').open() as file:
            size = getattr(file, 'size', None)
            check_size(size or 0)
            data = file.read() if size else file.read(MAX_FILE_BYTES + 1)
    except BadImage:
        raise
    except Exception as error:  # unknown schemes, packages that are not installed, any error of a remote file system
        raise BadImage(f'{type(error).__name__}: {error}') from error
    check_size(len(data))
    return data


def check_file(path: str) -> None:
    """Raise BadImage for a file that is too large or without an end. Raises OSError where there is none."""
    status = os.stat(path)
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):  # opening a folder raises a better error
        raise BadImage('no regular file')  # a device has no end, a pipe may have no beginning
    check_size(status.st_size)


def check_size(size: int) -> None:
    """Raise BadImage for more bytes than an image may have."""
    if size > MAX_FILE_BYTES:
        raise BadImage(f'{size} bytes are more than the limit of {MAX_FILE_BYTES >> 20} MiB')


def apply_pixel_changes(results: dict, pixels: np.ndarray) -> np.ndarray:
    """Apply the changes of color (``pixel_changes``) that earlier transforms have drawn for this sample."""
    for change in results.get('pixel_changes', ()):
        pixels = change(pixels)
    return pixels


def change_foreground(results: dict, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Apply a change of the picture's colors to ``gt_foreground``, where a sample has one, with its ``gt_alpha``.

    Args:
        change: of images (H, W, 3) uint8 RGB.
    """
    if 'gt_foreground' in results:
        alpha = results['gt_alpha']
        colors = straight_colors(results['gt_foreground'], alpha)
        results['gt_foreground'] = multiply(change(colors), alpha)


def open_image(results: dict, max_megapixels: float = 150) -> EncodedImage | DecodedImage:
    """The image of a sample: ``img``, or ``img_bytes``, or the file ``img_path``. Raises BadImage where there is none."""
    if 'img' in results:
        return DecodedImage(results['img'])
    data = results.pop('img_bytes', None)
    return EncodedImage(read_file(results['img_path']) if data is None else data, max_megapixels)


def check_decoding(decode: str, max_megapixels: float) -> bool:
    """Check options that loading transforms have in common; returns whether ``decode`` is 'exact'."""
    if decode not in ('fast', 'exact'):
        raise ValueError(f"decode={decode!r}: expected 'fast' or 'exact'")
    if not max_megapixels > 0:
        raise ValueError(f'max_megapixels={max_megapixels!r}: expected a positive number')
    return decode == 'exact'


def check_prob(**probs: float) -> None:
    for name, value in probs.items():
        if not 0 <= value <= 1:
            raise ValueError(f'{name}={value!r}: expected a probability')


def check_area(area: tuple, aspect: tuple) -> tuple[tuple, tuple]:
    """Check the limits of random boxes."""
    if not 0 < area[0] <= area[1] <= 1:
        raise ValueError(f'area={area!r}: expected (smallest, largest) fraction of the area, within (0, 1]')
    if not 0 < aspect[0] <= aspect[1]:
        raise ValueError(f'aspect={aspect!r}: expected (smallest, largest) width / height, above 0')
    return tuple(area), tuple(aspect)


def draw_box(size: tuple, area: tuple, aspect: tuple, tries: int) -> tuple[int, int, int, int] | None:
    """Draw a box (x, y, w, h) in an image of ``size`` (w, h) by its fraction of the area and its w / h; None if no draw fits."""
    width, height = size
    for _ in range(tries):
        pixels = np.random.uniform(*area) * width * height
        ratio = math.exp(np.random.uniform(math.log(aspect[0]), math.log(aspect[1])))
        w, h = round(math.sqrt(pixels * ratio)), round(math.sqrt(pixels / ratio))
        if 0 < w <= width and 0 < h <= height:
            y = int(np.random.randint(height - h + 1))
            return int(np.random.randint(width - w + 1)), y, w, h
    return None


def letterbox(image_size: tuple, size: tuple) -> tuple[int, int, int, int]:
    """Box (x, y, w, h) of an image (w, h) that is resized by one factor to fit into ``size`` (w, h), and centered."""
    factor = min(size[0] / image_size[0], size[1] / image_size[1])
    width, height = (max(1, round(side * factor)) for side in image_size)
    return (size[0] - width) // 2, (size[1] - height) // 2, width, height


class LoadingTransform(BaseTransform):
    """Base of transforms that load an image: options and opening."""

    antialias = True
    interpolations = ('bicubic', 'bilinear')

    def __init__(self, size, interpolation: str, decode: str, max_megapixels: float, flip_prob: float = 0.0):
        self.size = (size, size) if isinstance(size, int) else tuple(size)
        if len(self.size) != 2 or not all(isinstance(n, int) and n > 0 for n in self.size):
            raise ValueError(f'size={size!r}: expected one positive int or (width, height) in pixels')
        if interpolation not in self.interpolations:
            raise ValueError(
                f'interpolation={interpolation!r}: expected {" or ".join(map(repr, self.interpolations))}'
            )
        check_prob(flip_prob=flip_prob)
        self.interpolation, self.flip_prob, self.max_megapixels = interpolation, flip_prob, max_megapixels
        self.exact = check_decoding(decode, max_megapixels)

    def _finish(self, results: dict, image, box: tuple, flip: bool, inner: tuple | None = None) -> dict:
        """``inner``: box (x, y, w, h) of the result that shows ``box`` of the image; black around it. None for all of it."""
        left, top, *size = inner or (0, 0, *self.size)
        size = tuple(size)
        pixels, box = image.crop(box, size, self.exact)
        if self.interpolation == 'published':
            pixels = cv2.resize(pixels, size, interpolation=self.published_interpolation(pixels.shape[1]))
        elif self.antialias:
            pixels = resize(pixels, size, self.interpolation)
        else:
            pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR)
        pixels = apply_pixel_changes(results, pixels)
        if size != self.size:
            whole = np.zeros((*self.size[::-1], 3), np.uint8)
            whole[top : top + size[1], left : left + size[0]] = pixels
            pixels = whole
        results['img'] = cv2.flip(pixels, 1, dst=pixels) if flip else pixels
        return self._describe(results, image, crop=box, flip=flip)

    def _describe(self, results: dict, image, **more) -> dict:
        """Add shapes and ``more`` to a loaded sample."""
        results.pop('pixel_changes', None)
        results.update(img_shape=self.size[::-1], ori_shape=image.size[::-1], **more)
        return results


@TRANSFORMS.register_module()
class LoadRandomResizedCrop(LoadingTransform):
    """Read an image, crop a random box, resize it and mirror it at random. One step, because the crop decides how the file is
    decoded.

    The box covers a fraction of the image's area drawn uniformly from ``area``, with an aspect (w / h) drawn log-uniformly
    from ``aspect``. If ten draws do not fit the image, it is the largest centered box with an allowed aspect.
    Draws come from numpy's global generator.

    Required Keys: img_path; or img_bytes, the file's content; or img, pixels that are there already (uint8 (H, W, 3) RGB)

    Added Keys: img (uint8 (H, W, 3) RGB), img_shape and ori_shape (h, w), crop (x, y, w, h in pixels of the upright
    original), flip

    Args:
        size: of the output in pixels, one int or (w, h).
        area: smallest and largest fraction of the image's area.
        aspect: smallest and largest width / height.
        interpolation: 'bicubic' or 'bilinear', both antialiased.
        flip_prob: probability of a horizontal flip.
        decode: 'fast' decodes JPEGs at a reduced scale where the crop stays large enough and upsamples their chroma
            plainly (numbers: docs/performance.md); 'exact' gives the pixels that Pillow gives.
        max_megapixels: larger images are bad files.

    Raises:
        ValueError: an argument out of its range.
        BadImage: a file that cannot be used; the datasets skip, count and report it.
    """

    def __init__(
        self,
        size: int | tuple,
        area: tuple = (0.2, 1.0),
        aspect: tuple = (3 / 4, 4 / 3),
        interpolation: str = 'bicubic',
        flip_prob: float = 0.5,
        decode: str = 'fast',
        max_megapixels: float = 150,
    ):
        super().__init__(size, interpolation, decode, max_megapixels, flip_prob)
        self.area, self.aspect = check_area(area, aspect)

    def transform(self, results: dict) -> dict:
        image = open_image(results, self.max_megapixels)
        box = self.draw_box(*image.size)
        return self._finish(results, image, box, bool(np.random.random() < self.flip_prob))

    def draw_box(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Draw the crop (x, y, w, h) of an image, in pixels."""
        box = draw_box((width, height), self.area, self.aspect, tries=10)
        if box is not None:
            return box
        aspect = min(max(width / height, self.aspect[0]), self.aspect[1])
        w = max(1, min(width, round(height * aspect)))
        h = max(1, min(height, round(width / aspect)))
        return (width - w) // 2, (height - h) // 2, w, h


@TRANSFORMS.register_module()
class LoadResize(LoadingTransform):
    """Read an image and resize all of it to one size. For evaluation and features.

    Required Keys: img_path; or img_bytes, the file's content; or img, pixels that are there already (uint8 (H, W, 3) RGB)

    Added Keys: img (uint8 (H, W, 3) RGB), img_shape and ori_shape (h, w), crop (the whole image as x, y, w, h), flip
    (False), warp_matrix (2, 3) float64 from pixels of the image to pixels of the result

    Args:
        size, interpolation, decode, max_megapixels: see :class:`LoadRandomResizedCrop`; decodes exactly by default,
            so that the numbers do not depend on the scale of a file. The interpolation ``'published'`` gives the pixels of the
            published Sapiens2 code: OpenCV's area where the width is reduced, else its cubic.
        antialias: average pixels when reducing. False, with 'bilinear', is OpenCV's resize, as the published dense models
            were evaluated.
        keep_ratio: resize both sides by one factor, center the image and pad with black (letterbox). Otherwise stretch.

    Raises:
        ValueError: an argument out of its range.
        BadImage: a file that cannot be used.
    """

    interpolations = ('bicubic', 'bilinear', 'published')

    def __init__(
        self,
        size: int | tuple,
        interpolation: str = 'bicubic',
        decode: str = 'exact',
        antialias: bool = True,
        max_megapixels: float = 150,
        keep_ratio: bool = False,
    ):
        super().__init__(size, interpolation, decode, max_megapixels)
        if not antialias and interpolation != 'bilinear':
            raise ValueError(f"antialias=False goes with interpolation='bilinear', not {interpolation!r}")
        self.antialias, self.keep_ratio = antialias, keep_ratio

    def published_interpolation(self, width: int) -> int:
        return cv2.INTER_AREA if self.size[0] < width else cv2.INTER_CUBIC

    def transform(self, results: dict) -> dict:
        image = open_image(results, self.max_megapixels)
        inner, results['warp_matrix'] = self.place(image.size)
        return self._finish(results, image, (0, 0, *image.size), False, inner)

    def place(self, image_size: tuple) -> tuple[tuple[int, int, int, int], np.ndarray]:
        """Where an image of a size (w, h) goes: its box (x, y, w, h) in the result, and the matrix (2, 3) from its pixels."""
        left, top, width, height = letterbox(image_size, self.size) if self.keep_ratio else (0, 0, *self.size)
        return (left, top, width, height), zoom_matrix(width / image_size[0], height / image_size[1], left, top)


@TRANSFORMS.register_module()
class LoadLetterbox(LoadResize):
    """:class:`LoadResize` with ``keep_ratio``: the image is resized by one factor, centered, and padded with black.

    Added Keys: those of :class:`LoadResize`; padding (left, right, top, bottom) in pixels of the result

    Args:
        size, decode, antialias, max_megapixels: see :class:`LoadResize`.
        interpolation: ``'bilinear'`` or ``'bicubic'``; ``'published'`` gives the pixels of the published Sapiens2 code:
            OpenCV's bilinear, which does not average.
    """

    def __init__(
        self,
        size: int | tuple,
        interpolation: str = 'bilinear',
        decode: str = 'exact',
        antialias: bool = True,
        max_megapixels: float = 150,
    ):
        super().__init__(size, interpolation, decode, antialias, max_megapixels, keep_ratio=True)

    def published_interpolation(self, width: int) -> int:
        return cv2.INTER_LINEAR

    def transform(self, results: dict) -> dict:
        results = super().transform(results)
        (left, top, width, height), _ = self.place(results['ori_shape'][::-1])
        results['padding'] = left, self.size[0] - width - left, top, self.size[1] - height - top
        return results
