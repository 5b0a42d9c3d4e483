"""Steps of random geometry for the dense tasks: one flip, resize, crop and rotation for all labels of a sample.

Legend: see :mod:`.view`. A step does not touch pixels: it changes the :class:`.View`. At the end every map is sampled once
(:mod:`.sampling`), so only the visible part is read, and labels are never resampled twice.
"""

import math
from dataclasses import replace

import numpy as np
from mmcv.transforms import BaseTransform

from sapiens.registry import TRANSFORMS

from .loading import check_area, check_prob, draw_box, letterbox
from .sampling import transform_sample
from .view import View, fit_size, sample_labels

__all__ = [
    'GeometricStep',
    'Letterbox',
    'RandomAreaCrop',
    'RandomCrop',
    'RandomFlip',
    'RandomResize',
    'RandomRotate',
    'Resize',
    'ScaleJitter',
]

# The classes of a crop are counted on a 1-in-4 pixel grid.
_STRIDE = 4


class GeometricStep(BaseTransform):
    """A step of :class:`LoadDense`, in its ``steps``. In a pipeline by itself it is applied at once: an image that passes
    through several such steps is resampled by each.

    Required and Modified Keys: those of :class:`LoadDense`
    """

    def draw(self, view: View, results: dict) -> View:
        """The view after this step, drawn at random. ``results`` has the labels of the original image."""
        raise NotImplementedError

    def transform(self, results: dict) -> dict:
        return transform_sample(results, [self])


@TRANSFORMS.register_module()
class Resize(GeometricStep):
    """Resize the whole image.

    Args:
        size: (w, h) in pixels.
        keep_ratio: resize to the largest size of the same aspect whose longer side is within the longer side of ``size`` and
            whose shorter side is within the shorter one, as mmcv does. Otherwise stretch.

    Raises:
        ValueError: an argument out of its range.
    """

    def __init__(self, size: tuple, keep_ratio: bool = False):
        self.size, self.keep_ratio = check_size(size), keep_ratio

    def draw(self, view: View, results: dict) -> View:
        return view.resize(fit_size(view.size, self.size) if self.keep_ratio else self.size)


@TRANSFORMS.register_module()
class RandomResize(GeometricStep):
    """Resize the whole image to a random multiple of a size.

    Args:
        size: (w, h) in pixels; None for the image's own.
        ratio: smallest and largest multiple, drawn uniformly.
        keep_ratio: see :class:`Resize`.
        prob: probability.

    Raises:
        ValueError: an argument out of its range.
    """

    def __init__(self, size: tuple | None, ratio: tuple, keep_ratio: bool = True, prob: float = 1.0):
        self.size = None if size is None else check_size(size)
        if len(ratio) != 2 or not 0 < ratio[0] <= ratio[1]:
            raise ValueError(f'ratio={ratio!r}: expected (smallest, largest), above 0')
        check_prob(prob=prob)
        self.ratio, self.keep_ratio, self.prob = tuple(ratio), keep_ratio, prob

    def draw(self, view: View, results: dict) -> View:
        ratio = np.random.uniform(*self.ratio)
        if self.prob < 1 and np.random.random() >= self.prob:
            return view
        size = self.size or view.size
        size = max(1, int(size[0] * ratio)), max(1, int(size[1] * ratio))
        return view.resize(fit_size(view.size, size) if self.keep_ratio else size)


