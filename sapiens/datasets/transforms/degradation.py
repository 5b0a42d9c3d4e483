"""Losses of image quality: blur, noise, lost resolution, solarization and compression. Labels stay.

Values of the defaults are those of the published Sapiens2 recipes. There some of these steps change the photograph, before it is
resized; here all of them change the network's input, which has fewer pixels.
"""

import io

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from PIL import Image

from sapiens.registry import TRANSFORMS

from .loading import check_prob, open_image

__all__ = ['GaussianBlur', 'GaussianNoise', 'JPEGCompression', 'LowerResolution', 'Solarize']

_RESAMPLINGS = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_AREA)


class Degradation(BaseTransform):
    """Base class: changes ``img`` (uint8 (H, W, 3)) with a probability. Draws come from numpy's global generator.

    Before a loading transform it reads the whole image.
    """

    def __init__(self, prob: float):
        check_prob(prob=prob)
        self.prob = prob

    def transform(self, results: dict) -> dict:
        # Always drawn, so that later draws do not depend on the probability.
        chance, drawn = np.random.random(), self.draw()
        if chance < self.prob:
            if 'img' not in results:
                image = open_image(results)
                results['img'], _ = image.crop((0, 0, *image.size), image.size, True)
            results['img'] = self.apply(results['img'], drawn)
        return results

    def draw(self):
        """Draw what :meth:`apply` needs."""

    def apply(self, image: np.ndarray, drawn) -> np.ndarray:
        raise NotImplementedError


@TRANSFORMS.register_module()
class GaussianBlur(Degradation):
    """Blur by a Gaussian cut to 3x3 pixels.

    Args:
        sigma: smallest and largest standard deviation in pixels.
        prob: probability.
    """

    def __init__(self, sigma: tuple = (0.1, 2.0), prob: float = 0.3):
        super().__init__(prob)
        self.sigma = _limits('sigma', sigma, 0)

    def draw(self) -> float:
        return np.random.uniform(*self.sigma)

    def apply(self, image, drawn):
        return cv2.GaussianBlur(image, (3, 3), drawn)


@TRANSFORMS.register_module()
class GaussianNoise(Degradation):
    """Add normal noise, drawn for each pixel and channel.

    Args:
        variance: smallest and largest, in squared gray levels.
        prob: probability.
    """

    def __init__(self, variance: tuple = (5.0, 20.0), prob: float = 0.3):
        super().__init__(prob)
        self.variance = _limits('variance', variance, 0)

    def draw(self) -> tuple[float, int]:
        return np.random.uniform(*self.variance), np.random.randint(2**31)

    def apply(self, image, drawn):
        variance, seed = drawn
        noise = np.random.default_rng(seed).standard_normal(image.shape, np.float32) * np.float32(variance**0.5)
        return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


@TRANSFORMS.register_module()
class LowerResolution(Degradation):
    """Resize to a fraction of the size and back. Both interpolations are drawn: nearest, linear, cubic or area.

    Args:
        scale: smallest and largest fraction of the sides.
        prob: probability.
    """

    def __init__(self, scale: tuple = (0.1, 0.7), prob: float = 0.2):
        super().__init__(prob)
        self.scale = _limits('scale', scale, 0)

    def draw(self) -> tuple:
        return np.random.uniform(*self.scale), np.random.randint(len(_RESAMPLINGS), size=2)

    def apply(self, image, drawn):
        scale, (down, up) = drawn
        size = image.shape[1], image.shape[0]
        small = tuple(max(1, round(side * scale)) for side in size)
        image = cv2.resize(image, small, interpolation=_RESAMPLINGS[down])
        return cv2.resize(image, size, interpolation=_RESAMPLINGS[up])


@TRANSFORMS.register_module()
class Solarize(Degradation):
    """Invert gray levels of a threshold and above.

    Args:
        threshold: 0 to 255.
        prob: probability.
    """

    def __init__(self, threshold: int = 128, prob: float = 0.3):
        super().__init__(prob)
        if not 0 <= threshold <= 255:
            raise ValueError(f'threshold={threshold!r}: expected a gray level, 0 to 255')
        levels = np.arange(256)
        self.table = np.where(levels < threshold, levels, 255 - levels).astype(np.uint8)

    def apply(self, image, drawn):
        return cv2.LUT(image, self.table)


@TRANSFORMS.register_module()
class JPEGCompression(Degradation):
    """Compress as JPEG and decode.

    Args:
        quality: smallest and largest, integers from 1 to 100.
        prob: probability.
    """

    def __init__(self, quality: tuple = (30, 60), prob: float = 0.5):
        super().__init__(prob)
        self.quality = _limits('quality', quality, 1)

    def draw(self) -> int:
        return int(np.random.randint(self.quality[0], self.quality[1] + 1))

    def apply(self, image, drawn):
        file = io.BytesIO()
        Image.fromarray(image).save(file, 'JPEG', quality=drawn)
        return np.array(Image.open(file))


def _limits(name: str, limits: tuple, lowest: float) -> tuple:
    if len(limits) != 2 or not lowest <= limits[0] <= limits[1]:
        raise ValueError(f'{name}={limits!r}: expected (smallest, largest), {lowest} or more')
    return tuple(limits)
