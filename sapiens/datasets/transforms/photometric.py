"""Changes of color and sharpness. Labels stay."""

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from sapiens.registry import TRANSFORMS

from .loading import change_foreground, check_prob

__all__ = ['PhotometricDistortion', 'RandomBlur']

_ALL = np.arange(256, dtype=np.uint8)
_HUES = 180  # OpenCV's 8-bit hue counts in steps of two degrees


@TRANSFORMS.register_module()
class PhotometricDistortion(BaseTransform):
    """Random brightness, contrast, saturation, hue and order of the channels.

    Brightness adds a number drawn uniformly from +-``brightness_delta`` (with probability 1/2). Contrast multiplies by a factor
    from ``contrast_range`` (1/2), before or after the color change. The color change is, with equal probability, none,
    saturation (times a factor from ``saturation_range``), hue (plus an integer from [-``hue_delta``, ``hue_delta``), cyclic) or
    both. Last, the channels are permuted (1/2). Values and probabilities are mmpose's, drawn from numpy's global generator in its
    order. Functions of one channel use a lookup table.

    Before a loading transform the change is only drawn; the loading transform applies it where there are the fewest pixels
    (``LoadPerson`` mostly before its warp with COCO). The foreground of people, where a sample has one, changes as the image.

    Modified Keys: img (uint8 (H, W, 3) RGB) if present, and gt_foreground (H, W, 3) float32; otherwise pixel_changes

    Args:
        brightness_delta: in gray levels.
        contrast_range, saturation_range: smallest and largest factor.
        hue_delta: in steps of two degrees, within [0, 180].
        permute: False keeps the channels in order.
        prob: probability of any change.
        published: as in the training of the published models, with two errors of mmpose's transform: contrast is applied twice
            (before and after the color change) or never, and hues outside [0, 180) wrap at 256.

    Raises:
        ValueError: an argument out of its range.
    """

    def __init__(
        self,
        brightness_delta: float = 32,
        contrast_range: tuple = (0.5, 1.5),
        saturation_range: tuple = (0.5, 1.5),
        hue_delta: int = 18,
        permute: bool = True,
        published: bool = False,
        prob: float = 1.0,
    ):
        check_prob(prob=prob)
        if brightness_delta < 0:
            raise ValueError(f'brightness_delta={brightness_delta}: expected 0 or more gray levels')
        for name, limits in (('contrast_range', contrast_range), ('saturation_range', saturation_range)):
            if len(limits) != 2 or not 0 <= limits[0] <= limits[1]:
                raise ValueError(f'{name}={limits!r}: expected (smallest, largest) factor, 0 or more')
        if not (isinstance(hue_delta, int) and 0 <= hue_delta <= _HUES):
            raise ValueError(f'hue_delta={hue_delta!r}: expected an integer within [0, {_HUES}]')
        self.brightness_delta, self.hue_delta = brightness_delta, hue_delta
        self.contrast_range, self.saturation_range = contrast_range, saturation_range
        self.permute, self.published, self.prob = permute, published, prob

    def transform(self, results: dict) -> dict:
        change = self.draw()
        if self.prob < 1 and np.random.random() >= self.prob:
            return results
        if 'img' in results:
            results['img'] = change(results['img'])
            change_foreground(results, change)
        else:
            results['pixel_changes'] = [*results.get('pixel_changes', ()), change]
        return results

    def draw(self) -> Callable[[np.ndarray], np.ndarray]:
        """Draw a change of images, (H, W, 3) uint8 RGB to the same."""
        # Always draw everything, so that later draws do not depend on these.
        contrast_last = np.random.randint(2)
        use_brightness, use_contrast = np.random.randint(2), np.random.randint(2)
        colour, use_order = np.random.randint(4), np.random.randint(2)
        brightness = np.random.uniform(-self.brightness_delta, self.brightness_delta)
        contrast = np.random.uniform(*self.contrast_range)
        saturation = np.random.uniform(*self.saturation_range)
        hue = np.random.randint(-self.hue_delta, max(self.hue_delta, 1 - self.hue_delta))
        order = np.random.permutation(3)

        first, last = _ALL, None
        if use_brightness:
            first = _scaled(first, 1, brightness)
        if use_contrast and (contrast_last if self.published else not contrast_last):
            first = _scaled(first, contrast, 0)
        if use_contrast and contrast_last:
            last = _scaled(_ALL, contrast, 0)
        hues = saturations = None
        if colour in (1, 3):
            saturations = _scaled(_ALL, saturation, 0)
        if colour in (2, 3):
            hues = np.arange(256) + hue
            hues = (hues if self.published else hues % _HUES).astype(np.uint8)
        if not colour and last is not None:
            first, last = last[first], None
        order = order if use_order and self.permute else None
        return partial(_apply, first=first, hues=hues, saturations=saturations, last=last, order=order)