@TRANSFORMS.register_module()
class RandomCrop(GeometricStep):
    """Crop a random box; a side that is shorter is kept whole.

    Args:
        size: (w, h) in pixels.
        cat_max_ratio: with label maps: a box in which one class covers this fraction or more of the labeled pixels is drawn
            again, up to ten times. Classes are counted on a 1-in-4 pixel grid. 1 takes any box.
        prob: probability.

    Raises:
        ValueError: an argument out of its range; on use, ``cat_max_ratio`` without ``gt_sem_seg``.
    """

    def __init__(self, size: tuple, cat_max_ratio: float = 1.0, prob: float = 1.0):
        self.size = check_size(size)
        check_prob(prob=prob)
        self.prob = prob
        if not 0 < cat_max_ratio <= 1:
            raise ValueError(f'cat_max_ratio={cat_max_ratio!r}: expected a fraction, above 0')
        self.cat_max_ratio = cat_max_ratio

    def draw(self, view: View, results: dict) -> View:
        if self.prob < 1 and np.random.random() >= self.prob:
            return view
        tries = 10 if self.cat_max_ratio < 1 else 0
        if tries and 'gt_sem_seg' not in results:
            raise ValueError(
                f'{results.get("img_path")}: RandomCrop(cat_max_ratio={self.cat_max_ratio}) needs gt_sem_seg; leave it out'
            )
        crop = self._box(view)
        while tries and not self._is_mixed(crop, results['gt_sem_seg']):
            crop, tries = self._box(view), tries - 1
        return crop

    def _box(self, view: View) -> View:
        y = np.random.randint(max(view.size[1] - self.size[1], 0) + 1)
        x = np.random.randint(max(view.size[0] - self.size[0], 0) + 1)
        size = min(view.size[0], self.size[0]), min(view.size[1], self.size[1])
        return view.then(np.array([[1.0, 0, -x], [0, 1, -y]]), size)

    def _is_mixed(self, crop: View, labels: np.ndarray) -> bool:
        counts = np.bincount(sample_labels(crop, labels, _STRIDE).ravel(), minlength=256)[:255]
        return (counts > 0).sum() > 1 and counts.max() < self.cat_max_ratio * counts.sum()


@TRANSFORMS.register_module()
class RandomAreaCrop(GeometricStep):
    """Crop a random box by its area and aspect. The image stays whole if none of the draws fits.

    Args:
        area: smallest and largest fraction of the image's area, drawn uniformly.
        aspect: smallest and largest width / height, drawn log-uniformly.
        prob: probability.
        tries: draws.

    Raises:
        ValueError: an argument out of its range.
    """

    def __init__(self, area: tuple = (0.4, 1.0), aspect: tuple = (0.5, 2.0), prob: float = 0.3, tries: int = 8):
        self.area, self.aspect = check_area(area, aspect)
        check_prob(prob=prob)
        if tries < 1:
            raise ValueError(f'tries={tries!r}: expected 1 or more')
        self.prob, self.tries = prob, tries

    def draw(self, view: View, results: dict) -> View:
        if np.random.random() >= self.prob:
            return view
        box = draw_box(view.size, self.area, self.aspect, self.tries)
        return view if box is None else view.then(np.array([[1.0, 0, -box[0]], [0, 1, -box[1]]]), box[2:])


@TRANSFORMS.register_module()
class Letterbox(GeometricStep):
    """Resize both sides by one factor, center the image and pad with black. Labels do not count in the padding.

    Args:
        size: (w, h) in pixels.

    Raises:
        ValueError: an argument out of its range.
    """

    def __init__(self, size: tuple):
        self.size = check_size(size)

    def draw(self, view: View, results: dict) -> View:
        left, top, *inner = letterbox(view.size, self.size)
        return view.resize(tuple(inner)).then(np.array([[1.0, 0, left], [0, 1, top]]), self.size)


