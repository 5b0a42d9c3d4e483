"""Garments cut from one suit around the body, and everything else a person wears.

A garment is a part of the body's suit (the base mesh' helper surface, subdivided), cut along smooth lines; it is laid over what
is already worn, stands off, bridges hollows and hangs, and gets folds; its edges are turned in. Skirts are lofted around both
legs. Places are named on the template body: a height is the z there, whoever wears the garment.
"""

import functools
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from sapiens.metainfo import get_classes

from .accessories import HAT_HEIGHT, add_accessories, add_buckle, add_laces, add_soles, hide_hands
from .body import REGIONS, Body, Posed, Shape
from .hair import beard, grow
from .looks import OUTER, Garment, Look
from .materials import Material
from .mesh import Surface, compact, cut, grid_faces, subdivide, triangulate, vertex_normals

__all__ = ['Outfit', 'Suit', 'dress', 'lip', 'load_suit', 'part', 'sole_thickness']

# Heights on the template.
WAIST, CROTCH, PIT = 0.13, -0.055, 0.53
_SKIRT_ROWS, _SKIRT_COLUMNS = 28, 80
_SKIRT_TOP, _SKIRT_BOTTOM = 0.165, -0.70
_SOLES = {'low': 0.010, 'sneaker': 0.020, 'boot': 0.018}
LOWER = ('trousers', 'jeans', 'shorts', 'leggings')
FEET = ('socks', 'shoes')
_SNUG = (*LOWER, *FEET, 'belt')
LIP_OF = dict.fromkeys(LOWER, 'Pants') | {
    'skirt': 'Skirt', 'dress': 'Dress', 'jumpsuit': 'Jumpsuits', 'jacket': 'Coat', 'coat': 'Coat',
}  # fmt: skip


@functools.cache
def part(name: str) -> int:
    """Class id of goliath28."""
    return get_classes('goliath28').index(name)


@functools.cache
def lip(name: str) -> int:
    """Class id of LIP-20."""
    return get_classes('lip20').index(name)


def sole_thickness(look: Look) -> float:
    """How far shoes lift the foot, metres."""
    return _SOLES[look.shoe] if look.footwear == 'shoes' else 0.0


@dataclass
class Outfit:
    """What a person wears, and ``hidden`` (F,) bool: triangles of :attr:`Body.faces` that cloth covers."""

    surfaces: list
    hidden: np.ndarray


@dataclass
class Places:
    """Where vertices are on the template, for fields that cut garments.

    Attributes:
        p: (V, 3) template positions.
        arm: (V,) metres along the arm from the shoulder joint; negative towards the trunk.
        share: (V,) how much the vertex moves with the arm, 0..1.
    """

    p: np.ndarray
    arm: np.ndarray
    share: np.ndarray


def smoothstep(low: float, high: float, x: np.ndarray) -> np.ndarray:
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def unit(v: np.ndarray) -> np.ndarray:
    return v / np.maximum(np.sqrt(np.einsum('...i,...i->...', v, v)), 1e-12)[..., None]


