"""Images of the tests, and a detector of known scores."""

import io

import cv2
import numpy as np
from PIL import Image

from sapiens.curation.photo import Photo


def textured(seed: int, width: int = 480, height: int = 400) -> np.ndarray:
    """(H, W, 3) uint8 with structure at all scales, as photographs have."""
    generator = np.random.default_rng(seed)
    total = np.zeros((height, width, 3))
    for cells in (3, 6, 12, 48, 192):
        coarse = generator.normal(size=(cells, cells, 3)).astype(np.float32)
        total += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) / cells**0.5
    total = (total - total.min()) / (total.max() - total.min())
    return (255 * total).astype(np.uint8)


def drawing(seed: int, width: int = 480, height: int = 400) -> np.ndarray:
    """Flat circles and boxes on white."""
    generator = np.random.default_rng(seed)
    image = np.full((height, width, 3), 255, np.uint8)
    for _ in range(8):
        color = generator.integers(0, 255, 3).tolist()
        center = generator.integers(0, min(width, height), 2).tolist()
        cv2.circle(image, center, int(generator.integers(20, 80)), color, -1)
    return image


def encoded(pixels: np.ndarray, kind: str = 'JPEG', **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def photo(pixels: np.ndarray) -> Photo:
    return Photo(encoded(pixels, 'PNG'))


class Detector:
    """Finds one person, whose score is the mean of the red channel / 255, in a box 10 pixels inside of the image."""

    calls = 0

    def __call__(self, images):
        Detector.calls += len(images)
        found = []
        for image in images:
            height, width = image.shape[:2]
            box = np.array([[10, 10, width - 10, height - 10]], np.float32)
            found.append((box, np.array([image[..., 0].mean() / 255], np.float32)))
        return found


def brightness(pixels: np.ndarray) -> float:
    """The function of a user."""
    return float(pixels.mean())


def bright_face(pixels: np.ndarray) -> np.ndarray:
    """The box around white pixels, or none."""
    rows, columns = np.nonzero(pixels.min(-1) > 250)
    return (
        np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]]) if len(rows) else np.empty((0, 4))
    )


def embeddings(images: list[np.ndarray]) -> np.ndarray:
    """The image in 6 x 8 pixels, without its mean."""
    small = np.stack([cv2.resize(image, (8, 6), interpolation=cv2.INTER_AREA) for image in images])
    small = small.reshape(len(images), -1).astype(np.float32)
    return small - small.mean(1, keepdims=True)
