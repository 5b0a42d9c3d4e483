"""Clothes, hair and accessories: what covers what, labels, hems, and that everything can be worn by anybody."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip('anny')
pytest.importorskip('warp')

from sapiens.metainfo import get_classes
from sapiens.synthetic.appearance import (
    ACCESSORIES,
    GARMENTS,
    HAIR_STYLES,
    accessory_material,
    sample_garment,
    sample_look,
)
from sapiens.synthetic.body import REGIONS, load_body
from sapiens.synthetic.clothing import dress, sole_thickness

PEOPLE = {
    'child': dict(age=0.33, gender=0.4, weight=0.5, height=0.4),
    'heavy man': dict(age=0.75, gender=0.0, weight=0.98, height=0.55, muscle=0.4),
    'thin woman': dict(age=0.7, gender=1.0, weight=0.05, height=0.5),
}
LOWER = ('trousers', 'jeans', 'shorts', 'leggings', 'skirt')


def turn(axis: int, degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    i, j = [(1, 2), (2, 0), (0, 1)][axis]
    matrix = np.eye(3)
    matrix[i, i], matrix[j, j], matrix[i, j], matrix[j, i] = c, c, -s, s
    return matrix


def sitting() -> dict:
    pose = {}
    for side, sign in (('L', 1), ('R', -1)):
        pose[f'upperleg01.{side}'] = turn(0, -85)
        pose[f'lowerleg01.{side}'] = turn(0, 85)
        pose[f'upperarm01.{side}'] = turn(1, 25 * sign)
    return pose


@pytest.fixture(scope='module')
def body():
    return load_body()


@pytest.fixture(scope='module')
def people(body):
    """Name and pose -> shape and posed."""
    out = {}
    for name, phenotype in PEOPLE.items():
        shape = body.shape(phenotype)
        out[name] = shape, body.pose(shape, {}), body.pose(shape, sitting())
    return out


def plain_look(seed: int = 0, garments: tuple = ('jeans', 'tshirt'), **changes):
    rng = np.random.default_rng(seed)
    look = sample_look(rng)
    look = replace(look, accessories={}, footwear='shoes', style='short', beard=0.0, **changes)
    look.garments = [sample_garment(rng, kind) for kind in garments]
    return look


def with_under(kind: str) -> tuple:
    """A garment as part of a whole outfit."""
    if kind in ('dress', 'jumpsuit'):
        return (kind,)
    if kind in LOWER:
        return kind, 'tshirt'
    return ('jeans', kind) if kind not in ('jacket', 'coat', 'cardigan') else ('jeans', 'tshirt', kind)


def check(outfit, body) -> None:
    classes, lips = len(get_classes('goliath29')), len(get_classes('lip20'))
    assert outfit.hidden.shape == (len(body.faces),)
    assert outfit.hidden.dtype == bool
    for surface in outfit.surfaces:
        count = len(surface.faces)
        assert count > 0, surface.name
        assert np.isfinite(surface.vertices).all(), surface.name
        assert surface.vertices.dtype == np.float32
        assert surface.faces.min() >= 0 and surface.faces.max() < len(surface.vertices), surface.name
        assert surface.normals is None or np.isfinite(surface.normals).all(), surface.name
        assert surface.texture is None or np.isfinite(surface.texture).all(), surface.name
        for labels, limit in ((surface.part, classes), (surface.lip, lips), (surface.region, len(REGIONS))):
            values = np.asarray(labels)
            assert values.shape in ((), (count,)), surface.name
            assert values.min() >= 0 and values.max() < limit, surface.name


@pytest.mark.parametrize('kind', GARMENTS)
def test_every_garment_fits_every_person(body, people, kind):
    for seed, (shape, standing, seated) in enumerate(people.values()):
        look = plain_look(seed, with_under(kind))
        for posed in (standing, seated):
            outfit = dress(body, shape, posed, look, np.random.default_rng(seed))
            check(outfit, body)
            assert kind in {surface.name for surface in outfit.surfaces}


@pytest.mark.parametrize('style', HAIR_STYLES)
def test_every_hair_style_fits_every_person(body, people, style):
    hair = get_classes('goliath28').index('Hair')
    for seed, (shape, _, seated) in enumerate(people.values()):
        look = replace(plain_look(seed), style=style, beard=0.01 if seed == 1 else 0.0)
        outfit = dress(body, shape, seated, look, np.random.default_rng(seed))
        check(outfit, body)
        assert any(np.any(surface.part == hair) for surface in outfit.surfaces) == (style != 'bald')


@pytest.mark.parametrize('name', ACCESSORIES)
def test_every_accessory_fits_every_person(body, people, name):
    for seed, (shape, standing, seated) in enumerate(people.values()):
        look = plain_look(seed, ('tshirt', 'jeans'))
        look.garments[0].sleeve = 0.3
        look.accessories = {name: accessory_material(np.random.default_rng(seed), name)}
        for posed in (standing, seated):
            outfit = dress(body, shape, posed, look, np.random.default_rng(seed))
            check(outfit, body)
            names = {surface.name for surface in outfit.surfaces}
            assert {name, name.replace('_', ' '), 'glasses' if name == 'sunglasses' else name} & names


def test_torso_and_pelvis_are_always_covered(body):
    """Everybody's skin is hidden at belly, loins and hips, whatever the outfit."""
    points = body.refine(body.template)[body.faces].mean(1)
    trunk = (body.face_kind == 0) & np.isin(body.face_region, [REGIONS.index('torso')])
    must = trunk & (points[:, 2] > 0.0) & (points[:, 2] < 0.06)
    chest = trunk & (points[:, 2] > 0.24) & (points[:, 2] < 0.34) & (np.abs(points[:, 0]) > 0.05) & (points[:, 1] < 0)
    for seed in range(25):
        rng = np.random.default_rng(seed)
        look = sample_look(rng)
        shape = body.shape(look.phenotype)
        hidden = dress(body, shape, body.pose(shape, {}), look, rng).hidden
        assert hidden[must].mean() > 0.98, seed
        if not any(g.open for g in look.garments[1:]):
            assert hidden[chest].mean() > 0.9, seed


