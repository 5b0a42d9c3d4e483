"""Result of a dense task without a result class."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import ClassVar

import cv2
import numpy as np
from torch import Tensor

from sapiens.tasks import MapField, TaskSpec
from sapiens.visualization.maps import draw_map
from sapiens.visualization.tiles import color_bar

from .base import PICTURE, Result, ResultFile
from .saving import Saving

__all__ = ['MapsResult', 'make_maps_result']


def _map(name: str, result: 'MapsResult', saving: Saving) -> np.ndarray:
    return result.maps[name]


@dataclass(repr=False)
class MapsResult(Result):
    """Maps and other values that a dense task predicts.

    Attributes:
        maps: (H, W) or (H, W, K) of each field of the task, by name.
        values: other predicted values by name, such as a scale.
        mask: (H, W) bool, where maps are meaningful; None for everywhere. The maps themselves are masked by
            :meth:`cut_out` only.
        fields: declarations of the maps; the first one is drawn.
    """

    maps: dict[str, np.ndarray] = field(default_factory=dict)
    values: dict[str, np.ndarray] = field(default_factory=dict)
    mask: np.ndarray | None = None
    fields: ClassVar[tuple[MapField, ...]] = ()

    @classmethod
    def read_fields(cls, fields: Mapping[str, Tensor], task) -> dict:
        arrays = {name: value.detach().cpu() for name, value in fields.items()}
        arrays = {
            name: (value.float() if value.is_floating_point() else value).numpy() for name, value in arrays.items()
        }
        maps = {}
        for one in cls.fields:
            value = arrays.pop(one.name)
            if one.channels is not None:
                value = value[0] if one.channels == 1 else np.ascontiguousarray(np.moveaxis(value, 0, -1))
            maps[one.name] = value
        return dict(maps=maps, values=arrays)

    def cut_out(self) -> None:
        """Set floating-point maps outside the mask to not-a-number. Labels have no such value and stay."""
        if self.mask is None:
            return
        for name, values in self.maps.items():
            if values.dtype.kind == 'f':
                mask = self.mask if values.ndim == 2 else self.mask[..., None]
                self.maps[name] = np.where(mask, values, values.dtype.type(np.nan))

    def draw(self, background: int | None = None) -> np.ndarray:
        """Draw the main map, and the gray level ``background`` outside the mask."""
        main = self.fields[0]
        return draw_map(self.maps[main.name], main.kind, self.mask, background=self.level(background))

    def drawing(self, saving: Saving) -> np.ndarray:
        return self.draw(saving.background_level)

    def legend(self, saving: Saving, width: int, line: int) -> np.ndarray | None:
        values = self.maps[self.fields[0].name]
        if self.fields[0].kind not in ('values', 'vectors') or (values.ndim == 3 and values.shape[2] == 3):
            return None
        values = values if values.ndim == 2 else values[..., 0]
        known = values[np.isfinite(values) & (True if self.mask is None else self.mask)]
        if not known.size:
            return None
        return color_bar(width, f'{known.min():.3g}', f'{known.max():.3g}', cv2.COLORMAP_INFERNO, line)

    def frame_record(self, saving: Saving) -> dict:
        return {name: value.tolist() for name, value in self.values.items()}

    def summary(self) -> str:
        return ', '.join(f'{name} {"x".join(map(str, value.shape))}' for name, value in self.maps.items())


def _values(result: MapsResult, saving: Saving) -> dict | None:
    return result.frame_record(saving) or None


@cache
def make_maps_result(spec: TaskSpec) -> type[MapsResult]:
    """Make the result class of a task: .npy of each map, .json of other values, and an image of the main map."""
    files = [
        ResultFile(one.name, f'_{one.name}.npy' if index else '.npy', partial(_map, one.name), default=True)
        for index, one in enumerate(spec.fields)
    ]
    files += [PICTURE, ResultFile('values', '.json', _values, default=True, sometimes=True)]
    attributes = dict(task=spec.inference_name, fields=spec.fields, files=tuple(files), __doc__=MapsResult.__doc__)
    return type(f'{spec.name.capitalize()}Result', (MapsResult,), attributes)
