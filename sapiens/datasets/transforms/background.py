"""Replacing the background of people."""

import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from sapiens.coco import images_without_people
from sapiens.metainfo.classes import IGNORE
from sapiens.registry import TRANSFORMS
from sapiens.utils.image_files import SUFFIXES, is_image
from sapiens.utils.matte import compose_linear, multiply, straight_colors
from sapiens.utils.paths import describe_path, require_folder

from ..path_table import PathTable
from .decoding import BadImage, DecodedImage, EncodedImage, resize
from .loading import open_image, read_file
from .view import border_of, shown_mask

__all__ = ['Backgrounds', 'RandomBackground', 'reinhard_tables']

# Colors of a background are measured on a 1-in-4 pixel grid.
_STRIDE = 4


class Backgrounds:
    """Photographs to put behind people.

    Args:
        root: folder of photographs, searched at any depth.
        ann_file: COCO file of the photographs, relative to ``root`` or absolute: only its images without people (category 1,
            crowds included) are used. Without it all images are used, so none may show people.
        max_megapixels: larger photographs are refused.
        memory: longer side in pixels at which photographs are kept in memory once they were read, for few of them and small
            inputs; None reads the file each time.

    Raises:
        FileNotFoundError: no such folder or file.
        ValueError: no photographs.
    """

    def __init__(self, root: str, ann_file: str | None = None, max_megapixels: float = 150, memory: int | None = None):
        if memory is not None and not memory >= 16:
            raise ValueError(f'memory={memory!r}: expected the longer side of kept photographs in pixels, 16 or more')
        self.root = os.path.expanduser(root)
        where = describe_path(require_folder(self.root, 'folder of backgrounds'))
        self.ann_file = None if ann_file is None else os.path.join(self.root, os.path.expanduser(ann_file))
        names = _names_of_folder(self.root) if ann_file is None else _names_without_people(self.root, self.ann_file)
        self.table = PathTable.from_strings(names)
        if not len(self.table):
            endings = 'its images end in none of ' + ', '.join(SUFFIXES)
            raise ValueError(f'no backgrounds in {where}: {"all listed ones show people" if ann_file else endings}')
        self.max_megapixels, self.memory = max_megapixels, memory
        self._kept: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.table)

    def fitted(self, number: int, size: tuple, place: Sequence[float] | None = None) -> tuple[np.ndarray, str]:
        """A photograph at ``size`` (w, h), uint8 (h, w, 3), see :func:`fit_background`; and its path.

        Args:
            place: three fractions that choose a part of it, see there; None for its center.

        Raises:
            BadImage: it cannot be used; the text names it.
        """
        path = os.path.join(self.root, self.table[number])
        try:
            pixels = fit_background(self._open(number, path), size, place)
            return pixels if self.memory is None else pixels.copy(), path
        except BadImage as error:
            raise BadImage(f'background {path}: {error}') from error

    def _open(self, number: int, path: str) -> EncodedImage | DecodedImage:
        if number in self._kept:
            return DecodedImage(self._kept[number])
        image = EncodedImage(read_file(path), self.max_megapixels)
        if self.memory is None:
            return image
        scale = min(1.0, self.memory / max(image.size))
        size = tuple(max(1, round(side * scale)) for side in image.size)
        pixels, _ = image.crop((0, 0, *image.size), size, False)
        self._kept[number] = resize(pixels, size, 'bilinear')
        return DecodedImage(self._kept[number])

    def __repr__(self) -> str:
        return f'{len(self)} photographs in {self.root!r}'


