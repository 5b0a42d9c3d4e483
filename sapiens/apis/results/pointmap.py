"""Points of each pixel in the camera frame, and what follows from them: depth, normals, a point cloud and the focal length."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from sapiens.frames import to_published
from sapiens.utils.pinhole import pixel_rays
from sapiens.visualization.depth import depth_limits
from sapiens.visualization.pointmap import POINT_COLORS, draw_inverse_depth, point_normals
from sapiens.visualization.tiles import color_bar

from ..user_camera import centered_intrinsics, check_center, check_focal, read_intrinsics
from .base import PICTURE, Result, ResultFile
from .saving import Saving

__all__ = ['RAYS', 'PointmapResult']

# Where points are: as the network predicts them, or on the rays of their pixels.
RAYS = 'predicted', 'project'


def _normals(result: 'PointmapResult', saving: Saving) -> np.ndarray:
    normals = to_published(result.normals())
    known = (normals != 0).any(-1, keepdims=True)
    return np.where(known, np.rint((normals + 1) * 127.5), saving.background_level).astype(np.uint8)


@dataclass(repr=False)
class PointmapResult(Result):
    """A point of the visible surface for each pixel, in meters.

    Attributes:
        points: (H, W, 3) float32 meters in the camera frame: x right, y down, z forward.
        intrinsics: (3, 3) float64 of the camera that the meters belong to, in pixels of the image, whose top-left pixel has its
            center at (0, 0).
        focal_source: ``'estimated'`` by the network, ``'given'`` by the user, or ``'exif'``, from the file.
        estimated_focal: focal length that the network estimates, in pixels of the image. NaN where its scale is not above 0; then
            the points are not-a-number too, unless the user knows the camera.
        rays: ``'predicted'``: points as predicted. ``'project'``: on the rays of their pixels, x and y from z and the camera.
        mask: (H, W) bool, where points are meaningful; None for everywhere. The map itself is masked by :meth:`cut_out` only.
    """

    points: np.ndarray | None = None
    intrinsics: np.ndarray | None = None
    focal_source: str = 'estimated'
    estimated_focal: float = float('nan')
    rays: str = 'predicted'
    mask: np.ndarray | None = None
    task: ClassVar[str] = 'pointmap'
    files: ClassVar[tuple[ResultFile, ...]] = (
        ResultFile(
            'points',
            '.npy',
            lambda result, saving: result.points,
            default=True,
            about='(H, W, 3) float32 points in meters: x right, y down, z forward',
        ),
        PICTURE,
        ResultFile(
            'camera',
            '.json',
            lambda result, saving: result.frame_record(saving),
            default=True,
            about='the camera: focal length in pixels',
        ),
        ResultFile(
            'depth', '_depth.npy', lambda result, saving: result.depth, about='(H, W) float32, depth in meters'
        ),
        ResultFile('normals', '_normals.png', _normals, about='surface normals computed from the points, as colors'),
        ResultFile(
            'ply',
            '.ply',
            lambda result, saving: result.cloud(),
            about='point cloud with colors in meters, for viewers such as MeshLab',
        ),
    )

    @classmethod
    def read_fields(cls, fields: Mapping[str, Tensor], task) -> dict:
        points = fields['pointmap'].float().permute(1, 2, 0).contiguous().cpu().numpy()
        return dict(points=points)

    @property
    def depth(self) -> np.ndarray:
        """(H, W) float32 meters along z."""
        return self.points[..., 2]

    @property
    def focal(self) -> float:
        """Focal length of the camera that the meters belong to, in pixels of the image."""
        return float(self.intrinsics[0, 0])

    @property
    def valid(self) -> np.ndarray:
        """(H, W) bool: finite, in front of the camera, and inside the mask if there is one."""
        known = np.isfinite(self.points).all(-1) & (self.depth > 0)
        return known if self.mask is None else known & self.mask

    def with_camera(self, focal: float | None = None, intrinsics=None) -> 'PointmapResult':
        """Return the result for a camera that the caller knows: its points are those of that camera, in meters.

        Args:
            focal: in pixels of the image; the camera looks at its center.
            intrinsics: (3, 3) in pixels of the image, or the path of a file; see
                :func:`sapiens.apis.user_camera.read_intrinsics`.

        Raises:
            ValueError: not exactly one of both, a focal length that is not above 0, intrinsics of an image of another size, or a
                result without points, since the predicted scale is not above 0.
        """
        if (focal is None) == (intrinsics is None):
            raise ValueError('with_camera: give focal or intrinsics, one of them')
        if not np.isfinite(self.focal):
            raise ValueError(
                'with_camera: the predicted scale is not above 0, and the points are lost: give the camera to load_model'
            )
        size = self.points.shape[:2]
        if intrinsics is None:
            check_focal(focal, f'focal={focal!r}')
            matrix = centered_intrinsics(float(focal), size)
        else:
            matrix = read_intrinsics(intrinsics)
            check_center(matrix, size, 'intrinsics')
        return self.seen_by(matrix, 'given')

    def seen_by(self, intrinsics: np.ndarray, source: str) -> 'PointmapResult':
        """Return the result for other intrinsics (3, 3), from a ``focal_source``."""
        # Canonical points divided by the scale: the scale is in proportion to 1 / focal. y is that of square pixels, v / fx.
        factor = intrinsics[0, 0] / self.focal
        squeeze = intrinsics[0, 0] / intrinsics[1, 1] / (self.focal / self.intrinsics[1, 1])
        points = self.points * np.array([factor, factor * squeeze, factor], np.float32)
        moved = dataclasses.replace(self, points=points, intrinsics=intrinsics, focal_source=source)
        return moved.on_rays() if self.rays == 'project' else moved

    def on_rays(self) -> 'PointmapResult':
        """Return the result with each point on the ray of its pixel: z stays, x and y follow from it and the camera."""
        points = pixel_rays(self.intrinsics, self.points.shape[:2]) * self.depth[..., None]
        return dataclasses.replace(self, points=points, rays='project')

    def cut_out(self) -> None:
        if self.mask is not None:
            self.points = np.where(self.mask[..., None], self.points, np.float32(np.nan))

    def normals(self) -> np.ndarray:
        """Compute normals from the points.

        Returns:
            (H, W, 3) float32 unit vectors in the camera frame; zeros where a point of the 5 x 5 window is not valid.
        """
        return point_normals(self.points, self.valid)

    def cloud(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the point of each valid pixel, (M, 3) float32 meters in the camera frame, and its color (M, 3) uint8 RGB."""
        return self.points[self.valid], self.image[self.valid]

    def draw(self, limits: tuple[float, float] | None = None, background: int | None = None) -> np.ndarray:
        """Draw 1 / depth: near points red and far points blue.

        Args:
            limits: nearest and farthest depth of the colors in meters. By default the range of the image without half a percent
                at either end.
            background: gray level outside the mask.
        """
        return draw_inverse_depth(self.depth, self.valid, limits, self.level(background))

    def drawing(self, saving: Saving) -> np.ndarray:
        return self.draw(saving.depth_limits, saving.background_level)

    def legend(self, saving: Saving, width: int, line: int) -> np.ndarray | None:
        near, far = saving.depth_limits or depth_limits(self.depth, self.valid)
        return color_bar(width, f'far: {far:.2f} m', f'near: {near:.2f} m', POINT_COLORS, line)

    def write(self, stem, saving: Saving, picture: np.ndarray | None = None) -> list:
        """Write the chosen files; see :meth:`Result.write`.

        Raises:
            ValueError: the network predicts no scale above 0, and the camera is not known.
        """
        if self.missing:
            raise ValueError(self.missing)
        return super().write(stem, saving, picture)

    @property
    def missing(self) -> str:
        if np.isfinite(self.focal):
            return ''
        return 'the predicted scale is not above 0, so that the focal length and meters are unknown: give the focal length'

    def frame_record(self, saving: Saving) -> dict:
        height, width = self.points.shape[:2]
        focals = {
            name: round(value, 2) if np.isfinite(value) else None
            for name, value in (('focal', self.focal), ('estimated_focal', self.estimated_focal))
        }
        matrix = np.where(np.isfinite(self.intrinsics), self.intrinsics, 0).round(3).tolist()
        known = dict(focals, focal_source=self.focal_source, image_size=[width, height])
        return dict(known, intrinsics=matrix if focals['focal'] else None)

    def summary(self) -> str:
        if not np.isfinite(self.focal):
            return 'no points: the predicted scale is not above 0'
        depth = self.depth[self.valid]
        extent = f'{depth.min():.2f} to {depth.max():.2f} m' if len(depth) else 'no points'
        return f'{extent}, focal length {self.focal:.0f} px ({self.focal_source})'
