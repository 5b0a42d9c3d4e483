"""A pinhole camera.

World: meters, z up. Camera frame: x right, y down, z forward. Pixels: the center of the top-left pixel is (0, 0).
"""

from dataclasses import dataclass, replace

import numpy as np

__all__ = ['Camera']


@dataclass
class Camera:
    """Position, orientation and intrinsics of the camera.

    Attributes:
        intrinsics: (3, 3) float64, in pixels: ``[[fx, 0, cx], [0, fy, cy], [0, 0, 1]]``.
        rotation: (3, 3) float64; ``camera point = rotation @ world point + translation``.
        translation: (3,) float64 meters.
        width, height: size of the image in pixels.
    """

    intrinsics: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    width: int
    height: int

    @classmethod
    def look_at(
        cls, position, target, focal: float, width: int, height: int, roll: float = 0.0, center=None
    ) -> 'Camera':
        """Make a camera at ``position`` with ``target`` (world points, meters) in the middle of the image.

        Args:
            focal: focal length in pixels.
            roll: radians; positive rotates the camera clockwise and the image counter-clockwise.
            center: principal point in pixels; default: the middle of the image.
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
        cx, cy = center if center is not None else ((width - 1) / 2, (height - 1) / 2)
        intrinsics = np.array([[focal, 0, cx], [0, focal, cy], [0, 0, 1.0]])
        return cls(intrinsics, rotation, -rotation @ position, width, height)

    def moved(self, offset, target) -> 'Camera':
        """The camera at another place, turned so that ``target`` stays at its pixel.

        Args:
            offset: (3,) meters to the right, down and forward.
            target: (3,) world point in front of both cameras, in meters.
        """
        before = self.to_camera(np.asarray(target, np.float64))
        after = before - np.asarray(offset, np.float64)
        turn = _turn(after, before)
        rotation = turn @ self.rotation
        position = self.position + self.rotation.T @ np.asarray(offset, np.float64)
        return replace(self, rotation=rotation, translation=-rotation @ position)

    @property
    def position(self) -> np.ndarray:
        """(3,) position of the camera in the world."""
        return -self.rotation.T @ self.translation

    def horizon(self) -> float:
        """Row of the pixel in the direction of view, made level; far beyond the image for a camera that looks up or down."""
        forward = self.rotation[2] * [1, 1, 0]
        local = self.rotation @ (forward / max(np.linalg.norm(forward), 1e-6))
        return float(self.intrinsics[1, 2] + self.intrinsics[1, 1] * local[1] / max(local[2], 1e-3))

    def to_camera(self, points: np.ndarray) -> np.ndarray:
        """Transform world points (..., 3) to the camera frame."""
        return points @ self.rotation.T + self.translation

    def project(self, points: np.ndarray) -> np.ndarray:
        """Project world points (..., 3) to (..., 3): pixel x, pixel y, and camera z in meters (negative behind the camera)."""
        local = self.to_camera(points)
        z = np.where(np.abs(local[..., 2:]) < 1e-9, 1e-9, local[..., 2:])
        pixels = (local / z) @ self.intrinsics.T
        return np.concatenate([pixels[..., :2], local[..., 2:]], -1)

    def unproject(self, depth: np.ndarray) -> np.ndarray:
        """Convert a depth map (H, W) in meters along z to (H, W, 3) points in the camera frame."""
        height, width = depth.shape
        (fx, fy), (cx, cy) = np.diag(self.intrinsics)[:2], self.intrinsics[:2, 2]
        points = np.empty((height, width, 3), np.float32)
        points[..., 0] = (np.arange(width) - cx) / fx * depth
        points[..., 1] = ((np.arange(height) - cy) / fy)[:, None] * depth
        points[..., 2] = depth
        return points


def _turn(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """(3, 3) the shortest rotation of the direction ``source`` (3,) to ``target`` (3,), which may not be opposite."""
    a, b = source / np.linalg.norm(source), target / np.linalg.norm(target)
    axis, cosine = np.cross(a, b), float(a @ b)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + cross + cross @ cross / (1 + cosine)