@TRANSFORMS.register_module()
class RandomBackground(BaseTransform):
    """Put people in front of a photograph, and adapt their colors to it.

    The background is resized to the height of the image and cropped to its width about the center; a narrower one is stretched.
    It replaces all that is not foreground; with a soft ``gt_alpha`` the two are blended. Samples with ``gt_foreground`` are
    composed in linear light from these colors, without those of the former background; where they are unknown, from the image.

    Colors are transferred from the background to the foreground by `Reinhard et al. <https://doi.org/10.1109/38.946629>`_, in
    CIELAB with 8 bits a channel (L from 0 to 255; a and b with 128 for gray): in each channel ::

        x' = m_b + (x - m_f) s_b / s_f        x'' = x + color_transfer (x' - x)

    where m_f, s_f are mean and standard deviation of the foreground's pixels, and m_b, s_b those of the visible background on a
    1-in-4 pixel grid. A channel in which the foreground is constant is only shifted. Values are rounded and clipped.

    Required Keys: img (uint8 (H, W, 3) RGB), or img_path or img_bytes, from which it is read; gt_mask (H, W) bool, gt_sem_seg
    (H, W) uint8 or gt_alpha (H, W) float32; gt_alpha where known

    Modified Keys: img; gt_foreground, whose colors adapt as those of the image; no other label, since ``valid_mask`` excludes
    the background, or the background has no value (alpha)

    Added Keys: img (only if the background is replaced); background, its path

    Args:
        root, ann_file, max_megapixels, memory: see :class:`Backgrounds`.
        prob: probability.
        color_transfer: strength of the color transfer, 0 to 1; 1 as published.
        ignored: whether pixels with label 255 are foreground if there is no ``gt_mask``. True as published.
        random_part: show a random part of the photograph, mirrored half of the time, instead of its center.
        inside_only: for inputs that show more than the image (``warp_matrix``): the probability of leaving what is outside of
            the image as it is, as in a photograph of a person at its border. Unless it is 0, nothing is shown beyond the line
            that cuts a person (``image_border``).
        optional: leave samples that tell nothing of where people are (no gt_mask and no gt_alpha) as they are.

    Raises:
        FileNotFoundError: no such folder or file.
        ValueError: no photographs; an argument out of its range; on use, a sample without a mask or labels.
        BadImage: a background or an image that cannot be used; its text names the background.
    """

    def __init__(
        self,
        root: str,
        prob: float = 0.5,
        ann_file: str | None = None,
        color_transfer: float = 1.0,
        ignored: bool = True,
        max_megapixels: float = 150,
        memory: int | None = None,
        random_part: bool = False,
        inside_only: float = 0.0,
        optional: bool = False,
    ):
        for name, value in (('prob', prob), ('color_transfer', color_transfer), ('inside_only', inside_only)):
            if not 0 <= value <= 1:
                raise ValueError(f'{name}={value!r}: expected a number from 0 to 1')
        self.backgrounds = Backgrounds(root, ann_file, max_megapixels, memory)
        self.random_part, self.inside_only, self.optional = random_part, inside_only, optional
        self.prob, self.color_transfer, self.ignored = prob, color_transfer, ignored
        self.max_megapixels = max_megapixels

    def transform(self, results: dict) -> dict:
        # Always drawn, so that later draws do not depend on the probability.
        chance, number = np.random.random(), np.random.randint(len(self.backgrounds))
        place = np.random.random(3) if self.random_part else None
        is_inside = self.inside_only > 0 and np.random.random() < self.inside_only
        if chance >= self.prob or (self.optional and not {'gt_mask', 'gt_alpha'} & results.keys()):
            return results
        image = open_image(results, self.max_megapixels)
        pixels, _ = image.crop((0, 0, *image.size), image.size, True)
        mask = self._foreground(results)
        if mask.shape != pixels.shape[:2]:
            raise BadImage(
                f'the labels are {mask.shape[1]} x {mask.shape[0]}, the upright image is {pixels.shape[1]} x {pixels.shape[0]} '
                '(w x h)'
            )
        behind, path = self.backgrounds.fitted(number, pixels.shape[1::-1], place)
        if 'warp_matrix' in results and (is_inside or (self.inside_only and 'image_border' in results)):
            inside = shown_mask(results['warp_matrix'], border_of(results), pixels.shape[1::-1])
            if not inside.all():
                cv2.copyTo(pixels, (~inside).view(np.uint8), behind)
        if 'gt_foreground' in results:
            self._compose_foreground(results, pixels, behind)
        else:
            results['img'] = compose(pixels, behind, mask, results.get('gt_alpha'), self.color_transfer)
        results['background'] = path
        return results

    def _compose_foreground(self, results: dict, pixels: np.ndarray, behind: np.ndarray) -> None:
        alpha, known = results['gt_alpha'], results['valid_foreground']
        colors = np.where(known[..., None], straight_colors(results['gt_foreground'], alpha), pixels)
        colors = transfer_colors(colors, behind, alpha >= 0.5, self.color_transfer)
        results['img'] = compose_linear(colors, behind, alpha)
        results['gt_foreground'] = np.where(known[..., None], multiply(colors, alpha), np.float32(0))

    def _foreground(self, results: dict) -> np.ndarray:
        if 'gt_mask' in results:
            return results['gt_mask']
        if 'gt_foreground' in results:
            return results['gt_alpha'] >= 0.5
        if 'gt_sem_seg' not in results and 'gt_alpha' in results:
            return results['gt_alpha'] >= 0.5
        if 'gt_sem_seg' not in results:
            raise ValueError(
                f'{results.get("img_path")}: RandomBackground needs gt_mask, gt_sem_seg or gt_alpha: add LoadLabels or LoadMatte'
            )
        labels = results['gt_sem_seg']
        return labels > 0 if self.ignored else (labels > 0) & (labels != IGNORE)

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.backgrounds!r}, prob={self.prob})'


