"""Decoding regions of image files to upright RGB pixels, at a reduced scale where that loses no detail.

Legend: a size is (w, h), a box is (x, y, w, h), both in pixels of the full, upright image; arrays are (H, W, 3).

simplejpeg (libjpeg-turbo) decodes plain JPEGs (8-bit YCbCr, RGB or gray, baseline or progressive), OpenCV plain PNGs, Pillow all
others. Color profiles are not applied: values are taken as sRGB.
"""

import io
import math
import struct

import cv2
import numpy as np
import simplejpeg
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from sapiens.utils.image_files import FORMATS, HEIC_HINT

__all__ = ['BadImage', 'DecodedImage', 'EncodedImage', 'reason_of', 'resize', 'upright_pixels']

# JPEG reduction -> fraction of the output's size that the reduced crop must have on both axes. Half the scale may be upsampled
# slightly, which is invisible in large photographs; further reductions blur more (docs/performance.md).
_REDUCTIONS = {8: 1.0, 4: 1.0, 2: 0.9}

# Decoding ends at a multiple of this many rows: the usual height of a JPEG's coding unit, and a multiple of every reduction.
_ROW_STEP = 16

# EXIF orientation -> (transpose, then mirror x, then mirror y) from the stored to the upright image.
_ORIENTATIONS = {
    1: (False, False, False),
    2: (False, True, False),
    3: (False, True, True),
    4: (False, False, True),
    5: (True, False, False),
    6: (True, True, False),
    7: (True, True, True),
    8: (True, False, True),
}


# Bytes 4 to 12 of HEIC files.
_HEIC = {b'ftyp' + brand for brand in (b'heic', b'heix', b'hevc', b'heim', b'heis', b'mif1', b'msf1')}

# PNG chunks of pixels, color profiles, which are not applied, and printing.
_PLAIN_CHUNKS = {b'IHDR', b'IDAT', b'gAMA', b'cHRM', b'sRGB', b'iCCP', b'sBIT', b'bKGD', b'pHYs', b'tIME'}


def reason_of(error: Exception) -> str:
    """Why a reader refuses a file, in one line. Those of Pillow raise OSError, whose text says it all."""
    text = ' '.join(str(error).split())
    return text if isinstance(error, OSError) and text else f'{type(error).__name__}: {text}'


class BadImage(ValueError):
    """A file that cannot be used. The text is the reason, without the path.

    Args:
        path: of the file where it is another one than the image's, such as that of an archive.
    """

    def __init__(self, reason: str, path: str | None = None) -> None:
        super().__init__(reason)
        self.path = path

    def __reduce__(self) -> tuple:
        return type(self), (str(self), self.path)