def _along(p: np.ndarray, line: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Arc length of the nearest point of a polyline (K, 3), extended at both ends; that point; and the segment's index."""
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


def _arm_line(body: Body) -> np.ndarray:
    """(3, 3) shoulder, elbow and wrist of the template's left arm."""
    return body.template_heads[[body.bones[f'{n}.L'] for n in ('upperarm01', 'lowerarm01', 'wrist')]].astype(float)


def _places(body: Body, p: np.ndarray, weights: np.ndarray) -> Places:
    mirrored = p.copy()
    mirrored[:, 0] = np.abs(p[:, 0])
    arc, _, _ = _along(mirrored, _arm_line(body))
    columns = [i for i, n in enumerate(REGIONS) if n.endswith(('arm', 'hand'))]
    share = weights[:, columns].sum(1)
    trust = smoothstep(0.04, 0.4, share)
    return Places(p, arc * trust - 0.12 * (1 - trust), share)


def _loop_matrix(faces: np.ndarray, count: int) -> tuple[np.ndarray, sp.csr_matrix]:
    """One step of Loop subdivision: the faces, and new vertices as a matrix times the old ones."""
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


def _cut_matrix(step, count: int) -> sp.csr_matrix:
    new = len(step.a)
    rows = np.arange(new)
    t = step.t.astype(float)
    extra = sp.coo_matrix((1 - t, (rows, step.a)), (new, count)) + sp.coo_matrix((t, (rows, step.b)), (new, count))
    return sp.vstack([sp.identity(count), extra]).tocsr()


class _Topology:
    """Fast smooth normals of triangles that never change."""

    def __init__(self, faces: np.ndarray, count: int):
        self.faces = faces
        self.columns = [np.ascontiguousarray(faces[:, k]) for k in range(3)]
        rows = np.concatenate(self.columns)
        self.incidence = sp.coo_matrix(
            (np.ones(len(rows), np.float32), (rows, np.tile(np.arange(len(faces)), 3))), (count, len(faces))
        ).tocsr()

    def normals(self, vertices: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """(V, 3) unit normals; of some triangles only, if rows of them are given."""
        a, b, c = (vertices[k if rows is None else k[rows]] for k in self.columns)
        b, c = b - a, c - a
        n = np.zeros((len(self.faces), 3), np.float32)
        n[slice(None) if rows is None else rows] = np.stack(
            [b[:, (k + 1) % 3] * c[:, (k + 2) % 3] - b[:, (k + 2) % 3] * c[:, (k + 1) % 3] for k in range(3)], 1
        )
        n = self.incidence @ n
        return n / np.maximum(np.sqrt(n[:, 0] ** 2 + n[:, 1] ** 2 + n[:, 2] ** 2), 1e-12)[:, None]


def _any(mask: np.ndarray, faces: np.ndarray) -> np.ndarray:
    return mask[faces[:, 0]] | mask[faces[:, 1]] | mask[faces[:, 2]]


def _all(mask: np.ndarray, faces: np.ndarray) -> np.ndarray:
    return mask[faces[:, 0]] & mask[faces[:, 1]] & mask[faces[:, 2]]


class Suit:
    """The suit that garments are cut from, with everything that no person changes.

    Attributes:
        ids: (C,) vertices of the base mesh; ``coarse`` (., 3) the triangles between them; ``mean`` (C, C) averages neighbours.
        fine: (F, 3) smooth triangles, cut along the seams; ``to_fine`` (V, C) makes their vertices from the coarse ones.
        split: (F, 3) the same triangles with vertices doubled along the seams; ``split_of`` (S,) the fine vertex of each.
        weights: (C, 163) skinning.
        places: of the fine vertices; ``coarse_places`` of the coarse ones; ``skin_places`` of :meth:`Body.refine`'s.
        texture: (S, 2) u in turns (-0.5..0.5 around trunk or limb), v in metres on the template.
        panel: (F,) 0 trunk, 1 and 2 the left and right sleeve, 3 and 4 the legs' halves below the waist.
    """

    def __init__(self, body: Body):
        self.body = body
        self.coarse, self.ids = compact(triangulate(body.quads['helper-tights']))
        count = len(self.ids)
        template = body.template[self.ids].astype(float)
        weights = body.region_weights[self.ids]
        self.coarse_places = _places(body, template, weights)
        edges = np.unique(np.sort(self.coarse[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1), axis=0)
        links = sp.coo_matrix(
            (np.ones(2 * len(edges)), np.concatenate([edges, edges[:, ::-1]]).T), (count, count)
        ).tocsr()
        self.links = links
        self.mean = (sp.diags(1 / np.asarray(links.sum(1)).ravel()) @ links).tocsr().astype(np.float32)
        faces, matrix = _loop_matrix(self.coarse, count)
        for field in self._seams():
            values = field(matrix @ template, matrix @ self.mean @ self.mean @ self.coarse_places.share)
            values[np.abs(values) < 5e-4] = 5e-4
            faces, _, step = cut(faces, values)
            matrix = _cut_matrix(step, matrix.shape[0]) @ matrix
        self.fine, self.to_fine = faces, matrix.tocsr().astype(np.float32)
        p = matrix @ template
        self.places = _places(body, p, matrix @ weights)
        self.places.share = matrix @ self.mean @ self.mean @ self.coarse_places.share
        self.region_weights = matrix @ weights
        self.face_region = self.region_weights[faces].mean(1).argmax(1).astype(np.uint8)
        skin = body.refine(body.template).astype(float)
        self.skin_places = _places(body, skin, body.refine(body.region_weights))
        self.weights = _dense_weights(body, self.ids)
        self.coarse_topology = _Topology(self.coarse, count)
        self._texture(p)
        self._axes(template)
        self._fold_bank(p)
        self._uphill(template)
        self.near_hair = (p[:, 2] > 0.1) & (self.places.share < 0.6)
        self.near_hair[1::2] = False

    def _seams(self):
        """Fields whose zero lines are seams: the armholes, the middle, the inner side of the legs, and the waist."""
        yield lambda p, share: share - 0.5
        yield lambda p, share: p[:, 0]
        yield lambda p, share: np.where(p[:, 2] < 0.02, p[:, 1] + 0.02, 1.0)
        yield lambda p, share: np.where(np.abs(p[:, 0]) < 0.25, p[:, 2] - WAIST, 1.0)

    def _texture(self, p: np.ndarray) -> None:
        """Panels, and texture coordinates that jump only at seams."""
        centre = p[self.fine].mean(1)
        share = self.places.share[self.fine].mean(1)
        left = centre[:, 0] > 0
        sleeve = share > 0.5
        self.panel = np.where(
            sleeve, np.where(left, 1, 2), np.where(centre[:, 2] > WAIST, 0, np.where(left, 3, 4))
        ).astype(np.uint8)
        # One set of coordinates for what hangs from the shoulders, whose trunk goes down to the crotch, and one for trousers.
        corner = self.fine.reshape(-1)
        keys, maps = [corner], []
        for group in (np.where((self.panel > 2) & (centre[:, 2] > CROTCH), 0, self.panel), self.panel):
            u, v = self._turns(p[corner], np.repeat(group, 3))
            # The branch of u: by the triangle's middle, so that no triangle spans the jump at the back.
            mean = np.angle(np.exp(2j * np.pi * u.reshape(-1, 3)).sum(1)) / (2 * np.pi)
            mean = np.where((group == 0) & (np.abs(mean) > 0.45), np.where(left, 0.5, -0.5), mean)
            u += np.round(np.repeat(mean, 3) - u)
            keys += [np.repeat(group, 3), np.round(u * 1e4)]
            maps.append(np.stack([u, v], 1).astype(np.float32))
        # Vertices are doubled where either set jumps.
        unique, first, index = np.unique(
            np.stack(keys, 1).astype(np.int64), axis=0, return_index=True, return_inverse=True
        )
        self.split = index.reshape(-1, 3).astype(np.int32)
        self.split_of = unique[:, 0].astype(np.int32)
        self.texture_upper, self.texture_lower = (values[first] for values in maps)

    def _turns(self, p: np.ndarray, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Turns around trunk or limb, and metres along it, of points (N, 3) by their panel (N,)."""
        u = np.arctan2(p[:, 0], -(p[:, 1] + 0.03)) / (2 * np.pi)
        v = p[:, 2].copy()
        line = _arm_line(self.body)
        for index, side in ((1, 1), (2, -1), (3, 1), (4, -1)):
            rows = group == index
            q = p[rows] * [side, 1, 1]
            if index < 3:
                arc, near, which = _along(q, line)
                d = unit(np.diff(line, axis=0))[which]
                outer = unit(np.array([0.75, 0, 0.66]) - d * (d @ [0.75, 0, 0.66])[:, None])
                across, up, v[rows] = ((q - near) * np.cross(d, outer)).sum(1), ((q - near) * outer).sum(1), 0.45 - arc
            else:
                up = q[:, 0] - np.interp(-q[:, 2], [0.0, 0.35, 0.75], [0.1, 0.135, 0.177])
                across = q[:, 1] - np.interp(-q[:, 2], [0.0, 0.35, 0.55, 0.75], [-0.02, -0.04, -0.02, -0.004])
            u[rows] = np.arctan2(across, up) / (2 * np.pi) * side
        return u, v

    def _axes(self, template: np.ndarray) -> None:
        """(C, 3) direction of trunk or limb at each coarse vertex: cloth does not sag along it."""
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
        """(C,) the neighbour that each coarse vertex of the trunk hangs from."""
        best = np.arange(len(template))
        coo = self.links.tocoo()
        d = template[coo.col] - template[coo.row]
        slope = d[:, 2] / np.linalg.norm(d, axis=1)
        order = np.argsort(slope)
        best[coo.row[order]] = np.where(slope[order] > 0.3, coo.col[order], coo.row[order])
        self.uphill = best

    def _fold_bank(self, p: np.ndarray) -> None:
        """Height fields of folds, about -0.4..1: ``bank['upper']`` and ``bank['lower']`` (12, V) each, to be mixed at random.

        Cloth folds into narrow ridges between wide valleys: they fan out from where it is held (armpits, crotch, knees), pile up
        across bent and long sleeves and legs, and hang towards the hem.
        """
        rng = np.random.default_rng(5)
        arm, share, z = self.places.arm, self.places.share, p[:, 2].copy()
        ax, side = np.abs(p[:, 0]), np.where(p[:, 0] > 0, 1.0, -1.0)
        sleeve = smoothstep(0.3, 0.6, share)
        trunk = 1 - sleeve
        mirrored = p * [0, 1, 1] + ax[:, None] * [1, 0, 0]

        def bump(x, middle, width):
            return np.exp(-(((x - middle) / width) ** 2))

        def slow(q, length):
            return (
                sum(
                    np.cos(q @ (unit(rng.normal(size=3)) * 2 * np.pi / length) + rng.uniform(0, 6.3)) for _ in range(3)
                )
                / 2
            )

        def ridges(phase, q):
            """Narrow ridges at a phase's whole turns, that come and go."""
            where = np.cos(phase + 1.3 * slow(q, 0.22))
            ridge = np.exp(2.2 * (where - 1)) - 0.35
            return ridge * (0.35 + 0.65 * np.clip(0.6 + 0.7 * slow(q, 0.16), 0, 1))

        def across(axis, length, q, tilt=0.3):
            d = unit(np.asarray(axis) + tilt * rng.normal(size=3))
            return ridges(q @ d * 2 * np.pi / (length * rng.uniform(0.85, 1.25)), q)

        def fan(x, height, count, q):
            angle = np.arctan2(z - height, ax - x + 1e-9)
            r = np.hypot(z - height, ax - x)
            return (
                ridges(angle * count * rng.uniform(0.8, 1.2) + rng.uniform(0, 6.3), q)
                * smoothstep(0.02, 0.07, r)
                * np.exp(-r / 0.16)
            )

        upper, lower = [], []
        for _ in range(12):
            own = mirrored + np.where(side[:, None] > 0, rng.normal(size=3), rng.normal(size=3))
            piled = across([0.62, -0.35, -0.7], 0.075, own)
            h = piled * sleeve * (0.65 * bump(arm, 0.26, 0.07) + 0.6 * smoothstep(0.36, 0.47, arm) + 0.3)
            turn = np.arctan2(p[:, 0], -(p[:, 1] + 0.03))
            hanging = ridges(turn * rng.integers(6, 11) + rng.uniform(0, 6.3) + 2.5 * z, p)
            h = h + trunk * (
                1.4 * fan(0.165, 0.42, 9, p)
                + 0.7 * across([0.35 * rng.normal(), 0, 1], 0.085, p) * bump(z, 0.17, 0.07)
            )
            h = h + trunk * (
                0.5 * across([0.8, 0.4, 0.5 * rng.normal()], 0.13, p) * bump(z, 0.3, 0.12)
                + 0.9 * hanging * smoothstep(0.2, -0.02, z)
            )
            upper.append(h)
            other = p
            leg = across([0.2 * rng.normal(), 0.2, 1], 0.075, other)
            long = ridges(
                np.arctan2(p[:, 1] + 0.03, ax - 0.13) * rng.integers(2, 4) + rng.uniform(0, 6.3) + 6 * z, other
            )
            h = leg * (0.9 * bump(z, -0.37, 0.09) + 1.2 * smoothstep(-0.6, -0.74, z) + 0.2 * smoothstep(0.0, -0.1, z))
            h = (
                h
                + 1.5 * fan(0.035, -0.05, 8, other) * trunk
                + 0.5 * long * bump(z, -0.22, 0.14)
                + 0.4 * long * bump(z, -0.53, 0.12)
            )
            lower.append(h)
        self.bank = {'upper': np.stack(upper).astype(np.float32), 'lower': np.stack(lower).astype(np.float32)}


def _dense_weights(body: Body, ids: np.ndarray) -> np.ndarray:
    """(len(ids), 163) float32 skinning weights."""
    out = np.zeros((len(ids), len(body.bones)), np.float32)
    weights = body.model.vertex_bone_weights.numpy()[ids]
    bones = body.model.vertex_bone_indices.numpy()[ids]
    np.add.at(out, (np.arange(len(ids))[:, None], bones), weights)
    return out / out.sum(1, keepdims=True)


@functools.cache
def load_suit(body: Body) -> Suit:
    """The suit of a body, made once."""
    return Suit(body)


def fields(g: Garment, at: Places) -> dict:
    """How far inside of a garment's edges places are, metres, negative outside: 'neck', 'sleeve', ... -> (V,)."""
    x, y, z = at.p.T
    ax = np.abs(x)
    arm = at.share > 0.3
    far = np.full(len(x), 0.3)
    out = {}
    if g.kind in FEET:
        top = g.hem + (0.018 * smoothstep(-0.02, -0.08, y) if g.kind == 'shoes' and g.hem < -0.72 else 0)
        return {'top': np.where(arm, -0.3, top - z)}
    if g.kind == 'belt':
        middle = WAIST - 0.032 + 0.15 * (y + 0.03)
        return {'top': np.where(arm, -0.3, middle + 0.016 - z), 'hem': np.where(arm, -0.3, z - middle + 0.016)}
    if g.kind in LOWER or g.kind == 'skirt':
        out['top'] = np.where(arm, -0.3, np.where(z > 0.3, -0.3, WAIST - 0.02 - z + 0.15 * (y + 0.03)))
        out['hem'] = z - g.hem
        return out
    # The neckline: a superellipse seen from the front, shallower at the back.
    front = smoothstep(0.01, -0.06, y)
    width, power = {
        'round': (0.072, 2.2), 'v': (0.07, 1.15), 'boat': (0.115, 3.0), 'square': (0.09, 5.0), 'turtle': (0.07, 2.0),
        'collar': (0.060, 1.5),
        'hood': (0.07, 2.0), 'stand': (0.064, 2.0),
    }[g.neck]  # fmt: skip
    if g.kind == 'tank':
        width += 0.02
    if g.sleeve <= 0.1:  # shoulders stay wide enough
        width = min(width, 0.112 + 0.3 * min(g.sleeve, 0))
    if g.neck == 'turtle':
        out['neck'] = np.where(ax < 0.2, 0.597 - z, far)
    else:
        rim = 0.575
        depth = (rim - PIT + g.depth) * front + (0.035 if g.neck != 'boat' else 0.05) * (1 - front)
        r = ((ax / width) ** power + (np.maximum(rim - z, 0) / depth) ** power) ** (1 / power) - 1
        out['neck'] = np.where((ax < 0.25) & (z > 0.2), r * np.minimum(width, depth), far)
    if g.sleeve > 0.1:
        out['sleeve'] = np.where(at.share > 0.02, g.sleeve * 0.485 - at.arm, far)
    else:
        # An armhole, from the top of the shoulder down to the armpit.
        hole = 0.15 + 0.3 * min(g.sleeve, 0) + 3.0 * np.clip(0.5 - z, 0, 0.12) ** 2
        out['sleeve'] = np.minimum(hole - ax, (0.55 - at.share) * 0.2)
    hem = WAIST - 0.03 if g.kind in ('dress', 'coat') else max(g.hem, -0.03)
    if g.kind == 'jumpsuit':
        out['hem'] = np.where(arm, far, z - g.hem)
    else:
        out['hem'] = np.where(arm, far, z - hem - 0.02 * (ax / 0.15) ** 2 * (g.kind == 'shirt'))
    if g.open:
        half = opening(g, z)
        out['front'] = np.where((y < -0.02) & (ax < 0.25), ax - half, far)
    return out


def opening(g: Garment, z: np.ndarray) -> np.ndarray:
    """Half-width of a garment's front opening at a height on the template."""
    return 0.012 + g.open * (0.35 + 0.65 * smoothstep(0.5, -0.05, z))


def _least(edges: dict) -> np.ndarray:
    return np.minimum.reduce(list(edges.values()))


def _deep(g: Garment, edges: dict) -> np.ndarray:
    """How far places are beyond what one may see by looking under a garment's edges, metres; negative where they are not."""
    snug, wide = 0.012 + 0.3 * g.ease, 0.012 + g.ease + 0.8 * g.flare
    reach = {'neck': snug, 'top': snug, 'sleeve': wide, 'hem': wide, 'front': 0.04 + g.ease}
    return np.minimum.reduce([values - reach[edge] for edge, values in edges.items()])


class _Dresser:
    """Lays garments over one person, from the inside out."""

    def __init__(self, body: Body, shape: Shape, posed: Posed, look: Look, rng: np.random.Generator):
        self.body, self.shape, self.posed, self.look, self.rng = body, shape, posed, look, rng
        self.suit = suit = load_suit(body)
        rest = shape.vertices[suit.ids]
        self.ground = float(shape.vertices[body.quads['body'], 2].min())
        self.scale = float(np.ptp(rest[:, 2]) / np.ptp(suit.coarse_places.p[:, 2]))
        # The helper follows some shapes unevenly; cloth is even.
        shift = rest - suit.coarse_places.p * self.scale
        for _ in range(4):
            shift += 0.7 * (suit.mean @ shift - shift)
        self.rest = (suit.coarse_places.p * self.scale + shift).astype(np.float32)
        self.rest += suit.coarse_topology.normals(self.rest) * (0.0015 * self.scale)
        transforms = posed.transforms.reshape(len(body.bones), 16)
        self.transforms = transforms
        self.matrices = (suit.weights @ transforms).reshape(-1, 4, 4)
        self.under = self.rest.copy()
        self.surfaces: list[Surface] = []
        self._inside: tuple | None = None
        self.posed_under = self.pose(self.rest, self.matrices).astype(np.float32)
        self.outer = suit.to_fine @ self.posed_under  # the outermost cloth
        self.outer_normals = suit.to_fine @ suit.coarse_topology.normals(self.posed_under)
        self.below_belt = 'Pants'
        self.skirt: np.ndarray | None = None  # radius of a skirt's rows, and where they are
        self.skirt_posed: np.ndarray | None = None
        self.top: tuple | None = None  # points and normals of the outermost cloth of the trunk

    def pose(self, rest: np.ndarray, matrices: np.ndarray) -> np.ndarray:
        return np.matmul(matrices[:, :3, :3], rest[:, :, None])[:, :, 0] + matrices[:, :3, 3]

    def inside(self, g: Garment) -> np.ndarray:
        """(C,) how far inside of a garment's edges the coarse vertices are."""
        if self._inside is None or self._inside[0] is not g:
            self._edges = fields(g, self.suit.coarse_places)
            self._inside = g, _least(self._edges)
        return self._inside[1]

    def snug_edge(self, g: Garment) -> np.ndarray:
        """(C,) metres from the edges that lie on the skin: the neckline, and the armholes of what has no sleeves."""
        edges = self._edges
        return np.minimum(edges['neck'], edges['sleeve']) if g.sleeve <= 0.1 else edges['neck']

    def lay(self, g: Garment) -> np.ndarray:
        """Coarse rest positions of a garment over what is worn."""
        suit = self.suit
        at, size = suit.coarse_places, self.scale
        z, share = at.p[:, 2], at.share
        trunk = 1 - smoothstep(0.2, 0.6, share)
        normals = suit.coarse_topology.normals(self.under)
        level = normals * [1, 1, 0]
        legs = smoothstep(0.0, -0.1, z)[:, None] * trunk[:, None]
        if g.kind in FEET:
            pass
        elif g.kind in LOWER or g.kind == 'jumpsuit':
            normals = unit(normals * (1 - legs) + unit(level) * legs).astype(np.float32)
        else:  # a hem does not dive into the groin
            middle = np.array([*self.middle, 0])
            low = smoothstep(0.06, 0.0, z)[:, None] * trunk[:, None]
            normals = unit(normals * (1 - low) + unit((self.under - middle) * [1, 1, 0]) * low).astype(np.float32)
        inside = self.inside(g)
        away = np.full(len(z), g.ease - {'socks': 0.005, 'leggings': 0.003}.get(g.kind, 0.0))
        if g.kind in LOWER or g.kind == 'jumpsuit':
            down = np.clip((0.0 - z) / (0.0 - g.hem), 0, 1.15) * trunk
            away += g.flare * down ** (0.7 if g.flare < 0.03 else 1.1)
            away *= 1 - 0.75 * smoothstep(0.0, WAIST, z) * (g.kind != 'jumpsuit')
        if g.kind not in _SNUG:
            top = 0.32
            if g.kind not in ('dress', 'coat', 'jumpsuit'):
                away += g.flare * np.clip((top - z) / (top - g.hem), 0, 1.1) * trunk
            along = np.clip(at.arm / max(0.485 * g.sleeve, 0.05), 0, 1.1)
            away += (0.35 * g.flare + 0.5 * g.ease) * along * (1 - trunk)
            away -= 0.7 * g.ease * smoothstep(0.42, 0.5, z) * trunk * (g.kind not in ('coat', 'jacket', 'hoodie'))
        if g.kind not in (*_SNUG, 'coat', 'jacket', 'hoodie'):  # edges at neck and armholes lie close
            close = 1 - smoothstep(0.0, 0.05, self.snug_edge(g))
            away = away * (1 - close) - 0.003 * close
        p = self.under + normals * (away * size)[:, None].astype(np.float32)
        # Bridge hollows: smooth, but never into what is below.
        loose = np.clip((g.ease + g.flare) / 0.03, 0.0, 1.0)
        if g.kind in LOWER:
            loose *= 0.5
        least = (np.minimum(away, 0.005) * size).astype(np.float32)
        rounds = int(2 + 5 * loose)
        level_hems = smoothstep(0.4, 0.3, z) * trunk
        for k in range(rounds):
            step = 0.6 * (suit.mean @ p - p)
            step = (
                normals * np.einsum('ij,ij->i', step, normals)[:, None]
            )  # along the cloth nothing moves: edges stay smooth
            step[:, 2] *= 1 - level_hems
            p += step
            if g.kind not in _SNUG and k % 2 == 0:
                p = self._hang(p, trunk, 0.9 - 0.8 * loose)
            inner = np.einsum('ij,ij->i', p - self.under, normals)
            p += normals * np.maximum(least - inner, 0)[:, None]
        if g.kind in FEET:  # flat on the ground, or on the sole
            depth = 0.3 * sole_thickness(self.look) if g.kind == 'shoes' else 0.001
            p[:, 2] = np.maximum(p[:, 2], self.ground - depth)
        bound = smoothstep(-0.06, 0.0, inside)[:, None].astype(np.float32)
        self.under = self.under * (1 - bound) + p * bound
        return p

    def _hang(self, p: np.ndarray, trunk: np.ndarray, slope: float) -> np.ndarray:
        """Cloth of the trunk falls from what stands out above it, turning in by at most ``slope``."""
        suit = self.suit
        up = suit.uphill
        z = suit.coarse_places.p[:, 2]
        rows = self._hanging
        axis = p[rows].mean(0)[1]
        d = p[:, :2] - [0, axis]
        r = np.hypot(d[:, 0], d[:, 1])
        drop = np.maximum(p[up, 2] - p[:, 2], 0)
        want = r[up] - slope * drop
        grow = np.where((z < 0.4) & (z > CROTCH - 0.1), np.clip(want - r, 0, 0.03), 0) * trunk
        p = p.copy()
        p[:, :2] += (d / np.maximum(r, 1e-6)[:, None] * grow[:, None]).astype(np.float32)
        return p

    @property
    def middle(self) -> np.ndarray:
        """(2,) x and y of the trunk's middle at rest."""
        return self.under[self._hanging, :2].mean(0)

    @functools.cached_property
    def _hanging(self) -> np.ndarray:
        z = self.suit.coarse_places.p[:, 2]
        return np.flatnonzero((z > WAIST) & (z < 0.35) & (self.suit.coarse_places.share < 0.2))

    def wear(self, g: Garment, edges: dict, outer: np.ndarray | None) -> None:
        """Add a garment of the suit.

        Args:
            edges: :func:`fields` of the fine vertices.
            outer: (V,) how far inside of outer garments the fine vertices are: what is well inside is not drawn.
        """
        suit = self.suit
        inside = _least(edges)
        rest = self.lay(g)
        posed = self._sag(rest, g)
        n = suit.coarse_topology.normals(self.posed_under)
        inner = np.einsum('ij,ij->i', posed - self.posed_under, n)
        bound = self.inside(g) > -0.03
        posed += n * (np.clip(0.003 * self.scale - inner, 0, 0.03) * bound)[:, None]
        self.posed_under[bound] = posed[bound]
        rows = _any(inside > 0, suit.fine)
        if outer is not None:
            rows &= ~_all(outer > 0.01, suit.fine)
        kept = np.flatnonzero(rows)
        if not len(kept):
            return
        # Only the vertices of those triangles; then everybody finds them in the outermost cloth.
        fine, near = compact(suit.fine[kept])
        both = suit.to_fine[near] @ np.concatenate([posed, suit.coarse_topology.normals(posed)], 1)
        vertices = both[:, :3] + both[:, 3:] * self._folds(g, edges, outer)[near, None]
        self.outer[near], self.outer_normals[near] = vertices, vertex_normals(vertices, fine)
        vertices, normals = self.outer, self.outer_normals
        if g.kind not in _SNUG:
            rows = np.flatnonzero((inside > -0.01) & suit.near_hair)
            self.top = vertices[rows].astype(float), normals[rows].astype(float)
        if g.kind == 'shoes' and self.look.shoe != 'boot':
            add_laces(self, vertices, normals)
        split, used = compact(suit.split[kept])
        of = suit.split_of[used]
        texture = self._metres(g, used, split, suit.panel[kept])
        neck = edges.get('neck', np.ones(len(inside)))
        extra = np.stack([inside, self._bands(g, edges), neck, *suit.places.p[:, :2].T], 1)[of]
        arrays = np.concatenate([vertices[of], normals[of], texture, extra], 1, dtype=np.float32)
        faces, source, step = cut(split, inside[of], keep_below=False)
        first = len(arrays)
        arrays = step.extend(arrays)
        self._finish(g, faces, suit.face_region[kept][source], arrays, first)
        new = arrays[first:]
        tailor(self, g, new[np.abs(new[:, 10]) < 1e-4], vertices, normals, inside)

    def _finish(self, g, faces, region, arrays, first) -> None:
        """Turn the rim in, split off the trim, label, and keep the surfaces."""
        *rim, rim_region = _rim(faces, region, first, arrays, (0.0025 + 0.1 * g.ease), 0.016)
        band = arrays[:, 9]
        trim = np.zeros(len(faces), bool)
        if (band > 0).any():
            faces, source, step = cut(faces, band)
            region = region[source]
            rim_faces, rim_arrays = rim
            shift = len(step.a)
            arrays = step.extend(arrays)
            rim = [rim_faces + shift, rim_arrays]
            band = arrays[:, 9]
            trim = band[faces[:, 0]] + band[faces[:, 1]] + band[faces[:, 2]] > 0
        rim_faces, rim_arrays = rim
        arrays = np.concatenate([arrays, rim_arrays])
        # The rim's triangles take the material of what they edge.
        rim_trim = np.zeros(len(rim_faces), bool)
        if trim.any():
            rim_trim = arrays[rim_faces, 9].max(1) > -1e-4
        faces = np.concatenate([faces, rim_faces])
        trim = np.concatenate([trim, rim_trim])
        region = np.concatenate([region, rim_region])
        faces, used = compact(faces)
        arrays = arrays[used]
        self.add(g, faces, region, arrays, trim)

    def add(self, g: Garment, faces, region, arrays, trim) -> None:
        vertices, normals = arrays[:, :3].copy(), unit(arrays[:, 3:6]).astype(np.float32)
        texture = np.concatenate([arrays[:, 6:8], 0.1 * arrays[:, 8:9]], 1)
        if g.kind in FEET:
            left = np.isin(region, _LEFT)
            name = 'Sock' if g.kind == 'socks' else 'Shoe'
            label = np.where(left, part(f'Left_{name}'), part(f'Right_{name}')).astype(np.uint8)
        elif g.kind == 'belt':
            label = np.full(len(faces), part('Apparel'), np.uint8)
        elif g.kind == 'jumpsuit':
            legs = np.isin(region, _LEG_REGIONS)
            label = np.where(legs, part('Lower_Clothing'), part('Upper_Clothing')).astype(np.uint8)
        else:
            label = np.full(
                len(faces),
                part('Lower_Clothing' if g.kind in LOWER or g.kind == 'skirt' else 'Upper_Clothing'),
                np.uint8,
            )
        if g.kind == 'shoes':
            lip_class = np.where(left, lip('Left-shoe'), lip('Right-shoe')).astype(np.uint8)
        else:
            name = (
                'Socks'
                if g.kind == 'socks'
                else self.below_belt
                if g.kind == 'belt'
                else LIP_OF.get(g.kind, 'UpperClothes')
            )
            lip_class = np.full(len(faces), lip(name), np.uint8)
        for rows, material in ((~trim, g.material), (trim, g.trim)):
            if rows.any():
                self.surfaces.append(
                    Surface(
                        g.kind,
                        vertices,
                        faces[rows],
                        material,
                        texture,
                        label[rows],
                        lip_class[rows],
                        region[rows],
                        normals,
                    )
                )

    def sheet(
        self, name: str, points: np.ndarray, out: np.ndarray, material: Material, uv: np.ndarray | None, g: Garment
    ) -> None:
        """Add a grid (R, C, 3) that belongs to a garment of the upper body; ``out`` (R, 3) tells which side is the outer one."""
        rows, columns = points.shape[:2]
        faces = grid_faces(rows, columns)
        flat = points.reshape(-1, 3).astype(np.float32)
        normals = vertex_normals(flat, faces)
        last = normals.reshape(rows, columns, 3)[:, columns // 2 :]
        if (last * np.broadcast_to(out, (rows, 3))[:, None]).sum() < 0:
            faces, normals = faces[:, ::-1].copy(), -normals
        texture = (
            None if uv is None else np.concatenate([uv.reshape(-1, 2), np.zeros((len(flat), 1))], 1).astype(np.float32)
        )
        labels = part('Upper_Clothing'), lip(LIP_OF.get(g.kind, 'UpperClothes')), REGIONS.index('torso')
        self.surfaces.append(Surface(name, flat, faces, material, texture, *labels, normals))

    def _sag(self, rest: np.ndarray, g: Garment) -> np.ndarray:
        """Pose a coarse layer; where it is loose it hangs down from the limb."""
        suit = self.suit
        posed = self.pose(rest, self.matrices)
        slack = rest - self.rest
        slack = np.sqrt(np.einsum('ij,ij->i', slack, slack))
        slack = np.clip(slack - 0.008 * self.scale, 0, 0.05) * 0.6
        axes = unit(np.matmul(self.matrices[:, :3, :3], suit.axes[:, :, None])[:, :, 0])
        down = np.array([0, 0, -1.0]) - axes * -axes[:, 2:]
        inside = self.inside(g)
        shoulder = 1 - 0.85 * smoothstep(0.36, 0.46, suit.coarse_places.p[:, 2]) * (suit.coarse_places.share < 0.75)
        shift = down * (slack * shoulder)[:, None] * (inside > -0.1)[:, None]
        for _ in range(2):
            shift = suit.mean @ shift
        return (posed + shift).astype(np.float32)

    def _folds(self, g: Garment, edges: dict, outer: np.ndarray | None) -> np.ndarray:
        """(V,) heights of folds in metres; small where the garment's edge is, or another one lies over it."""
        kinds = ('lower',) if g.kind in _SNUG else ('upper', 'lower') if g.kind == 'jumpsuit' else ('upper',)
        height = np.zeros(len(self.suit.places.p), np.float32)
        for kind in kinds:
            bank = self.suit.bank[kind]
            mix = self.rng.normal(size=2).astype(np.float32)
            picks = self.rng.permutation(len(bank))[:2]
            mix = np.abs(mix) / np.linalg.norm(mix)
            height += mix[0] * bank[picks[0]] + mix[1] * bank[picks[1]]
        soft = {'leather': 0.8}.get(g.material.kind, 1.0) * (
            0.75 if g.kind in ('sweater', 'coat', 'cardigan') else 1.0
        )
        amplitude = g.folds * soft * (0.009 + 0.3 * min(g.ease, 0.025) + 0.06 * min(g.flare, 0.03)) * self.scale
        edge = np.minimum(edges.get('neck', 1), edges.get('top', 1))
        height = np.maximum(height * amplitude, -0.002) * smoothstep(0.0, 0.06, edge)
        if outer is not None:
            height *= 1 - 0.9 * smoothstep(-0.09, -0.04, outer)
        return height.astype(np.float32)

    def _bands(self, g: Garment, edges: dict) -> np.ndarray:
        """(V,) positive where the trim is."""
        widths = {
            'tshirt': {'neck': 0.016}, 'tank': {'neck': 0.01, 'sleeve': 0.01}, 'polo': {'sleeve': 0.018},
            'sweater': {'neck': 0.02, 'sleeve': 0.045, 'hem': 0.045}, 'hoodie': {'sleeve': 0.05, 'hem': 0.05},
            'cardigan': {'neck': 0.02, 'sleeve': 0.04, 'hem': 0.04, 'front': 0.022}, 'jacket': {'hem': 0.04, 'sleeve': 0.03},
            'trousers': {'top': 0.03}, 'jeans': {'top': 0.032}, 'shorts': {'top': 0.03}, 'jumpsuit': {'neck': 0.012},
            'shirt': {'sleeve': 0.045}, 'dress': {'neck': 0.01},
        }.get(g.kind, {})  # fmt: skip
        least = np.full(len(next(iter(edges.values()))), -1.0)
        for edge, width in widths.items():
            if edge in edges and not (edge == 'sleeve' and g.sleeve < 0.5 and g.kind in ('shirt', 'jacket')):
                least = np.maximum(least, width - edges[edge])
        return least

    def _metres(self, g: Garment, used: np.ndarray, split: np.ndarray, panel: np.ndarray) -> np.ndarray:
        """(N, 2) texture coordinates in metres, such that a whole number of the pattern's periods goes around each panel.

        Args:
            used: (N,) vertices among those doubled along seams; split: (F, 3) triangles between them; panel: (F,) theirs.
        """
        legs = g.kind in LOWER or g.kind == 'jumpsuit'
        texture = (self.suit.texture_lower if legs else self.suit.texture_upper)[used]
        around = np.array([0.95, 0.34, 0.34, 0.52, 0.52]) * self.scale
        if not legs:
            around[3:] = around[0]
        period = g.material.scale
        if g.material.pattern in ('stripes_u', 'checks', 'dots', 'tiles'):
            around = np.maximum(np.round(around / period), 1) * period
        size = np.ones(len(used))
        for index in range(5):
            size[split[panel == index]] = around[index]
        out = np.stack([texture[:, 0] * size, (texture[:, 1] - 0.3) * self.scale], 1)
        if g.material.pattern == 'print':  # one motif, on the chest only
            off = np.ones(len(used), bool)
            off[split[panel == 0]] = False
            out[off | (np.abs(texture[:, 0]) > 0.25), 1] += 5
        return out


_LEFT = [i for i, n in enumerate(REGIONS) if n.startswith('left')]
_LEG_REGIONS = [i for i, n in enumerate(REGIONS) if n.endswith(('leg', 'foot'))]


def _rim(
    faces: np.ndarray, region: np.ndarray, first: int, arrays: np.ndarray, thickness: float, depth: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Triangles, vertices and regions of a band that turns the edge made by a cut towards the body and back in.

    Args:
        first: vertices from here on are new, on the edge.
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


@functools.cache
def _skirt_weights(body: Body) -> tuple[np.ndarray, np.ndarray]:
    """(rows * columns, 163) skinning of a skirt's grid, from the base mesh' helper skirt; and its rows' heights."""
    from scipy.spatial import cKDTree

    ids = np.unique(body.quads['helper-skirt'])
    helper = body.template[ids].astype(float)
    heights = np.linspace(_SKIRT_TOP, _SKIRT_BOTTOM, _SKIRT_ROWS)
    angle = 2 * np.pi * np.arange(_SKIRT_COLUMNS) / _SKIRT_COLUMNS
    points = []
    for z in heights:
        ring = helper[np.abs(helper[:, 2] - z) < 0.04]
        middle = np.array([0, 0.5 * (ring[:, 1].min() + ring[:, 1].max())])
        half = 0.5 * np.ptp(ring[:, :2], axis=0)
        points.append(
            np.stack([np.sin(angle) * half[0], -np.cos(angle) * half[1] + middle[1], np.full_like(angle, z)], 1)
        )
    distance, index = cKDTree(helper).query(np.concatenate(points), k=8)
    share = 1 / (distance + 0.01) ** 2
    weights = np.einsum('ik,ikb->ib', share / share.sum(1, keepdims=True), _dense_weights(body, ids)[index])
    # At the waist it moves as garments of the suit do.
    suit = load_suit(body)
    trunk = np.flatnonzero(suit.coarse_places.share < 0.1)
    distance, index = cKDTree(suit.coarse_places.p[trunk]).query(np.concatenate(points), k=4)
    share = 1 / (distance + 0.01) ** 2
    close = np.einsum('ik,ikb->ib', share / share.sum(1, keepdims=True), suit.weights[trunk[index]])
    blend = np.repeat(smoothstep(0.0, 0.11, heights), _SKIRT_COLUMNS)[:, None]
    weights = weights * (1 - blend) + close * blend
    grid = weights.reshape(_SKIRT_ROWS, _SKIRT_COLUMNS, -1)
    for _ in range(3):
        grid = 0.5 * grid + 0.25 * (np.roll(grid, 1, 1) + np.roll(grid, -1, 1))
        grid[1:-1] = 0.6 * grid[1:-1] + 0.2 * (grid[2:] + grid[:-2])
    return grid.reshape(len(weights), -1).astype(np.float32), heights


def _around(values: np.ndarray) -> np.ndarray:
    """A grid (rows, columns, ...) smoothed around and, but for the first and last row, along."""
    values = 0.5 * values + 0.25 * (np.roll(values, 1, 1) + np.roll(values, -1, 1))
    values[1:-1] = 0.5 * values[1:-1] + 0.25 * (values[2:] + values[:-2])
    return values


def _skirt_rings(d: _Dresser, g: Garment, heights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A skirt at rest, (rows, columns, 3), and the same without its flare and folds: the hull of what is worn below."""
    suit, size, rng = d.suit, d.scale, d.rng
    z, trunk = suit.coarse_places.p[:, 2], suit.coarse_places.share < 0.2
    angle = 2 * np.pi * np.arange(_SKIRT_COLUMNS) / _SKIRT_COLUMNS
    direction = np.stack([np.sin(angle), -np.cos(angle)], 1)
    tangent = np.stack([np.cos(angle), np.sin(angle)], 1)
    rows = np.flatnonzero(trunk & (z < _SKIRT_TOP + 0.03) & (z > _SKIRT_BOTTOM - 0.03))
    middle = d.middle
    reach = (d.under[rows][:, :2] - middle) @ direction.T
    step = heights[0] - heights[1]
    hull = np.full((_SKIRT_ROWS, _SKIRT_COLUMNS), 0.05)
    for k in range(_SKIRT_ROWS):
        near = np.abs(heights[k] - z[rows]) < 0.6 * step + 0.006
        if near.any():
            hull[k] = reach[near].max(0)
    snug = hull + (0.002 if g.kind == 'skirt' else -0.005) * size
    hull = hull + (g.ease + 0.004) * size
    for _ in range(6):
        hull = _around(hull)
    hull = np.maximum(hull, snug + 0.004 * size)
    at_waist = smoothstep(0.04, WAIST - 0.02, heights)[:, None]
    hull = hull * (1 - at_waist) + snug * at_waist
    inner = hull.copy()
    if d.skirt is not None:
        hull = np.maximum(hull, d.skirt + 0.006 * size)
    for k in range(1, _SKIRT_ROWS):  # what hangs does not turn in much
        if heights[k] < 0.08:
            hull[k] = np.maximum(hull[k], hull[k - 1] - (0.15 if g.flare < 0.03 else 0.02) * step * size)
    fall = np.clip((heights[0] - heights) / (heights[0] - heights[-1]), 0, 1)[:, None]
    drop = np.clip((0.06 - heights) / (0.06 - g.hem), 0, 1)[:, None]
    count = int(rng.integers(5, 9))
    waves = sum(
        a * np.cos((count + k) * angle[None] + rng.uniform(0, 6.3) + 0.4 * np.sin(3 * fall + rng.uniform(0, 6)))
        for k, a in ((0, 0.6), (1, 0.5), (3, 0.3))
    )
    flared = hull + (g.flare * drop + (0.002 + 0.13 * g.flare) * drop * (waves + 0.6)) * size
    d.skirt = flared
    height = np.interp(heights[::-1], *_monotone(z[trunk], d.under[trunk, 2]))[::-1]
    rings = []
    for radius, support in ((flared, hull), (inner, inner)):  # points of a convex curve from its support and its slope
        slope = (np.roll(support, -1, 1) - np.roll(support, 1, 1)) / (angle[2] - angle[0])
        ring = radius[..., None] * direction + 0.8 * slope[..., None] * tangent + middle
        rings.append(np.concatenate([ring, np.broadcast_to(height[:, None, None], (*radius.shape, 1))], 2))
    return rings[0], rings[1]


def _skirt(d: _Dresser, g: Garment) -> None:
    """A skirt around both legs, from the waist to the hem; open at the front if the garment is."""
    size = d.scale
    weights, heights = _skirt_weights(d.body)
    rest, inner = _skirt_rings(d, g, heights)
    # The last row lies exactly on the hem.
    last = (heights[0] - g.hem) / (heights[0] - heights[1])
    keep = min(int(np.ceil(last)), _SKIRT_ROWS - 1)
    for ring in (rest, inner):
        ring[keep] = ring[keep - 1] + (last - (keep - 1)) * (ring[keep] - ring[keep - 1])
    used = slice(1 if g.kind == 'skirt' else 0, keep + 1)
    heights, rest, inner = heights[used], rest[used], inner[used]
    shape = rest.shape[:2]
    weights = weights.reshape(_SKIRT_ROWS, _SKIRT_COLUMNS, -1)[used].reshape(shape[0] * shape[1], -1)
    matrices = (weights @ d.transforms).reshape(-1, 4, 4)
    posed, lining = (
        d.pose(ring.reshape(-1, 3).astype(np.float32), matrices).reshape(*shape, 3) for ring in (rest, inner)
    )
    # Cloth falls: where the legs lie, what stands off them upwards comes down on them, and little hangs through below.
    level = (1 - np.abs(unit(np.gradient(lining, axis=0))[..., 2])) ** 0.7
    off = posed - lining
    off[..., 2] *= np.where(off[..., 2] > 0, 1 - level, 1 - 0.6 * level)
    posed = _clear_legs(d, _around(lining + off))
    full = np.zeros((_SKIRT_ROWS, *posed.shape[1:]), np.float32)  # rows as in the weights
    full[used] = posed
    if d.skirt_posed is not None:  # outside of the one below
        rows, below = np.arange(_SKIRT_ROWS)[used], d.skirt_posed
        both = np.abs(below[rows]).any((1, 2))
        n = vertex_normals(posed.reshape(-1, 3), grid_faces(*shape, closed=True)[:, ::-1]).reshape(posed.shape)
        lift = np.einsum('ijk,ijk->ij', below[rows] - posed, n) + 0.008 * size
        lift = np.clip(lift, 0, 0.15) * both[:, None]
        posed = posed + _around(np.maximum(lift, _around(lift))[..., None]) * n
    d.skirt_posed = full
    _under_tops(d, posed, heights)

    # Columns: doubled at the back.
    columns = np.arange(_SKIRT_COLUMNS // 2, _SKIRT_COLUMNS // 2 * 3 + 1)
    turn = columns / _SKIRT_COLUMNS - 1
    columns %= _SKIRT_COLUMNS
    period = g.material.scale
    u = np.broadcast_to(turn * max(round(0.95 * size / period), 1) * period, (shape[0], len(columns)))
    v = np.broadcast_to((heights[:, None] - 0.3) * size, u.shape)
    faces = grid_faces(shape[0], len(columns))[:, ::-1].copy()
    normals = vertex_normals(posed.reshape(-1, 3).astype(np.float32), grid_faces(*shape, closed=True)[:, ::-1])
    normals = normals.reshape(*shape, 3)[:, columns]
    inside = np.ones(u.shape)
    if g.open:
        wide = np.abs(rest[:, 0, 1] - d.middle[1])[:, None] / 0.125  # against the template's depth
        inside = np.where(np.abs(turn) < 0.25, np.abs(rest[:, columns, 0]) - opening(g, heights)[:, None] * wide, 0.3)
    side = np.where(np.sin(2 * np.pi * turn) >= 0, 'left', 'right')
    region = np.empty(u.shape, np.uint8)
    for row, z in enumerate(heights):
        name = '_upper_leg' if z > -0.36 else '_lower_leg'
        region[row] = [REGIONS.index('torso' if z > CROTCH else s + name) for s in side]
    top = np.zeros(u.shape)
    top[0] = 1
    arrays = [posed[:, columns], normals, u[..., None], v[..., None], inside[..., None], np.full((*u.shape, 4), -1.0)]
    arrays = np.concatenate(
        [a.reshape(u.size, -1) for a in (*arrays, region[..., None], top[..., None])], 1, dtype=np.float32
    )
    if g.open:
        faces, _, step = cut(faces, arrays[:, 8], keep_below=False)
        arrays = step.extend(arrays)
    region = np.round(arrays[faces.min(1), 13]).astype(np.uint8)
    arrays, faces, region = _bordered(arrays, faces, region, arrays[:, 14] > 0.99, 0.003)
    d.add(g, faces, region, arrays, np.zeros(len(faces), bool))


def _under_tops(d: _Dresser, posed: np.ndarray, heights: np.ndarray) -> None:
    """What comes over a skirt lies on it: lift the layers below to the posed skirt (rows, columns, 3), down to the crotch."""
    z, share = d.suit.coarse_places.p[:, 2], d.suit.coarse_places.share
    rows = np.flatnonzero((share < 0.2) & (z < heights[0]) & (z > CROTCH - 0.08))
    fade = smoothstep(CROTCH - 0.08, CROTCH - 0.03, z[rows])[:, None]
    r = d.under[rows, :2] - d.middle
    column = np.arctan2(r[:, 0], -r[:, 1]) / (2 * np.pi) * _SKIRT_COLUMNS
    column = np.round(column).astype(int) % _SKIRT_COLUMNS
    row = np.clip(np.round((heights[0] - z[rows]) / (heights[0] - heights[1])).astype(int), 0, len(heights) - 1)
    normals = d.suit.coarse_topology.normals(d.posed_under)[rows]
    lift = np.einsum('ij,ij->i', posed[row, column] - d.posed_under[rows], normals)[:, None]
    lift = np.clip(lift + 0.003 * d.scale, 0, 0.1) * fade
    d.posed_under[rows] += (lift * normals).astype(np.float32)
    d.under[rows, :2] += (r / np.maximum(np.hypot(r[:, 0], r[:, 1]), 1e-6)[:, None] * np.minimum(lift, 0.03)).astype(
        np.float32
    )


def _monotone(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A curve through a cloud that is nearly one: means of y in bins of x."""
    edges = np.linspace(x.min(), x.max(), 40)
    index = np.digitize(x, edges)
    count = np.bincount(index, minlength=42)
    used = count > 0
    return (np.bincount(index, x, 42)[used] / count[used]), (np.bincount(index, y, 42)[used] / count[used])


def _bordered(arrays, faces, region, skip, thickness):
    """Turn in every border edge of a sheet whose two vertices are not both in ``skip``."""
    edges = faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    # Vertices that are the same point count as one: seams are no borders.
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


def _clear_legs(d: _Dresser, posed: np.ndarray) -> np.ndarray:
    """Push a posed skirt's grid (rows, columns, 3) out of the legs, and smooth what that moved."""
    body, suit, size = d.body, d.suit, d.scale
    at = suit.coarse_places
    points = d.pose(d.under, d.matrices)
    centres, radii = [], []
    for side, sign in (('L', 1), ('R', -1)):
        axis = d.posed.heads[[body.bones[f'{n}.{side}'] for n in ('upperleg01', 'lowerleg01', 'foot')]].astype(float)
        own = (at.p[:, 0] * sign > 0) & (at.share < 0.2) & (at.p[:, 2] < CROTCH) & (at.p[:, 2] > -0.74)
        arc, near, _ = _along(points[own].astype(float), axis)
        away = np.linalg.norm(points[own] - near, axis=1)
        lengths = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(axis, axis=0), axis=1))])
        at_arc = np.linspace(0.0, lengths[-1], 18)
        for s in at_arc:
            close = np.abs(arc - s) < 0.035 * size
            radius = np.quantile(away[close], 0.8) if close.any() else 0.09 * size
            centres.append([np.interp(s, lengths, axis[:, k]) for k in range(3)])
            radii.append(min(radius, 0.14 * size))
    centres, radii = np.array(centres, np.float32), np.array(radii, np.float32) + np.float32(0.008 * size)
    q = posed.astype(np.float32).copy()
    for _ in range(3):
        flat = q.reshape(-1, 3)
        square = (flat**2).sum(1)[:, None] - 2 * flat @ centres.T + (centres**2).sum(1)
        distance = np.sqrt(np.maximum(square, 1e-8))
        worst = (radii - distance).argmax(1)
        distance = distance[np.arange(len(flat)), worst]
        push = np.maximum(radii[worst] - distance, 0) / distance
        shift = ((flat - centres[worst]) * push[:, None]).reshape(q.shape)
        smooth = 0.5 * shift + 0.25 * (np.roll(shift, 1, 1) + np.roll(shift, -1, 1))
        smooth[1:-1] = 0.5 * smooth[1:-1] + 0.25 * (smooth[2:] + smooth[:-2])
        q += np.where(np.abs(smooth) > np.abs(shift), smooth, shift)
    return q


# Profiles of what is sewn to a neckline: (up, out) in metres from the rim, from the inside over the top to the outside.
_COLLARS = {
    'collar': [
        (-0.004, -0.001), (0.012, -0.003), (0.027, -0.004), (0.031, -0.002), (0.032, 0.001), (0.030, 0.004), (0.020,
        0.009), (0.004, 0.015),
        (-0.014, 0.020), (-0.016, 0.019), (-0.013, 0.017),
    ],
    'stand': [(-0.006, -0.001), (0.015, -0.003), (0.034, -0.002), (0.037, 0.002), (0.033, 0.006), (0.014, 0.006),
    (-0.008, 0.006)],
    'turtle': [
        (-0.01, -0.002), (0.002, 0.002), (0.008, 0.006), (0.004, 0.011), (-0.012, 0.013), (-0.032, 0.014), (-0.04, 0.012),
        (-0.038, 0.006),
    ],
}  # fmt: skip


def tailor(
    d: _Dresser, g: Garment, rim: np.ndarray, vertices: np.ndarray, normals: np.ndarray, inside: np.ndarray
) -> None:
    """Collar or hood, and the button line.

    Args:
        rim: rows of a garment's arrays along its neckline: position, normal, ..., and x, y on the template last.
        vertices, normals: (V, 3) of the fine suit as this garment lies; ``inside`` (V,) positive where the garment is.
    """
    if g.neck in ('collar', 'stand', 'turtle', 'hood') and len(rim) > 12:
        _collar(d, g, rim)
    closed_coat = g.kind in OUTER and not g.open
    if g.kind in ('shirt', 'polo') or closed_coat or (g.kind == 'jumpsuit' and g.neck == 'collar'):
        _button_line(d, g, vertices, normals, inside)


def _collar(d: _Dresser, g: Garment, rim: np.ndarray) -> None:
    size = d.scale
    turn = np.arctan2(rim[:, 11], -(rim[:, 12] + 0.03))
    order = np.argsort(turn)
    turn, rim = turn[order], rim[order]
    gap = {'collar': 0.1, 'stand': 0.06}.get(g.neck, 0.0)
    if g.kind in ('coat', 'jacket'):
        gap = max(gap, np.abs(turn).min() + 0.02)
    count = 49
    phi = np.linspace(gap, 2 * np.pi - gap, count)
    wrapped = np.concatenate([turn - 2 * np.pi, turn, turn + 2 * np.pi])
    x = np.stack([np.interp(phi, wrapped, np.tile(rim[:, k], 3)) for k in range(3)], 1)
    for _ in range(3):
        x[1:-1] = 0.5 * x[1:-1] + 0.25 * (x[2:] + x[:-2])
    turns = d.posed.transforms[[d.body.bones['spine01'], d.body.bones['neck02']], :3, :3]
    up = unit(turns.mean(0) @ [0, -0.2, 1.0])
    centre = x.mean(0)
    out = x - centre
    out = unit(out - (out @ up)[:, None] * up)
    back = 0.5 - 0.5 * np.cos(phi)  # 0 at the front, 1 at the nape
    big = 1.5 if g.kind == 'coat' else 1.2 if g.kind == 'jacket' else 1.0
    if g.neck == 'hood':
        radius = (0.010 + 0.026 * back**0.7)[:, None]
        theta = np.radians(np.linspace(200, -75, 10))[None]
        rows_out = radius * (0.9 + np.cos(theta)) * 1.1
        rows_up = radius * (0.35 + np.sin(theta))
        rows_up = rows_up - 0.07 * np.linspace(0, 1, 10)[None] ** 2 * (back[:, None] ** 3)
        rows_up = np.concatenate([rows_up, rows_up[:, -1:] + 0.004], 1)
        rows_out = np.concatenate([rows_out, rows_out[:, -1:] * 0.25], 1)
    else:
        profile = np.array(_COLLARS[g.neck]) * big
        rows_up = np.tile(profile[:, 0], (count, 1))
        rows_out = np.tile(profile[:, 1], (count, 1))
        front = ((1 - back) ** 2)[:, None]
        if g.neck == 'collar':  # lower at the front, with points
            rows_up = np.where(rows_up > 0, rows_up * (1 - 0.45 * front), rows_up * (1 + 1.6 * front**2))
            rows_out = rows_out + 0.004 * front * (np.arange(len(profile)) > 4)
        elif g.neck == 'stand':
            rows_up = rows_up * (1 - 0.25 * front)
    points = x[:, None] + size * (rows_up[..., None] * up + rows_out[..., None] * out[:, None])
    v = np.concatenate([np.zeros((count, 1)), np.cumsum(np.hypot(np.diff(rows_up), np.diff(rows_out)), 1)], 1) * size
    u = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(x, axis=0), axis=1))])
    u = np.broadcast_to(u[:, None], v.shape)
    material = g.trim if g.neck == 'turtle' or g.material.pattern == 'print' else g.material
    d.sheet(f'{g.kind} collar', points, out, material, np.stack([u, v], -1), g)