@TRANSFORMS.register_module()
class RandomBlur(BaseTransform):
    """Blur at random by the mean and, independently, by the median of a square.

    Required and Modified Keys: img (uint8 (H, W, 3))

    Args:
        mean_prob, median_prob: probabilities.
        sizes: sides of the square in pixels to draw from: 3, 5 or 7.
        exact: compute the median of 7 exactly. Otherwise apply the median of 5 twice, which is nearly equal and ten times faster
            (docs/performance.md).

    Raises:
        ValueError: an argument out of its range.
    """

    def __init__(
        self, mean_prob: float = 0.1, median_prob: float = 0.1, sizes: tuple = (3, 5, 7), exact: bool = False
    ):
        check_prob(mean_prob=mean_prob, median_prob=median_prob)
        if not sizes or any(size not in (3, 5, 7) for size in sizes):
            raise ValueError(f'sizes={sizes!r}: expected some of 3, 5, 7')
        self.mean_prob, self.median_prob, self.sizes, self.exact = mean_prob, median_prob, tuple(sizes), exact

    def transform(self, results: dict) -> dict:
        # Always drawn, so that later draws do not depend on the probabilities.
        sizes = [self.sizes[number] for number in np.random.randint(len(self.sizes), size=2)]
        chances = np.random.random(2)
        if chances[0] < self.mean_prob:
            results['img'] = cv2.blur(results['img'], (sizes[0], sizes[0]))
        if chances[1] < self.median_prob:
            twice = sizes[1] == 7 and not self.exact
            for size in (5, 5) if twice else (sizes[1],):
                results['img'] = cv2.medianBlur(results['img'], size)
        return results


def _scaled(table: np.ndarray, factor: float, offset: float) -> np.ndarray:
    """``table * factor + offset`` as uint8: clipped and truncated, not rounded, as in mmpose."""
    return np.clip(table.astype(np.float32) * factor + offset, 0, 255).astype(np.uint8)


def _apply(image: np.ndarray, first, hues, saturations, last, order) -> np.ndarray:
    """Apply tables of all channels, hues, saturations and again all channels, then reorder the channels."""
    image = _look_up(image, first)
    if hues is not None or saturations is not None:
        image = _change_colors(image, hues, saturations)
    image = _look_up(image, last)
    return image if order is None else cv2.transform(image, np.eye(3, dtype=np.float32)[order])


def _look_up(image: np.ndarray, table: np.ndarray | None) -> np.ndarray:
    return image if table is None or (table == _ALL).all() else cv2.LUT(image, table)


def _change_colors(image: np.ndarray, hues: np.ndarray | None, saturations: np.ndarray | None) -> np.ndarray:
    # Planes: a table for all three channels at once takes longer than splitting, one or two tables and merging.
    planes = list(cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2HSV)))
    if hues is not None:
        planes[0] = cv2.LUT(planes[0], hues)
    if saturations is not None:
        planes[1] = cv2.LUT(planes[1], saturations)
    return cv2.cvtColor(cv2.merge(planes), cv2.COLOR_HSV2RGB)
