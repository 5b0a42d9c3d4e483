"""OpenCV's detector of people by histograms of oriented gradients, an alternative to compare with.

Source: Dalal and Triggs, "Histograms of Oriented Gradients for Human Detection" (CVPR 2005), as shipped by OpenCV. It finds
upright people who are fully visible.
"""

from collections.abc import Callable

import cv2
import numpy as np

__all__ = ['load_hog']

SIDE = 640  # larger images are reduced to this size
CELL = (64, 128)  # size of the trained window, in pixels


def load_hog() -> Callable:
    """OpenCV's pedestrian detector. A logistic function maps its margins to scores.

    Raises:
        ImportError: OpenCV was built without it.
    """
    if not hasattr(cv2, 'HOGDescriptor'):
        raise ImportError(
            f'hog needs HOGDescriptor, which OpenCV {cv2.__version__} has only in its contrib build: '
            'pip uninstall opencv-python-headless opencv-python && pip install opencv-contrib-python-headless'
        )
    hog = cv2.HOGDescriptor()
    hog.setSVMDetector(cv2.HOGDescriptor_getDefaultPeopleDetector())

    def find(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        height, width = image.shape[:2]
        zoom = min(1.0, SIDE / max(height, width))
        # The window must fit.
        zoom = max(zoom, CELL[0] / width, CELL[1] / height)
        size = max(CELL[0], round(width * zoom)), max(CELL[1], round(height * zoom))
        pixels = cv2.resize(image, size, interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR)
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
        found, margins = hog.detectMultiScale(pixels, winStride=(8, 8), padding=(8, 8), scale=1.05)
        if not len(found):
            return np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
        x, y, w, h = np.asarray(found, np.float32).T
        # The trained windows have a margin of an eighth of their size around the person.
        boxes = np.stack([x + 0.1 * w, y + 0.05 * h, x + 0.9 * w, y + 0.95 * h], 1)
        boxes *= np.array([width / size[0], height / size[1]] * 2, np.float32)
        return boxes, 1 / (1 + np.exp(-np.asarray(margins, np.float32).ravel()))

    return lambda images: [find(image) for image in images]