def _button_line(d: _Dresser, g: Garment, vertices: np.ndarray, normals: np.ndarray, inside: np.ndarray) -> None:
    """A strip down the front with buttons on it."""
    p, size = d.suit.places.p, d.scale
    lowest = 0.3 if g.kind == 'polo' else WAIST if g.kind == 'jumpsuit' else -1
    rows = np.flatnonzero((np.abs(p[:, 0]) < 4e-4) & (p[:, 1] < -0.03) & (inside > 0.004) & (p[:, 2] > lowest))
    if len(rows) < 4:
        return
    rows = rows[np.argsort(-p[rows, 2])]
    line, normal = vertices[rows].astype(float), normals[rows]
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    s = np.linspace(0, length[-1], 40)
    line = np.stack([np.interp(s, length, line[:, k]) for k in range(3)], 1)
    normal = unit(np.stack([np.interp(s, length, normal[:, k]) for k in range(3)], 1))
    along = unit(np.gradient(line, axis=0))
    across = unit(np.cross(along, normal))
    wide = 0.015 * size * (1.25 if g.kind in OUTER else 1)
    lift = 0.0025
    columns = np.array([(-1, -0.004), (-1, lift), (-0.4, lift + 8e-4), (0.4, lift + 8e-4), (1, lift), (1, -0.004)])
    height = columns[:, 1] - 0.06 * wide * columns[:, 0] ** 2
    points = line[:, None] + wide * columns[:, :1] * across[:, None] + height[:, None] * normal[:, None]
    uv = np.stack(np.broadcast_arrays(wide * columns[None, :, 0], -s[:, None]), -1)
    d.sheet(f'{g.kind} placket', points, normal, g.trim if g.material.pattern == 'print' else g.material, uv, g)
    spacing = (0.085 if g.kind in ('shirt', 'jumpsuit') else 0.05 if g.kind == 'polo' else 0.11) * size
    index = np.clip(np.searchsorted(s, np.arange(0.02 * size, length[-1] - 0.01, spacing)), 0, len(s) - 1)
    radius = (0.0055 if g.kind not in OUTER else 0.011) * size
    angle = np.linspace(0, 2 * np.pi, 11)
    light = np.mean(g.material.color) > 0.25
    color = tuple(float(c) * (0.35 if light else 1.0) + (0.0 if light else 0.04) for c in g.trim.color)
    for i in index:
        circle = np.cos(angle)[:, None] * across[i] + np.sin(angle)[:, None] * along[i]
        rings = [
            line[i] + r * radius * circle + h * normal[i]
            for r, h in ((1, 0.003), (0.97, 0.0057), (0.6, 0.006), (0, 0.0052))
        ]
        d.sheet(f'{g.kind} button', np.array(rings), normal[i], Material('glossy', color, gloss=0.5), None, g)


