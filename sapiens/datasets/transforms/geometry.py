"""Random views of an image for the dense tasks: one flip, resize, crop and rotation for every kind of label.

Legend: sizes are (w, h) in pixels, points (x, y) with the centre of the top-left pixel at (0, 0), matrices (2, 3) map pixels of
the original image to pixels of the view. x right, y down; a positive angle turns x towards y, clockwise to the eye.

A step does not touch pixels: it changes the :class:`View`, and at the end each map is sampled once through the whole matrix
(:mod:`.dense`). Only what the view shows is read, and labels are never resampled twice.
"""

import math
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from sapiens.registry import TRANSFORMS

__all__ = [
    'GeometricStep',
    'RandomCrop',
    'RandomFlip',
    'RandomResize',
    'RandomRotate',
    'Resize',
    'View',
    'chain',
    'visible_box',
]

# Every how many pixels the classes of a crop are counted.
_STRIDE = 4


@dataclass(frozen=True)
class View:
    """A picture that is made of an image, before it is made.

    Attributes:
        size: of the picture.
        matrix: (2, 3) float64, from the image to the picture.
        turn: (2, 2) orthogonal, what becomes of a vector (x, y) of the camera frame.
        stops: (matrix, size) of smaller pictures that the image, not the labels, passes through on the way: where an image
            is reduced and enlarged again, it loses its detail.
        padding: of ``gt_sem_seg`` beside the image.
    """

    size: tuple
    matrix: np.ndarray = field(default_factory=lambda: np.eye(2, 3))
    turn: np.ndarray = field(default_factory=lambda: np.eye(2))
    stops: tuple = ()
    padding: int = 255

    @property
    def mirrored(self) -> bool:
        return bool(np.linalg.det(self.turn) < 0)

    @property
    def angle(self) -> float:
        """Degrees by which the picture, if need be mirrored first, is turned."""
        return math.degrees(math.atan2(-self.turn[0, 1], self.turn[1, 1]))

    def then(self, matrix: np.ndarray, size: tuple, turn: np.ndarray | None = None) -> 'View':
        """The view after one more step, given by its own matrix."""
        turn = self.turn if turn is None else turn @ self.turn
        return replace(self, matrix=chain(matrix, self.matrix), size=(int(size[0]), int(size[1])), turn=turn)

    def resized(self, size: tuple) -> 'View':
        """All of the picture at another size."""
        zoom = size[0] / self.size[0], size[1] / self.size[1]
        if zoom == (1, 1):
            return self
        view = self
        scale = np.sqrt(abs(np.linalg.det(self.matrix[:, :2])))
        if scale < 1 and max(zoom) > 1:
            view = replace(self, stops=(*self.stops, (self.matrix, self.size)))
        return view.then(np.array([[zoom[0], 0, (zoom[0] - 1) / 2], [0, zoom[1], (zoom[1] - 1) / 2]]), size)


def chain(second: np.ndarray, first: np.ndarray) -> np.ndarray:
    """The (2, 3) matrix that does what ``first`` does and then what ``second`` does."""
    return np.column_stack([second[:, :2] @ first[:, :2], second[:, :2] @ first[:, 2] + second[:, 2]])


class GeometricStep(BaseTransform):
    """A step of :class:`LoadDense`, in its ``steps``. In a pipeline by itself it acts at once: an image that passes through
    several such steps is resampled by each.

    Required and Modified Keys: those of :class:`LoadDense`
    """

    def draw(self, view: View, results: dict) -> View:
        """The view after this step, drawn at random. ``results`` has the labels of the original image."""
        raise NotImplementedError

    def transform(self, results: dict) -> dict:
        from .dense import LoadDense  # which uses the steps

        return LoadDense(steps=[self], decode='exact').transform(results)


@TRANSFORMS.register_module()
class Resize(GeometricStep):
    """The whole picture at one size.

    Args:
        size: (w, h) in pixels.
        keep_ratio: as large as fits into ``size`` with the aspect kept: its longer side into the longer one, its shorter side
            into the shorter one, as mmcv does. Otherwise it is stretched.

    Raises:
        ValueError: an argument out of its range.
    """

    def __init__(self, size: tuple, keep_ratio: bool = False):
        self.size, self.keep_ratio = check_size(size), keep_ratio

    def draw(self, view: View, results: dict) -> View:
        return view.resized(fitted(view.size, self.size) if self.keep_ratio else self.size)


@TRANSFORMS.register_module()
class RandomResize(GeometricStep):
    """The whole picture at a random multiple of a size.

    Args:
        size: (w, h) in pixels.
        ratio: smallest and largest multiple, drawn uniformly.
        keep_ratio: see :class:`Resize`.

    Raises:
        ValueError: an argument out of its range.
    """

    def __init__(self, size: tuple, ratio: tuple, keep_ratio: bool = True):
        self.size = check_size(size)
        if len(ratio) != 2 or not 0 < ratio[0] <= ratio[1]:
            raise ValueError(f'ratio={ratio!r}: expected (smallest, largest), above 0')
        self.ratio, self.keep_ratio = tuple(ratio), keep_ratio

    def draw(self, view: View, results: dict) -> View:
        ratio = np.random.uniform(*self.ratio)
        size = max(1, int(self.size[0] * ratio)), max(1, int(self.size[1] * ratio))
        return view.resized(fitted(view.size, size) if self.keep_ratio else size)


