"""Foregrounds with alpha: composition over photographs, and a crop to the foreground.

Source: the published recipe of matting of Sapiens2.
"""

import io

import numpy as np
from mmcv.transforms import BaseTransform
from PIL import Image, ImageOps

from sapiens.registry import TRANSFORMS
from sapiens.utils.image_files import FORMATS
from sapiens.utils.matte import compose_linear, multiply, straight_colors

from .background import Backgrounds
from .color_files import check_premultiplied
from .decoding import BadImage, EncodedImage
from .label_geometry import label_maps, outside_value
from .labels import add_validity
from .loading import check_prob, open_image, read_file
from .view import View, transform_intrinsics

__all__ = ['ComposeRGBA', 'CropToAlpha', 'read_rgba']


@TRANSFORMS.register_module()
class ComposeRGBA(BaseTransform):
    """Put the foreground of an RGBA file in front of a photograph, in linear light.

    With the foreground f, its alpha a, the photograph b and the curve of sRGB: ``encode(a decode(f) + (1 - a) decode(b))``. In
    coded values instead, edges would be too dark. Colors of the foreground are not adapted (see :class:`.RandomBackground`).
    Samples with label files, such as photographs with a matte in a mixture, stay as they are.

    Required Keys: img_path or img_bytes, of an image with alpha

    Added Keys: img (uint8 (H, W, 3) RGB); gt_alpha (H, W) float32; gt_foreground (H, W, 3) float32, the file's color times alpha;
    valid_mask and valid_foreground (H, W) bool; background, the path of the photograph

    Args:
        root, ann_file: of the photographs, see :class:`.Backgrounds`.
        premultiplied: whether colors of the file are multiplied by alpha; the published files are not.
        max_megapixels: larger images are refused.

    Raises:
        FileNotFoundError: no such folder or file.
        ValueError: no photographs.
        BadImage: an image without alpha; premultiplied colors above their alpha; a file that cannot be used.
    """

    def __init__(
        self, root: str, ann_file: str | None = None, premultiplied: bool = False, max_megapixels: float = 150
    ):
        self.backgrounds = Backgrounds(root, ann_file, max_megapixels)
        self.premultiplied, self.max_megapixels = premultiplied, max_megapixels

    def transform(self, results: dict) -> dict:
        number = np.random.randint(len(self.backgrounds))
        if results.get('label_files'):
            return results
        data = results.pop('img_bytes', None)
        data = read_file(results['img_path']) if data is None else data
        colors, alpha = read_rgba(data, self.premultiplied, self.max_megapixels)
        behind, results['background'] = self.backgrounds.fitted(number, alpha.shape[::-1])
        results['img'] = compose_linear(colors, behind, alpha)
        results['gt_alpha'], results['gt_foreground'] = alpha, multiply(colors, alpha)
        add_validity(results)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.backgrounds!r}, premultiplied={self.premultiplied})'


@TRANSFORMS.register_module()
class CropToAlpha(BaseTransform):
    """Crop an image to its foreground, and pad the crop to the image's aspect in white.

    The box of all pixels with any alpha grows on each side by a random fraction of the image's width, as far as the image goes.
    The crop is centered in the smallest canvas of the image's aspect. Labels follow; in the padding only those count that are
    known there, such as alpha.

    Required Keys: img (uint8 (H, W, 3) RGB), or img_path or img_bytes; gt_alpha (H, W) float32, or gt_mask (H, W) bool

    Modified Keys: img and label maps ``gt_<field>``, valid_mask, ``valid_<field>``; intrinsics where there are some

    Args:
        prob: probability. An image without foreground stays as it is.
        margin: smallest and largest fraction.
        fill: gray level of the padding.

    Raises:
        ValueError: an argument out of its range; on use, a sample without alpha or mask, or of people, whose boxes and keypoints
            would not move with the image.
        BadImage: an image that cannot be used, or labels of another size.
    """

    def __init__(self, prob: float = 0.5, margin: tuple = (0.0, 0.1), fill: int = 255):
        check_prob(prob=prob)
        if len(margin) != 2 or not 0 <= margin[0] <= margin[1]:
            raise ValueError(f'margin={margin!r}: expected (smallest, largest), 0 or more')
        if not 0 <= fill <= 255:
            raise ValueError(f'fill={fill!r}: expected a gray level, 0 to 255')
        self.prob, self.margin, self.fill = prob, tuple(margin), fill

    def transform(self, results: dict) -> dict:
        if moved := [key for key in ('keypoints', 'bbox') if key in results]:
            raise ValueError(
                f'{results.get("img_path")}: CropToAlpha does not move {" and ".join(moved)}: use LoadPerson for crops of people'
            )
        # Always drawn, so that later draws do not depend on the probability.
        chance, fraction = np.random.random(), np.random.uniform(*self.margin)
        if chance >= self.prob:
            return results
        shown = results.get('gt_alpha', results.get('gt_mask'))
        if shown is None:
            raise ValueError(f'{results.get("img_path")}: CropToAlpha needs gt_alpha or gt_mask')
        image = open_image(results)
        width, height = image.size
        maps = label_maps(results, image.size)
        rows, columns = np.flatnonzero((shown > 0).any(1)), np.flatnonzero((shown > 0).any(0))
        if not len(rows):
            return results
        pad = round(fraction * width)
        top, bottom = max(rows[0] - pad, 0), min(rows[-1] + 1 + pad, height)
        left, right = max(columns[0] - pad, 0), min(columns[-1] + 1 + pad, width)
        inner = right - left, bottom - top
        size = max(inner[0], round(inner[1] * width / height)), max(inner[1], round(inner[0] * height / width))
        shift = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2

        def placed(values: np.ndarray, padding) -> np.ndarray:
            whole = np.full((size[1], size[0], *values.shape[2:]), padding, values.dtype)
            whole[shift[1] : shift[1] + inner[1], shift[0] : shift[0] + inner[0]] = values[top:bottom, left:right]
            return whole

        pixels, _ = image.crop((0, 0, width, height), image.size, True)
        results['img'] = placed(pixels, self.fill)
        for key, values in maps.items():
            results[key] = placed(values, outside_value(key, results))
        if 'intrinsics' in results:
            view = View(size, np.array([[1.0, 0, shift[0] - left], [0, 1, shift[1] - top]]))
            results['intrinsics'] = transform_intrinsics(results['intrinsics'], view)
        return results


def read_rgba(data: bytes, premultiplied: bool = False, max_megapixels: float = 150) -> tuple[np.ndarray, np.ndarray]:
    """Straight colors (H, W, 3) uint8 RGB and alpha (H, W) float32 in [0, 1] of an image file, upright.

    Args:
        premultiplied: whether colors of the file are multiplied by alpha.
        max_megapixels: larger images are refused.

    Raises:
        BadImage: no image with alpha, or premultiplied colors above their alpha.
    """
    EncodedImage(data, max_megapixels)  # the messages of unreadable files
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        if not image.has_transparency_data:
            raise BadImage(f'no alpha: mode {image.mode}, expected RGBA')
        pixels = np.array(ImageOps.exif_transpose(image).convert('RGBA'))
    colors, alpha = np.ascontiguousarray(pixels[..., :3]), pixels[..., 3].astype(np.float32) / 255
    if premultiplied:
        multiplied = colors * np.float32(1 / 255)
        check_premultiplied(multiplied, alpha)
        colors = straight_colors(multiplied, alpha)
    return colors, alpha
