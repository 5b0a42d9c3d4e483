"""Beards."""

import functools

import numpy as np

from ..body import Body
from ..materials import Material
from ..mesh import Surface, compact, cut, triangulate, vertex_normals
from .labels import lip, part
from .scalp import hair_surface
from .topology import loop_matrix

__all__ = ['build_beard']


def build_beard(d) -> Surface | None:
    """Build a full beard from the lifted skin of the jaw. It has the class of the face, as in LIP's annotations."""
    look, rng = d.look, d.rng
    if look.beard <= 0:
        return None
    ids, faces, matrix, inside, noise = _jaw(d.body)
    rough = rng.dirichlet(np.ones(4)) @ noise
    inside = inside + 0.0012 * rough
    vertices = matrix @ d.posed.vertices[ids]
    normals = vertex_normals(vertices, faces)
    ramp = np.clip(inside / (0.006 + 0.8 * look.beard), 0, 1)
    ramp = np.sqrt(ramp * (2 - ramp))
    down = np.clip((0.64 - (matrix @ d.body.template[ids])[:, 2]) / 0.03, 0, 1)
    lift = 0.0004 + look.beard * (0.3 + 0.7 * down) * ramp + 0.0008 * rough * ramp
    vertices = vertices + normals * (lift * d.scale)[:, None].astype(np.float32)
    faces, _, step = cut(faces, inside, keep_below=False)
    normals = (
        vertex_normals(vertices, faces) if not len(step.a) else step.extend(vertex_normals(vertices, _jaw(d.body)[1]))
    )
    at = step.extend((matrix @ d.body.template[ids]).astype(np.float32))
    vertices = step.extend(vertices)
    faces, used = compact(faces)
    texture = np.stack([at[used, 0] + 0.5 * at[used, 1], at[used, 2], 0.3 * at[used, 1]], 1)
    tint = tuple(float(0.8 * a + 0.2 * b) for a, b in zip(look.hair, look.skin, strict=True))
    material = Material('hair', tint, color2=look.hair2, gloss=0.35, bump=0.0006, seed=float(rng.uniform(0, 50)))
    surface = hair_surface('beard', vertices[used], faces, material, texture, normals[used])
    surface.part, surface.lip = part('Face_Neck'), lip('Face')
    return surface


@functools.cache
def _jaw(body: Body) -> tuple:
    """Return the skin around the mouth: base vertices, triangles and matrix of one subdivision, meters inside the outline,
    noise."""
    keep = ~body.quad_mask('ears') & ~body.lip_quads() & ~body.quad_mask('inside-mouth')
    quads = body.quads['body'][keep]
    p = body.template
    inside = _beard_field(p[quads].mean(1))
    faces, ids = compact(triangulate(quads[inside > -0.02]))
    faces, matrix = loop_matrix(faces, len(ids))
    at = matrix @ p[ids].astype(float)
    rng = np.random.default_rng(4)
    noise = np.stack(
        [np.cos(at @ (rng.normal(size=(3, 12)) * 220) + rng.uniform(0, 6.3, 12)).sum(1) / 2.4 for _ in range(4)]
    )
    return ids, faces, matrix.tocsr().astype(np.float32), _beard_field(at), noise


def _beard_field(p: np.ndarray) -> np.ndarray:
    """Return meters inside the outline of a full beard on the template, negative outside."""
    x, y, z = np.abs(p[:, 0]), p[:, 1], p[:, 2]
    cheek = np.interp(x, [0, 0.022, 0.034, 0.05, 0.062, 0.075], [0.6465, 0.645, 0.632, 0.645, 0.672, 0.7]) - z
    throat = z - np.interp(y, [-0.15, -0.11, -0.07, -0.04], [0.572, 0.575, 0.59, 0.612])
    return np.minimum(np.minimum(cheek, throat), np.minimum(-0.045 - y, 0.08 - x))
