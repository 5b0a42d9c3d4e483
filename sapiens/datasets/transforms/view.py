"""A view of an image: what random geometry makes of it, as one matrix, before any pixel is touched.

Legend: sizes are (w, h) in pixels, points (x, y) with the center of the top-left pixel at (0, 0), boxes (x, y, w, h). Matrices
(2, 3) map pixels of the original image to pixels of the view. x right, y down; a positive angle turns x towards y, clockwise.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from sapiens.metainfo.classes import IGNORE

__all__ = [
    'View',
    'border_of',
    'chain',
    'fit_size',
    'invert',
    'sample_labels',
    'shown_box',
    'shown_mask',
    'transform_intrinsics',
    'visible_box',
    'zoom_matrix',
]


@dataclass(frozen=True)
class View:
    """An image under geometry.

    Attributes:
        size: of the view.
        matrix: (2, 3) float64, from the image to the view.
        turn: (2, 2) orthogonal: maps a vector (x, y) of the camera frame.
        stops: (matrix, size) of smaller images that the image, not the labels, passes through: an image that is reduced and
            upsampled again loses detail.
        padding: of label ids outside the image.
        fill: gray level of the image there.
    """

    size: tuple
    matrix: np.ndarray = field(default_factory=lambda: np.eye(2, 3))
    turn: np.ndarray = field(default_factory=lambda: np.eye(2))
    stops: tuple = ()
    padding: int = IGNORE
    fill: int = 0

    @property
    def mirrored(self) -> bool:
        return bool(np.linalg.det(self.turn) < 0)

    @property
    def angle(self) -> float:
        """Rotation in degrees, after the mirror if there is one."""
        return math.degrees(math.atan2(-self.turn[0, 1], self.turn[1, 1]))

    def then(self, matrix: np.ndarray, size: tuple, turn: np.ndarray | None = None) -> 'View':
        """The view after one more step, given by its own matrix."""
        turn = self.turn if turn is None else turn @ self.turn
        return replace(self, matrix=chain(matrix, self.matrix), size=(int(size[0]), int(size[1])), turn=turn)

    def resize(self, size: tuple) -> 'View':
        """The whole view at another size."""
        zoom = size[0] / self.size[0], size[1] / self.size[1]
        if zoom == (1, 1):
            return self
        view = self
        scale = np.sqrt(abs(np.linalg.det(self.matrix[:, :2])))
        if scale < 1 and max(zoom) > 1:
            view = replace(self, stops=(*self.stops, (self.matrix, self.size)))
        return view.then(zoom_matrix(*zoom), size)


def zoom_matrix(x: float, y: float, left: float = 0, top: float = 0) -> np.ndarray:
    """(2, 3) matrix of a resize by factors x and y, followed by a shift: the edges of the image map to those of the result."""
    return np.array([[x, 0, (x - 1) / 2 + left], [0, y, (y - 1) / 2 + top]])


def chain(second: np.ndarray, first: np.ndarray) -> np.ndarray:
    """The (2, 3) matrix of ``first`` followed by ``second``."""
    both = second[:, :2] @ first
    both[:, 2] += second[:, 2]
    return both


def invert(matrix: np.ndarray) -> np.ndarray:
    """The inverse (2, 3) matrix."""
    return cv2.invertAffineTransform(matrix)


def fit_size(size: tuple, into: tuple) -> tuple[int, int]:
    """The largest size of the same aspect: the longer side within the longer one of ``into``, the shorter within the shorter."""
    scale = min(max(into) / max(size), min(into) / min(size))
    return max(1, int(size[0] * scale + 0.5)), max(1, int(size[1] * scale + 0.5))


def visible_box(matrix: np.ndarray, size: tuple, image_size: tuple, margin: int = 0) -> tuple | None:
    """Box of the image's pixels that a view of ``size`` samples, plus ``margin``; None if it samples none."""
    corners = np.array([[0, 0], [size[0] - 1, 0], [0, size[1] - 1], [size[0] - 1, size[1] - 1]], np.float64)
    back = invert(matrix)
    corners = corners @ back[:, :2].T + back[:, 2]
    low = np.maximum(np.floor(corners.min(0)) - margin, 0).astype(int)
    high = np.minimum(np.ceil(corners.max(0)) + 1 + margin, image_size).astype(int)
    if (low >= high).any():
        return None
    return int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1])


def shown_box(view: View, image_size: tuple) -> tuple[int, int, int, int]:
    """The smallest box of the image's pixels that contains the whole view; zeros if the view shows none."""
    width, height = view.size
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]]) - 0.5
    back = invert(view.matrix)
    corners = corners @ back[:, :2].T + back[:, 2] + 0.5  # now 0 is the edge of the image
    low = np.maximum(np.floor(corners.min(0) + 1e-6), 0).astype(int)
    high = np.minimum(np.ceil(corners.max(0) - 1e-6), image_size).astype(int)
    return (*low.tolist(), *(high - low).tolist()) if (low < high).all() else (0, 0, 0, 0)


def border_of(results: Mapping) -> np.ndarray:
    """(4,) x1, y1, x2, y2, the edges of the image of a sample in its pixels: ``image_border``, where it cuts (infinite
    elsewhere), and ``ori_shape``."""
    height, width = results['ori_shape'][:2]
    whole = np.array([-0.5, -0.5, width - 0.5, height - 0.5])
    cut = results.get('image_border')
    return whole if cut is None else np.concatenate([np.maximum(whole[:2], cut[:2]), np.minimum(whole[2:], cut[2:])])


def shown_mask(matrix: np.ndarray, border: np.ndarray, size: tuple) -> np.ndarray:
    """(h, w) bool: the pixels of a view of ``size`` (w, h) whose centers show the image inside of a border x1, y1, x2, y2."""
    back = invert(matrix)
    x, y = np.arange(size[0]), np.arange(size[1])[:, None]
    if back[0, 1] == 0 and back[1, 0] == 0:  # whole rows and columns
        x, y = back[0, 0] * x + back[0, 2], back[1, 1] * y + back[1, 2]
        return ((x >= border[0]) & (x <= border[2])) & ((y >= border[1]) & (y <= border[3]))
    across = back[0, 0] * x + back[0, 1] * y + back[0, 2]
    down = back[1, 0] * x + back[1, 1] * y + back[1, 2]
    return (across >= border[0]) & (across <= border[2]) & (down >= border[1]) & (down <= border[3])


def transform_intrinsics(intrinsics: np.ndarray, view: View) -> np.ndarray:
    """(3, 3) of the camera that sees the view: turned or mirrored about its axis with the image."""
    turn = np.eye(3)
    turn[:2, :2] = view.turn
    return np.vstack([view.matrix, [0, 0, 1]]) @ intrinsics @ turn.T


def sample_labels(view: View, labels: np.ndarray, stride: int = 1) -> np.ndarray:
    """Labels (H, W) uint8 in the view, one in ``stride`` along both axes; 255 outside the image."""
    size = -(-view.size[0] // stride), -(-view.size[1] // stride)
    return cv2.warpAffine(labels, view.matrix / stride, size, flags=cv2.INTER_NEAREST, borderValue=IGNORE)
