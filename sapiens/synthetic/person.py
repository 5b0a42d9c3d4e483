"""A dressed person in a pose: appearance, shape, pose, clothes, and the visible skin."""

from dataclasses import dataclass, field, replace

import numpy as np

from sapiens.metainfo import get_classes

from .appearance import Look, sample_look
from .body import REGIONS, Body, Posed, Shape
from .clothing import dress, sole_thickness
from .materials import Material, srgb
from .mesh import Surface, vertex_normals
from .pose import PoseSample, Seat, sample_expression, sample_pose

__all__ = ['Figure', 'Person', 'dress_figure', 'sample_figure', 'skin_surfaces']


@dataclass
class Person:
    """A person in the world.

    Attributes:
        surfaces: all visible surfaces.
        posed: the body under the clothes.
        seat: the seat under the person, or None.
        size: stature relative to the template.
        attributes: JSON-able description.
    """

    surfaces: list
    posed: Posed
    seat: Seat | None
    size: float
    attributes: dict = field(default_factory=dict)

    def move(self, turn: float, shift: np.ndarray) -> 'Person':
        """Return the person rotated about the z axis (radians), then shifted (meters)."""
        c, s = np.cos(turn), np.sin(turn)
        matrix = np.eye(4)
        matrix[:2, :2] = [[c, -s], [s, c]]
        matrix[:3, 3] = shift
        rotation, offset = matrix[:3, :3].T.astype(np.float32), np.asarray(shift, np.float32)
        done: dict = {}  # surfaces share vertex arrays

        def transform(points: np.ndarray, by: np.ndarray | None) -> np.ndarray:
            key = id(points), by is None
            if key not in done:
                out = points @ rotation
                done[key] = points, out if by is None else out + by  # keep the array alive: its id is the key
            return done[key][1]

        surfaces = [
            replace(
                surface,
                vertices=transform(surface.vertices, offset),
                normals=None if surface.normals is None else transform(surface.normals, None),
            )
            for surface in self.surfaces
        ]
        seat = self.seat
        if seat is not None:
            seat = replace(seat, center=np.asarray(seat.center) @ rotation + offset, yaw=seat.yaw + turn)
        return Person(surfaces, self.posed.transform(matrix), seat, self.size, self.attributes)


@dataclass
class Figure:
    """A person without clothes: cheap enough to be discarded if there is no room."""

    look: Look
    shape: Shape
    pose: PoseSample
    seed: int


def sample_figure(body: Body, rng: np.random.Generator, action: str | None = None, look: Look | None = None) -> Figure:
    """Draw a random person without clothes at x = y = 0 on the ground, facing -y.

    Args:
        action: one of :data:`sapiens.synthetic.pose.ACTIONS`; random by default.
        look: appearance; random by default.
    """
    look = look or sample_look(rng)
    shape = body.shape(look.phenotype, sample_expression(rng))
    pose = sample_pose(body, shape, rng, action, sole=sole_thickness(look))
    return Figure(look, shape, pose, int(rng.integers(2**31)))


def dress_figure(body: Body, figure: Figure) -> Person:
    """Dress a person."""
    rng = np.random.default_rng(figure.seed)
    look, posed = figure.look, figure.pose.posed
    outfit = dress(body, figure.shape, posed, look, rng)
    surfaces = skin_surfaces(body, posed, look, ~outfit.hidden, float(rng.random())) + outfit.surfaces
    skin = np.unique(body.quads['body'])
    size = float(np.ptp(figure.shape.vertices[skin, 2]) / np.ptp(body.template[skin, 2]))
    attributes = dict(
        action=figure.pose.action,
        **{name: round(float(look.phenotype.get(name, 0.5)), 3) for name in ('age', 'gender', 'weight', 'muscle')},
        worn=sorted({surface.name for surface in outfit.surfaces}),
    )
    return Person(surfaces, posed, figure.pose.seat, size, attributes)


_PARTS = {
    'upper_lip': 'Upper_Lip',
    'lower_lip': 'Lower_Lip',
    'upper_teeth': 'Upper_Teeth',
    'lower_teeth': 'Lower_Teeth',
    'tongue': 'Tongue',
}


def _region_classes() -> tuple[np.ndarray, np.ndarray]:
    """Return the classes of goliath28 and lip20 of bare skin, by region."""
    parts, lips = get_classes('goliath28'), get_classes('lip20')
    part, lip = np.zeros(len(REGIONS), np.uint8), np.zeros(len(REGIONS), np.uint8)
    for index, region in enumerate(REGIONS):
        side, _, limb = region.partition('_')
        if region == 'none':
            continue
        if region == 'head':
            part[index], lip[index] = parts.index('Face_Neck'), lips.index('Face')
        elif region == 'torso':
            part[index], lip[index] = parts.index('Torso'), 255  # LIP has no class for a bare torso
        else:
            part[index] = parts.index(region.title())
            kind = 'leg' if limb.endswith(('leg', 'foot')) else 'arm'
            lip[index] = lips.index(f'{side.title()}-{kind}')
    return part, lip


def skin_surfaces(body: Body, posed: Posed, look: Look, shown: np.ndarray, seed: float) -> list[Surface]:
    """Return the skin, eyes and mouth as surfaces, one for each material, on one array of vertices.

    Args:
        shown: (F,) bool over ``body.faces``: triangles that clothes do not cover.
        seed: seed of the variation of the skin.
    """
    vertices = body.refine(posed.vertices)
    normals = vertex_normals(vertices, body.faces)
    part_of, lip_of = _region_classes()
    goliath = get_classes('goliath28')
    materials = _skin_materials(look, seed)
    surfaces = []
    for kind, name in enumerate(body.KINDS):
        rows = np.flatnonzero((body.face_kind == kind) & shown)
        if not len(rows):
            continue
        region = body.face_region[rows]
        part = part_of[region]
        if name in _PARTS:
            part = np.uint8(goliath.index(_PARTS[name]))
        surfaces.append(
            Surface(
                name,
                vertices,
                body.faces[rows],
                materials[name],
                body.refined_template,
                part,
                lip_of[region],
                region,
                normals,
            )
        )
    return surfaces


def _skin_materials(look: Look, seed: float) -> dict:
    skin = np.array(look.skin)
    base = dict(
        color2=tuple(look.brow),
        color3=tuple(look.blush),
        scale=look.brow_width / 0.004,
        gloss=0.5,
        bump=4e-5,
        seed=seed,
    )
    painted = Material('skin', tuple(skin), stubble=look.stubble, **base)
    lips = Material('skin', tuple(look.lip), color3=(1, 1, 1), scale=0.1, gloss=0.9, seed=seed)
    teeth = Material('teeth', srgb(226, 220, 206))
    nail = tuple(np.clip(0.65 * skin + 0.35 * np.array(srgb(225, 170, 160)), 0, 1))
    return {
        'skin': painted,
        'nail': Material('glossy', nail, gloss=0.25),
        'upper_lip': lips,
        'lower_lip': lips,
        'upper_teeth': teeth,
        'lower_teeth': teeth,
        'tongue': Material('wet', srgb(190, 95, 95)),
        'eye': Material('eye', tuple(look.eye)),
        'lashes': Material('matte', srgb(24, 18, 16)),
        'mouth': Material('matte', srgb(80, 28, 28)),
    }
