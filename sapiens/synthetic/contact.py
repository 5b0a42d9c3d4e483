"""How limbs move and what they touch: a fast skeleton, convex pieces of the body, limbs as a few angles, and their solver.

Frames as in :mod:`.body`: a bone's rotation is about its head, in axes parallel to the world's at rest, and its
parent's comes on top. Angles are radians, lengths metres. Legend: P points, N pieces, K planes of a piece, B a batch of angles.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np
import scipy.sparse

from .body import Body, Shape

__all__ = ['Direction', 'Figure', 'Limb', 'Obstacles', 'Point', 'align', 'anatomy', 'turn', 'unit']

_EYE = np.eye(3)
UP, FORWARD = np.array([0.0, 0, 1]), np.array([0.0, -1, 0])
SIDES = {'L': 1.0, 'R': -1.0}

# Pieces of the body that are nearly convex: name -> (bones whose vertices it takes, bone it turns with, from and to
# along that bone).
_TRUNK = {
    'head': (('head', 'jaw', 'face'), 'head', 0, 1),
    'neck': (('neck01', 'neck02', 'neck03'), 'neck02', 0, 1),
    'shoulders': (('spine01', 'clavicle.L', 'clavicle.R', 'shoulder01.L', 'shoulder01.R'), 'spine01', 0, 1),
    'ribs': (('spine02', 'breast.L', 'breast.R'), 'spine02', 0, 1),
    'belly': (('spine03',), 'spine03', 0, 1),
    'waist': (('spine04', 'spine05'), 'spine04', 0, 1),
    'pelvis': (('root', 'pelvis.L', 'pelvis.R', 'spine05'), 'root', 0, 1),
}
_SIDED = {
    'hip': (('upperleg01',), 'upperleg01', 0, 1),
    'thigh': (('upperleg02',), 'upperleg02', -1, 0.55),
    'knee': (('upperleg02', 'lowerleg01'), 'upperleg02', 0.45, 2),
    'calf': (('lowerleg01',), 'lowerleg01', 0, 1),
    'shin': (('lowerleg02',), 'lowerleg02', 0, 1),
    'foot': (('foot', 'toe'), 'foot', 0, 1),
    'upperarm': (('upperarm02',), 'upperarm02', 0, 1),
    'elbow': (('lowerarm01',), 'lowerarm01', 0, 1),
    'forearm': (('lowerarm02',), 'lowerarm02', 0, 1),
    'palm': (('wrist', 'metacarpal'), 'wrist', 0, 1),
    'fingers': (('finger2', 'finger3', 'finger4', 'finger5'), 'metacarpal2', 0, 1),
    'thumb': (('finger1',), 'finger1-1', 0, 1),
}
LEG_PIECES = ('hip', 'thigh', 'knee', 'calf', 'shin', 'foot')
ARM_PIECES = ('upperarm', 'elbow', 'forearm', 'palm', 'fingers', 'thumb')

# Vertices by where they are: name -> a point on or near the template's skin (left side for those of both sides).
_LANDMARKS = {
    'chin': (0, -0.16, 0.575),
    'forehead': (0, -0.165, 0.76),
    'crown': (0, -0.04, 0.84),
    'nape': (0, 0.07, 0.66),
    'belly': (0, -0.2, 0.1),
    'sternum': (0, -0.2, 0.38),
    'crotch': (0, -0.12, 0.0),
    'loin': (0, 0.2, 0.1),
}
_SIDED_LANDMARKS = {
    'hip': (0.2, -0.02, 0.115),
    'cheek': (0.07, -0.1, 0.64),
    'temple': (0.09, -0.08, 0.74),
    'ear': (0.1, -0.03, 0.69),
    'thigh': (0.11, -0.14, -0.16),
    'kneecap': (0.14, -0.12, -0.35),
    'chest': (0.09, -0.2, 0.36),
    'shoulder': (0.2, -0.03, 0.52),
    'biceps': (0.28, -0.1, 0.36),
    'triceps': (0.3, 0.05, 0.33),
    'elbow': (0.34, 0.05, 0.27),
    'shin': (0.16, -0.12, -0.55),
}


def unit(v: np.ndarray) -> np.ndarray:
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-12)


def cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of two vectors (3,); numpy's own is slow for so few."""
    (a0, a1, a2), (b0, b1, b2) = a.tolist(), b.tolist()
    return np.array([a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0])


