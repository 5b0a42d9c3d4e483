"""Inverse kinematics of a limb: angles that meet goals within the limits of the joints and outside of obstacles."""

from dataclasses import dataclass

import numpy as np

from .limbs import Limb
from .obstacles import Obstacles

_EPS = 1e-4
_EYE = {n: np.eye(n) for n in (6, 7)}


@dataclass
class Point:
    """Goal: move the point ``place`` (3,), at rest, of bone ``bone`` of the limb to ``target`` (3,); weight in 1 / m."""

    bone: int
    place: np.ndarray
    target: np.ndarray
    weight: float = 40.0

    def error(self, world: np.ndarray, joints: np.ndarray, heads: np.ndarray) -> np.ndarray:
        arm = self.place - heads[self.bone]
        return self.weight * (joints[self.bone] + world[self.bone] @ arm - self.target)


@dataclass
class Direction:
    """Goal: rotate the direction ``way`` (3,), at rest, of bone ``bone`` of the limb to ``target`` (3,)."""

    bone: int
    way: np.ndarray
    target: np.ndarray
    weight: float = 0.6

    def error(self, world: np.ndarray, joints: np.ndarray, heads: np.ndarray) -> np.ndarray:
        return self.weight * (world[self.bone] @ self.way - self.target)


def solve(
    limb: Limb,
    q: np.ndarray,
    goals: list | tuple = (),
    obstacles: Obstacles | None = None,
    clearance: float = 0.012,
    home: np.ndarray | None = None,
    hold: float = 0.15,
    steps: int = 10,
) -> tuple[np.ndarray, float]:
    """Find angles near ``home`` that meet the goals by damped Gauss-Newton from ``q`` with finite differences.

    Returns:
        Angles (n,), and the largest penetration depth of the sample points.
    """
    home = q if home is None else home
    eye = _EYE[len(q)]
    q = np.clip(q, limb.low, limb.high)
    deepest, done = 0.0, False
    for step in range(steps + 1):
        done = done or step == steps
        if done and obstacles is None:
            break
        batch = q[None] if done else np.concatenate([q[None], q + _EPS * eye])
        world, joints = limb.frames(batch)
        hit = ()
        if obstacles is not None:
            points = limb.skin(world[:, :1], joints[:, :1])[:, 0]
            depth, out = obstacles.depth(points, limb.armpit)
            deepest = float(depth.max())
            hit = np.flatnonzero(depth > -clearance)
        if done:
            break
        errors = [goal.error(world, joints, limb.heads) for goal in goals]
        errors.append(hold * (batch - home))
        if limb.kind == 'arm':
            errors.append(_shoulder_error(limb, world))
        if len(hit):
            points, out = limb.skin(world, joints, hit), out[hit]
            away = ((points - points[:, :1]) @ out[:, :, None])[:, :, 0]
            errors.append((60.0 / np.sqrt(1 + len(hit) / 12)) * (depth[hit] + clearance - away.T))
        errors = np.concatenate(errors, 1)
        if np.abs(errors[0]).max() < 1e-3:
            break
        jacobian = (errors[1:] - errors[0]) / _EPS
        move = np.linalg.solve(jacobian @ jacobian.T + 1e-3 * eye, jacobian @ -errors[0])
        new = np.clip(q + move * min(1, 0.5 / max(np.abs(move).max(), 1e-9)), limb.low, limb.high)
        moved = np.abs(new - q).max()
        q = new
        done = moved < 8e-3 or bool(step and moved < 0.03 and deepest < -0.5 * clearance < 0)
    return q, deepest


def _shoulder_error(limb: Limb, world: np.ndarray) -> np.ndarray:
    """Return how far the upper arm points beyond the range of the shoulder (B, 3)."""
    way = (world[2] @ limb.upper) @ limb.figure.world[limb.parent]
    out, front, up = way[:, 0] * limb.sign, -way[:, 1], way[:, 2]
    error = np.stack([0.3 * np.maximum(up, 0) - front - 0.62, -out - 0.42, -out - front - 0.05], 1)
    return 3.0 * np.maximum(error, 0)
