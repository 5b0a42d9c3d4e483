"""Surface normals of each pixel."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from sapiens.frames import to_published
from sapiens.visualization.labels import draw_normals
from sapiens.visualization.legend import NORMALS, draw_entries

from .base import PICTURE, Result, ResultFile
from .saving import Saving

__all__ = ['NormalResult']


def _normal(result: 'NormalResult', saving: Saving) -> np.ndarray:
    return result.published if saving.normal_frame == 'published' else result.normals


@dataclass(repr=False)
class NormalResult(Result):
    """A surface normal for each pixel.

    Attributes:
        normals: (H, W, 3) float32 unit vectors in the camera frame: a surface that faces the camera has (0, 0, -1).
        mask: (H, W) bool, where normals are meaningful; None for everywhere. The map itself is masked by
            :meth:`cut_out` only.
    """

    normals: np.ndarray | None = None
    mask: np.ndarray | None = None
    task: ClassVar[str] = 'normal'
    files: ClassVar[tuple[ResultFile, ...]] = (
        ResultFile(
            'normal',
            '.npy',
            _normal,
            default=True,
            about='(H, W, 3) float32 unit vectors: x right, y up, z towards the camera',
        ),
        PICTURE,
    )

    @classmethod
    def read_fields(cls, fields: Mapping[str, Tensor], task) -> dict:
        return dict(normals=fields['normal'].float().permute(1, 2, 0).contiguous().cpu().numpy())

    @property
    def published(self) -> np.ndarray:
        """Normals in the frame of the published files: x right, y up, z towards the camera."""
        return to_published(self.normals)

    def cut_out(self) -> None:
        if self.mask is not None:
            self.normals = np.where(self.mask[..., None], self.normals, np.float32(np.nan))

    def draw(self, background: int | None = None) -> np.ndarray:
        """Draw right as red, up as green, towards the camera as blue, and the gray level ``background`` outside the mask."""
        mask = np.ones(self.image.shape[:2], bool) if self.mask is None else self.mask
        return draw_normals(self.published, mask, self.level(background))

    def drawing(self, saving: Saving) -> np.ndarray:
        return self.draw(saving.background_level)

    def legend(self, saving: Saving, width: int, line: int) -> np.ndarray | None:
        return draw_entries(NORMALS, width, line)

    def summary(self) -> str:
        return 'one normal per pixel'
