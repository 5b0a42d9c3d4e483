"""What cameras do to pictures and renderings lack: tone, missing color, defocus, motion and sensor noise. Labels stay.

All of them change ``img`` (uint8 (H, W, 3) RGB) with a probability; see :class:`.degradation.Degradation`. For lost resolution
and compression there are ``LowerResolution`` and ``JPEGCompression``.
"""

import math

import cv2
import numpy as np

from sapiens.registry import TRANSFORMS

from .degradation import Degradation
from .loading import check_prob

__all__ = ['Defocus', 'MotionBlur', 'RandomGrayscale', 'SensorNoise', 'ToneCurve']


@TRANSFORMS.register_module()
class RandomGrayscale(Degradation):
    """Replace the three channels by the luma of the picture.

    Args:
        prob: probability.
    """

    def __init__(self, prob: float = 0.1):
        super().__init__(prob)

    def apply(self, image, drawn):
        return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


@TRANSFORMS.register_module()
class ToneCurve(Degradation):
    """Exposure, white balance and gamma, in one table of each channel::

        y = 255 clip(exposure gain (x / 255) ** gamma)

    Exposure, the gain of each channel and gamma are drawn uniformly in their logarithms. Exposures above 1 blow out highlights.

    Args:
        exposure, balance, gamma: largest factor, 1 or more; the smallest is its inverse.
        prob: probability.
    """

    def __init__(self, exposure: float = 1.8, balance: float = 1.3, gamma: float = 1.6, prob: float = 0.5):
        super().__init__(prob)
        for name, value in (('exposure', exposure), ('balance', balance), ('gamma', gamma)):
            if not 1 <= value < math.inf:
                raise ValueError(f'{name}={value!r}: expected the largest factor, 1 or more')
        self.limits = np.log([exposure, balance, balance, balance, gamma])

    def draw(self) -> np.ndarray:
        return np.exp(np.random.uniform(-1, 1, 5) * self.limits)

    def apply(self, image, drawn):
        exposure, gains, gamma = drawn[0], drawn[1:4], drawn[4]
        values = (np.arange(256) / 255)[:, None] ** gamma * exposure * gains
        table = np.rint(255 * np.clip(values, 0, 1)).astype(np.uint8)[None]
        return cv2.LUT(image, np.ascontiguousarray(table))


@TRANSFORMS.register_module()
class Defocus(Degradation):
    """Blur by a disk, as a lens out of focus does; of all of the picture, or of what is behind people.

    Required Keys: img; gt_alpha (H, W) float32 of people, for blur behind them, without which all of the picture is blurred

    Args:
        radius: smallest and largest, of the disk in pixels.
        behind: probability, of a picture with alpha that is blurred, that its people stay sharp.
        prob: probability.
    """

    def __init__(self, radius: tuple = (0.7, 2.5), behind: float = 0.5, prob: float = 0.2):
        super().__init__(prob)
        check_prob(behind=behind)
        if len(radius) != 2 or not 0 < radius[0] <= radius[1]:
            raise ValueError(f'radius={radius!r}: expected (smallest, largest), above 0')
        self.radius, self.behind = tuple(radius), behind

    def draw(self) -> tuple[float, bool]:
        return np.random.uniform(*self.radius), np.random.random() < self.behind

    def transform(self, results: dict) -> dict:
        # Always drawn, so that later draws do not depend on the probability.
        chance, (radius, is_behind) = np.random.random(), self.draw()
        if chance < self.prob:
            image, alpha = np.ascontiguousarray(results['img']), results.get('gt_alpha')
            blurred = cv2.filter2D(image, -1, _disk(radius), borderType=cv2.BORDER_REFLECT_101)
            if is_behind and alpha is not None:
                alpha = np.ascontiguousarray(alpha, np.float32)
                blurred = cv2.blendLinear(image, blurred, alpha, 1 - alpha)
            results['img'] = blurred
        return results


@TRANSFORMS.register_module()
class MotionBlur(Degradation):
    """Blur along a line of any direction.

    Args:
        length: smallest and largest, of the line in pixels.
        prob: probability.
    """

    def __init__(self, length: tuple = (2.0, 9.0), prob: float = 0.1):
        super().__init__(prob)
        if len(length) != 2 or not 1 <= length[0] <= length[1]:
            raise ValueError(f'length={length!r}: expected (smallest, largest) in pixels, 1 or more')
        self.length = tuple(length)

    def draw(self) -> tuple[float, float]:
        return np.random.uniform(*self.length), np.random.uniform(0, math.pi)

    def apply(self, image, drawn):
        return cv2.filter2D(image, -1, _line(*drawn), borderType=cv2.BORDER_REFLECT_101)


@TRANSFORMS.register_module()
class SensorNoise(Degradation):
    """Normal noise whose variance grows with the gray level, and coarser noise of color.

    The deviation of a pixel's luma is ``sqrt(read**2 + shot * x)`` at gray level x. That of its color is ``color`` times as
    large, and neighbors have similar errors: its grain is two pixels wide.

    Args:
        read: smallest and largest deviation in the dark, in gray levels.
        shot: smallest and largest growth of the variance, in gray levels.
        color: deviation of color over that of luma.
        prob: probability.
    """

    def __init__(self, read: tuple = (0.5, 4.0), shot: tuple = (0.0, 0.6), color: float = 0.7, prob: float = 0.3):
        super().__init__(prob)
        for name, limits in (('read', read), ('shot', shot)):
            if len(limits) != 2 or not 0 <= limits[0] <= limits[1]:
                raise ValueError(f'{name}={limits!r}: expected (smallest, largest), 0 or more')
        if not color >= 0:
            raise ValueError(f'color={color!r}: expected 0 or more')
        self.read, self.shot, self.color = tuple(read), tuple(shot), color

    def draw(self) -> tuple[float, float, int]:
        return np.random.uniform(*self.read), np.random.uniform(*self.shot), np.random.randint(2**31)

    def apply(self, image, drawn):
        read, shot, seed = drawn
        height, width = image.shape[:2]
        cv2.setRNGSeed(seed)  # OpenCV draws in a sixth of the time of numpy
        luma = cv2.randn(np.empty((height, width), np.float32), 0, 1)
        coarse = cv2.randn(np.empty(((height + 1) // 2, (width + 1) // 2, 3), np.float32), (0,) * 3, (self.color,) * 3)
        noise = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_NEAREST)
        noise += cv2.cvtColor(luma, cv2.COLOR_GRAY2RGB)
        deviation = np.sqrt(read**2 + shot * np.arange(256)).astype(np.float32)
        noise *= cv2.LUT(image, deviation)
        return cv2.add(image, noise, dtype=cv2.CV_8U)


def _disk(radius: float) -> np.ndarray:
    """(n, n) float32 weights of a disk, whose border pixels count by the part of them that it covers, approximately."""
    reach = math.ceil(radius)
    at = np.arange(-reach, reach + 1)
    weights = np.clip(radius + 0.5 - np.hypot(at[:, None], at), 0, 1).astype(np.float32)
    return weights / weights.sum()


def _line(length: float, angle: float) -> np.ndarray:
    """(n, n) float32 weights of a line about the center, ``angle`` in radians from x towards y."""
    reach = math.ceil(length / 2)
    at = np.arange(-reach, reach + 1)
    along = at * math.cos(angle) + at[:, None] * math.sin(angle)
    across = at[:, None] * math.cos(angle) - at * math.sin(angle)
    weights = np.clip(length / 2 + 0.5 - np.abs(along), 0, 1) * np.clip(1 - np.abs(across), 0, 1)
    return (weights / weights.sum()).astype(np.float32)