@TRANSFORMS.register_module()
class ScaleJitter(GeometricStep):
    """Resize the image by a random factor and show a random part of it, or all of it at a random place: large-scale jittering
    (Ghiasi et al., "Simple Copy-Paste", CVPR 2021). Black is around it, as in :class:`Letterbox`.

    Args:
        size: (w, h) of the result in pixels.
        ratio: smallest and largest multiple of the size that :class:`Letterbox` gives the image, drawn log-uniformly.
        aspect: the width is also multiplied by up to this factor and divided by up to it, drawn log-uniformly.

    Raises:
        ValueError: an argument out of its range.
    """

    def __init__(self, size: tuple, ratio: tuple = (0.5, 2.0), aspect: float = 1.0):
        self.size = check_size(size)
        if len(ratio) != 2 or not 0 < ratio[0] <= ratio[1]:
            raise ValueError(f'ratio={ratio!r}: expected (smallest, largest), above 0')
        if not aspect >= 1:
            raise ValueError(f'aspect={aspect!r}: expected the largest factor, 1 or more')
        self.ratio, self.aspect = tuple(ratio), aspect

    def draw(self, view: View, results: dict) -> View:
        ratio = math.exp(np.random.uniform(*map(math.log, self.ratio)))
        aspect = math.exp(np.random.uniform(-1, 1) * math.log(self.aspect))
        inner = letterbox(view.size, self.size)[2:]
        inner = max(1, round(inner[0] * ratio * aspect)), max(1, round(inner[1] * ratio))
        # Free pixels are on both sides, or are those of the image that do not show.
        places = [round(np.random.random() * (whole - side)) for whole, side in zip(self.size, inner, strict=True)]
        return view.resize(inner).then(np.array([[1.0, 0, places[0]], [0, 1, places[1]]]), self.size)


@TRANSFORMS.register_module()
class RandomRotate(GeometricStep):
    """Rotate the image about its center; its size stays, black or another gray fills the corners.

    Normals turn as if the camera had turned about its axis. After a stretch (:class:`Resize`) this is an approximation.

    Args:
        degree: largest angle to either side, drawn uniformly.
        prob: probability.
        seg_padding: label outside the image: 255, ignored; or a class, which then counts there (the published Goliath and
            face models learned that black is background).
        fill: gray level of the corners; 255 in the published matting.

    Raises:
        ValueError: an argument out of its range.
    """

    def __init__(self, degree: float, prob: float = 0.5, seg_padding: int = 255, fill: int = 0):
        if not 0 < degree <= 180:
            raise ValueError(f'degree={degree!r}: expected the largest angle in degrees, above 0 and at most 180')
        if not (isinstance(seg_padding, int) and 0 <= seg_padding <= 255):
            raise ValueError(f'seg_padding={seg_padding!r}: expected a label, 0 to 255')
        if not (isinstance(fill, int) and 0 <= fill <= 255):
            raise ValueError(f'fill={fill!r}: expected a gray level, 0 to 255')
        check_prob(prob=prob)
        self.degree, self.prob, self.seg_padding, self.fill = degree, prob, seg_padding, fill

    def draw(self, view: View, results: dict) -> View:
        chance, degrees = np.random.random(), np.random.uniform(-self.degree, self.degree)
        if chance >= self.prob:
            return view
        c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        turn = np.array([[c, -s], [s, c]])
        middle = (np.array(view.size) - 1) / 2
        matrix = np.column_stack([turn, middle - turn @ middle])
        return replace(view.then(matrix, view.size, turn), padding=self.seg_padding, fill=self.fill)


@TRANSFORMS.register_module()
class RandomFlip(GeometricStep):
    """Mirror the image left to right: labels of left and right swap, x of vectors changes its sign.

    Args:
        prob: probability.

    Raises:
        ValueError: an argument out of its range; on use, labels without a ``flip_table``.
    """

    def __init__(self, prob: float = 0.5):
        check_prob(prob=prob)
        self.prob = prob

    def draw(self, view: View, results: dict) -> View:
        if np.random.random() >= self.prob:
            return view
        return view.then(np.array([[-1.0, 0, view.size[0] - 1], [0, 1, 0]]), view.size, np.diag([-1.0, 1]))


def check_size(size) -> tuple[int, int]:
    if not isinstance(size, (tuple, list)) or len(size) != 2 or not all(isinstance(n, int) and n > 0 for n in size):
        raise ValueError(f'size={size!r}: expected (width, height) in pixels')
    return tuple(size)
