"""Figures of dense tasks in a test."""

from pathlib import Path

import numpy as np
from mmengine.structures import BaseDataElement

from sapiens.registry import HOOKS

from ..dense_drawings import drawing_for
from .base import ShowHook

__all__ = ['DenseShowHook']


@HOOKS.register_module()
class DenseShowHook(ShowHook):
    """Draws [image | ground truth | prediction | error] of each image; see :class:`ShowHook`.

    The task of the model declares the drawing. Predicted depth is aligned by scale and shift.

    Args:
        out_dir: output folder.
        limit: maximum number of figures over all processes; None for all.
        side: longer side of a tile in pixels.
    """

    def __init__(self, out_dir: str | Path, limit: int | None = None, side: int = 640) -> None:
        super().__init__(out_dir, limit)
        self.side = side

    def before_test(self, runner) -> None:
        super().before_test(runner)
        self.drawing = drawing_for(self.model, side=self.side)

    def keep(self, sample: BaseDataElement) -> dict:
        return dict(self.drawing.labels(sample), prediction=self.drawing.prediction(sample))

    def figure(self, image: np.ndarray, samples: list[dict]) -> np.ndarray:
        return self.drawing.draw([self.drawing.row(image, sample, sample['prediction']) for sample in samples])
