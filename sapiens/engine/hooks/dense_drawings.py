"""Drawings of dense tasks: from data samples to figures of images, labels and predictions.

The declaration of a task names its drawing (``TaskSpec.drawing``): a subclass of :class:`DenseDrawing`, or a function
``draw(rows, side=...)`` from rows (:class:`sapiens.visualization.DenseRow`) to a uint8 RGB figure. Other tasks get
:class:`DenseDrawing`, which draws any map by its kind, and with several maps :class:`MapDrawings`, which draws each.
"""

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.structures import BaseDataElement

from sapiens.evaluation.dense_functional import ALIGNMENTS, angular_error, depth_alignment
from sapiens.frames import to_published
from sapiens.metainfo.classes import IGNORE
from sapiens.metainfo.palettes import PALETTES
from sapiens.tasks import MapField, resolve, task_of
from sapiens.visualization import DenseRow, draw_depth_panel, draw_map_panel, draw_normal_panel, draw_seg_panel
from sapiens.visualization.layout import caption, fit, join
from sapiens.visualization.tiles import LIMIT

__all__ = ['DenseDrawing', 'DepthDrawing', 'MapDrawings', 'NormalDrawing', 'SegDrawing', 'drawing_for']


def drawing_for(model, palette: str | None = None, **options: Any) -> 'DenseDrawing | MapDrawings':
    """Build the drawing that the task of a model declares.

    Args:
        model: a model of a dense task.
        palette: for drawings of classes; see :func:`sapiens.metainfo.palettes.with_palette`. None for the default.
        **options: of the drawing, such as ``side``.

    Raises:
        ValueError: a model without a map, or an option that the drawing does not have.
    """
    spec = task_of(model)
    if not spec.fields:
        raise ValueError(f'task {spec.name!r} predicts no map, which figures of dense tasks need')
    drawing = resolve(spec.drawing) or (MapDrawings if len(spec.fields) > 1 else DenseDrawing)
    if not isinstance(drawing, type):
        drawing = partial(DenseDrawing, draw=drawing)
    known = [name for name in inspect.signature(drawing).parameters if name not in ('model', 'draw', 'field')]
    for name in options:
        if name not in known:
            raise ValueError(f'figures of task {spec.name!r} have no option {name!r} (known: {", ".join(known)})')
    if palette is not None and 'palette' in known:
        options['palette'] = palette
    return drawing(model, **options)


class DenseDrawing:
    """Draws rows [image | ground truth | prediction | error] of one map of a task.

    Args:
        model: the model; its task declares the map.
        side: longer side of a tile in pixels.
        draw: function from rows and ``side`` to a figure; by default :func:`sapiens.visualization.draw_map_panel`.
        field: the map; by default the main one.

    Raises:
        ValueError: a task without a map, or tiles below 16 pixels.
    """

    # File name and title of training figures; by default the name of the task.
    name: str | None = None

    def __init__(self, model, side: int = 384, draw: Callable | None = None, field: MapField | None = None) -> None:
        if side < 16:
            raise ValueError(f'side={side}: expected tiles of 16 pixels or more')
        spec = task_of(model)
        self.field, self.name = field or spec.field, self.name or spec.name
        self.model, self.side = model, side
        self.draw_rows = draw or partial(draw_map_panel, kind=self.field.kind)

    def labels(self, sample: BaseDataElement) -> dict:
        """Select what is drawn of the labels, as small tensors on the CPU: ``name``, and ``truth`` and ``valid`` if labeled."""
        kept = dict(name=Path(str(sample.get('img_path', ''))).name)
        key = f'gt_{self.field.name}'
        if key in sample:
            kept['truth'] = self.compact(torch.as_tensor(sample.get(key)))
            masks = [sample.get(name) for name in ('valid_mask', f'valid_{self.field.name}') if name in sample]
            if masks:
                kept['valid'] = torch.stack([torch.as_tensor(mask).bool().cpu() for mask in masks]).all(0)
        return kept

    def prediction(self, sample: BaseDataElement) -> torch.Tensor:
        """Select what is drawn of the prediction, on the CPU."""
        return self.compact(torch.as_tensor(sample.get(f'pred_{self.field.name}')))

    def compact(self, values: torch.Tensor) -> torch.Tensor:
        """Copy a map in a small data type, because checkpoints hold labels. Unit vectors are kept in steps of 1 / 127."""
        if self.field.kind == 'labels':
            values = values.to(torch.uint8)
        elif self.field.kind == 'unit_vectors':
            values = (values.float().nan_to_num().clamp(-1, 1) * 127).round().to(torch.int8)
        else:
            values = values.float()
        return values.cpu().clone()

    def values(self, compact: torch.Tensor) -> np.ndarray:
        """Get the map (H, W) or (H, W, K) that :meth:`compact` kept."""
        if self.field.kind == 'unit_vectors':
            compact = compact.float() / 127
        if compact.ndim == 3:
            compact = compact[0] if len(compact) == 1 else compact.permute(1, 2, 0)
        return compact.numpy()

    def row(self, image: np.ndarray, labels: dict, prediction: torch.Tensor) -> DenseRow:
        """Make a row of the figure.

        Args:
            image: (H, W, 3) uint8 RGB.
            labels: from :meth:`labels`.
            prediction: from :meth:`prediction`.
        """
        truth, valid = labels.get('truth'), labels.get('valid')
        return DenseRow(
            image,
            self.values(prediction),
            None if truth is None else self.values(truth),
            None if valid is None else valid.numpy(),
            name=labels['name'],
        )

    def draw(self, rows: Sequence[DenseRow]) -> np.ndarray:
        """Draw the figure (H, W, 3) uint8 RGB of rows."""
        return self.draw_rows(rows, side=self.side)


