"""Convex pieces of the body, and the penetration depth of points."""

import numpy as np

from .rotations import UP


class Obstacles:
    """Convex pieces: points with ``normals.T @ x <= offsets``, (N, 3, K) and (N, K), and an optional floor."""

    REACH = 0.04  # meters outside a piece up to which depths are computed

    def __init__(self, points: np.ndarray, normals: np.ndarray, trunk: np.ndarray, floor: float | None = None):
        self.normals, self.trunk, self.floor = normals, trunk, floor
        self.offsets = np.matmul(points, normals).max(1)
        self.low, self.high = points.min(1) - self.REACH, points.max(1) + self.REACH

    def depth(self, points: np.ndarray, armpit: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the largest depth of points (P, 3) in a piece (negative: outside), and the direction out of it (P, 3).

        ``armpit`` (P,): points for which the pieces of the trunk do not count.
        """
        best = np.full(len(points), -self.REACH)
        out = np.empty((len(points), 3))
        out[:] = UP
        if self.floor is not None:
            np.maximum(best, self.floor - points[:, 2], out=best)
        near = np.ones((len(self.low), len(points)), bool)
        for axis in range(3):
            x = points[:, axis]
            near &= x > self.low[:, axis, None]
            near &= x < self.high[:, axis, None]
        if armpit is not None:
            near &= ~(self.trunk[:, None] & armpit)
        pieces, rows = near.nonzero()
        if not len(rows):
            return best, out
        along = np.empty((len(rows), self.offsets.shape[1]))
        chosen, start = points[rows], 0
        for piece, count in enumerate(near.sum(1).tolist()):
            if count:
                np.matmul(chosen[start : start + count], self.normals[piece], out=along[start : start + count])
                start += count
        below = self.offsets[pieces] - along
        plane = below.argmin(1)
        depth = below[np.arange(len(rows)), plane]
        keep = np.flatnonzero(depth > best[rows])
        keep = keep[depth[keep].argsort()]  # the piece with the largest depth is written last
        best[rows[keep]] = depth[keep]
        out[rows[keep]] = self.normals[pieces[keep], :, plane[keep]]
        return best, out

    def join(self, other: 'Obstacles') -> 'Obstacles':
        both = object.__new__(Obstacles)
        both.floor = self.floor
        for name in ('normals', 'offsets', 'low', 'high', 'trunk'):
            setattr(both, name, np.concatenate([getattr(self, name), getattr(other, name)]))
        return both
