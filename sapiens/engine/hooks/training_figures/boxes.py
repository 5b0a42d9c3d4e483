"""Figures of detected people in training."""

import numpy as np
from mmengine.structures import BaseDataElement

from sapiens.registry import HOOKS
from sapiens.structures import DenseDataSample
from sapiens.utils.counting import count_of
from sapiens.visualization.boxes import IGNORED_COLOR, TRUE_COLOR, draw_boxes, resized_boxes
from sapiens.visualization.tiles import Tile, arrange, join_tiles

from .base import TrainingFigureHook

__all__ = ['BoxFigureHook']


@HOOKS.register_module()
class BoxFigureHook(TrainingFigureHook):
    """Draws rows [input | labels | prediction] of augmented training images, ignored boxes gray; see :class:`TrainingFigureHook`.

    Args:
        interval: iterations between figures. The run also writes one at its end.
        num_images: rows of the figure.
        threshold: smallest score of a drawn box.
        side: longer side of a tile in pixels.
        task: of a model of several tasks, the one that is shown.
    """

    name = 'person'

    def __init__(
        self,
        interval: int = 100,
        num_images: int = 8,
        threshold: float = 0.3,
        side: int = 384,
        task: str | None = None,
    ) -> None:
        super().__init__(interval, num_images, task)
        self.threshold, self.side = threshold, side

    def labels(self, sample: BaseDataElement) -> dict:
        rows = sample.gt_instance_labels
        return dict(boxes=rows.boxes[0].cpu().clone(), kinds=rows.box_kinds[0].cpu().clone())

    def sample(self, row: dict, index: int) -> DenseDataSample:
        size = tuple(row['image'].shape[1:])
        return DenseDataSample(metainfo=dict(sample_idx=index, ori_shape=size, img_shape=size))

    def figure(self, model, rows: list[dict], samples: list[BaseDataElement]) -> np.ndarray:
        images = [row['image'].permute(1, 2, 0).numpy() for row in rows]
        places, lines = arrange(images, 3, self.side), []
        for image, row, sample in zip(images, rows, samples, strict=True):
            shown, boxes, kinds = places.scaled(image), row['boxes'].numpy(), row['kinds'].numpy()
            truth = draw_boxes(shown, resized_boxes(boxes[kinds == 2], image, shown), color=IGNORED_COLOR)
            truth = draw_boxes(truth, resized_boxes(boxes[kinds == 1], image, shown), color=TRUE_COLOR)
            found = sample.pred_instances
            drawn = draw_boxes(
                shown, resized_boxes(found.bboxes, image, shown), found.scores, threshold=self.threshold
            )
            counts = [int((kinds == 1).sum()), int((found.scores >= self.threshold).sum())]
            texts = ['', *(count_of(count, 'person', 'people') for count in counts)]
            lines.append([Tile(tile, text) for tile, text in zip((shown, truth, drawn), texts, strict=True)])
        return join_tiles(lines, ('augmented input', 'labels', 'prediction'), places.blocks)
