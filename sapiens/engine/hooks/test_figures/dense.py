"""Figures of dense tasks in a test, and the choice of the hook for a task."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from mmengine.structures import BaseDataElement

from sapiens.metainfo.palettes import PALETTES
from sapiens.registry import HOOKS
from sapiens.tasks import resolve, task_of

from ..dense_drawings import drawing_for
from .base import ShowHook

__all__ = ['DenseShowHook', 'show_hook_for']


@HOOKS.register_module()
class DenseShowHook(ShowHook):
    """Draws [image | ground truth | prediction | error] of each image; see :class:`ShowHook`.

    The task of the model declares the drawing. Predicted depth is aligned by scale and shift.

    Args:
        out_dir: output folder.
        limit: maximum number of figures over all processes; None for all.
        side: longer side of a tile in pixels.
        task: of a model of several tasks, the one that is shown.
        palette: of classes; see :func:`sapiens.metainfo.palettes.with_palette`.
    """

    def __init__(
        self,
        out_dir: str | Path,
        limit: int | None = None,
        side: int = 640,
        task: str | None = None,
        palette: str = PALETTES[0],
    ) -> None:
        super().__init__(out_dir, limit, task)
        self.side, self.palette = side, palette

    def before_test(self, runner) -> None:
        super().before_test(runner)
        self.drawing = drawing_for(self.model, self.palette, side=self.side)

    def keep(self, sample: BaseDataElement) -> dict:
        return dict(self.drawing.labels(sample), prediction=self.drawing.prediction(sample))

    def figure(self, image: np.ndarray, samples: list[dict]) -> np.ndarray:
        return self.drawing.draw([self.drawing.row(image, sample, sample['prediction']) for sample in samples])


def show_hook_for(model: Mapping) -> type[ShowHook]:
    """Get the hook that draws the predictions of a model: that of its task, or :class:`DenseShowHook` for a task with maps.

    Args:
        model: config of the model.

    Raises:
        ValueError: a model without a task, or a task without figures.
    """
    spec = task_of(model)
    if spec.fields:
        return DenseShowHook
    if spec.drawing is None:
        raise ValueError(
            f'model.type={model.get("type")!r}: task {spec.name!r} has no test figures, its declaration names no drawing: '
            'leave out --show-dir'
        )
    return resolve(spec.drawing)
