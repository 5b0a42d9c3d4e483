"""Properties of the body for the solver that do not depend on the person."""

import functools
from dataclasses import dataclass

import numpy as np
import scipy.sparse

from ..body import Body
from .rotations import FORWARD, SIDES, UP, cross, unit

# Nearly convex pieces of the body: name -> (bones of its vertices, bone that moves it, start and end along that bone).
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

# Landmarks: name -> a point on or near the skin of the template (the left one of a pair).
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


@dataclass
class Patch:
    """A set of vertices: their rows in :attr:`Anatomy.rows`, and their sparse skinning weights (P, 163)."""

    rows: np.ndarray
    weights: scipy.sparse.csr_matrix


@dataclass
class Group:
    """Convex pieces: a patch with all their vertices, the corners of each (N, C) in it, the bones that move them (N,), the
    normals of their planes (N, 3, K), and whether they belong to the trunk (N,)."""

    patch: Patch
    corners: np.ndarray
    bones: np.ndarray
    planes: np.ndarray
    trunk: np.ndarray


class Anatomy:
    """Properties of the body for the solver that do not depend on the person: sample vertices, pieces, landmarks."""

    def __init__(self, body: Body):
        self.bones, parents = body.bones, body.parents
        depth = np.zeros(len(parents), int)
        for i, parent in enumerate(parents):
            depth[i] = depth[parent] + 1 if parent >= 0 else 0
        self.levels = [
            (rows, parents[rows]) for rows in (np.flatnonzero(depth == d) for d in range(1, depth.max() + 1))
        ]
        self.branches = {}  # first bone of a limb -> levels of its descendants
        for name in ('neck01', *(f'{n}.{side}' for n in ('clavicle', 'upperleg01', 'foot') for side in SIDES)):
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
        self.feet = body.region_weights[: skin.max() + 1, 13:].sum(1) > 0.5  # of the skin's vertices
        self.fingers = {  # (5, 3) bones of the thumb and the fingers
            side: np.array([[self.bones[f'finger{f}-{j}.{side}'] for j in (1, 2, 3)] for f in range(1, 6)])
            for side in SIDES
        }
        self.toes = {side: np.array([self.bones[f'toe{toe}-1.{side}'] for toe in range(1, 6)]) for side in SIDES}
        self.piece_bones = np.array(self.piece_bones)  # (N,)
        self.planes = np.stack(directions).transpose(0, 2, 1).copy()  # (N, 3, K)
        self.samples = {name: find(part) for name, part in samples.items()}
        self.soles = {name[-1]: find(part) for name, part in soles.items()}
        self.marks = {name: int(find(row)) for name, row in marks.items()}
        self.weights = weights[self.rows].tocsr()
        self.all_weights = weights.astype(np.float32)
        self.all_weights.eliminate_zeros()
        self._groups, self._limbs, self._patches = {}, {}, {}
        self.sole_patches = {side: self.cut(rows) for side, rows in self.soles.items()}
        self.mark_patches = {name: self.cut(np.array([row])) for name, row in self.marks.items()}
        self.armpits = {}  # samples of an arm that are always in contact with the trunk
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

    def cut(self, rows: np.ndarray) -> Patch:
        return Patch(rows, self.weights[rows])

    def patch(self, *names: str) -> Patch:
        """Return the vertices of some pieces ('thigh.L') and the samples of some limbs ('arm.R')."""
        if names not in self._patches:
            rows = [
                self.samples[n] if n in self.samples else self.piece_rows[self.piece_names.index(n)] for n in names
            ]
            self._patches[names] = self.cut(np.unique(np.concatenate(rows)))
        return self._patches[names]

    def group(self, names: tuple) -> Group:
        """Return the named pieces."""
        if names not in self._groups:
            pieces = [self.piece_names.index(name) for name in names]
            rows, corners = np.unique(self.piece_rows[pieces], return_inverse=True)
            self._groups[names] = Group(
                self.cut(rows),
                corners.reshape(len(pieces), -1),
                self.piece_bones[pieces],
                self.planes[pieces],
                np.array([name in _TRUNK for name in names]),
            )
        return self._groups[names]

    def limb(self, kind: str, side: str, bones: np.ndarray) -> tuple[Patch, np.ndarray, list]:
        """Return the samples and landmarks of a limb with these bones, the weights (P, bones + 1) of the samples, with the
        hand or foot merged into the last bone and the rest of the body after it, and the names of the landmarks."""
        key = f'{kind}.{side}'
        if key not in self._limbs:
            marks = ['palm', 'knuckle', 'tip', 'middle'] if kind == 'arm' else []
            dense = self.weights[self.samples[key]].toarray()
            ends = ('finger', 'metacarpal', 'toe')
            end = [i for name, i in self.bones.items() if name.startswith(ends) and name.endswith(side)]
            ours = dense[:, bones]
            ours[:, -1] += dense[:, end].sum(1)
            rows = np.concatenate([self.samples[key], [self.marks[f'{n}.{side}'] for n in marks]]).astype(int)
            self._limbs[key] = self.cut(rows), np.concatenate([ours, 1 - ours.sum(1, keepdims=True)], 1), marks
        return self._limbs[key]

    def _near(self, chosen, least: float) -> np.ndarray:
        """Return skin vertices with more than ``least`` of their weight on the chosen bones."""
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
        """Return evenly spread vertices of a limb, without those next to the trunk."""
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
        from ..mesh import triangulate, vertex_normals

        normals = vertex_normals(body.template, triangulate(body.quads['body']))
        return {name: normals[row].astype(float) for name, row in marks.items()}


@functools.lru_cache(maxsize=2)
def anatomy(body: Body) -> Anatomy:
    return Anatomy(body)


def hand_axes(
    heads: np.ndarray, tails: np.ndarray, bones: dict, side: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return unit vectors at rest: along the hand, out of the palm, and across it towards the thumb."""
    along = unit(tails[bones[f'metacarpal2.{side}']] - heads[bones[f'wrist.{side}']])
    across = tails[bones[f'metacarpal1.{side}']] - tails[bones[f'metacarpal4.{side}']]
    across = unit(across - (across @ along) * along)
    return along, SIDES[side] * cross(along, across), across
