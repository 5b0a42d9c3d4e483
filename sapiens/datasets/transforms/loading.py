"""Transforms that turn a path into pixels. The crop is part of loading: it decides how little must be decoded."""

import math
import os

import cv2
import fsspec
import numpy as np
from mmcv.transforms import BaseTransform

from sapiens.registry import TRANSFORMS

from .decoding import BadImage, DecodedImage, EncodedImage, resize
from .view import zoom_matrix

__all__ = ['LoadRandomResizedCrop', 'LoadResize', 'LoadingTransform', 'apply_pixel_changes', 'open_image', 'read_file']

# No image file is this large; reading one would exhaust the memory before its header is looked at.
MAX_FILE_BYTES = 1 << 30


def read_file(path: str) -> bytes:
    """The content of a local file or of an fsspec URL. Raises BadImage where it cannot be read."""
    try:
        with fsspec.open(path, 'rb').open() if '://' in path else open(path, 'rb') as file:
            size = getattr(file, 'size', None) if '://' in path else os.fstat(file.fileno()).st_size
            if size is not None and size > MAX_FILE_BYTES:
                raise BadImage(f'{size} bytes are more than the limit of {MAX_FILE_BYTES >> 20} MiB')
            return file.read()
    except OSError as error:
        raise BadImage(f'{type(error).__name__}: {error.strerror or error}') from error


def apply_pixel_changes(results: dict, pixels: np.ndarray) -> np.ndarray:
    """Apply the changes of colour (``pixel_changes``) that earlier transforms have drawn for this sample."""
    for change in results.get('pixel_changes', ()):
        pixels = change(pixels)
    return pixels


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


class LoadingTransform(BaseTransform):
    """Base of transforms that load an image: options and opening."""

    antialias = True

    def __init__(self, size, interpolation: str, decode: str, max_megapixels: float, flip_prob: float = 0.0):
        self.size = (size, size) if isinstance(size, int) else tuple(size)
        if len(self.size) != 2 or not all(isinstance(n, int) and n > 0 for n in self.size):
            raise ValueError(f'size={size!r}: expected one positive int or (width, height) in pixels')
        if interpolation not in ('bicubic', 'bilinear'):
            raise ValueError(f"interpolation={interpolation!r}: expected 'bicubic' or 'bilinear'")
        check_prob(flip_prob=flip_prob)
        self.interpolation, self.flip_prob, self.max_megapixels = interpolation, flip_prob, max_megapixels
        self.exact = check_decoding(decode, max_megapixels)

    def _finish(self, results: dict, image, box: tuple, flip: bool, inner: tuple | None = None) -> dict:
        """``inner``: box (x, y, w, h) of the result that shows ``box`` of the image; black around it. None for all of it."""
        left, top, *size = inner or (0, 0, *self.size)
        size = tuple(size)
        pixels, box = image.crop(box, size, self.exact)
        if self.antialias:
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
        if not 0 < area[0] <= area[1] <= 1:
            raise ValueError(f'area={area!r}: expected (smallest, largest) fraction of the area, within (0, 1]')
        if not 0 < aspect[0] <= aspect[1]:
            raise ValueError(f'aspect={aspect!r}: expected (smallest, largest) width / height, above 0')
        self.area, self.aspect = area, aspect

    def transform(self, results: dict) -> dict:
        image = open_image(results, self.max_megapixels)
        box = self.draw_box(*image.size)
        return self._finish(results, image, box, bool(np.random.random() < self.flip_prob))

    def draw_box(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Draw the crop (x, y, w, h) of an image, in pixels."""
        for _ in range(10):
            area = np.random.uniform(*self.area) * width * height
            aspect = math.exp(np.random.uniform(math.log(self.aspect[0]), math.log(self.aspect[1])))
            w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < w <= width and 0 < h <= height:
                y = int(np.random.randint(height - h + 1))
                return int(np.random.randint(width - w + 1)), y, w, h
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
            so that the numbers do not depend on the scale of a file.
        antialias: average pixels when reducing. False, with 'bilinear', is OpenCV's resize, as the published dense models
            were evaluated.
        keep_ratio: resize both sides by one factor, center the image and pad with black (letterbox). Otherwise stretch.

    Raises:
        ValueError: an argument out of its range.
        BadImage: a file that cannot be used.
    """

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

    def transform(self, results: dict) -> dict:
        image = open_image(results, self.max_megapixels)
        inner, results['warp_matrix'] = self.place(image.size)
        return self._finish(results, image, (0, 0, *image.size), False, inner)

    def place(self, image_size: tuple) -> tuple[tuple[int, int, int, int], np.ndarray]:
        """Where an image of a size (w, h) goes: its box (x, y, w, h) in the result, and the matrix (2, 3) from its pixels."""
        width, height = self.size
        if self.keep_ratio:
            factor = min(width / image_size[0], height / image_size[1])
            width, height = (max(1, round(side * factor)) for side in image_size)
        left, top = (self.size[0] - width) // 2, (self.size[1] - height) // 2
        return (left, top, width, height), zoom_matrix(width / image_size[0], height / image_size[1], left, top)
