"""What all detectors share: thresholds, non-maximum suppression, clipping to the image."""

import logging
from collections.abc import Callable, Sequence

import numpy as np
from mmengine.logging import print_log

from sapiens.coco import BOX_THRESHOLD

__all__ = ['IF_NO_DETECTIONS', 'PersonDetector', 'clip', 'find_outside', 'leave_out', 'suppress', 'whole_image']

IF_NO_DETECTIONS = ('empty', 'whole-image')
# Maximum overlap (IoU) of two boxes, as in the published demo.
NMS_THRESHOLD = 0.3


def whole_image(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the box (1, 4) of the whole image, with score 1."""
    height, width = image.shape[:2]
    return np.array([[0, 0, width, height]], np.float32), np.ones(1, np.float32)


class PersonDetector:
    """Cleans the boxes of a detector.

    Args:
        find: takes images and returns (boxes (N, 4), scores (N,)) of each, of people only, in any order.
        threshold: minimum score of a box; default :data:`sapiens.coco.BOX_THRESHOLD`.
        nms_threshold: of two boxes with a larger overlap (IoU) the better one is kept; default :data:`NMS_THRESHOLD`. 1 keeps
            all boxes.
        if_no_detections: 'empty': no boxes for an image without people. 'whole-image': one box of the whole image, as published.
        when_nobody: old name of ``if_no_detections``.

    Raises:
        ValueError: a value out of its range.
    """

    def __init__(
        self,
        find: Callable,
        threshold: float | None = None,
        nms_threshold: float | None = None,
        if_no_detections: str = 'empty',
        when_nobody: str | None = None,
    ) -> None:
        self.find = find
        self.threshold = BOX_THRESHOLD if threshold is None else threshold
        self.nms_threshold = NMS_THRESHOLD if nms_threshold is None else nms_threshold
        self.if_no_detections = when_nobody or if_no_detections
        for name in ('threshold', 'nms_threshold'):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f'{name}={getattr(self, name)!r}: expected 0 to 1')
        if self.if_no_detections not in IF_NO_DETECTIONS:
            raise ValueError(f'if_no_detections={self.if_no_detections!r} is not one of {IF_NO_DETECTIONS}')

    def __call__(self, images: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        return [self.clean(found, image) for found, image in zip(self.find(images), images, strict=True)]

    def clean(self, found: tuple, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Apply the thresholds, clip boxes to the image, drop empty ones, and sort by score, best first."""
        boxes, scores = np.asarray(found[0], np.float32).reshape(-1, 4), np.asarray(found[1], np.float32).reshape(-1)
        boxes = clip(boxes, image)
        good = (scores >= self.threshold) & (boxes[:, 2:] - boxes[:, :2] >= 1).all(1)  # False for NaN
        boxes, scores = boxes[good], scores[good]
        kept = suppress(boxes, scores, self.nms_threshold)
        if not len(kept) and self.if_no_detections == 'whole-image':
            return whole_image(image)
        return boxes[kept], scores[kept]


def clip(boxes: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Return the parts of boxes (N, 4) that are inside the image."""
    height, width = image.shape[:2]
    return np.clip(boxes, 0, np.array([width, height, width, height], np.float32))


def find_outside(boxes: np.ndarray, image: np.ndarray) -> tuple[np.ndarray, str]:
    """Find boxes (N, 4) that show less than a pixel of the image, such as those of another image, or fractions of its size.

    Returns:
        (N,) bool, True for such boxes; and a sentence about them, '' if there are none.
    """
    parts = clip(boxes, image)
    outside = ~(parts[:, 2:] - parts[:, :2] >= 1).all(1)
    if not outside.any():
        return outside, ''
    height, width = image.shape[:2]
    first = ', '.join(f'{value:g}' for value in boxes[outside][0])
    advice = '; they look like fractions, expected are pixels' if (np.abs(boxes) <= 2).all() else ''
    return outside, (
        f'{outside.sum()} of {len(boxes)} boxes show no pixel of the image of {width} x {height}, such as x1, y1, x2, y2 = '
        f'{first}{advice}'
    )


def leave_out(found: tuple, image: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Leave out boxes that show no pixel of the image or are not finite. A warning names the image and says how many.

    Args:
        found: boxes (N, 4) and scores (N,).
        name: of the image, for the warning.
    """
    boxes, scores = np.asarray(found[0], np.float32).reshape(-1, 4), np.asarray(found[1], np.float32).reshape(-1)
    outside, sentence = find_outside(boxes, image)
    if not sentence:
        return boxes, scores
    print_log(f'{name}: {sentence} (left out)', 'current', logging.WARNING)
    return boxes[~outside], scores[~outside]


def suppress(boxes: np.ndarray, scores: np.ndarray, threshold: float, border: int = 1) -> np.ndarray:
    """Return indices of boxes (N, 4), best first, without those that overlap a better one by more than ``threshold`` (IoU).

    With ``border=1`` sizes count both border pixels (x2 - x1 + 1), as in the published demo.
    """
    order = np.argsort(-scores, kind='stable')
    size = boxes[:, 2:] - boxes[:, :2] + border
    areas, kept = size.prod(1), []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(best)
        low = np.maximum(boxes[best, :2], boxes[rest, :2])
        high = np.minimum(boxes[best, 2:], boxes[rest, 2:])
        shared = np.maximum(high - low + border, 0).prod(1)
        order = rest[shared / (areas[best] + areas[rest] - shared) <= threshold]
    return np.array(kept, int)
