"""The suit around the body that garments are cut from."""

import functools

import numpy as np
import scipy.sparse as sp

from ..body import REGIONS, Body
from ..mesh import compact, cut, triangulate
from .folds import fold_bank
from .places import CROTCH, WAIST, arm_line, places
from .topology import Topology, along, cut_matrix, loop_matrix, unit

__all__ = ['Suit', 'dense_weights', 'load_suit']


class Suit:
    """The suit that garments are cut from, with its properties that do not depend on the person.

    Attributes:
        ids: (C,) vertices of the base mesh; ``coarse`` (., 3) their triangles; ``mean`` (C, C) averages neighbors.
        fine: (F, 3) smooth triangles, cut along the seams; ``to_fine`` (V, C) computes their vertices from the coarse ones.
        split: (F, 3) the same triangles with vertices doubled along the seams; ``split_of`` (S,) the fine vertex of each.
        weights: (C, 163) skinning.
        places: places of the fine vertices; ``coarse_places`` of the coarse ones; ``skin_places`` of :meth:`Body.refine`.
        texture: (S, 2) u in turns (-0.5..0.5 around trunk or limb), v in meters on the template.
        panel: (F,) 0 trunk, 1 and 2 left and right sleeve, 3 and 4 left and right half below the waist.
    """

    def __init__(self, body: Body):
        self.body = body
        self.coarse, self.ids = compact(triangulate(body.quads['helper-tights']))
        count = len(self.ids)
        template = body.template[self.ids].astype(float)
        weights = body.region_weights[self.ids]
        self.coarse_places = places(body, template, weights)
        edges = np.unique(np.sort(self.coarse[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1), axis=0)
        links = sp.coo_matrix(
            (np.ones(2 * len(edges)), np.concatenate([edges, edges[:, ::-1]]).T), (count, count)
        ).tocsr()
        self.links = links
        self.mean = (sp.diags(1 / np.asarray(links.sum(1)).ravel()) @ links).tocsr().astype(np.float32)
        faces, matrix = loop_matrix(self.coarse, count)
        for field in self._seams():
            values = field(matrix @ template, matrix @ self.mean @ self.mean @ self.coarse_places.arm_weight)
            values[np.abs(values) < 5e-4] = 5e-4
            faces, _, step = cut(faces, values)
            matrix = cut_matrix(step, matrix.shape[0]) @ matrix
        self.fine, self.to_fine = faces, matrix.tocsr().astype(np.float32)
        p = matrix @ template
        self.places = places(body, p, matrix @ weights)
        self.places.arm_weight = matrix @ self.mean @ self.mean @ self.coarse_places.arm_weight
        self.region_weights = matrix @ weights
        self.face_region = self.region_weights[faces].mean(1).argmax(1).astype(np.uint8)
        skin = body.refine(body.template).astype(float)
        self.skin_places = places(body, skin, body.refine(body.region_weights))
        self.weights = dense_weights(body, self.ids)
        self.coarse_topology = Topology(self.coarse, count)
        self._texture(p)
        self._axes(template)
        self.bank = fold_bank(self.places)
        self._uphill(template)
        self.near_hair = (p[:, 2] > 0.1) & (self.places.arm_weight < 0.6)
        self.near_hair[1::2] = False

    def _seams(self):
        """Yield fields whose zero lines are seams: the armholes, the middle, the inner side of the legs, and the waist."""
        yield lambda p, arm_weight: arm_weight - 0.5
        yield lambda p, arm_weight: p[:, 0]
        yield lambda p, arm_weight: np.where(p[:, 2] < 0.02, p[:, 1] + 0.02, 1.0)
        yield lambda p, arm_weight: np.where(np.abs(p[:, 0]) < 0.25, p[:, 2] - WAIST, 1.0)

    def _texture(self, p: np.ndarray) -> None:
        """Compute panels, and texture coordinates that jump only at seams."""
        center = p[self.fine].mean(1)
        arm_weight = self.places.arm_weight[self.fine].mean(1)
        left = center[:, 0] > 0
        sleeve = arm_weight > 0.5
        self.panel = np.where(
            sleeve, np.where(left, 1, 2), np.where(center[:, 2] > WAIST, 0, np.where(left, 3, 4))
        ).astype(np.uint8)
        # One set of coordinates for upper garments, whose trunk extends to the crotch, and one for trousers.
        corner = self.fine.reshape(-1)
        keys, maps = [corner], []
        for group in (np.where((self.panel > 2) & (center[:, 2] > CROTCH), 0, self.panel), self.panel):
            u, v = self._turns(p[corner], np.repeat(group, 3))
            # Choose the branch of u at the middle of the triangle, so that no triangle spans the jump at the back.
            mean = np.angle(np.exp(2j * np.pi * u.reshape(-1, 3)).sum(1)) / (2 * np.pi)
            mean = np.where((group == 0) & (np.abs(mean) > 0.45), np.where(left, 0.5, -0.5), mean)
            u += np.round(np.repeat(mean, 3) - u)
            keys += [np.repeat(group, 3), np.round(u * 1e4)]
            maps.append(np.stack([u, v], 1).astype(np.float32))
        # Double the vertices where one of the sets jumps.
        unique, first, index = np.unique(
            np.stack(keys, 1).astype(np.int64), axis=0, return_index=True, return_inverse=True
        )
        self.split = index.reshape(-1, 3).astype(np.int32)
        self.split_of = unique[:, 0].astype(np.int32)
        self.texture_upper, self.texture_lower = (values[first] for values in maps)

    def _turns(self, p: np.ndarray, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return turns around trunk or limb, and meters along it, of points (N, 3) with panels (N,)."""
        u = np.arctan2(p[:, 0], -(p[:, 1] + 0.03)) / (2 * np.pi)
        v = p[:, 2].copy()
        line = arm_line(self.body)
        for index, side in ((1, 1), (2, -1), (3, 1), (4, -1)):
            rows = group == index
            q = p[rows] * [side, 1, 1]
            if index < 3:
                arc, near, which = along(q, line)
                d = unit(np.diff(line, axis=0))[which]
                outer = unit(np.array([0.75, 0, 0.66]) - d * (d @ [0.75, 0, 0.66])[:, None])
                across, up, v[rows] = ((q - near) * np.cross(d, outer)).sum(1), ((q - near) * outer).sum(1), 0.45 - arc
            else:
                up = q[:, 0] - np.interp(-q[:, 2], [0.0, 0.35, 0.75], [0.1, 0.135, 0.177])
                across = q[:, 1] - np.interp(-q[:, 2], [0.0, 0.35, 0.55, 0.75], [-0.02, -0.04, -0.02, -0.004])
            u[rows] = np.arctan2(across, up) / (2 * np.pi) * side
        return u, v

    def _axes(self, template: np.ndarray) -> None:
        """Compute (C, 3) directions of trunk or limb at each coarse vertex: cloth does not sag along them."""
        body = self.body
        heads = body.template_heads
        weights = body.region_weights[self.ids]
        out = np.zeros_like(template)
        for i, region in enumerate(REGIONS):
            d = np.array([0.0, 0, 1])
            if region.endswith('arm'):
                side = region[0].upper()
                a, b = ('upperarm01', 'lowerarm01') if 'upper' in region else ('lowerarm01', 'wrist')
                d = unit(heads[body.bones[f'{b}.{side}']] - heads[body.bones[f'{a}.{side}']]).astype(float)
                d = -d
            out += weights[:, i : i + 1] * d
        self.axes = unit(out).astype(np.float32)

    def _uphill(self, template: np.ndarray) -> None:
        """Compute (C,) the neighbor from which each coarse vertex of the trunk hangs."""
        best = np.arange(len(template))
        coo = self.links.tocoo()
        d = template[coo.col] - template[coo.row]
        slope = d[:, 2] / np.linalg.norm(d, axis=1)
        order = np.argsort(slope)
        best[coo.row[order]] = np.where(slope[order] > 0.3, coo.col[order], coo.row[order])
        self.uphill = best


def dense_weights(body: Body, ids: np.ndarray) -> np.ndarray:
    """Return (len(ids), 163) float32 skinning weights."""
    out = np.zeros((len(ids), len(body.bones)), np.float32)
    weights = body.model.vertex_bone_weights.numpy()[ids]
    bones = body.model.vertex_bone_indices.numpy()[ids]
    np.add.at(out, (np.arange(len(ids))[:, None], bones), weights)
    return out / out.sum(1, keepdims=True)


@functools.cache
def load_suit(body: Body) -> Suit:
    """Build the suit of a body, once."""
    return Suit(body)
