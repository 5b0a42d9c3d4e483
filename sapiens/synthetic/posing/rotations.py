"""Rotations and vectors. numpy's functions are slow for small arrays."""

import math

import numpy as np

X, UP, FORWARD = np.array([1.0, 0, 0]), np.array([0.0, 0, 1]), np.array([0.0, -1, 0])
SIDES = {'L': 1.0, 'R': -1.0}
_EYE = np.eye(3)
_GENERATORS = np.zeros((3, 9))  # v @ _GENERATORS is the matrix of the cross product with v, flat
for _axis, _plus, _minus in ((0, 7, 5), (1, 2, 6), (2, 3, 1)):
    _GENERATORS[_axis, _plus], _GENERATORS[_axis, _minus] = 1, -1


def unit(v: np.ndarray) -> np.ndarray:
    if v.ndim == 1:
        x, y, z = v.tolist()
        return v / max(math.sqrt(x * x + y * y + z * z), 1e-12)
    return v / np.maximum(np.sqrt((v * v).sum(-1, keepdims=True)), 1e-12)


def cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cross product of two vectors (3,)."""
    (a0, a1, a2), (b0, b1, b2) = a.tolist(), b.tolist()
    return np.array([a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0])


def cross_matrix(v: np.ndarray) -> np.ndarray:
    """Return matrices (..., 3, 3) whose product with a vector is its cross product with v (..., 3)."""
    return (v @ _GENERATORS).reshape(*v.shape[:-1], 3, 3)


def turn(axis: np.ndarray, angle: float) -> np.ndarray:
    """Return the rotation (3, 3) about a unit axis (3,)."""
    (x, y, z), s, c = axis.tolist(), math.sin(angle), math.cos(angle)
    t = 1 - c
    return np.array(
        [
            [c + t * x * x, t * x * y - s * z, t * x * z + s * y],
            [t * x * y + s * z, c + t * y * y, t * y * z - s * x],
            [t * x * z - s * y, t * y * z + s * x, c + t * z * z],
        ]
    )


def turn_vector(v: np.ndarray) -> np.ndarray:
    """Convert rotation vectors (..., 3) to rotations (..., 3, 3)."""
    square = np.maximum((v * v).sum(-1), 1e-12)[..., None, None]
    angle = np.sqrt(square)
    k = cross_matrix(v)
    return _EYE + (np.sin(angle) / angle) * k + ((1 - np.cos(angle)) / square) * (k @ k)


class Hinges:
    """Rotations about fixed axes (H, 3): a call with angles (H, B) returns (H, B, 3, 3)."""

    def __init__(self, axes: np.ndarray):
        self.cross = cross_matrix(np.asarray(axes))[:, None]
        self.square = self.cross @ self.cross
        self.still = _EYE + self.square

    def __call__(self, angles: np.ndarray) -> np.ndarray:
        angles = angles[..., None, None]
        return self.still + np.sin(angles) * self.cross - np.cos(angles) * self.square


def align(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the shortest rotation vector from unit vector a to unit vector b."""
    axis = cross(a, b)
    sine = math.sqrt(axis @ axis)
    return axis * (math.atan2(sine, a @ b) / max(sine, 1e-12))
