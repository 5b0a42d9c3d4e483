"""Figures of dense tasks in training."""

from typing import Any

import numpy as np
from mmengine.structures import BaseDataElement

from sapiens.registry import HOOKS
from sapiens.structures import DenseDataSample

from ..dense_drawings import drawing_for
from .base import TrainingFigureHook

__all__ = ['DenseFigureHook']


@HOOKS.register_module(
    [
        *('DenseFigureHook', 'SegPictureHook', 'DepthPictureHook', 'NormalPictureHook'),
        *('PointmapPictureHook', 'MattingPictureHook', 'AlbedoPictureHook'),
    ]
)
class DenseFigureHook(TrainingFigureHook):
    """Draws rows [image | ground truth | prediction | error] of augmented training images; see :class:`TrainingFigureHook`.

    The task of the model declares the drawing. ``SegPictureHook``, ``NormalPictureHook``, ``PointmapPictureHook`` and the like
    are other names of this hook.

    Args:
        interval: iterations between figures. The run also writes one at its end.
        num_images: rows of the figure.
        side: longer side of a tile in pixels.
        task: of a model of several tasks, the one that is shown.
        **options: of the drawing, such as ``alignment`` of :class:`~sapiens.engine.hooks.dense_drawings.DepthDrawing`.

    Raises:
        ValueError: at the start of the run, an option that the drawing does not have.
    """

    def __init__(
        self, interval: int = 100, num_images: int = 4, side: int = 384, task: str | None = None, **options: Any
    ) -> None:
        super().__init__(interval, num_images, task)
        self.options = dict(options, side=side)

    def before_run(self, runner) -> None:
        self.drawing = drawing_for(self.model_of(runner), **self.options)
        self.name = self.task or self.drawing.name

    def labels(self, sample: BaseDataElement) -> dict:
        return self.drawing.labels(sample)

    def sample(self, row: dict, index: int) -> DenseDataSample:
        # Predictions have the size of the model's input.
        size = tuple(row['image'].shape[1:])
        return DenseDataSample(metainfo=dict(sample_idx=index, ori_shape=size, img_shape=size))

    def figure(self, model, rows: list[dict], samples: list[BaseDataElement]) -> np.ndarray:
        drawn = [
            self.drawing.row(
                row['image'].permute(1, 2, 0).numpy(), self.captioned(row), self.drawing.prediction(sample)
            )
            for row, sample in zip(rows, samples, strict=True)
        ]
        return self.drawing.draw(drawn)
