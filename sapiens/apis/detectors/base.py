"""What all detectors share: score threshold, suppression of doubles, boxes within the image."""

from collections.abc import Callable, Sequence

import numpy as np

__all__ = ['PersonDetector', 'need', 'suppress']

WHEN_NOBODY = ('empty', 'whole-image')


class PersonDetector:
    """A detector's boxes after thresholds.

    Args:
        find: takes images and returns (boxes (N, 4), scores (N,)) of each, of people only, in any order.
        threshold: boxes of a smaller score are left out (published: 0.3).
        nms_threshold: of two boxes that overlap by more than this (IoU) the better one stays (published: 0.3); 1 keeps all.
        when_nobody: 'empty' gives no boxes for an image without people, 'whole-image' the image itself (published).

    Raises:
        ValueError: a value out of its range.
    """

    def __init__(
        self, find: Callable, threshold: float = 0.3, nms_threshold: float = 0.3, when_nobody: str = 'empty'
    ) -> None:
        for name, value in (('threshold', threshold), ('nms_threshold', nms_threshold)):
            if not 0 <= value <= 1:
                raise ValueError(f'{name}={value!r}: expected 0 to 1')
        if when_nobody not in WHEN_NOBODY:
            raise ValueError(f'when_nobody={when_nobody!r} is not one of {WHEN_NOBODY}')
        self.find, self.threshold, self.nms_threshold, self.when_nobody = find, threshold, nms_threshold, when_nobody

    def __call__(self, images: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        return [self.clean(found, image) for found, image in zip(self.find(images), images, strict=True)]

    def clean(self, found: tuple, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Boxes and scores, best first, after thresholds, clipped to the image; empty ones are left out."""
        boxes, scores = np.asarray(found[0], np.float32).reshape(-1, 4), np.asarray(found[1], np.float32).reshape(-1)
        height, width = image.shape[:2]
        boxes = np.clip(boxes, 0, np.array([width, height, width, height], np.float32))
        good = (scores >= self.threshold) & (boxes[:, 2:] - boxes[:, :2] >= 1).all(1)  # NaN is never good
        boxes, scores = boxes[good], scores[good]
        kept = suppress(boxes, scores, self.nms_threshold)
        boxes, scores = boxes[kept], scores[kept]
        if not len(boxes) and self.when_nobody == 'whole-image':
            return np.array([[0, 0, width, height]], np.float32), np.ones(1, np.float32)
        return boxes, scores


def suppress(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> np.ndarray:
    """Ids of boxes (N, 4), best first, without those that overlap a better one by more than ``threshold`` (IoU).

    Boxes include their last pixel, as in the published demo.
    """
    order = np.argsort(-scores, kind='stable')
    size = boxes[:, 2:] - boxes[:, :2] + 1
    areas, kept = size.prod(1), []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(best)
        low = np.maximum(boxes[best, :2], boxes[rest, :2])
        high = np.minimum(boxes[best, 2:], boxes[rest, 2:])
        shared = np.maximum(high - low + 1, 0).prod(1)
        order = rest[shared / (areas[best] + areas[rest] - shared) <= threshold]
    return np.array(kept, int)


def need(module: str, package: str, what: str):
    """Import an optional package.

    Raises:
        ImportError: with the command that installs it.
    """
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f'{what} needs {module}, which cannot be imported ({error}): pip install {package}'
        ) from error