def turn(axis: np.ndarray, angle) -> np.ndarray:
    """Rotations (..., 3, 3) about a unit axis (3,), or one for each, by angles (...)."""
    axis = np.asarray(axis, float)
    if axis.ndim == 1 and np.ndim(angle) == 0:  # the usual case, several times faster
        (x, y, z), s, c = axis.tolist(), math.sin(angle), math.cos(angle)
        t = 1 - c
        return np.array(
            [
                [c + t * x * x, t * x * y - s * z, t * x * z + s * y],
                [t * x * y + s * z, c + t * y * y, t * y * z - s * x],
                [t * x * z - s * y, t * y * z + s * x, c + t * z * z],
            ]
        )
    k = np.zeros((*axis.shape[:-1], 3, 3))
    k[..., 2, 1], k[..., 0, 2], k[..., 1, 0] = axis[..., 0], axis[..., 1], axis[..., 2]
    k -= np.swapaxes(k, -1, -2)
    angle = np.asarray(angle, float)[..., None, None]
    return np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * (k @ k)


class Hinge:
    """A fixed axis to turn about: calling it with angles (B,) gives rotations (B, 3, 3)."""

    def __init__(self, axis: np.ndarray):
        x, y, z = axis
        self.cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        self.square = self.cross @ self.cross

    def __call__(self, angle: np.ndarray) -> np.ndarray:
        angle = angle[:, None, None]
        return _EYE + np.sin(angle) * self.cross + (1 - np.cos(angle)) * self.square


def turn_vector(v: np.ndarray) -> np.ndarray:
    """Rotations (..., 3, 3) from rotation vectors (..., 3)."""
    angle = np.linalg.norm(v, axis=-1)
    return turn(v / np.maximum(angle, 1e-9)[..., None], angle)


