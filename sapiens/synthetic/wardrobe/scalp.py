"""The scalp, and the frame of the head."""

import functools

import numpy as np

from ..body import REGIONS, Body
from ..mesh import Surface, compact, triangulate
from .labels import lip, part
from .topology import Topology, loop_matrix

__all__ = ['CROWN', 'HEAD', 'LIFT', 'TIE', 'Head', 'Scalp', 'azimuth', 'hair_surface', 'hairline', 'load_scalp']

HEAD = np.array([0.0, -0.05, 0.715])  # middle of the skull on the template
# The hairline: its height on the template by azimuth in degrees, 0 at the forehead, 90 at the ear, 180 at the nape.
_AZIMUTH = (0, 20, 35, 48, 60, 72, 79, 84, 90, 105, 112, 125, 145, 180)
_HAIRLINE = (0.771, 0.774, 0.769, 0.752, 0.735, 0.712, 0.690, 0.696, 0.704, 0.702, 0.68, 0.655, 0.632, 0.622)
CROWN = np.array([0.008, -0.01, 0.803])
TIE = np.array([0.0, 0.062, 0.745])  # of a ponytail or bun
# style -> (lift of the cap on top, at the sides) in meters.
LIFT = {
    'buzz': (0.0035, 0.0025), 'short': (0.016, 0.006), 'swept': (0.018, 0.006), 'side_part': (0.018, 0.008),
    'receding': (0.003, 0.003),
    'bob': (0.014, 0.012), 'fringe': (0.014, 0.012), 'long': (0.012, 0.01), 'ponytail': (0.007, 0.005), 'bun': (0.007, 0.005),
    'curly': (0.03, 0.022), 'afro': (0.052, 0.042),
}  # fmt: skip


def azimuth(p: np.ndarray) -> np.ndarray:
    """Return the angle around the head on the template in degrees: 0 front, +-180 back, left positive."""
    return np.degrees(np.arctan2(p[..., 0], -(p[..., 1] - HEAD[1])))


def hairline(p: np.ndarray, by_angle: tuple = _HAIRLINE) -> np.ndarray:
    """Return the approximate height of points of the template above the hairline in meters."""
    return p[:, 2] - np.interp(np.abs(azimuth(p)), _AZIMUTH, by_angle)


class Scalp:
    """Skin of the upper head, twice subdivided, with its properties that do not depend on the person.

    Attributes:
        levels: for one and two subdivisions: triangles, the matrix from base vertices, template positions, height above the
            hairline, and smooth noise (8, V).
        roots: (R, 3) vertices of the first level and (R, 3) weights: points spread over the area of the hair in random order.
        collider: base vertices of head, neck and shoulders.
    """

    def __init__(self, body: Body):
        self.body = body
        quads = body.quads['body'][~body.quad_mask('ears')]
        center = body.template[quads].mean(1)
        head = (center[:, 2] > 0.55) & (np.abs(center[:, 0]) < 0.1) & (hairline(center) > -0.035)
        faces, self.ids = compact(triangulate(quads[head]))
        rng = np.random.default_rng(3)
        self.levels = []
        matrix = None
        for _ in range(2):
            count = len(self.ids) if matrix is None else matrix.shape[0]
            faces, step = loop_matrix(faces, count)
            matrix = step if matrix is None else step @ matrix
            p = matrix @ body.template[self.ids].astype(float)
            noise = []
            for _ in range(8):
                waves = rng.normal(size=(12, 3)) * 160, rng.uniform(0, 6.3, 12)
                noise.append(np.cos(p @ waves[0].T + waves[1]).sum(1) / np.sqrt(6))
            self.levels.append(
                (Topology(faces, len(p)), matrix.tocsr().astype(np.float32), p, hairline(p), np.array(noise))
            )
        topology, matrix, p, above, _ = self.levels[0]
        faces = topology.faces
        inside = faces[(above[faces] > 0.0).all(1)]
        area = np.linalg.norm(np.cross(p[inside[:, 1]] - p[inside[:, 0]], p[inside[:, 2]] - p[inside[:, 0]]), axis=1)
        picks = inside[rng.choice(len(inside), 1500, p=area / area.sum())]
        weights = rng.dirichlet([1, 1, 1], 1500)
        self.roots, self.root_weights = picks, weights
        self.root_at = np.einsum('rk,rkx->rx', weights, p[picks])
        template = body.template
        skin = np.unique(body.quads['body'])
        near = (template[skin, 2] > 0.36) & (np.abs(template[skin, 0]) < 0.24)
        spread = rng.permutation(skin[near])[:1600]
        self.collider = np.unique(np.concatenate([spread, self.ids]))


@functools.cache
def load_scalp(body: Body) -> Scalp:
    return Scalp(body)


class Head:
    """The posed head: the surface of the scalp, and a frame in which it has the pose of the template."""

    def __init__(self, body: Body, shape, posed):
        self.scalp = load_scalp(body)
        bone = body.bones['head']
        self.rotation = posed.transforms[bone, :3, :3].astype(float)
        ids = self.scalp.ids
        self.size = float(np.ptp(shape.vertices[ids], axis=0).mean() / np.ptp(body.template[ids], axis=0).mean())
        self.home = posed.vertices[ids].mean(0).astype(float)
        self.template_home = body.template[ids].mean(0).astype(float)

    def local(self, p: np.ndarray) -> np.ndarray:
        """Transform points of the world to the frame of the template's head."""
        return (p - self.home) @ self.rotation / self.size + self.template_home

    def world(self, q: np.ndarray) -> np.ndarray:
        return (q - self.template_home) * self.size @ self.rotation.T + self.home

    def turn(self, v: np.ndarray) -> np.ndarray:
        return v @ self.rotation.T


def hair_surface(name, vertices, faces, material, texture, normals) -> Surface:
    vertices = np.ascontiguousarray(vertices, np.float32)
    texture = np.ascontiguousarray(texture, np.float32)
    return Surface(name, vertices, faces, material, texture, part('Hair'), lip('Hair'), REGIONS.index('head'), normals)
