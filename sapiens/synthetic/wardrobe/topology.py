"""Vectors, triangles and subdivision for the wardrobe."""

import numpy as np
import scipy.sparse as sp

from ..mesh import subdivide

__all__ = ['Topology', 'all_of', 'along', 'any_of', 'cut_matrix', 'loop_matrix', 'smoothstep', 'unit']


def smoothstep(low: float, high: float, x: np.ndarray) -> np.ndarray:
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def unit(v: np.ndarray) -> np.ndarray:
    return v / np.maximum(np.sqrt(np.einsum('...i,...i->...', v, v)), 1e-12)[..., None]


def along(p: np.ndarray, line: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Project to a polyline (K, 3), extended at both ends: arc length, nearest point, and index of the segment."""
    best = np.full(len(p), np.inf)
    arc, near, which = np.zeros(len(p)), np.zeros_like(p), np.zeros(len(p), int)
    start = 0.0
    for i in range(len(line) - 1):
        d = line[i + 1] - line[i]
        length = np.linalg.norm(d)
        t = (p - line[i]) @ d / length**2
        t = np.clip(t, -np.inf if i == 0 else 0, np.inf if i == len(line) - 2 else 1)
        q = line[i] + t[:, None] * d
        distance = ((p - q) ** 2).sum(1)
        closer = distance < best
        best[closer], near[closer], which[closer], arc[closer] = (
            distance[closer],
            q[closer],
            i,
            start + t[closer] * length,
        )
        start += length
    return arc, near, which


def loop_matrix(faces: np.ndarray, count: int) -> tuple[np.ndarray, sp.csr_matrix]:
    """Do one step of Loop subdivision: the faces, and a matrix from old to new vertices."""
    children, _ = subdivide(faces, count)
    edges = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    opposite = faces[:, [2, 0, 1]].reshape(-1)
    unique, index, used = np.unique(edges, axis=0, return_inverse=True, return_counts=True)
    index = index.reshape(-1)
    a, b = unique.T
    border = used == 1
    rows = np.arange(len(unique))
    end = np.where(border, 0.5, 0.375)
    inner = ~border[index]
    edge = sp.coo_matrix((end, (rows, a)), (len(unique), count)) + sp.coo_matrix(
        (end, (rows, b)), (len(unique), count)
    )
    edge = edge + sp.coo_matrix((np.full(inner.sum(), 0.125), (index[inner], opposite[inner])), (len(unique), count))
    on_border = np.zeros(count, bool)
    on_border[unique[border]] = True
    keep = np.ones(len(a), bool)
    keep = ~(on_border[a] | on_border[b]) | border | (on_border[a] ^ on_border[b])
    both = np.concatenate([unique[keep], unique[keep][:, ::-1]])
    is_border = np.concatenate([border[keep]] * 2)
    both = both[~on_border[both[:, 0]] | is_border]
    links = sp.coo_matrix((np.ones(len(both)), (both[:, 0], both[:, 1])), (count, count)).tocsr()
    degree = np.asarray(links.sum(1)).ravel()
    beta = np.where(on_border, 0.125, np.where(degree == 3, 3 / 16, 3 / (8 * np.maximum(degree, 1))))
    vertex = sp.diags(1 - beta * degree) + sp.diags(beta) @ links
    return children, sp.vstack([vertex, edge]).tocsr()


def cut_matrix(step, count: int) -> sp.csr_matrix:
    new = len(step.a)
    rows = np.arange(new)
    t = step.t.astype(float)
    extra = sp.coo_matrix((1 - t, (rows, step.a)), (new, count)) + sp.coo_matrix((t, (rows, step.b)), (new, count))
    return sp.vstack([sp.identity(count), extra]).tocsr()


class Topology:
    """Fast smooth normals of fixed triangles."""

    def __init__(self, faces: np.ndarray, count: int):
        self.faces = faces
        self.columns = [np.ascontiguousarray(faces[:, k]) for k in range(3)]
        rows = np.concatenate(self.columns)
        self.incidence = sp.coo_matrix(
            (np.ones(len(rows), np.float32), (rows, np.tile(np.arange(len(faces)), 3))), (count, len(faces))
        ).tocsr()

    def normals(self, vertices: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """Return (V, 3) unit normals, from all triangles or the given rows of them."""
        a, b, c = (vertices[k if rows is None else k[rows]] for k in self.columns)
        b, c = b - a, c - a
        n = np.zeros((len(self.faces), 3), np.float32)
        n[slice(None) if rows is None else rows] = np.stack(
            [b[:, (k + 1) % 3] * c[:, (k + 2) % 3] - b[:, (k + 2) % 3] * c[:, (k + 1) % 3] for k in range(3)], 1
        )
        n = self.incidence @ n
        return n / np.maximum(np.sqrt(n[:, 0] ** 2 + n[:, 1] ** 2 + n[:, 2] ** 2), 1e-12)[:, None]


def any_of(mask: np.ndarray, faces: np.ndarray) -> np.ndarray:
    return mask[faces[:, 0]] | mask[faces[:, 1]] | mask[faces[:, 2]]


def all_of(mask: np.ndarray, faces: np.ndarray) -> np.ndarray:
    return mask[faces[:, 0]] & mask[faces[:, 1]] & mask[faces[:, 2]]
