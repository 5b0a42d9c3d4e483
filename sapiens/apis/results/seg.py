"""Body parts or other classes of pixels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from sapiens.metainfo import ClassList
from sapiens.metainfo.palettes import PALETTES, with_palette
from sapiens.visualization.labels import draw_segmentation
from sapiens.visualization.legend import draw_legend

from .base import PICTURE, Result, ResultFile
from .saving import Saving

__all__ = ['SegResult']


def _mask(result: 'SegResult', saving: Saving) -> np.ndarray:
    return result.foreground if saving.map_format == 'npy' else np.where(result.foreground, 255, 0).astype(np.uint8)


@dataclass(repr=False)
class SegResult(Result):
    """A class for each pixel.

    Attributes:
        labels: (H, W) uint8.
        classes: names and colors of the labels.
        score: mean probability of the labels, see :class:`sapiens.models.SegTask`; None unless requested.
    """

    labels: np.ndarray | None = None
    classes: ClassList | None = None
    score: float | None = None
    task: ClassVar[str] = 'seg'
    files: ClassVar[tuple[ResultFile, ...]] = (
        ResultFile(
            'labels', '_seg.{map_format}', lambda result, saving: result.labels, default=True, about='(H, W) class ids'
        ),
        ResultFile(
            'mask', '.{map_format}', _mask, default=True, about='(H, W) bool, whether a pixel is not background'
        ),
        PICTURE,
        ResultFile(
            'cutout',
            '_cutout.png',
            lambda result, saving: result.cutout(),
            about='the person as an image with transparency',
        ),
    )

    @classmethod
    def read_fields(cls, fields: Mapping[str, Tensor], task) -> dict:
        score = float(fields['score']) if 'score' in fields else None
        return dict(labels=fields['sem_seg'].to(torch.uint8).cpu().numpy(), classes=task.classes, score=score)

    @property
    def foreground(self) -> np.ndarray:
        """(H, W) bool: all classes except the background."""
        return self.labels > 0

    def of_classes(self, names: Sequence[str]) -> np.ndarray:
        """Return where one of some classes is, (H, W) bool.

        Raises:
            ValueError: an unknown class, with the nearest name.
        """
        return np.isin(self.labels, [self.classes.index(name) for name in names])

    def draw(self, opacity: float = 0.5, legend: bool = False, palette: str = PALETTES[0]) -> np.ndarray:
        """Draw the class colors over the image, optionally with a legend below.

        Args:
            palette: see :func:`sapiens.metainfo.palettes.with_palette`.
        """
        return self.picture(Saving(opacity=opacity, legend=legend, palette=palette))

    def drawing(self, saving: Saving) -> np.ndarray:
        colors = with_palette(self.classes, saving.palette).palette
        return draw_segmentation(self.image, self.labels, colors, saving.opacity)

    def legend(self, saving: Saving, width: int, line: int) -> np.ndarray | None:
        found = [index for index in np.unique(self.labels).tolist() if 0 < index < len(self.classes)]
        return draw_legend(with_palette(self.classes, saving.palette), found, width, line)

    def cutout(self) -> np.ndarray:
        """Return the image with a transparent background, (H, W, 4) uint8 RGBA."""
        return np.dstack([self.image, np.where(self.foreground, 255, 0).astype(np.uint8)])

    def summary(self) -> str:
        return f'{100 * self.foreground.mean():.0f} % foreground'