def fit_background(
    image: EncodedImage | DecodedImage, size: tuple, place: Sequence[float] | None = None
) -> np.ndarray:
    """The center of a photograph, or all of a narrow one, at ``size`` (w, h).

    Args:
        place: fractions in [0, 1): left and upper place of a part of 40 to 100 % of that height, of the aspect of ``size``; and
            its size, where the half below 0.5 is mirrored. None for the center.
    """
    width, height = image.size
    if place is not None:
        share = 0.4 + 0.6 * (place[2] * 2 % 1)
        tall = min(height, width * size[1] / size[0]) * share
        w, h = max(1, round(tall * size[0] / size[1])), max(1, round(tall))
        box = int(place[0] * (width - w + 1)), int(place[1] * (height - h + 1)), min(w, width), min(h, height)
    else:
        wanted = max(1, round(size[0] * height / size[1]))
        box = ((width - wanted) // 2, 0, wanted, height) if width > wanted else (0, 0, width, height)
    pixels, _ = image.crop(box, size, False)
    pixels = resize(pixels, size, 'bilinear')
    if place is None:
        return pixels
    return np.ascontiguousarray(pixels[:, ::-1]) if place[2] < 0.5 else pixels


def compose(
    image: np.ndarray,
    behind: np.ndarray,
    mask: np.ndarray,
    alpha: np.ndarray | None = None,
    color_transfer: float = 1.0,
) -> np.ndarray:
    """Compose the foreground of an image, in adapted colors, with a background; see :class:`RandomBackground`.

    Args:
        image, behind: (H, W, 3) uint8 RGB; not changed.
        mask: (H, W) bool, the foreground.
        alpha: (H, W) float32 in [0, 1], its fraction of each pixel; None for the mask.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    shown = mask if alpha is None else mask | (alpha > 0)
    rows, columns = np.flatnonzero(shown.any(1)), np.flatnonzero(shown.any(0))
    if not len(rows):
        return behind
    # Only the box of the foreground changes.
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    front = np.ascontiguousarray(image[box])
    weights = mask[box].view(np.uint8)
    front = transfer_colors(front, behind, mask, color_transfer, weights)
    result = behind.copy()
    if alpha is None:
        cv2.copyTo(front, weights, result[box])
        return result
    weight = np.ascontiguousarray(alpha[box], np.float32)
    result[box] = cv2.blendLinear(front, np.ascontiguousarray(behind[box]), weight, 1 - weight)
    return result


def transfer_colors(
    front: np.ndarray, behind: np.ndarray, mask: np.ndarray, strength: float, weights: np.ndarray | None = None
) -> np.ndarray:
    """The colors of a foreground, adapted to a background; as they are where one of them has no pixel.

    Args:
        front: (H, W, 3) uint8 RGB, or a box of it.
        behind: (H, W, 3) uint8 RGB.
        mask: (H, W) bool, where the foreground covers the background.
        strength: see :class:`RandomBackground`.
        weights: (H, W) uint8, the mask in the box of ``front``; by default all of it.
    """
    weights = np.ascontiguousarray(mask).view(np.uint8) if weights is None else weights
    there = ~mask[::_STRIDE, ::_STRIDE]
    if not (strength and weights.any() and there.any()):
        return front
    lab = cv2.cvtColor(front, cv2.COLOR_RGB2LAB)
    far = cv2.cvtColor(np.ascontiguousarray(behind[::_STRIDE, ::_STRIDE]), cv2.COLOR_RGB2LAB)
    stats = cv2.meanStdDev(lab, mask=weights), cv2.meanStdDev(far, mask=there.view(np.uint8))
    return cv2.cvtColor(cv2.LUT(lab, reinhard_tables(*stats, strength)), cv2.COLOR_LAB2RGB)


def reinhard_tables(front: tuple, behind: tuple, strength: float = 1.0) -> np.ndarray:
    """Lookup table (1, 256, 3) uint8 for each channel of 8-bit CIELAB.

    Args:
        front, behind: (mean (3, 1), standard deviation (3, 1)) of the foreground and of the background.
        strength: see :class:`RandomBackground`.
    """
    (front_mean, front_std), (mean, std) = front, behind
    values = np.arange(256.0)
    factor = np.where(front_std > 1e-6, std / np.maximum(front_std, 1e-6), 1)
    moved = mean + (values - front_mean) * factor
    moved = values + strength * (moved - values)
    return np.ascontiguousarray(np.clip(np.rint(moved), 0, 255).astype(np.uint8).T[None])


def _names_of_folder(root: str):
    """Paths of images below a folder, relative to it, in the order of the names."""
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith('.'))
        for name in sorted(files):
            if not name.startswith('.') and is_image(os.path.join(folder, name)):
                yield os.path.relpath(os.path.join(folder, name), root)


def _names_without_people(root: str, ann_file: str):
    """Names of the existing images of a COCO file that show no people."""
    without = images_without_people(ann_file)
    there = [name for name in without if Path(root, name).is_file()]
    if without and not there:
        raise ValueError(
            f'none of the {len(without)} images without people that {ann_file!r} lists is in {root!r}, such as {without[0]!r}: '
            'root= must be the folder that their names are relative to'
        )
    return there
