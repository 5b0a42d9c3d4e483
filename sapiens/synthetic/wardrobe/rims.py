"""Turned-in edges of garments, which give cloth a thickness."""

import numpy as np

from .topology import unit

__all__ = ['turn_in', 'turn_in_borders']


def turn_in(
    faces: np.ndarray, region: np.ndarray, first: int, arrays: np.ndarray, thickness: float, depth: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return triangles, vertices and regions of a band that turns a cut edge towards the body and back in.

    Args:
        first: index of the first vertex on the cut edge.
        arrays: (V, 10) position, normal, texture u v, and two fields.
    """
    new = (faces >= first).astype(np.int8)
    rows = np.flatnonzero(new[:, 0] + new[:, 1] + new[:, 2] >= 2)
    pairs, owner = [], []
    for k in range(3):
        a, b = faces[rows, k], faces[rows, (k + 1) % 3]
        both = (a >= first) & (b >= first) & (arrays[a, 8] < 1e-5) & (arrays[b, 8] < 1e-5)
        pairs.append(np.stack([a[both], b[both]], 1))
        owner.append(rows[both])
    pairs, owner = np.concatenate(pairs), np.concatenate(owner)
    if not len(pairs):
        return np.zeros((0, 3), np.int32), arrays[:0], region[:0]
    edge, index = np.unique(pairs, return_inverse=True)
    index = index.reshape(pairs.shape)
    x, n = arrays[edge, :3], arrays[edge, 3:6]
    inward = np.zeros_like(x)
    line = arrays[pairs[:, 1], :3] - arrays[pairs[:, 0], :3]
    normal = 0.5 * (arrays[pairs[:, 1], 3:6] + arrays[pairs[:, 0], 3:6])
    side = np.cross(normal, line)
    for k in range(2):
        np.add.at(inward, index[:, k], side)
    inward = unit(inward)
    rows = [arrays[edge].copy() for _ in range(4)]
    rows[0][:, 3:6] = unit(n - 0.6 * inward)
    rows[1][:, :3] = x - thickness * 0.5 * n - 0.0012 * inward
    rows[1][:, 3:6] = -inward
    rows[2][:, :3] = x - thickness * n
    rows[2][:, 3:6] = unit(-n - 0.6 * inward)
    rows[3][:, :3] = x - 1.3 * thickness * n + depth * inward
    rows[3][:, 3:6] = -n
    for k, row in enumerate(rows):
        row[:, 7] += 0.002 * k
    count = len(edge)
    base = len(arrays)
    a, b = index[:, 0], index[:, 1]
    pieces = []
    for k in range(3):
        lo, hi = base + k * count, base + (k + 1) * count
        pieces += [np.stack([lo + b, lo + a, hi + a], 1), np.stack([lo + b, hi + a, hi + b], 1)]
    return np.concatenate(pieces).astype(np.int32), np.concatenate(rows), np.tile(region[owner], len(pieces))


def turn_in_borders(arrays, faces, region, skip, thickness):
    """Turn in every border edge of a sheet whose two vertices are not both in ``skip``."""
    edges = faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    # Vertices at the same point count as one: seams are not borders.
    keys = np.round(arrays[:, :3] * 2e4).astype(np.int64)
    _, same = np.unique(keys, axis=0, return_inverse=True)
    same = same.reshape(-1)
    pairs = np.sort(same[edges], axis=1)
    _, index, count = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
    border = (count[index.reshape(-1)] == 1) & ~skip[edges].all(1) & (pairs[:, 0] != pairs[:, 1])
    pairs = edges[border]
    if not len(pairs):
        return arrays, faces, region
    edge, index = np.unique(pairs, return_inverse=True)
    index = index.reshape(pairs.shape)
    x, n = arrays[edge, :3], arrays[edge, 3:6]
    line = arrays[pairs[:, 1], :3] - arrays[pairs[:, 0], :3]
    normal = 0.5 * (arrays[pairs[:, 1], 3:6] + arrays[pairs[:, 0], 3:6])
    inward = np.zeros_like(x)
    for k in range(2):
        np.add.at(inward, index[:, k], np.cross(normal, line))
    inward = unit(inward)
    rows = [arrays[edge].copy() for _ in range(3)]
    rows[0][:, 3:6] = unit(n - 0.6 * inward)
    rows[1][:, :3] = x - thickness * n - 0.001 * inward
    rows[1][:, 3:6] = unit(-n - inward)
    rows[2][:, :3] = x - 1.3 * thickness * n + 0.015 * inward
    rows[2][:, 3:6] = -n
    count, base = len(edge), len(arrays)
    a, b = index.T
    pieces = []
    for k in range(2):
        lo, hi = base + k * count, base + (k + 1) * count
        pieces += [np.stack([lo + b, lo + a, hi + a], 1), np.stack([lo + b, hi + a, hi + b], 1)]
    owner = np.repeat(np.arange(len(faces)), 3)[border]
    arrays = np.concatenate([arrays, *rows])
    faces = np.concatenate([faces, *pieces]).astype(np.int32)
    return arrays, faces, np.concatenate([region, np.tile(region[owner], 4)])
