"""A pinhole camera.

World: metres, z up. Camera frame: x right, y down, z forward. Pixels: the centre of the top-left pixel is (0, 0).
"""

from dataclasses import dataclass

import numpy as np

__all__ = ['Camera']


@dataclass
class Camera:
    """Where the camera stands and what it sees.

    Attributes:
        intrinsics: (3, 3) float64, in pixels: ``[[f, 0, cx], [0, f, cy], [0, 0, 1]]``.
        rotation: (3, 3) float64; ``camera point = rotation @ world point + translation``.
        translation: (3,) float64 metres.
        width, height: size of the image in pixels.
    """

    intrinsics: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    width: int
    height: int

    @classmethod
    def look_at(
        cls, position, target, focal: float, width: int, height: int, roll: float = 0.0, centre=None
    ) -> 'Camera':
        """A camera at ``position`` that has ``target`` (world points, metres) in the middle.

        Args:
            focal: focal length in pixels.
            roll: radians; positive turns the camera clockwise, so that the picture turns counter-clockwise.
            centre: principal point in pixels; the middle of the image by default.
        """
        position, target = np.asarray(position, np.float64), np.asarray(target, np.float64)
        forward = target - position
        forward /= np.linalg.norm(forward)
        up = np.array([0.0, 0, 1]) if abs(forward[2]) < 0.999 else np.array([0.0, 1, 0])
        right = np.cross(forward, up)
        right /= np.linalg.norm(right)
        down = np.cross(forward, right)
        c, s = np.cos(roll), np.sin(roll)
        rotation = np.stack([c * right + s * down, -s * right + c * down, forward])
        cx, cy = centre if centre is not None else ((width - 1) / 2, (height - 1) / 2)
        intrinsics = np.array([[focal, 0, cx], [0, focal, cy], [0, 0, 1.0]])
        return cls(intrinsics, rotation, -rotation @ position, width, height)

    @property
    def position(self) -> np.ndarray:
        """(3,) where the camera stands in the world."""
        return -self.rotation.T @ self.translation

    def to_camera(self, points: np.ndarray) -> np.ndarray:
        """World points (..., 3) in the camera frame."""
        return points @ self.rotation.T + self.translation

    def project(self, points: np.ndarray) -> np.ndarray:
        """World points (..., 3) -> (..., 3): pixel x, pixel y, and z of the camera frame in metres (behind it: negative)."""
        local = self.to_camera(points)
        z = np.where(np.abs(local[..., 2:]) < 1e-9, 1e-9, local[..., 2:])
        pixels = (local / z) @ self.intrinsics.T
        return np.concatenate([pixels[..., :2], local[..., 2:]], -1)

    def unproject(self, depth: np.ndarray) -> np.ndarray:
        """A depth map (H, W) of metres along z -> (H, W, 3) points in the camera frame."""
        height, width = depth.shape
        f, cx, cy = self.intrinsics[0, 0], self.intrinsics[0, 2], self.intrinsics[1, 2]
        points = np.empty((height, width, 3), np.float32)
        points[..., 0] = (np.arange(width) - cx) / f * depth
        points[..., 1] = ((np.arange(height) - cy) / f)[:, None] * depth
        points[..., 2] = depth
        return points
