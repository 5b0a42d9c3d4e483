"""Grids, tubes and lines for accessories, and points on the outermost cloth."""

import functools

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.spatial import cKDTree

from ..body import Body
from ..mesh import Surface, grid_faces, vertex_normals
from .suit import load_suit
from .topology import unit

__all__ = ['curve', 'on_cloth', 'sheet', 'tube']


def sheet(d, name, points, material, labels, closed=False, uv=None, outside=None) -> None:
    """Add a grid of points (R, C, 3). ``outside``: a point that the outer side faces away from; default: by the winding."""
    rows, columns = points.shape[:2]
    flat = np.ascontiguousarray(points.reshape(-1, 3), np.float32)
    faces = grid_faces(rows, columns, closed)
    normals = vertex_normals(flat, faces)
    if outside is not None and (normals * (flat - np.asarray(outside, np.float32))).sum() < 0:
        faces, normals = faces[:, ::-1].copy(), -normals
    if not closed and columns > 3 and np.allclose(points[:, 0], points[:, -1], atol=1e-6):  # a seam: no crease
        grid = normals.reshape(rows, columns, 3)
        mean = unit(grid[:, 0] + grid[:, -1])
        grid[:, 0] = grid[:, -1] = mean
        normals = grid.reshape(-1, 3)
    texture = None
    if uv is not None:
        texture = np.concatenate([uv.reshape(-1, 2), np.zeros((len(flat), 1))], 1).astype(np.float32)
    d.surfaces.append(Surface(name, flat, faces, material, texture, *labels, normals))


def tube(d, name, line, radius, material, labels, closed=False, sides=8, flat=1.0) -> None:
    """Add a round tube along a line (N, 3)."""
    ends = (np.roll(line, -1, 0) - np.roll(line, 1, 0)) if closed else np.gradient(line, axis=0)
    tangent = unit(ends)
    helper = np.array([0.31, 0.2, 0.93])
    a = unit(np.cross(tangent, helper))
    b = np.cross(tangent, a)
    angle = np.linspace(0, 2 * np.pi, sides + 1)
    ring = np.cos(angle)[None, :, None] * a[:, None] + flat * np.sin(angle)[None, :, None] * b[:, None]
    radius = np.broadcast_to(np.asarray(radius, float), (len(line),))[:, None, None]
    points = line[:, None] + radius * ring
    if closed:
        points = np.concatenate([points, points[:1]])
    flat_points = points.reshape(-1, 3).astype(np.float32)
    normals = np.concatenate([ring, ring[:1]]) if closed else ring
    faces = grid_faces(*points.shape[:2])
    d.surfaces.append(
        Surface(name, flat_points, faces, material, None, *labels, normals.reshape(-1, 3).astype(np.float32))
    )


def curve(points: np.ndarray, count: int) -> np.ndarray:
    """Return a smooth line through points (N, 3)."""
    s = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    return CubicSpline(s, points)(np.linspace(0, s[-1], count))


@functools.cache
def _fine_tree(body: Body) -> cKDTree:
    return cKDTree(load_suit(body).places.p)


def on_cloth(d, spots: np.ndarray, lift: float) -> tuple[np.ndarray, np.ndarray]:
    """Project points of the template (N, 3) to the outermost cloth, lifted, and return them with the normals there."""
    distance, index = _fine_tree(d.body).query(spots, k=4)
    weights = 1 / (distance + 0.004)
    weights /= weights.sum(1, keepdims=True)
    normals = unit((d.outer_normals[index] * weights[..., None]).sum(1))
    return (d.outer[index] * weights[..., None]).sum(1) + lift * normals, normals