@TRANSFORMS.register_module()
class RandomCrop(GeometricStep):
    """A random box of the picture; all of a side that is shorter.

    Args:
        size: (w, h) in pixels.
        cat_max_ratio: with label maps: a box of which one class fills this share or more of the labelled pixels is drawn
            again, up to ten times. Classes are counted at every fourth pixel of every fourth row. 1 takes any box.

    Raises:
        ValueError: an argument out of its range; on use, ``cat_max_ratio`` without ``gt_sem_seg``.
    """

    def __init__(self, size: tuple, cat_max_ratio: float = 1.0):
        self.size = check_size(size)
        if not 0 < cat_max_ratio <= 1:
            raise ValueError(f'cat_max_ratio={cat_max_ratio!r}: expected a share, above 0')
        self.cat_max_ratio = cat_max_ratio

    def draw(self, view: View, results: dict) -> View:
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
        counts = np.bincount(labels_of(crop, labels, _STRIDE).ravel(), minlength=256)[:255]
        return (counts > 0).sum() > 1 and counts.max() < self.cat_max_ratio * counts.sum()


@TRANSFORMS.register_module()
class RandomRotate(GeometricStep):
    """The picture turned about its middle, its size kept; black beside it.

    For normals it is what turning the camera about its axis does. After a stretch (:class:`Resize`) that is true but for the
    stretch.

    Args:
        degree: largest angle to either side, drawn uniformly.
        prob: probability.
        seg_padding: label beside the picture: 255, ignored; or a class, which then counts there (the published Goliath and
            face models learned that black is background).

    Raises:
        ValueError: an argument out of its range.
    """

    def __init__(self, degree: float, prob: float = 0.5, seg_padding: int = 255):
        if not 0 < degree <= 180:
            raise ValueError(f'degree={degree!r}: expected the largest angle in degrees, above 0 and at most 180')
        if not (isinstance(seg_padding, int) and 0 <= seg_padding <= 255):
            raise ValueError(f'seg_padding={seg_padding!r}: expected a label, 0 to 255')
        self.degree, self.prob, self.seg_padding = degree, check_prob(prob), seg_padding

    def draw(self, view: View, results: dict) -> View:
        chance, degrees = np.random.random(), np.random.uniform(-self.degree, self.degree)
        if chance >= self.prob:
            return view
        c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        turn = np.array([[c, -s], [s, c]])
        middle = (np.array(view.size) - 1) / 2
        matrix = np.column_stack([turn, middle - turn @ middle])
        return replace(view.then(matrix, view.size, turn), padding=self.seg_padding)


@TRANSFORMS.register_module()
class RandomFlip(GeometricStep):
    """The picture mirrored, left to right: labels of left and right change places, x of vectors changes its sign.

    Args:
        prob: probability.

    Raises:
        ValueError: an argument out of its range; on use, labels of a data set that does not say what their partners are.
    """

    def __init__(self, prob: float = 0.5):
        self.prob = check_prob(prob)

    def draw(self, view: View, results: dict) -> View:
        if np.random.random() >= self.prob:
            return view
        return view.then(np.array([[-1.0, 0, view.size[0] - 1], [0, 1, 0]]), view.size, np.diag([-1.0, 1]))


def visible_box(matrix: np.ndarray, size: tuple, image_size: tuple, margin: int = 0) -> tuple | None:
    """Box (x, y, w, h) of the image's pixels that a picture is made of, and ``margin`` more; None where it shows none."""
    corners = np.array([[0, 0], [size[0] - 1, 0], [0, size[1] - 1], [size[0] - 1, size[1] - 1]], np.float64)
    corners = (corners - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    low = np.maximum(np.floor(corners.min(0)) - margin, 0).astype(int)
    high = np.minimum(np.ceil(corners.max(0)) + 1 + margin, image_size).astype(int)
    if (low >= high).any():
        return None
    return int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1])


def labels_of(view: View, labels: np.ndarray, stride: int = 1) -> np.ndarray:
    """Labels (H, W) uint8 as the view shows them, every ``stride``-th of every ``stride``-th row; 255 beside the image."""
    size = -(-view.size[0] // stride), -(-view.size[1] // stride)
    return cv2.warpAffine(labels, view.matrix / stride, size, flags=cv2.INTER_NEAREST, borderValue=255)


def fitted(size: tuple, into: tuple) -> tuple[int, int]:
    """A size with its aspect kept, the longer side at most the longer one of ``into``, the shorter at most the shorter."""
    scale = min(max(into) / max(size), min(into) / min(size))
    return max(1, int(size[0] * scale + 0.5)), max(1, int(size[1] * scale + 0.5))


def check_size(size) -> tuple[int, int]:
    if not isinstance(size, (tuple, list)) or len(size) != 2 or not all(isinstance(n, int) and n > 0 for n in size):
        raise ValueError(f'size={size!r}: expected (width, height) in pixels')
    return tuple(size)


def check_prob(prob) -> float:
    if not 0 <= prob <= 1:
        raise ValueError(f'prob={prob!r}: expected a probability')
    return prob