def dress(body: Body, shape: Shape, posed: Posed, look: Look, rng: np.random.Generator) -> Outfit:
    """Everything a person wears, and the hair, in the world."""
    d = _Dresser(body, shape, posed, look, rng)
    suit = d.suit
    garments = _layers(look)
    edges = [fields(g, suit.places) for g in garments]
    inner = [_deep(g, e) for g, e in zip(garments, edges, strict=True)]
    covered = np.maximum.reduce([_deep(g, fields(g, suit.skin_places)) for g in garments])
    if 'gloves' in look.accessories:
        covered = np.maximum(covered, hide_hands(body, suit.skin_places))
    for i, g in enumerate(garments):
        outer = np.maximum.reduce(inner[i + 1 :]) if i + 1 < len(garments) else None
        if g.kind != 'skirt':
            d.wear(g, edges[i], outer)
        if g.kind == 'belt' and not any(_least(fields(o, _BUCKLE))[0] > 0 for o in garments[i + 1 :]):
            add_buckle(d, _BUCKLE.p[0])
        if g.kind in ('skirt', 'dress', 'coat'):
            _skirt(d, g)
        if g.kind == 'shoes':
            add_soles(d)
        d.below_belt = LIP_OF.get(g.kind, d.below_belt)
    hat = next((HAT_HEIGHT[name] for name in look.accessories if name in HAT_HEIGHT), None)
    d.surfaces += [*grow(d, hat), *filter(None, [beard(d)])]
    add_accessories(d)
    return Outfit(d.surfaces, _all(covered > 0, body.faces))


