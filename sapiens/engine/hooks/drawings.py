"""From data samples to the panels of the dense tasks: what to keep of a sample, and how to draw it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.structures import BaseDataElement

from sapiens.evaluation.dense_functional import ALIGNMENTS, angular_error, depth_alignment
from sapiens.frames import to_published
from sapiens.metainfo.classes import IGNORE
from sapiens.visualization import (
    DepthPanelRow,
    NormalPanelRow,
    SegPanelRow,
    draw_depth_panel,
    draw_normal_panel,
    draw_seg_panel,
)

__all__ = ['DRAWINGS', 'DenseDrawing', 'DepthDrawing', 'NormalDrawing', 'SegDrawing']


class DenseDrawing:
    """How the images, labels and predictions of one dense task become a picture.

    Attributes:
        kind: labels are in ``gt_<kind>`` of a data sample, predictions in ``pred_<kind>``.

    Args:
        side: longer side of a tile in pixels.

    Raises:
        ValueError: tiles below 16 pixels.
    """

    kind: str

    def __init__(self, side: int = 384) -> None:
        if side < 16:
            raise ValueError(f'side={side}: expected tiles of 16 pixels or more')
        self.side = side

    def labels(self, sample: BaseDataElement) -> dict:
        """What of the labels is drawn, as small tensors on the CPU: ``name``, and of labelled samples ``truth`` and ``valid``."""
        kept = dict(name=Path(str(sample.get('img_path', ''))).name)
        if f'gt_{self.kind}' in sample:
            truth = torch.as_tensor(sample.get(f'gt_{self.kind}'))
            valid = torch.as_tensor(sample.valid_mask) if 'valid_mask' in sample else None
            kept['truth'] = self.compact(truth).cpu().clone()
            if valid is not None:
                kept['valid'] = valid.bool().cpu().clone()
        return kept

    def prediction(self, sample: BaseDataElement) -> torch.Tensor:
        """What of the prediction is drawn, on the CPU."""
        return self.compact(torch.as_tensor(sample.get(f'pred_{self.kind}'))).cpu()

    def compact(self, field: torch.Tensor) -> torch.Tensor:
        """A field in the dtype in which it is kept: checkpoints hold labels, and the pictures of a test wait for one another."""
        return field.float()

    def row(self, image: np.ndarray, labels: dict, prediction: torch.Tensor):
        """A row of the panel. ``image`` is (H, W, 3) uint8 RGB."""
        raise NotImplementedError

    def panel(self, model, rows: Sequence) -> np.ndarray:
        """uint8 RGB picture of rows."""
        raise NotImplementedError


class SegDrawing(DenseDrawing):
    """See :func:`sapiens.visualization.draw_seg_panel`; the classes are those of the model's task."""

    kind = 'sem_seg'

    def compact(self, field: torch.Tensor) -> torch.Tensor:
        return field.to(torch.uint8)

    def row(self, image: np.ndarray, labels: dict, prediction: torch.Tensor) -> SegPanelRow:
        truth = labels.get('truth')
        if truth is not None and 'valid' in labels:
            truth = torch.where(labels['valid'], truth, IGNORE)
        return SegPanelRow(image, prediction.numpy(), None if truth is None else truth.numpy(), labels['name'])

    def panel(self, model, rows: Sequence[SegPanelRow]) -> np.ndarray:
        return draw_seg_panel(rows, model.task.classes, side=self.side)


class DepthDrawing(DenseDrawing):
    """See :func:`sapiens.visualization.draw_depth_panel`.

    Args:
        alignment: of each prediction to its truth, see :class:`sapiens.evaluation.DepthMetric`. Without labels there is
            none.

    Raises:
        ValueError: an unknown alignment.
    """

    kind = 'depth'

    def __init__(self, side: int = 384, alignment: str = 'scale-shift') -> None:
        super().__init__(side)
        if alignment not in ALIGNMENTS:
            raise ValueError(f'alignment={alignment!r}, expected one of {", ".join(map(repr, ALIGNMENTS))}')
        self.alignment = alignment

    def row(self, image: np.ndarray, labels: dict, prediction: torch.Tensor) -> DepthPanelRow:
        prediction = prediction[0]
        if 'truth' not in labels:
            return DepthPanelRow(image, prediction.numpy(), name=labels['name'], note='as predicted')
        truth = labels['truth'][0]
        valid = labels['valid'] if 'valid' in labels else torch.ones_like(truth, dtype=torch.bool)
        if valid.any():
            scale, shift = depth_alignment(prediction[valid], truth[valid], self.alignment)
            prediction = (scale * prediction + shift).float()
        return DepthPanelRow(
            image, prediction.numpy(), truth.numpy(), valid.numpy(), labels['name'], f'alignment: {self.alignment}'
        )

    def panel(self, model, rows: Sequence[DepthPanelRow]) -> np.ndarray:
        return draw_depth_panel(rows, side=self.side)


class NormalDrawing(DenseDrawing):
    """See :func:`sapiens.visualization.draw_normal_panel`. Normals are kept in steps of 1 / 127, a quarter of a degree."""

    kind = 'normal'

    def compact(self, field: torch.Tensor) -> torch.Tensor:
        return (field.float().nan_to_num().clamp(-1, 1) * 127).round().to(torch.int8)

    def row(self, image: np.ndarray, labels: dict, prediction: torch.Tensor) -> NormalPanelRow:
        valid = labels['valid'].numpy() if 'valid' in labels else None
        if 'truth' not in labels:
            return NormalPanelRow(image, _published(prediction), name=labels['name'])
        error = angular_error(prediction, labels['truth'])
        return NormalPanelRow(
            image, _published(prediction), _published(labels['truth']), valid, error.numpy(), labels['name']
        )

    def panel(self, model, rows: Sequence[NormalPanelRow]) -> np.ndarray:
        return draw_normal_panel(rows, side=self.side)


def _published(normal: torch.Tensor) -> np.ndarray:
    """(H, W, 3) unit vectors in the frame of the released models, from (3, H, W) in the camera's, in steps of 1 / 127."""
    return to_published(normal.float().permute(1, 2, 0).numpy() / 127)


# kind -> how it is drawn
DRAWINGS = {drawing.kind: drawing for drawing in (SegDrawing, DepthDrawing, NormalDrawing)}
