"""Figures of detected people in a test."""

from pathlib import Path

import numpy as np
from mmengine.structures import BaseDataElement

from sapiens.coco import BOX_THRESHOLD
from sapiens.registry import HOOKS
from sapiens.utils.counting import count_of
from sapiens.visualization.boxes import IGNORED_COLOR, TRUE_COLOR, draw_boxes, resized_boxes
from sapiens.visualization.layout import caption, join
from sapiens.visualization.tiles import arrange

from .base import ShowHook

__all__ = ['BoxShowHook']


@HOOKS.register_module()
class BoxShowHook(ShowHook):
    """Draws [ground truth | prediction] of each image, ignored boxes gray; see :class:`ShowHook`.

    Args:
        out_dir: output folder.
        limit: maximum number of figures over all processes; None for all.
        threshold: smallest score of a drawn box.
        side: longer side of a part in pixels.
        task: of a model of several tasks, the one that is shown.
    """

    def __init__(
        self,
        out_dir: str | Path,
        limit: int | None = None,
        threshold: float = BOX_THRESHOLD,
        side: int = 960,
        task: str | None = None,
    ) -> None:
        super().__init__(out_dir, limit, task)
        self.threshold, self.side = threshold, side

    def keep(self, sample: BaseDataElement) -> dict:
        truth, found = sample.gt_instances, sample.pred_instances
        return dict(boxes=truth.bboxes, ignored=truth.ignored, found=found.bboxes, scores=found.scores)

    def figure(self, image: np.ndarray, samples: list[dict]) -> np.ndarray:
        (sample,) = samples
        before, image = image, arrange([image], 2, self.side).scaled(image)
        boxes, found = (resized_boxes(sample[key], before, image) for key in ('boxes', 'found'))
        truth = draw_boxes(image, boxes[sample['ignored']], color=IGNORED_COLOR)
        truth = draw_boxes(truth, boxes[~sample['ignored']], color=TRUE_COLOR)
        drawn = draw_boxes(image, found, sample['scores'], threshold=self.threshold)
        counts = [int((~sample['ignored']).sum()), int((sample['scores'] >= self.threshold).sum())]
        texts = [
            f'{name}: {count_of(count, "person", "people")}'
            for name, count in zip(('ground truth', 'prediction'), counts, strict=True)
        ]
        tiles = [
            join([caption(part.shape[1], text), part], 0, gap=0)
            for text, part in zip(texts, (truth, drawn), strict=True)
        ]
        return join(tiles, axis=1)