def test_hem_is_a_smooth_curve(body, people):
    """The lower rim of a T-shirt stays in a narrow band around a smooth closed curve."""
    shape, posed, _ = people['thin woman']
    look = plain_look(3)
    look.garments[1].hem, look.garments[1].tucked = 0.0, False
    outfit = dress(body, shape, posed, look, np.random.default_rng(0))
    vertices = np.concatenate([s.vertices[np.unique(s.faces)] for s in outfit.surfaces if s.name == 'tshirt'])
    trunk = vertices[np.abs(vertices[:, 0]) < 0.2]
    rim = trunk[trunk[:, 2] < trunk[:, 2].min() + 0.02]
    angle = np.arctan2(rim[:, 0], rim[:, 1] - rim[:, 1].mean())
    bins = np.floor((angle + np.pi) / (2 * np.pi) * 48).astype(int)
    lowest = np.array([rim[bins == k, 2].min() for k in range(48) if (bins == k).any()])
    assert len(lowest) > 44
    smooth = sum(np.roll(lowest, k) for k in range(-3, 4)) / 7
    assert np.abs(lowest - smooth).max() < 0.004


@pytest.mark.parametrize('kind', ['tshirt', 'sweater', 'jacket'])
def test_tops_of_seated_people_end_above_the_legs(body, people, kind, monkeypatch):
    """The lowest part of a long top is at the hip in front, not between the legs. Standing people wear it as before."""
    legs = [index for index, name in enumerate(REGIONS) if name.endswith('leg')]
    for seed, (shape, standing, seated) in enumerate(people.values()):
        look = plain_look(seed, with_under(kind))
        look.garments[-1].hem, look.garments[-1].tucked = -0.08, False

        def worn(posed, shape=shape, look=look, seed=seed):
            outfit = dress(body, shape, posed, look, np.random.default_rng(seed))
            return [one for one in outfit.surfaces if one.name == kind]

        def over_legs(surfaces) -> float:
            total = 0.0
            for one in surfaces:
                a, b, c = one.vertices[one.faces].swapaxes(0, 1)
                total += (np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2)[np.isin(one.region, legs)].sum()
            return total

        now, upright = over_legs(worn(seated)), worn(standing)
        with monkeypatch.context() as before:
            before.setattr('sapiens.synthetic.clothing._lap', lambda *_: 0.0)
            assert now < 0.7 * over_legs(worn(seated))
            for a, b in zip(upright, worn(standing), strict=True):
                np.testing.assert_array_equal(a.vertices, b.vertices)


@pytest.mark.parametrize('kind', ['tshirt', 'sweater', 'jeans'])
def test_folds_are_ridges_of_about_a_centimetre_and_grow_with_their_strength(body, people, kind):
    """Heights over the same garment without folds, in millimeters along its normals."""
    shape, posed, _ = people['thin woman']
    worn = []
    for strength in (0, 1, 2):
        look = plain_look(1, ('jeans', 'tshirt' if kind == 'jeans' else kind))
        for garment in look.garments:
            garment.folds = strength if garment.kind == kind else 0
        outfit = dress(body, shape, posed, look, np.random.default_rng(0))
        worn.append([surface for surface in outfit.surfaces if surface.name == kind])
    plain, once, twice = (np.concatenate([surface.vertices for surface in surfaces]) for surfaces in worn)
    normals = np.concatenate([surface.normals for surface in worn[0]])
    heights = [1000 * ((points - plain) * normals).sum(1) for points in (once, twice)]
    for height, strength in zip(heights, (1, 2), strict=True):
        assert np.percentile(height, 8) == pytest.approx(-2, abs=0.1)  # valleys are cut off, or skin would show
        assert 3 * strength < np.percentile(height, 95) < 6 * strength
        assert 9 * strength < height.max() < 14 * strength
    ridges = heights[0] > 2
    assert np.median(heights[1][ridges] / heights[0][ridges]) == pytest.approx(2, rel=0.01)


