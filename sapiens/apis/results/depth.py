"""Depth of each pixel, and what follows from it: normals and a point cloud."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
from torch import Tensor

from sapiens.frames import to_published
from sapiens.visualization.depth import depth_limits
from sapiens.visualization.labels import draw_depth
from sapiens.visualization.tiles import DEPTH_COLORS, color_bar

from .base import PICTURE, Result, ResultFile
from .saving import Saving

__all__ = ['DepthResult']


def _normals(result: 'DepthResult', saving: Saving) -> np.ndarray:
    normals = to_published(result.normals())
    return np.where(result.valid[..., None], np.rint((normals + 1) * 127.5), saving.background_level).astype(np.uint8)


@dataclass(repr=False)
class DepthResult(Result):
    """A depth for each pixel.

    Attributes:
        depth: (H, W) float32; larger is farther.
        relative: True if 0 is about the nearest and 1 the farthest point of the person; False for meters.
        mask: (H, W) bool, where depth is meaningful; None for everywhere. The map itself is masked by
            :meth:`cut_out` only.
    """

    depth: np.ndarray | None = None
    relative: bool = True
    mask: np.ndarray | None = None
    task: ClassVar[str] = 'depth'
    files: ClassVar[tuple[ResultFile, ...]] = (
        ResultFile(
            'depth',
            '.npy',
            lambda result, saving: result.depth,
            default=True,
            about='(H, W) float32, depth as the model predicts it: larger is farther',
        ),
        PICTURE,
        ResultFile('normals', '_normals.png', _normals, about='surface normals computed from the depth, as colors'),
        ResultFile(
            'ply',
            '.ply',
            lambda result, saving: result.points(saving.fov, saving.distance, saving.extent),
            about='point cloud with colors, for viewers such as MeshLab',
        ),
    )

    @classmethod
    def read_fields(cls, fields: Mapping[str, Tensor], task) -> dict:
        return dict(depth=fields['depth'][0].float().cpu().numpy(), relative=task.relative)

    @property
    def valid(self) -> np.ndarray:
        """(H, W) bool: finite, and inside the mask if there is one."""
        finite = np.isfinite(self.depth)
        return finite if self.mask is None else finite & self.mask

    def cut_out(self) -> None:
        if self.mask is not None:
            self.depth = np.where(self.mask, self.depth, np.float32(np.nan))

    def draw(self, limits: tuple[float, float] | None = None, background: int | None = None) -> np.ndarray:
        """Draw near points bright and far points dark.

        Args:
            limits: depths drawn brightest and black. By default the range of the image without half a percent at either end.
            background: gray level outside the mask.
        """
        return draw_depth(self.depth, self.valid, self._limits(limits), self.level(background))

    def _limits(self, limits: tuple[float, float] | None) -> tuple[float, float]:
        return depth_limits(self.depth, self.valid) if limits is None else limits

    def drawing(self, saving: Saving) -> np.ndarray:
        return self.draw(saving.depth_limits, saving.background_level)

    def legend(self, saving: Saving, width: int, line: int) -> np.ndarray | None:
        near, far = self._limits(saving.depth_limits)
        texts = ('far', 'near') if self.relative else (f'far: {far:.2f} m', f'near: {near:.2f} m')
        return color_bar(width, *texts, DEPTH_COLORS, line)

    def frame_picture(self, saving: Saving) -> np.ndarray:
        # One range for all frames: with a range per frame the video flickers.
        limits = saving.depth_limits or ((0.0, 1.0) if self.relative else None)
        return self.draw(limits, saving.background_level)

    def normals(self, relief: float = 2048.0) -> np.ndarray:
        """Estimate normals from depth differences.

        Args:
            relief: extent of the whole depth range in pixels, which relative depth does not tell. 2048 matches the published
                figures.

        Returns:
            (H, W, 3) float32 unit vectors in the camera frame; zeros outside the mask.
        """
        valid = self.valid
        low, high = (float(self.depth[valid].min()), float(self.depth[valid].max())) if valid.any() else (0, 0)
        scaled = np.where(valid, (self.depth - low) / max(high - low, 1e-9), 0).astype(np.float32)
        # A 7 x 7 Sobel kernel responds to a slope of 1 per pixel with 2048.
        slope = [cv2.Sobel(scaled, cv2.CV_32F, *axis, ksize=7, scale=relief / 2048) for axis in ((1, 0), (0, 1))]
        normal = np.dstack([*slope, -np.ones_like(scaled)])
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
        return np.where(valid[..., None], normal, np.float32(0))

    def points(self, fov: float = 50.0, distance: float = 2.0, extent: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
        """Compute a point cloud of the visible surface.

        Args:
            fov: field of view along the longer side of the image, in degrees. The image does not tell it.
            distance: of the nearest point, for relative depth, in any unit.
            extent: from the nearest to the farthest point, for relative depth.

        Returns:
            (M, 3) float32 in the camera frame, one point per valid pixel, and their colors (M, 3) uint8 RGB.

        Raises:
            ValueError: ``fov`` is not between 0 and 180.
        """
        if not 0 < fov < 180:
            raise ValueError(f'fov={fov!r}: expected degrees between 0 and 180')
        height, width = self.depth.shape
        z = self.depth[self.valid].astype(np.float32)
        if self.relative:
            z = distance + extent * z
        focal = max(height, width) / 2 / np.tan(np.radians(fov) / 2)
        y, x = np.nonzero(self.valid)
        rays = np.stack([(x - (width - 1) / 2) / focal, (y - (height - 1) / 2) / focal, np.ones_like(z)], -1)
        return (rays * z[:, None]).astype(np.float32), self.image[self.valid]

    def summary(self) -> str:
        values = self.depth[np.isfinite(self.depth)]
        if not values.size:
            return 'no depth'
        low, high = float(values.min()), float(values.max())
        return f'depth {low:.2f} to {high:.2f}{"" if self.relative else " m"}'
