"""Features of an encoder."""

from dataclasses import dataclass, replace
from typing import ClassVar

import cv2
import numpy as np

from .base import PICTURE, Result, ResultFile
from .saving import Saving

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
        ResultFile(
            'features',
            '.npy',
            lambda result, saving: result.features,
            default=True,
            about='(C, h, w) feature map of the last block',
        ),
        replace(PICTURE, default=False),
    )

    def draw(self, opacity: float = 0.5) -> np.ndarray:
        """Draw the first three principal components of the patch features as red, green and blue over the gray image.

        Components are interpolated between the centers of patches.

        Args:
            opacity: of the colors, 0 to 1.
        """
        flat = self.features.reshape(len(self.features), -1).astype(np.float32).T  # (h w, C)
        flat = flat - flat.mean(0)
        axes = np.linalg.svd(flat, full_matrices=False)[2][:3]
        # The sign of a component is arbitrary: make its largest entry positive.
        axes *= np.where(axes[np.arange(len(axes)), np.abs(axes).argmax(1)] < 0, -1, 1)[:, None]
        parts = np.zeros((len(flat), 3), np.float32)
        parts[:, : len(axes)] = flat @ axes.T
        low, high = np.percentile(parts, (2, 98), axis=0)
        shown = np.clip((parts - low) / np.maximum(high - low, 1e-9), 0, 1).reshape(*self.features.shape[1:], 3)
        height, width = self.image.shape[:2]
        colors = np.clip(cv2.resize(shown, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1) * 255
        gray = cv2.cvtColor(np.ascontiguousarray(self.image), cv2.COLOR_RGB2GRAY)[..., None]
        return np.rint(opacity * colors + (1 - opacity) * gray).astype(np.uint8)

    def drawing(self, saving: Saving) -> np.ndarray:
        return self.draw(saving.opacity)

    def summary(self) -> str:
        return 'features {} x {} x {}'.format(*self.features.shape)