def test_shoes_follow_their_own_foot(body, people):
    names = get_classes('goliath28')
    shape, _, _ = people['thin woman']
    posed = body.pose(shape, {'upperleg01.L': turn(0, -60)})
    outfit = dress(body, shape, posed, plain_look(1), np.random.default_rng(0))
    for side, bone in (('Left', 'foot.L'), ('Right', 'foot.R')):
        found = []
        for surface in outfit.surfaces:
            rows = np.broadcast_to(surface.part, len(surface.faces)) == names.index(f'{side}_Shoe')
            found.append(surface.vertices[np.unique(surface.faces[rows])])
        found = np.concatenate(found)
        assert len(found) > 300
        assert np.linalg.norm(found - posed.heads[body.bones[bone]], axis=1).max() < 0.32
    low = min(surface.vertices[:, 2].min() for surface in outfit.surfaces)
    skin = posed.vertices[np.unique(body.quads['body'])][:, 2].min()
    assert low == pytest.approx(skin - sole_thickness(plain_look(1)), abs=0.004)


def test_no_skin_shows_through_cloth(body, people):
    """Rays from all around that aim at hidden skin meet cloth first."""
    look = plain_look(2, ('jeans', 'sweater'))
    for shape, standing, seated in people.values():
        for posed in (standing, seated):
            outfit = dress(body, shape, posed, look, np.random.default_rng(0))
            vertices = body.refine(posed.vertices)
            shown = body.faces[~outfit.hidden]
            pieces, offset = [shown], len(vertices)
            points = [vertices]
            for surface in outfit.surfaces:
                pieces.append(surface.faces + offset)
                points.append(surface.vertices)
                offset += len(surface.vertices)
            rng = np.random.default_rng(1)
            # Well under the cloth: on the trunk, away from every edge.
            inner = body.refine(body.template)[body.faces].mean(1)
            rows = np.flatnonzero(
                outfit.hidden
                & (body.face_region == REGIONS.index('torso'))
                & (inner[:, 2] > 0.15)
                & (inner[:, 2] < 0.42)
            )
            targets = vertices[body.faces[rng.choice(rows, 50)]].mean(1)
            origins = targets + 2 * _sphere(rng, 50)
            face = _first_hit(np.concatenate(points), np.concatenate(pieces), origins, targets)
            hit_skin = (face >= 0) & (face < len(shown))
            region = body.face_region[~outfit.hidden][np.where(hit_skin, face, 0)]
            assert not (hit_skin & (region == REGIONS.index('torso'))).any()


def test_same_seed_same_outfit(body, people):
    shape, posed, _ = people['child']
    looks = [sample_look(np.random.default_rng(5)) for _ in range(2)]
    assert looks[0] == looks[1]
    one, two = (dress(body, shape, posed, look, np.random.default_rng(9)) for look in looks)
    assert (one.hidden == two.hidden).all()
    assert [s.name for s in one.surfaces] == [s.name for s in two.surfaces]
    for a, b in zip(one.surfaces, two.surfaces, strict=True):
        np.testing.assert_array_equal(a.vertices, b.vertices)
        np.testing.assert_array_equal(a.faces, b.faces)


def test_looks_are_coherent():
    looks = [sample_look(np.random.default_rng(seed)) for seed in range(150)]
    for look in looks:
        woman, child = look.phenotype['gender'] > 0.5, look.phenotype['age'] < 0.5
        assert look.garments
        if child:
            assert look.beard == 0 and look.stubble == 0
        if look.beard:
            assert not woman
        assert all(0 <= c <= 1 for color in (look.skin, look.hair, look.lip, look.eye) for c in color)
    ages = np.array([look.phenotype['age'] for look in looks])
    assert (ages < 0.5).sum() > 8 and (ages > 0.86).sum() > 12


def _sphere(rng, count: int) -> np.ndarray:
    v = rng.normal(size=(count, 3))
    return v / np.linalg.norm(v, axis=1, keepdims=True)


def _first_hit(points: np.ndarray, faces: np.ndarray, origins: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Index of the first triangle on the way from each origin towards its target, or -1; in numpy, a ray at a time."""
    a, b, c = (points[faces[:, k]].astype(float) for k in range(3))
    e1, e2 = b - a, c - a
    out = np.full(len(origins), -1)
    for i, (o, t) in enumerate(zip(origins, targets, strict=True)):
        d = t - o
        p = np.cross(d, e2)
        det = (e1 * p).sum(1)
        with np.errstate(divide='ignore', invalid='ignore'):
            s = o - a
            u = (s * p).sum(1) / det
            q = np.cross(s, e1)
            v = (q @ d) / det
            r = (e2 * q).sum(1) / det
            hit = (np.abs(det) > 1e-14) & (u >= 0) & (v >= 0) & (u + v <= 1) & (r > 1e-6) & (r < 1.5)
        if hit.any():
            out[i] = np.flatnonzero(hit)[r[hit].argmin()]
    return out
