"""Drawings of pointmaps, mattes and albedo; see :class:`.dense_drawings.DenseDrawing`."""

from collections.abc import Sequence

import numpy as np
import torch
from mmengine.structures import BaseDataElement

from sapiens.tasks import task_of
from sapiens.utils.pinhole import canonical_scale, input_intrinsics
from sapiens.utils.srgb import encode_srgb
from sapiens.visualization import (
    DenseRow,
    MattingRow,
    draw_albedo_panel,
    draw_matting_panel,
    draw_pointmap_panel,
)

from .dense_drawings import DenseDrawing

__all__ = ['AlbedoDrawing', 'MattingDrawing', 'PointmapDrawing']


class PointmapDrawing(DenseDrawing):
    """See :func:`sapiens.visualization.draw_pointmap_panel`. The distances are those with the predicted scale; their mean with
    the scale of the true camera is written next to it."""

    def __init__(self, model, side: int = 384) -> None:
        super().__init__(model, side, draw_pointmap_panel)

    def labels(self, sample: BaseDataElement) -> dict:
        kept = super().labels(sample)
        if 'truth' in kept and 'intrinsics' in sample.metainfo:
            size = tuple(kept['truth'].shape[-2:])
            intrinsics = input_intrinsics(sample.metainfo, size)
            kept['scale'] = canonical_scale(intrinsics, sample.metainfo.get('img_shape', size)[1])
        return kept

    def prediction(self, sample: BaseDataElement) -> dict[str, torch.Tensor]:
        scale = torch.as_tensor(sample.get('pred_scale')).float().cpu()
        return dict(points=super().prediction(sample), scale=scale.clone())

    def row(self, image: np.ndarray, labels: dict, prediction: dict[str, torch.Tensor]) -> DenseRow:
        points = prediction['points']
        row = super().row(image, labels, points)
        if 'truth' not in labels or not row.mask.any():
            return row
        truth, valid = labels['truth'], torch.from_numpy(row.mask)
        means = [(points - truth)[:, valid].norm(dim=0).mean()]
        text = f'mean {means[0]:.3f} m'
        if 'scale' in labels:
            factor = prediction['scale'] / labels['scale']
            text += f'; {(points * factor - truth)[:, valid].norm(dim=0).mean():.3f} m with the true scale'
        return row._replace(note=text)


class MattingDrawing(DenseDrawing):
    """See :func:`sapiens.visualization.draw_matting_panel`."""

    def __init__(self, model, side: int = 384) -> None:
        super().__init__(model, side, field=task_of(model).fields[0])

    def compact(self, values: torch.Tensor) -> torch.Tensor:
        """Keep values in [0, 1] in 8 bits."""
        return (values.float().nan_to_num().clamp(0, 1) * 255).round().to(torch.uint8).cpu()

    def values(self, compact: torch.Tensor) -> np.ndarray:
        return super().values(compact.float() / 255)

    def prediction(self, sample: BaseDataElement) -> dict[str, torch.Tensor]:
        return {name: self.compact(torch.as_tensor(sample.get(f'pred_{name}'))) for name in ('alpha', 'foreground')}

    def row(self, image: np.ndarray, labels: dict, prediction: dict[str, torch.Tensor]) -> MattingRow:
        truth, valid = labels.get('truth'), labels.get('valid')
        return MattingRow(
            image,
            self.values(prediction['alpha']),
            self.values(prediction['foreground']),
            None if truth is None else self.values(truth),
            None if valid is None else valid.numpy(),
            labels['name'],
        )

    def draw(self, rows: Sequence[MattingRow]) -> np.ndarray:
        return draw_matting_panel(rows, side=self.side)


class AlbedoDrawing(DenseDrawing):
    """See :func:`sapiens.visualization.draw_albedo_panel`. Labels, which are linear, and predictions of a task of that encoding
    are shown in the coding of screens."""

    def __init__(self, model, side: int = 384) -> None:
        super().__init__(model, side, draw_albedo_panel)

    def labels(self, sample: BaseDataElement) -> dict:
        kept = super().labels(sample)
        if 'truth' in kept:
            kept['truth'] = self.coded(torch.as_tensor(sample.get(f'gt_{self.field.name}')))
        return kept

    def prediction(self, sample: BaseDataElement) -> torch.Tensor:
        values = torch.as_tensor(sample.get(f'pred_{self.field.name}'))
        return self.coded(values) if self.model.task.encoding == 'linear' else self.in_bytes(values)

    def coded(self, linear: torch.Tensor) -> torch.Tensor:
        return self.in_bytes(encode_srgb(linear.float().clamp(0, 1)))

    def in_bytes(self, values: torch.Tensor) -> torch.Tensor:
        return (values.float().nan_to_num().clamp(0, 1) * 255).round().to(torch.uint8).cpu()

    def values(self, compact: torch.Tensor) -> np.ndarray:
        return super().values(compact.float() / 255)
