"""Detector of histograms of oriented gradients. Needs no weights and no accelerator.

Source: Dalal and Triggs, "Histograms of Oriented Gradients for Human Detection" (CVPR 2005), as shipped by OpenCV. It finds
upright people who are fully visible.
"""

from collections.abc import Sequence

import cv2
import numpy as np

__all__ = ['HOGDetector']

SIDE = 640  # larger images are reduced to this size
CELL = (64, 128)  # size of the trained window, in pixels


class HOGDetector:
    """OpenCV's pedestrian detector.

    A logistic function maps its margins to scores.

    Args:
        step: stride of the window (x, y) in pixels.
        scale: ratio of consecutive image sizes.

    Raises:
        ImportError: OpenCV was built without it.
    """

    def __init__(self, step: tuple[int, int] = (8, 8), scale: float = 1.05) -> None:
        if not hasattr(cv2, 'HOGDescriptor'):
            raise ImportError(
                f"detector 'embedded' needs OpenCV's HOG, which {cv2.__version__} has only in its contrib build: "
                'pip uninstall opencv-python-headless opencv-python && pip install opencv-contrib-python-headless'
            )
        self.hog = cv2.HOGDescriptor()
        self.hog.setSVMDetector(cv2.HOGDescriptor_getDefaultPeopleDetector())
        self.step, self.scale = step, scale

    def __call__(self, images: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        return [self._find(image) for image in images]

    def _find(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        height, width = image.shape[:2]
        zoom = min(1.0, SIDE / max(height, width))
        # The window must fit.
        zoom = max(zoom, CELL[0] / width, CELL[1] / height)
        size = max(CELL[0], round(width * zoom)), max(CELL[1], round(height * zoom))
        pixels = cv2.resize(image, size, interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR)
        found, margins = self.hog.detectMultiScale(
            cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), winStride=self.step, padding=(8, 8), scale=self.scale
        )
        if not len(found):
            return np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
        x, y, w, h = np.asarray(found, np.float32).T
        # The trained windows have a margin of an eighth of their size around the person.
        boxes = np.stack([x + 0.1 * w, y + 0.05 * h, x + 0.9 * w, y + 0.95 * h], 1)
        boxes *= np.array([width / size[0], height / size[1]] * 2, np.float32)
        return boxes, 1 / (1 + np.exp(-np.asarray(margins, np.float32).ravel()))