class MapDrawings:
    """Draws the rows of each map of a task, below the name of the map; see :class:`DenseDrawing`.

    Args:
        model: the model; its task declares the maps.
        side: longer side of a tile in pixels.
    """

    def __init__(self, model, side: int = 384) -> None:
        spec = task_of(model)
        self.name = spec.name
        self.drawings = {field.name: DenseDrawing(model, side, field=field) for field in spec.fields}

    def labels(self, sample: BaseDataElement) -> dict:
        """Select what is drawn of the labels, by name of the map and of the tensor."""
        return {
            f'{name}.{key}': value
            for name, drawing in self.drawings.items()
            for key, value in drawing.labels(sample).items()
        }

    def prediction(self, sample: BaseDataElement) -> dict[str, torch.Tensor]:
        """Select what is drawn of the predictions, by name of the map."""
        return {name: drawing.prediction(sample) for name, drawing in self.drawings.items()}

    def row(self, image: np.ndarray, labels: dict, prediction: dict[str, torch.Tensor]) -> dict[str, DenseRow]:
        """Make a row for each map."""
        rows = {}
        for name, drawing in self.drawings.items():
            own = {key.removeprefix(f'{name}.'): value for key, value in labels.items() if key.startswith(f'{name}.')}
            rows[name] = drawing.row(image, own, prediction[name])
        return rows

    def draw(self, rows: Sequence[dict[str, DenseRow]]) -> np.ndarray:
        """Draw the figure (H, W, 3) uint8 RGB of rows."""
        parts = []
        for name, drawing in self.drawings.items():
            figure = drawing.draw([row[name] for row in rows])
            parts.append(join([caption(figure.shape[1], name), figure], axis=0, gap=0))
        return fit(join(parts, axis=0), LIMIT)


class SegDrawing(DenseDrawing):
    """See :func:`sapiens.visualization.draw_seg_panel`; the classes are those of the model's task."""

    name = 'segmentation'

    def __init__(self, model, side: int = 384, palette: str = PALETTES[0]) -> None:
        super().__init__(model, side)
        self.palette = palette

    def row(self, image: np.ndarray, labels: dict, prediction: torch.Tensor) -> DenseRow:
        row = super().row(image, labels, prediction)
        if row.truth is None or row.valid is None:
            return row
        return row._replace(truth=np.where(row.valid, row.truth, IGNORE))

    def draw(self, rows: Sequence[DenseRow]) -> np.ndarray:
        return draw_seg_panel(rows, self.model.task.classes, side=self.side, palette=self.palette)


class DepthDrawing(DenseDrawing):
    """See :func:`sapiens.visualization.draw_depth_panel`.

    Args:
        alignment: of each prediction to its ground truth, see :class:`sapiens.evaluation.DepthMetric`. Predictions without
            ground truth are not aligned.

    Raises:
        ValueError: an unknown alignment.
    """

    def __init__(self, model, side: int = 384, alignment: str = 'scale-shift') -> None:
        super().__init__(model, side, draw_depth_panel)
        if alignment not in ALIGNMENTS:
            raise ValueError(f'alignment={alignment!r}, expected one of {", ".join(map(repr, ALIGNMENTS))}')
        self.alignment = alignment

    def row(self, image: np.ndarray, labels: dict, prediction: torch.Tensor) -> DenseRow:
        if 'truth' not in labels:
            return super().row(image, labels, prediction)._replace(note='as predicted')
        valid = labels.get('valid')
        if valid is None:
            valid = torch.ones_like(labels['truth'][0], dtype=torch.bool)
        if valid.any():
            scale, shift = depth_alignment(prediction[0][valid], labels['truth'][0][valid], self.alignment)
            prediction = (scale * prediction + shift).float()
        return super().row(image, labels, prediction)._replace(note=f'alignment: {self.alignment}')


class NormalDrawing(DenseDrawing):
    """See :func:`sapiens.visualization.draw_normal_panel`."""

    def __init__(self, model, side: int = 384) -> None:
        super().__init__(model, side, draw_normal_panel)

    def row(self, image: np.ndarray, labels: dict, prediction: torch.Tensor) -> DenseRow:
        error = angular_error(prediction, labels['truth']).numpy() if 'truth' in labels else None
        return super().row(image, labels, prediction)._replace(error=error)

    def values(self, compact: torch.Tensor) -> np.ndarray:
        """Get the unit vectors in the frame of the published models."""
        return to_published(super().values(compact))