def align(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The shortest rotation vector from unit vector a to unit vector b."""
    axis = cross(a, b)
    return unit(axis) * np.arctan2(np.linalg.norm(axis), a @ b)


class Anatomy:
    """What the solver needs to know of a body and no person changes: vertices to look at, pieces, landmarks."""

    def __init__(self, body: Body):
        self.bones, parents = body.bones, body.parents
        depth = np.zeros(len(parents), int)
        for i, parent in enumerate(parents):
            depth[i] = depth[parent] + 1 if parent >= 0 else 0
        self.levels = [
            (rows, parents[rows]) for rows in (np.flatnonzero(depth == d) for d in range(1, depth.max() + 1))
        ]
        self.branches = {}  # first bone of a limb -> levels of what hangs on it
        for name in ('clavicle.L', 'clavicle.R', 'upperleg01.L', 'upperleg01.R'):
            below = {self.bones[name]}
            levels = []
            for rows, parents_ in self.levels:
                keep = [i for i, r in enumerate(rows) if r in below or parents_[i] in below]
                if keep:
                    below |= set(rows[keep].tolist())
                    levels.append((rows[keep], parents_[keep]))
            self.branches[self.bones[name]] = levels
        index, weight = body.model.vertex_bone_indices.numpy(), body.model.vertex_bone_weights.numpy()
        count = len(index)
        rows = np.repeat(np.arange(count), index.shape[1])
        weights = scipy.sparse.csr_matrix((weight.ravel(), (rows, index.ravel())), (count, len(parents)))
        skin = np.unique(body.quads['body'])
        self._skin, self._weights, self._body = skin, weights, body
        self._people = [body.template] + [
            body.shape(p).vertices
            for p in (
                {'weight': 1.0, 'gender': 0.2},
                {'age': 0.25},
                {'gender': 1.0, 'cupsize': 0.9, 'weight': 0.8},
                {'weight': 0.1},
            )
        ]
        self.pieces = dict.fromkeys(_TRUNK) | {f'{name}.{side}': None for side in SIDES for name in _SIDED}
        self.piece_names = list(self.pieces)
        parts, self.piece_bones, directions = [], [], []
        for name in self.piece_names:
            stem, _, side = name.partition('.')
            part, bone, planes = self._piece(*(_SIDED if side else _TRUNK)[stem], '.' + side if side else '')
            parts.append(part)
            self.piece_bones.append(bone)
            directions.append(planes)
        samples = {f'{kind}.{side}': self._samples(kind, side) for kind in ('arm', 'leg') for side in SIDES}
        marks = self._landmarks()
        soles = {
            f'sole.{side}': self._near(lambda s, end=side: s.startswith(('foot', 'toe')) and s.endswith(end), 0.5)
            for side in SIDES
        }
        self.rows = np.unique(np.concatenate([*parts, *samples.values(), *soles.values(), list(marks.values())]))
        local = {row: i for i, row in enumerate(self.rows.tolist())}
        find = np.vectorize(local.get)
        width = max(map(len, parts))
        self.piece_rows = np.stack([find(np.resize(part, width)) for part in parts])  # (N, C)
        self.piece_bones, self.planes = np.array(self.piece_bones), np.stack(directions)  # (N,), (N, K, 3)
        self.samples = {name: find(part) for name, part in samples.items()}
        self.soles = {name[-1]: find(part) for name, part in soles.items()}
        self.marks = {name: int(find(row)) for name, row in marks.items()}
        self.weights = weights[self.rows].tocsr()
        self.limb_weights = {}
        self.armpits = {}  # samples of an arm that always touch the trunk
        for side in SIDES:
            shoulder, elbow = (body.template_heads[self.bones[f'{n}.{side}']] for n in ('upperarm01', 'lowerarm01'))
            along = (
                (body.template[samples[f'arm.{side}']] - shoulder)
                @ (elbow - shoulder)
                / ((elbow - shoulder) ** 2).sum()
            )
            self.armpits[side] = along < 0.52
        self.dominant = np.asarray(weights[self.rows].argmax(1)).ravel()
        self.mark_normals = self._normals(body, marks)
        del self._people, self._body

    def _near(self, chosen, least: float) -> np.ndarray:
        """Skin vertices with more than ``least`` of their weight on the chosen bones."""
        columns = [i for name, i in self.bones.items() if chosen(name)]
        return self._skin[np.asarray(self._weights[self._skin][:, columns].sum(1)).ravel() > least]

    def _piece(self, bones, main, start, stop, suffix):
        known = (
            'head',
            'jaw',
            'neck',
            'spine',
            'clavicle',
            'shoulder',
            'breast',
            'root',
            'pelvis',
            'upper',
            'lower',
            'foot',
            'toe',
        )

        def chosen(name):
            if 'face' in bones and not name.startswith((*known, 'wrist', 'metacarpal', 'finger')):
                return True
            if suffix:
                return name.endswith(suffix) and name.startswith(bones)
            return name in bones

        rows = self._near(chosen, 0.4)
        bone = self.bones[main + suffix]
        head, tail = self._body.template_heads[bone], self._body.template_tails[bone]
        if (start, stop) != (0, 1):
            along = (self._body.template[rows] - head) @ (tail - head) / ((tail - head) ** 2).sum()
            rows = rows[(along >= start) & (along <= stop)]
            if stop > 1:
                rows = rows[along[(along >= start) & (along <= stop)] < 1.25]
        axis = unit(tail - head) if bone else UP
        if main in ('foot', 'root'):
            axis = FORWARD if main == 'foot' else UP
        side = unit(cross(np.asarray(axis, float), np.array([0.3, 0.5, 0.8])))
        up = cross(axis, side)
        around = np.arange(12) * 2 * np.pi / 12
        ring = np.cos(around)[:, None] * side + np.sin(around)[:, None] * up
        tilt = np.radians([0, -12, 12, -40, 40])[:, None, None]
        planes = (np.cos(tilt) * ring + np.sin(tilt) * axis).reshape(-1, 3)
        planes = np.concatenate([planes, [axis, -axis]])
        extreme = [rows[np.argmax(person[rows] @ planes.T, 0)] for person in self._people]
        return np.unique(np.concatenate(extreme)), bone, planes

    def _samples(self, kind: str, side: str) -> np.ndarray:
        """Vertices of a limb, spread evenly, without those next to the trunk."""
        template = self._body.template
        if kind == 'arm':
            parts = (
                (('upperarm02',), 0.04),
                (('lowerarm',), 0.03),
                (('wrist', 'metacarpal'), 0.026),
                (('finger',), 0.017),
            )
        else:
            parts = (('upperleg02', 'lowerleg'), 0.05), (('foot', 'toe'), 0.035)
        out = []
        for bones, spacing in parts:
            rows = self._near(lambda name, bones=bones: name.startswith(bones) and name.endswith('.' + side), 0.6)
            _, first = np.unique(np.floor(template[rows] / spacing).astype(int), axis=0, return_index=True)
            out.append(rows[first])
        return np.concatenate(out)

    def _landmarks(self) -> dict:
        from scipy.spatial import cKDTree

        places = dict(_LANDMARKS)
        for name, place in _SIDED_LANDMARKS.items():
            places |= {f'{name}.L': place, f'{name}.R': np.multiply(place, [-1, 1, 1])}
        for side in SIDES:
            template_heads = self._body.template_heads
            wrist, knuckle = (template_heads[self.bones[f'{n}.{side}']] for n in ('wrist', 'finger3-1'))
            palm = hand_axes(self._body.template_heads, self._body.template_tails, self.bones, side)[1]
            places[f'palm.{side}'] = wrist + 0.6 * (knuckle - wrist) + 0.03 * palm
            places[f'knuckle.{side}'] = knuckle - 0.02 * palm
            places[f'tip.{side}'] = self._body.template_tails[self.bones[f'finger2-3.{side}']]
            places[f'middle.{side}'] = self._body.template_tails[self.bones[f'finger3-3.{side}']]
        tree = cKDTree(self._body.template[self._skin])
        return {name: int(self._skin[tree.query(place)[1]]) for name, place in places.items()}

    def _normals(self, body: Body, marks: dict) -> dict:
        from .mesh import triangulate, vertex_normals

        normals = vertex_normals(body.template, triangulate(body.quads['body']))
        return {name: normals[row].astype(float) for name, row in marks.items()}


@functools.lru_cache(maxsize=2)
def anatomy(body: Body) -> Anatomy:
    return Anatomy(body)


def hand_axes(
    heads: np.ndarray, tails: np.ndarray, bones: dict, side: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit vectors at rest: along the hand, out of the palm, and across it towards the thumb."""
    along = unit(tails[bones[f'metacarpal2.{side}']] - heads[bones[f'wrist.{side}']])
    across = tails[bones[f'metacarpal1.{side}']] - tails[bones[f'metacarpal4.{side}']]
    across = unit(across - (across @ along) * along)
    return along, SIDES[side] * cross(along, across), across


class Figure:
    """A person while a pose is made: ``rotations`` (163, 3, 3) and what follows from them.

    Attributes:
        world: (163, 3, 3) rotations of the bones; ``joints`` (163, 3) their heads.
    """

    def __init__(self, body: Body, shape: Shape):
        self.anatomy = anatomy(body)
        self.bones = body.bones
        self.heads, self.tails = shape.heads.astype(float), shape.tails.astype(float)
        self.rest = shape.vertices[self.anatomy.rows].astype(float)
        self.rotations = np.tile(np.eye(3), (len(body.parents), 1, 1))
        self.origin = self.heads[0].copy()
        self.links = self.heads - self.heads[np.maximum(body.parents, 0)]
        self.world, self.joints = self.rotations.copy(), self.heads.copy()
        self.update()

    def update(self, limb: int | None = None) -> None:
        """Recompute the bones after the rotations or ``origin`` changed; ``limb``: the only bone whose branch changed."""
        if limb is None:
            self.world[0], self.joints[0] = self.rotations[0], self.origin
        world, joints = self.world, self.joints
        for rows, parents in self.anatomy.levels if limb is None else self.anatomy.branches[limb]:
            above = world[parents]
            world[rows] = above @ self.rotations[rows]
            joints[rows] = joints[parents] + (above @ self.links[rows, :, None])[:, :, 0]

    def shift(self, by: np.ndarray) -> None:
        """Move the figure by (3,) or, along z, by a number."""
        by = np.array([0, 0, by]) if np.ndim(by) == 0 else by
        self.origin = self.origin + by
        self.joints = self.joints + by

    def at(self, bone: str) -> np.ndarray:
        return self.joints[self.bones[bone]]

    def tail(self, bone: str) -> np.ndarray:
        i = self.bones[bone]
        return self.joints[i] + self.world[i] @ (self.tails[i] - self.heads[i])

    def points(self, rows: np.ndarray | None = None, rotations: np.ndarray | None = None) -> np.ndarray:
        """Posed positions (P, 3) of vertices counted in the anatomy's rows; all of them by default."""
        a = self.anatomy
        shift = self.joints - np.einsum('kij,kj->ki', self.world, self.heads)
        matrices = np.concatenate([self.world.reshape(-1, 9), shift], 1)
        weights, rest = (a.weights, self.rest) if rows is None else (a.weights[rows], self.rest[rows])
        mixed = weights @ matrices
        return np.einsum('pij,pj->pi', mixed[:, :9].reshape(-1, 3, 3), rest) + mixed[:, 9:]

    def mark(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """A landmark's place and outward normal."""
        a = self.anatomy
        row = a.marks[name]
        return self.points(np.array([row]))[0], self.world[a.dominant[row]] @ a.mark_normals[name]

    def obstacles(self, names: list, floor: float | None = None) -> 'Obstacles':
        """The named pieces ('thigh.L', 'ribs') as they are posed now; ``floor``: also the half-space below this height."""
        a = self.anatomy
        rows = [a.piece_names.index(name) for name in names]
        points = self.points()[a.piece_rows[rows]]
        normals = a.planes[rows] @ self.world[a.piece_bones[rows]].transpose(0, 2, 1)
        return Obstacles(points, normals, np.array([name in _TRUNK for name in names]), floor)


class Obstacles:
    """Convex pieces: points with ``normals @ x <= offsets``, (N, K, 3) and (N, K), and perhaps a floor."""

    REACH = 0.04  # how far outside a piece depths still count

    def __init__(self, points: np.ndarray, normals: np.ndarray, trunk: np.ndarray, floor: float | None = None):
        self.normals, self.trunk, self.floor = normals, trunk, floor
        self.offsets = np.matmul(points, normals.transpose(0, 2, 1)).max(1)
        self.low, self.high = points.min(1) - self.REACH, points.max(1) + self.REACH

    def depth(self, points: np.ndarray, armpit: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """How deep points (P, 3) are in the piece they are deepest in (negative: outside), and the way out (P, 3).

        ``armpit`` (P,): points that the pieces of the trunk do not count for.
        """
        best = np.full(len(points), -self.REACH)
        out = np.tile(UP, (len(points), 1))
        if self.floor is not None:
            np.maximum(best, self.floor - points[:, 2], out=best)
        near = ((points > self.low[:, None]) & (points < self.high[:, None])).all(2)
        if armpit is not None:
            near[np.ix_(self.trunk, armpit)] = False
        for piece in np.flatnonzero(near.any(1)):
            rows = np.flatnonzero(near[piece])
            below = self.offsets[piece] - points[rows] @ self.normals[piece].T
            plane = below.argmin(1)
            depth = below[np.arange(len(rows)), plane]
            deeper = depth > best[rows]
            best[rows[deeper]] = depth[deeper]
            out[rows[deeper]] = self.normals[piece, plane[deeper]]
        return best, out

    def joined(self, other: 'Obstacles') -> 'Obstacles':
        both = object.__new__(Obstacles)
        both.floor = self.floor
        for name in ('normals', 'offsets', 'low', 'high', 'trunk'):
            setattr(both, name, np.concatenate([getattr(self, name), getattr(other, name)]))
        return both


@dataclass
class Point:
    """Wish: bring the point ``place`` (3,), at rest, of the limb's bone number ``bone`` to ``target`` (3,); weight in 1 / m."""

    bone: int
    place: np.ndarray
    target: np.ndarray
    weight: float = 40.0

    def error(self, world, joints, heads):
        return self.weight * (
            joints[:, self.bone] + world[:, self.bone] @ (self.place - heads[self.bone]) - self.target
        )


@dataclass
class Direction:
    """Wish: turn the direction ``way`` (3,), at rest, of the limb's bone number ``bone`` to ``target`` (3,)."""

    bone: int
    way: np.ndarray
    target: np.ndarray
    weight: float = 0.6

    def error(self, world, joints, heads):
        return self.weight * (world[:, self.bone] @ self.way - self.target)


class Limb:
    """An arm or a leg as six or seven angles.

    arm: two of swing, twist (+ inwards), elbow (0 straight), pronation (0: thumb up, + palm down), wrist flexion, wrist
    deviation (+ towards the thumb). leg: two of swing, twist (+ inwards), knee (0 straight), ankle (+ toes up), ankle
    inversion (+ sole inwards).

    The swing is the shortest rotation that points the upper bone its way; on a thigh that is both flexed and spread it turns the
    knee inwards as far as the thigh is spread, so that twist goes further outwards than a hip at rest would.
    """

    LIMITS = {
        'arm': np.radians([(-170, 170), (-170, 170), (-75, 80), (2, 148), (-80, 80), (-55, 60), (-28, 20)]),
        'leg': np.radians([(-150, 150), (-90, 90), (-105, 45), (1, 150), (-50, 32), (-20, 22)]),
    }

    def __init__(self, figure: Figure, kind: str, side: str):
        self.figure, self.kind, self.side, self.sign = figure, kind, side, SIDES[side]
        names = {
            'arm': ('clavicle', 'shoulder01', 'upperarm01', 'upperarm02', 'lowerarm01', 'lowerarm02', 'wrist'),
            'leg': ('upperleg01', 'upperleg02', 'lowerleg01', 'lowerleg02', 'foot'),
        }[kind]
        bones = figure.bones
        self.rows = np.array([bones[f'{name}.{side}'] for name in names])
        self.parent = bones['spine01' if kind == 'arm' else f'pelvis.{side}']
        self.heads = figure.heads[self.rows]
        first, middle = (2, 4) if kind == 'arm' else (0, 2)
        a, b, c = self.heads[first], self.heads[middle], self.heads[-1]
        self.upper, self.lower = unit(b - a), unit(c - b)
        self.lengths = np.linalg.norm(b - a), np.linalg.norm(c - b)
        if kind == 'arm':
            self.hinge = unit(cross(self.upper, self.lower))
            self.along, self.palm, self.across = hand_axes(figure.heads, figure.tails, bones, side)
        else:
            self.hinge = unit(cross(self.upper, -FORWARD))
        self.other = cross(self.upper, self.hinge)
        self.bent = np.arctan2(cross(self.upper, self.lower) @ self.hinge, self.upper @ self.lower)
        self.limits = self.LIMITS[kind]
        self.armpit = figure.anatomy.armpits[side] if kind == 'arm' else None
        self.swings = self.hinge * (1 if kind == 'arm' else -1), self.other * self.sign
        axes = {'upper': self.upper, 'lower': self.lower, 'hinge': self.hinge, 'front': FORWARD, 'up': UP}
        if kind == 'arm':
            axes |= {'palm': self.palm, 'wrist': cross(self.along, self.palm)}
        else:
            axes['ankle'] = np.array([-1.0, 0, 0])
        self.turns = {name: Hinge(axis) for name, axis in axes.items()}
        self.prepare()

    def prepare(self) -> None:
        """Take the limb's sample points with fingers and toes as they are bent now; the limb itself must still be at rest."""
        figure, a = self.figure, self.figure.anatomy
        key = f'{self.kind}.{self.side}'
        turned, at, head = figure.world[self.parent], figure.joints[self.parent], figure.heads[self.parent]
        names = [f'{n}.{self.side}' for n in ('palm', 'knuckle', 'tip', 'middle')] if self.kind == 'arm' else []
        points = figure.points(np.concatenate([a.samples[key], [a.marks[n] for n in names]]).astype(int))
        points = (points - at) @ turned + head  # the limb is straight so far: where it would be at rest
        self.samples = points[: len(points) - len(names)]
        self.marks = {n[:-2]: p for n, p in zip(names, points[len(self.samples) :], strict=True)}
        if key not in a.limb_weights:
            dense = a.weights[a.samples[key]].toarray()
            ends = ('finger', 'metacarpal', 'toe')
            end = [i for name, i in figure.bones.items() if name.startswith(ends) and name.endswith(self.side)]
            ours = dense[:, self.rows]
            ours[:, -1] += dense[:, end].sum(1)
            a.limb_weights[key] = np.concatenate([ours, 1 - ours.sum(1, keepdims=True)], 1)
        weights = a.limb_weights[key]
        heads = np.concatenate([self.heads, figure.heads[self.parent][None]])
        arms = weights[:, :, None] * (self.samples[:, None] - heads)
        self.skinning = np.concatenate([arms, weights[:, :, None]], 2).reshape(
            len(weights), -1
        )  # (P, 4 * (bones + 1))

    def bend(self, q: np.ndarray) -> np.ndarray:
        """Angles (B, n) -> rotations of the limb's bones (B, bones, 3, 3)."""
        turns = self.turns
        swing = turn_vector(q[:, :1] * self.swings[0] + q[:, 1:2] * self.swings[1])
        out = np.empty((len(q), len(self.rows), 3, 3))
        twist = turns['upper'](0.5 * self.sign * q[:, 2])
        elbow = turns['hinge'](q[:, 3] - self.bent)
        if self.kind == 'arm':
            way = swing @ self.upper
            lift, front = np.radians(13) * (way[:, 2] - self.upper[2]), np.radians(11) * (self.upper[1] - way[:, 1])
            clavicle = turns['front'](-self.sign * lift) @ turns['up'](-self.sign * np.maximum(front, -0.1))
            out[:, 0], out[:, 1] = clavicle, np.eye(3)
            out[:, 2] = clavicle.transpose(0, 2, 1) @ swing @ twist
            out[:, 3] = twist
            roll = self.sign * q[:, 4]
            out[:, 4] = elbow @ turns['lower'](0.15 * roll)
            out[:, 5] = turns['lower'](0.5 * roll)
            out[:, 6] = turns['lower'](0.35 * roll) @ turns['palm'](self.sign * q[:, 6]) @ turns['wrist'](q[:, 5])
        else:
            out[:, 0], out[:, 1] = swing @ twist, twist
            out[:, 2], out[:, 3] = elbow, np.eye(3)
            out[:, 4] = turns['ankle'](q[:, 4]) @ turns['front'](-self.sign * q[:, 5])
        return out

    def swing_to(self, way: np.ndarray) -> np.ndarray:
        """The two swing angles that point the upper bone along ``way`` (3,), in the parent's frame."""
        v = align(self.upper, unit(np.asarray(way, float)))
        return np.array([v @ self.swings[0], v @ self.swings[1]])

    def frames(self, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Angles (B, n) -> the bones' rotations (B, bones, 3, 3) and heads (B, bones, 3) in the world."""
        bend = self.bend(q)
        world, joints = np.empty_like(bend), np.empty(bend.shape[:3])
        turned, start, head = (
            self.figure.world[self.parent],
            self.figure.joints[self.parent],
            self.figure.heads[self.parent],
        )
        for i in range(len(self.rows)):
            joints[:, i] = start + turned @ (self.heads[i] - head)
            world[:, i] = turned @ bend[:, i]
            turned, start, head = world[:, i], joints[:, i], self.heads[i]
        return world, joints

    def skin(self, world: np.ndarray, joints: np.ndarray, rows=slice(None)) -> np.ndarray:
        """Sample points (B, P, 3) of the limb."""
        batch, bones = len(world), len(self.rows)
        frame = np.empty((batch, bones + 1, 4, 3))
        frame[:, :bones, :3], frame[:, :bones, 3] = world.transpose(0, 1, 3, 2), joints
        frame[:, bones, :3], frame[:, bones, 3] = self.figure.world[self.parent].T, self.figure.joints[self.parent]
        return np.matmul(self.skinning[rows], frame.reshape(batch, -1, 3))

    def depth(self, q: np.ndarray, obstacles: Obstacles) -> float:
        """How deep the deepest sample point is in the obstacles at angles (n,)."""
        return float(obstacles.depth(self.skin(*self.frames(q[None]))[0], self.armpit)[0].max())

    def read(self, rotations: np.ndarray) -> np.ndarray:
        """The angles (n,) that made rotations (163, 3, 3): the inverse of :meth:`bend`."""
        r = rotations[self.rows].astype(float)
        first = r[0] @ r[2] if self.kind == 'arm' else r[0]
        second, lower = (r[3], r[4]) if self.kind == 'arm' else (r[1], r[2])

        def about(rotation, axis):  # the angle of a rotation about an axis
            return np.arctan2(
                0.5 * np.trace(rotation @ Hinge(axis).cross.T), 0.5 * (np.trace(rotation) - axis @ rotation @ axis)
            )

        q = np.zeros(len(self.limits))
        q[:2] = self.swing_to(first @ self.upper)
        q[2] = 2 * self.sign * about(second, self.upper)
        q[3] = self.bent + np.arctan2(
            cross(self.lower, lower @ self.lower) @ self.hinge, self.lower @ lower @ self.lower
        )
        if self.kind == 'arm':
            q[4] = 2 * self.sign * about(r[5], self.lower)
            wrist = turn(self.lower, 0.35 * self.sign * q[4]).T @ r[6]
            axis = cross(self.along, self.palm)
            q[6] = self.sign * np.arctan2(cross(axis, wrist @ axis) @ self.palm, axis @ wrist @ axis)
            q[5] = about(turn(self.palm, self.sign * q[6]).T @ wrist, axis)
        else:
            ankle = np.array([-1.0, 0, 0])
            side = r[4].T @ ankle
            q[5] = -self.sign * np.arctan2(cross(side, ankle) @ FORWARD, side @ ankle)
            q[4] = about(r[4] @ turn(FORWARD, -self.sign * q[5]).T, ankle)
        return q

    def write(self, q: np.ndarray) -> None:
        """Put angles (n,) into the figure."""
        self.figure.rotations[self.rows] = self.bend(q[None])[0]
        self.figure.update(self.rows[0])

    def solve(
        self, q, wishes=(), obstacles=None, clearance=0.012, home=None, hold=0.15, steps=10
    ) -> tuple[np.ndarray, float]:
        """Angles near ``home`` that fulfil the wishes, within the limits and outside the obstacles.

        Returns:
            Angles (n,), and how deep the deepest sample point is in an obstacle (before the last step).
        """
        home = q if home is None else home
        n, eps = len(q), 1e-4
        q = np.clip(q, *self.limits.T)
        deepest, eye = 0.0, np.eye(n)
        for step in range(steps):
            batch = np.concatenate([q[None], q + eps * eye])
            world, joints = self.frames(batch)
            errors = [wish.error(world, joints, self.heads) for wish in wishes]
            errors.append(hold * (batch - home))
            if self.kind == 'arm':
                errors.append(self.reach_error(world))
            if obstacles is not None:
                depth, out = obstacles.depth(self.skin(world[:1], joints[:1])[0], self.armpit)
                hit = np.flatnonzero(depth > -clearance)
                deepest = float(depth.max())
                if len(hit):
                    points = self.skin(world, joints, hit)
                    away = np.einsum('bpi,pi->bp', points - points[:1], out[hit])
                    errors.append(60.0 * (depth[hit] + clearance - away) / np.sqrt(1 + len(hit) / 12))
            errors = np.concatenate(errors, 1)
            jacobian = (errors[1:] - errors[0]).T / eps
            move = np.linalg.solve(jacobian.T @ jacobian + 1e-3 * eye, -jacobian.T @ errors[0])
            move *= min(1, 0.5 / np.abs(move).max(initial=1e-9))
            new = np.clip(q + move, *self.limits.T)
            moved = np.abs(new - q).max()
            q = new
            if moved < (1e-3 if self.kind == 'leg' else 8e-3) or (
                step and moved < 0.03 and deepest < -0.5 * clearance < 0
            ):
                break
        return q, deepest

    def reach_error(self, world: np.ndarray) -> np.ndarray:
        """How far the upper arm points beyond where a shoulder can point it (B, 3)."""
        chest = self.figure.world[self.parent]
        way = (world[:, 2] @ self.upper) @ chest
        out, front, up = way[:, 0] * self.sign, -way[:, 1], way[:, 2]
        behind = np.maximum(-front - 0.62 + 0.3 * np.maximum(up, 0), 0)
        across = np.maximum(-out - 0.42, 0)
        back_across = np.maximum(-out - front - 0.05, 0)
        return 3.0 * np.stack([behind, across, back_across], 1)