_BUCKLE = Places(np.array([[0, -0.13, WAIST - 0.047]]), np.array([-0.12]), np.zeros(1))


def _layers(look: Look) -> list:
    """The garments with what belongs to them - socks, shoes, a belt, shorts under a skirt - from the inside out."""
    layers = []
    if look.footwear != 'barefoot' and look.socks is not None:
        layers.append(
            Garment('socks', look.sock_material, look.sock_material, hem=look.socks, ease=0.0005, flare=0, folds=0.15)
        )
    if look.footwear == 'shoes':
        top = {'low': -0.752, 'sneaker': -0.742, 'boot': -0.64}[look.shoe]
        layers.append(
            Garment('shoes', look.shoe_material, look.shoe_material, hem=top, ease=0.004, flare=0, folds=0.1)
        )
    kinds = [g.kind for g in look.garments]
    if ('skirt' in kinds or 'dress' in kinds) and not set(kinds) & set(LOWER):
        dark = Material('cloth', (0.02, 0.02, 0.022))
        layers.append(Garment('leggings', dark, dark, hem=-0.16, ease=0.001, flare=0, folds=0.1))
    worn = list(look.garments)
    if 'skirt' in kinds:  # over what is worn on top, but for coats
        worn.sort(key=lambda g: (g.kind == 'skirt') + 2 * (g.kind in OUTER))
    for g in worn:
        layers.append(g)
        if 'belt' in look.accessories and (g.kind in LOWER or g.kind in ('skirt', 'dress')):
            belt = look.accessories['belt']
            layers.append(Garment('belt', belt, belt, ease=0.004, flare=0, folds=0))
    return layers
