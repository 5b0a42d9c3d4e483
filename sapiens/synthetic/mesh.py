"""Triangle meshes: cutting along the zero line of a field, smooth normals, and the surfaces of a scene.

Legend: V vertices, F triangles. All arrays are float32 / int32 numpy on the CPU. The renderer copies one scene at a time.
"""

from dataclasses import dataclass

import numpy as np

__all__ = ['Cut', 'Surface', 'compact', 'cut', 'grid_faces', 'subdivide', 'triangulate', 'vertex_normals']


@dataclass
class Cut:
    """New vertices on edges: vertex i is ``(1 - t[i]) * a[i] + t[i] * b[i]`` and is appended to the old ones."""

    a: np.ndarray
    b: np.ndarray
    t: np.ndarray

    def extend(self, values: np.ndarray) -> np.ndarray:
        """Append the values of the new vertices, interpolated along their edges, to per-vertex values (V, ...)."""
        if not len(self.a):
            return values
        t = self.t.reshape(-1, *[1] * (values.ndim - 1)).astype(values.dtype)
        return np.concatenate([values, values[self.a] * (1 - t) + values[self.b] * t])


def triangulate(quads: np.ndarray) -> np.ndarray:
    """Split (Q, 4) quads into (2Q, 3) triangles; quad i becomes the rows 2i and 2i + 1."""
    return np.ascontiguousarray(quads[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3)).astype(np.int32)


def cut(faces: np.ndarray, values: np.ndarray, keep_below: bool = True) -> tuple[np.ndarray, np.ndarray, Cut]:
    """Split triangles along the zero line of a field.

    Args:
        faces: (F, 3).
        values: (V,) field at the vertices; linear inside each triangle.
        keep_below: also return the parts where the field is negative.

    Returns:
        Triangles in no particular order, the row of ``faces`` of each, and the new vertices. The sign of ``values`` extended by
        the cut gives the side.
    """
    inside = values > 0
    corner = inside.astype(np.int8)
    count = corner[faces[:, 0]] + corner[faces[:, 1]] + corner[faces[:, 2]]
    whole = np.flatnonzero((count == 3) | ((count == 0) & keep_below))
    crossed = np.flatnonzero((count == 1) | (count == 2))
    empty = np.zeros(0, np.int32)
    if not len(crossed):
        return faces[whole], whole, Cut(empty, empty, np.zeros(0, np.float32))
    # Rotate the corners of each crossed triangle so that the one that is alone on its side of the line is first.
    corners = faces[crossed]
    lone_inside = count[crossed] == 1
    lone = np.argmax(inside[corners] == lone_inside[:, None], axis=1)
    order = (lone[:, None] + np.arange(3)) % 3
    p, q, r = np.take_along_axis(corners, order, 1).T
    edges = np.sort(np.concatenate([np.stack([p, q], 1), np.stack([p, r], 1)]), axis=1)
    unique, index = np.unique(edges, axis=0, return_inverse=True)
    index = index.reshape(-1)
    a, b = unique.T
    t = values[a] / (values[a] - values[b])
    new = len(values) + index
    pq, pr = new[: len(p)], new[len(p) :]
    tips = np.stack([p, pq, pr], 1)
    bases = np.concatenate([np.stack([pq, q, r], 1), np.stack([pq, r, pr], 1)])
    base_rows = np.concatenate([crossed, crossed])
    if keep_below:
        pieces, rows = [tips, bases], [crossed, base_rows]
    else:
        twice = np.concatenate([~lone_inside, ~lone_inside])
        pieces, rows = [tips[lone_inside], bases[twice]], [crossed[lone_inside], base_rows[twice]]
    new_faces = np.concatenate([faces[whole], *pieces]).astype(np.int32)
    return new_faces, np.concatenate([whole, *rows]), Cut(a.astype(np.int32), b.astype(np.int32), t.astype(np.float32))


def subdivide(faces: np.ndarray, count: int) -> tuple[np.ndarray, Cut]:
    """Split each triangle into four at the midpoints of its edges; row i becomes the rows 4i to 4i + 3.

    Args:
        faces: (F, 3).
        count: number of vertices, V.
    """
    edges = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    unique, index = np.unique(edges, axis=0, return_inverse=True)
    ab, bc, ca = (count + index.reshape(-1, 3)).T
    a, b, c = faces.T
    children = np.stack([a, ab, ca, b, bc, ab, c, ca, bc, ab, bc, ca], 1).reshape(-1, 3).astype(np.int32)
    first, second = unique.T.astype(np.int32)
    return children, Cut(first, second, np.full(len(first), 0.5, np.float32))


def compact(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Renumber faces to the used vertices only, and return the old index of each of these."""
    seen = np.zeros(int(faces.max()) + 1 if len(faces) else 0, bool)
    seen[faces.ravel()] = True
    used = np.flatnonzero(seen)
    index = np.zeros(len(seen), np.int32)
    index[used] = np.arange(len(used), dtype=np.int32)
    return index[faces], used


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return (V, 3) unit normals: area-weighted means over the adjacent triangles; (0, 0, 1) for unused vertices."""
    corners = vertices[faces]
    x1, y1, z1 = (corners[:, 1] - corners[:, 0]).T
    x2, y2, z2 = (corners[:, 2] - corners[:, 0]).T
    normals = np.empty((len(vertices), 3), np.float32)
    flat = faces.ravel()
    for axis, value in enumerate((y1 * z2 - z1 * y2, z1 * x2 - x1 * z2, x1 * y2 - y1 * x2)):
        normals[:, axis] = np.bincount(flat, np.repeat(value, 3), len(vertices))
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    normals /= np.maximum(length, 1e-20)
    normals[length[:, 0] < 1e-20] = 0, 0, 1
    return normals


def grid_faces(rows: int, columns: int, closed: bool = False) -> np.ndarray:
    """Return the triangles of a grid of rows x columns vertices (row-major); ``closed`` joins the last column to the first."""
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(columns if closed else columns - 1), indexing='ij')
    k = (j + 1) % columns
    quads = np.stack([i * columns + j, i * columns + k, (i + 1) * columns + k, (i + 1) * columns + j], -1)
    return triangulate(quads.reshape(-1, 4))


@dataclass
class Surface:
    """A surface of a scene with one material.

    Attributes:
        name: kind of surface ('skin', 'shirt', 'floor'), for messages and tests.
        vertices: (V, 3) meters, in the world.
        faces: (F, 3), counter-clockwise seen from outside; both sides are drawn.
        texture: (V, 3) texture coordinates in meters: u, v, and a third one for any use.
        material: see :mod:`sapiens.synthetic.materials`.
        part: id of :func:`sapiens.synthetic.wardrobe.labels.part` for each triangle, (F,) uint8; or one for all.
        lip: class of lip20, in the same form.
        region: index into :data:`sapiens.synthetic.body.REGIONS` of the body under the triangle, in the same form; 0 for objects.
        normals: (V, 3) unit vectors; None: smooth, from the triangles.
    """

    name: str
    vertices: np.ndarray
    faces: np.ndarray
    material: object
    texture: np.ndarray | None = None
    part: np.ndarray | int = 0
    lip: np.ndarray | int = 0
    region: np.ndarray | int = 0
    normals: np.ndarray | None = None
