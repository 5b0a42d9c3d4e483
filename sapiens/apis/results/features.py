"""Features of an encoder."""

from dataclasses import dataclass, replace
from typing import ClassVar

import cv2
import numpy as np

from .base import PICTURE, Result, ResultFile

__all__ = ['FeatureResult']


@dataclass(repr=False)
class FeatureResult(Result):
    """Features of an encoder.

    Attributes:
        features: (C, h, w) float32 or float16, of the last block that was asked for.
        blocks: features of every block that was asked for.
    """

    features: np.ndarray | None = None
    blocks: list[np.ndarray] | None = None
    task: ClassVar[str] = 'features'
    files: ClassVar[tuple[ResultFile, ...]] = (
        ResultFile('features', '.npy', lambda result, saving: result.features, default=True),
        replace(PICTURE, default=False),
    )

    def draw(self) -> np.ndarray:
        """Draw the first three principal components of the patch features as red, green and blue, at the image's size."""
        flat = self.features.reshape(len(self.features), -1).astype(np.float32).T  # (h w, C)
        flat = flat - flat.mean(0)
        axes = np.linalg.svd(flat, full_matrices=False)[2][:3]
        # The sign of a component is arbitrary: make its largest entry positive.
        axes *= np.where(axes[np.arange(len(axes)), np.abs(axes).argmax(1)] < 0, -1, 1)[:, None]
        parts = np.zeros((len(flat), 3), np.float32)
        parts[:, : len(axes)] = flat @ axes.T
        low, high = np.percentile(parts, (2, 98), axis=0)
        shown = np.clip((parts - low) / np.maximum(high - low, 1e-9), 0, 1).reshape(*self.features.shape[1:], 3)
        pixels, (height, width) = np.rint(shown * 255).astype(np.uint8), self.image.shape[:2]
        return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)

    def summary(self) -> str:
        return 'features {} x {} x {}'.format(*self.features.shape)
