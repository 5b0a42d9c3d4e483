"""Albedo of each pixel: the color of surfaces without light and shadow."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from sapiens.utils.srgb import decode_srgb, encode_srgb
from sapiens.visualization.albedo import draw_albedo

from .base import PICTURE, Result, ResultFile
from .saving import Saving

__all__ = ['AlbedoResult']


@dataclass(repr=False)
class AlbedoResult(Result):
    """An albedo for each pixel, in both codings.

    Attributes:
        albedo: (H, W, 3) float32 RGB in [0, 1], in the coding of the model.
        encoding: of ``albedo``: ``'srgb'`` or ``'linear'``.
        mask: (H, W) bool, where albedo is meaningful; None for everywhere. The map itself is masked by :meth:`cut_out` only.
    """

    albedo: np.ndarray | None = None
    encoding: str = 'srgb'
    mask: np.ndarray | None = None
    task: ClassVar[str] = 'albedo'
    files: ClassVar[tuple[ResultFile, ...]] = (
        ResultFile(
            'linear',
            '.npy',
            lambda result, saving: result.linear,
            default=True,
            about='(H, W, 3) float32, albedo as linear RGB',
        ),
        PICTURE,
        ResultFile(
            'srgb',
            '_srgb.png',
            lambda result, saving: result.draw(saving.background_level),
            about='the albedo as an sRGB image',
        ),
    )

    @classmethod
    def read_fields(cls, fields: Mapping[str, Tensor], task) -> dict:
        albedo = fields['albedo'].float().permute(1, 2, 0).contiguous().cpu().numpy()
        return dict(albedo=albedo, encoding=task.encoding)

    @property
    def srgb(self) -> np.ndarray:
        """(H, W, 3) float32 in [0, 1], sRGB-coded, as image files and screens expect."""
        return self.albedo if self.encoding == 'srgb' else encode_srgb(self.albedo)

    @property
    def linear(self) -> np.ndarray:
        """(H, W, 3) float32 in [0, 1], linear RGB: the fraction of light that a surface reflects."""
        return self.albedo if self.encoding == 'linear' else decode_srgb(self.albedo)

    def cut_out(self) -> None:
        if self.mask is not None:
            self.albedo = np.where(self.mask[..., None], self.albedo, np.float32(np.nan))

    def draw(self, background: int | None = None) -> np.ndarray:
        """Draw the albedo in sRGB, and the gray level ``background`` outside the mask."""
        return draw_albedo(self.srgb, self.mask, self.level(background))

    def drawing(self, saving: Saving) -> np.ndarray:
        return self.draw(saving.background_level)

    def summary(self) -> str:
        return 'one albedo per pixel'
