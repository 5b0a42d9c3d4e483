"""Boxes of people that a model of body parts moves and scores again."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from sapiens.datasets.transforms import LoadPerson
from sapiens.utils.boxes import transform_boxes

from ..preprocess import PersonInput

__all__ = ['RefinedByParts', 'box_of_person']

# Of the crop around a box, as in the training of the models of parts.
PADDING = 1.25
# Boxes of an image, best first, that are looked at again.
MOST = 16


class RefinedByParts:
    """A detector whose boxes are moved to what a segmentation of body parts finds in them, and scored again.

    A detector sees the whole image on few patches, and finds people better than it measures them. The segmentation sees each of
    them larger. It is run on a crop around each box. The largest connected region of person pixels gives the new box. The
    quality is the mean probability of a person in the region, times the region's share of all that looks like a person in the
    crop: a box between people holds parts of several. The new score is the geometric mean of the old one and the quality.

    Args:
        find: the detector, see :class:`.PersonDetector`; its scores are in [0, 1].
        predictor: of segmentation, from :func:`sapiens.apis.load_model`. Class 0 is the background.
        threshold: boxes that cannot reach this score are left out, without a look at them. A lower threshold of a
            :class:`.PersonDetector` does not bring them back.
        most: boxes of an image that are looked at, best first. The others are left out.

    Raises:
        ValueError: ``most`` below 1.
    """

    def __init__(self, find: Callable, predictor: Any, threshold: float = 0.0, most: int = MOST) -> None:
        if most < 1:
            raise ValueError(f'most={most!r}: expected 1 or more boxes')
        self.find, self.least, self.most = find, threshold**2, most
        self.network, self.batch_size, self.device = predictor.network, predictor.batch_size, predictor.device
        height, width = self.network.backbone.img_size
        self.input = PersonInput(LoadPerson((width, height)), PADDING)

    def __call__(self, images: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        return [self.refine(image, *found) for image, found in zip(images, self.find(images), strict=True)]

    def refine(self, image: np.ndarray, boxes: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the new boxes (N, 4) x1, y1, x2, y2 in pixels and their scores (N,).

        Args:
            image: (H, W, 3) uint8 RGB.
            boxes, scores: (M, 4) and (M,). Those in which no person shows are left out.
        """
        boxes, scores = np.asarray(boxes, np.float32).reshape(-1, 4), np.asarray(scores, np.float32).reshape(-1)
        best = np.argsort(-scores, kind='stable')[: self.most]
        best = best[scores[best] >= self.least]
        samples = self.input.samples(image, boxes[best], scores[best])
        found, rated = [], []
        for start in range(0, len(samples), self.batch_size):
            part = samples[start : start + self.batch_size]
            crops = torch.stack([self.input.on_host(image, sample) for sample in part])
            for sample, score, person in zip(part, scores[best][start:], self.person(crops), strict=False):
                box, quality = box_of_person(person)
                if quality > 0:
                    across, down = np.array(self.input.size) / person.shape[::-1]  # pixels of the crop in a cell
                    to_image = cv2.invertAffineTransform(sample.warp_matrix)
                    found.append(transform_boxes(box * (across, down, across, down), to_image)[0])
                    rated.append(math.sqrt(score * quality))
        return np.array(found, np.float32).reshape(-1, 4), np.array(rated, np.float32)

    @torch.inference_mode()
    def person(self, crops: Tensor) -> np.ndarray:
        """Probability of a person (B, h, w) float32 in crops (B, 3, H, W) uint8."""
        inputs = self.network.data_preprocessor.normalize(crops.to(self.device).float())
        logits = self.network(inputs)
        return (1 - logits.float().softmax(1)[:, 0]).cpu().numpy()


def box_of_person(person: np.ndarray) -> tuple[np.ndarray, float]:
    """The box of the largest connected region above a half, and how sure it is.

    Args:
        person: (H, W) float32, probability of a person.

    Returns:
        x1, y1, x2, y2 in cells; the mean of the region times its share of the sum of the map, 0 without a region.
    """
    count, regions, stats, _ = cv2.connectedComponentsWithStats((person > 0.5).astype(np.uint8))
    if count < 2:
        return np.zeros(4), 0.0
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    x, y, width, height = stats[largest, :4]
    inside = person[regions == largest]
    return np.array([x, y, x + width, y + height], np.float64), float(inside.mean() * inside.sum() / person.sum())