class EncodedImage:
    """An image file in memory, decoded late and only as far as needed.

    Args:
        data: the file's content.
        max_megapixels: larger images are refused before decoding. Pillow itself refuses more than twice
            ``PIL.Image.MAX_IMAGE_PIXELS`` (179 megapixels).

    Attributes:
        size: (w, h) of the upright image.
        format: Pillow's name of the format.

    Raises:
        BadImage: empty, not an image, too large, truncated, or of a pixel type without a defined white.
    """

    def __init__(self, data: bytes, max_megapixels: float = 150):
        if len(data) == 0:
            raise BadImage('empty file')
        self._data = data
        self._pixels = None
        try:
            self._image = Image.open(io.BytesIO(data), formats=FORMATS)
        except UnidentifiedImageError:
            if data[4:12] in _HEIC:
                raise BadImage(HEIC_HINT) from None
            raise BadImage(f'not an image ({len(data)} bytes; known are {", ".join(FORMATS)})') from None
        except Exception as error:  # a broken header raises any error of the format's reader
            raise BadImage(reason_of(error)) from error
        self.format = self._image.format
        self._stored_size = width, height = self._image.size
        if width * height > max_megapixels * 1e6:
            raise BadImage(f'{width} x {height} pixels are more than the limit of {max_megapixels:g} megapixels')
        if self._image.format in ('JPEG', 'MPO') and self._image.mode in ('RGB', 'L'):
            self._orientation = _ORIENTATIONS.get(_exif_orientation(self._image), _ORIENTATIONS[1])
            self.size = (height, width) if self._orientation[0] else (width, height)
        else:
            self._load()

    def crop(self, box: tuple, size: tuple, exact: bool) -> tuple[np.ndarray, tuple]:
        """Decode a box that will be resized.

        Args:
            box: within the image.
            size: after the resize; decides the scale of the decode.
            exact: full scale and smooth chroma upsampling, equal to Pillow. Otherwise only crops that are upsampled by more
                than a third are exact; others get plain chroma upsampling and a half, a quarter or an eighth of the scale,
                as long as about ``size`` is left.

        Returns:
            The crop, possibly a view and possibly reduced, and its box: the given one, or for a reduced decode one moved to
            whole reduced pixels (by less than 8 pixels of the full image).
        """
        if self._pixels is None:
            try:
                return self._crop_jpeg(box, size, exact)
            except ValueError:
                # The strict decoder also refuses harmless deviations, such as stray bytes before a marker. Pillow separates
                # them from missing data.
                self._load()
        x, y, w, h = box
        return self._pixels[y : y + h, x : x + w], box

    def _crop_jpeg(self, box, size, exact):
        swap, mirror_x, mirror_y = self._orientation
        width, height = self._stored_size
        x, y, w, h = self._mirror(box)
        if swap:
            x, y, w, h = y, x, h, w
        factor = 1 if exact else _reduction(box[2:], size)
        # Plain upsampling repeats chroma values in squares, visible if a crop is upsampled by more than a third.
        smooth = exact or box[2] < 0.75 * size[0] or box[3] < 0.75 * size[1]
        if factor > 1:
            x, w = _snap(x, w, width, factor)
            y, h = _snap(y, h, height, factor)
        pixels = _decode_jpeg(self._data, width, height, y + h, factor, smooth)
        pixels = pixels[y // factor : (y + h) // factor, x // factor : (x + w) // factor]
        if swap:
            pixels = cv2.transpose(pixels)
            x, y, w, h = y, x, h, w
        if mirror_x or mirror_y:
            pixels = cv2.flip(pixels, -1 if mirror_x and mirror_y else int(mirror_x))
        return pixels, self._mirror((x, y, w, h))

    def _mirror(self, box):
        """The box before the mirroring of the upright image, or back."""
        _, mirror_x, mirror_y = self._orientation
        x, y, w, h = box
        return self.size[0] - x - w if mirror_x else x, self.size[1] - y - h if mirror_y else y, w, h

    def _load(self):
        """Decode the whole image, with Pillow unless it is a plain PNG: upright RGB in ``_pixels``."""
        self._pixels = _decode_png(self._data) if self._image.format == 'PNG' else None
        if self._pixels is None:
            try:
                self._image.load()
                self._pixels = upright_pixels(self._image)
            except BadImage:
                raise
            except Exception as error:  # see __init__
                raise BadImage(reason_of(error)) from error
        self.size = self._pixels.shape[1], self._pixels.shape[0]


class DecodedImage:
    """Pixels that are in memory already, with the interface of :class:`EncodedImage`.

    Args:
        pixels: uint8 (H, W, 3) RGB.
    """

    def __init__(self, pixels: np.ndarray):
        self._pixels = pixels
        self.size = pixels.shape[1], pixels.shape[0]

    def crop(self, box: tuple, size: tuple, exact: bool) -> tuple[np.ndarray, tuple]:
        x, y, w, h = box
        return self._pixels[y : y + h, x : x + w], box


def upright_pixels(image: Image.Image) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a Pillow image, turned as its EXIF orientation says. Transparent images are put on white.

    Raises:
        BadImage: 32-bit pixels, which have no defined white.
    """
    return np.array(_to_rgb(ImageOps.exif_transpose(image), image.format))


def resize(pixels: np.ndarray, size: tuple, interpolation: str = 'bicubic') -> np.ndarray:
    """Resize uint8 (H, W, 3) to ``size`` (w, h) with an antialiasing filter, as Pillow does, several times faster.

    Rounding differs from Pillow's in about 0.3 % of the values, by 2 gray levels at most (docs/differences.md).
    """
    # The fast kernel needs channels-last strides: the new axis comes before the permutation.
    batch = torch.from_numpy(pixels)[None].permute(0, 3, 1, 2)
    batch = torch.nn.functional.interpolate(batch, size[::-1], mode=interpolation, antialias=True)
    return np.ascontiguousarray(batch[0].permute(1, 2, 0).numpy())


def _decode_jpeg(data, width, height, rows, factor, smooth) -> np.ndarray:
    """Decode at least the first ``rows`` rows of a JPEG, at 1 / ``factor`` of its scale."""
    # A JPEG is decoded from the top. With a smaller height in its header the decoder stops below the crop, with the same pixels
    # above (smooth upsampling reads one chroma row ahead: two pixels). It then ignores the rest, so truncated files are found
    # before: they do not end in the end marker.
    shorter = -(-(rows + 2 * smooth) // _ROW_STEP) * _ROW_STEP
    stops_early = shorter < height and data.endswith(b'\xff\xd9')
    if stops_early:
        data, height = _with_height(data, shorter), shorter
    scaled = math.ceil(height / factor), math.ceil(width / factor)
    pixels = simplejpeg.decode_jpeg(
        data,
        fastupsample=not smooth,  # the fast DCT would save as much again, but darkens by 0.8 gray levels
        min_height=scaled[0],
        min_width=scaled[1],
        strict=not stops_early,
    )
    assert pixels.shape[:2] == scaled
    return pixels


def _decode_png(data: bytes) -> np.ndarray | None:
    """Pixels of an 8-bit RGB or gray PNG, faster than with Pillow; None for others and broken files."""
    if data[24] != 8 or data[25] not in (0, 2) or not _has_plain_chunks(data):
        return None  # transparent or not upright; for broken files Pillow has the best messages
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    return None if pixels is None else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def _has_plain_chunks(data: bytes) -> bool:
    """Whether a PNG has no transparency and no Exif or XMP metadata in any form."""
    position = 8
    while position + 8 <= len(data):
        length, kind = struct.unpack_from('>I4s', data, position)
        end = position + 12 + length
        if kind == b'IEND':
            return True
        text = kind in (b'tEXt', b'zTXt', b'iTXt')
        if kind not in _PLAIN_CHUNKS and not text:
            return False
        if text and any(word in data[position:end].lower() for word in (b'exif', b'xmp')):
            return False
        position = end
    return False


def _with_height(data: bytes, height: int) -> bytearray:
    """The file with another height in its frame header. Raises ValueError if there is no header."""
    position = 2
    while position + 9 < len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if 0xC0 <= marker <= 0xC2:
            changed = bytearray(data)
            changed[position + 5 : position + 7] = height.to_bytes(2, 'big')
            return changed
        # 0xFF may be repeated before a marker; other segments store their length.
        position += 1 if marker == 0xFF else 2 + int.from_bytes(data[position + 2 : position + 4], 'big')
    raise ValueError('no frame header')


def _reduction(box_size, size) -> int:
    for factor, fraction in _REDUCTIONS.items():
        if all(have >= factor * fraction * want for have, want in zip(box_size, size, strict=True)):
            return factor
    return 1


def _snap(start: int, length: int, limit: int, factor: int) -> tuple[int, int]:
    """Move an interval to multiples of ``factor`` inside [0, limit]."""
    length = max(factor, round(length / factor) * factor)
    length = min(length, limit // factor * factor)
    start = min(round(start / factor) * factor, limit // factor * factor - length)
    return start, length


def _exif_orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(0x0112, 1)
    except Exception:  # the pixels may be fine without metadata
        return 1


def _to_rgb(image: Image.Image, file_format: str | None) -> Image.Image:
    if image.mode in ('I', 'F') and not (image.mode == 'I' and file_format == 'PNG'):
        raise BadImage(f'pixels of mode {image.mode} (32 bits a value) have no defined white')
    if image.mode.startswith('I'):
        # 16-bit gray. convert() would clip it; Pillow keeps the high byte of 16-bit colors.
        return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)).convert('RGB')
    if image.has_transparency_data:
        # Colors under full transparency are arbitrary: show them on white, as a page does.
        image = image.convert('RGBA')
        return Image.alpha_composite(Image.new('RGBA', image.size, 'white'), image).convert('RGB')
    return image if image.mode == 'RGB' else image.convert('RGB')
