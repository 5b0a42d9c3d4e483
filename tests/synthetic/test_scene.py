"""Who stands where, and what the camera sees of them."""

from itertools import combinations

import numpy as np
import pytest

pytest.importorskip('anny')

from scipy.spatial import cKDTree

from sapiens.synthetic.body import load_body
from sapiens.synthetic.materials import Material, srgb
from sapiens.synthetic.person import dress_figure, sample_figure
from sapiens.synthetic.rooms import box, sample_occluder, sample_place, seat_surfaces
from sapiens.synthetic.scene import SHOTS, sample_scene


@pytest.fixture(scope='module')
def body():
    return load_body()


@pytest.mark.parametrize('shot', SHOTS)
def test_scenes(body, shot):
    rng = np.random.default_rng(sum(map(ord, shot)))
    scene = sample_scene(body, rng, (300, 400), people=(1, 3), shots={shot: 1.0})
    assert scene.shot == shot and 1 <= len(scene.people) <= 3
    camera = scene.camera
    assert camera.position[2] > 0 and camera.position[1] < 0  # above the ground, on the side of -y
    skin = np.unique(body.quads['body'])
    for person in scene.people:
        low = person.posed.vertices[skin, 2].min()
        floats = person.attributes['action'] == 'jump'
        assert -0.01 < low < (0.6 if floats else 0.04), person.attributes
        for surface in person.surfaces:
            assert np.isfinite(surface.vertices).all()
            assert surface.vertices[np.unique(surface.faces), 2].min() > -0.03, surface.name
    worn = [person.attributes['worn'] for person in scene.people]
    if scene.place == 'outdoors':
        assert all('shoes' in names or 'socks' not in names for names in worn)
        assert scene.ground in ('grass', 'sand') or all('shoes' in names for names in worn)
    # The main person's head or body is in front of the camera and in the picture.
    seen = camera.project(scene.people[0].posed.vertices[skin].astype(float))
    inside = (seen[:, 2] > 0) & (seen[:, :2] > 0).all(1) & (seen[:, 0] < 300) & (seen[:, 1] < 400)
    assert inside.mean() > (0.02 if shot == 'head' else 0.2)


def places(feet: set, count: int = 200) -> list:
    return [sample_place(np.random.default_rng(seed), 0.6, (0.3, -3 - seed % 8, 1.5), feet) for seed in range(count)]


def test_wall_pictures_do_not_overlap():
    """Two in one plane flicker through each other."""
    pairs = 0
    for place in places({'shoes'}):
        frames = [(one.vertices.min(0), one.vertices.max(0)) for one in place.things if one.name == 'frame']
        assert len(frames) == sum(one.name == 'picture' for one in place.things)
        for (low, high), (below, above) in combinations(frames, 2):
            assert (high <= below).any() or (above <= low).any()
            pairs += 1
    assert pairs > 30


def test_the_ground_suits_the_feet():
    grounds = lambda *feet: {(place.kind, place.ground) for place in places(set(feet))}  # noqa: E731
    outdoors = {('outdoors', name) for name in ('grass', 'asphalt', 'paving', 'sand')}
    rooms = {('room', name) for name in ('wood', 'tiles', 'carpet')}
    assert grounds('shoes') == outdoors | rooms
    assert grounds('shoes', 'socks') == rooms
    assert grounds('barefoot', 'shoes') == rooms | {('outdoors', 'grass'), ('outdoors', 'sand')}
    # Shoes change nothing about a place.
    assert [place.ground for place in places({'shoes'})] == [place.ground for place in places(set())]


def test_people_do_not_overlap(body):
    close = 0
    for seed in range(3):
        scene = sample_scene(body, np.random.default_rng(seed), (300, 400), people=(3, 4), shots=dict(full=1))
        bodies = [person.posed.vertices[:13380] for person in scene.people]
        for i, a in enumerate(bodies):
            for b in bodies[:i]:
                close += (cKDTree(a).query(b, distance_upper_bound=0.02)[0] < 0.02).sum()
    assert close < 20  # a hand may touch a shoulder


def test_moving_a_person_moves_everything(body):
    person = dress_figure(body, sample_figure(body, np.random.default_rng(3), 'sit'))
    moved = person.move(np.pi / 2, np.array([1.0, 2, 0]))
    for before, after in zip(person.surfaces, moved.surfaces, strict=True):
        x, y, z = before.vertices.T
        np.testing.assert_allclose(after.vertices, np.stack([1 - y, 2 + x, z], 1), atol=1e-5)
        if before.normals is not None:
            np.testing.assert_allclose(after.normals[:, 0], -before.normals[:, 1], atol=1e-6)
    x, y, z = person.posed.heads[0]
    np.testing.assert_allclose(moved.posed.heads[0], [1 - y, 2 + x, z], atol=1e-5)
    assert moved.seat.yaw == pytest.approx(person.seat.yaw + np.pi / 2)
    # Shared vertex arrays stay shared: the renderer stores each once.
    assert len({id(s.vertices) for s in moved.surfaces}) == len({id(s.vertices) for s in person.surfaces})


def test_a_seat_carries_the_person(body):
    figure = sample_figure(body, np.random.default_rng(5), 'sit')
    seat = figure.pose.seat
    top = seat.center[2] + seat.size[2] / 2
    hips = figure.pose.posed.heads[[body.bones['upperleg01.L'], body.bones['upperleg01.R']], 2].mean()
    assert 0.02 < hips - top < 0.25
    for seed in range(6):
        surfaces = seat_surfaces(np.random.default_rng(seed), seat)
        highest = max(s.vertices[:, 2].max() for s in surfaces if s.name == 'seat')
        assert highest == pytest.approx(top, abs=1e-4)
        assert min(s.vertices[:, 2].min() for s in surfaces) >= -1e-4


def test_occluders_stand_between_camera_and_target():
    camera, target = np.array([0.3, -4, 1.4]), np.array([0.0, 0, 1])
    for seed in range(12):
        for surface in sample_occluder(np.random.default_rng(seed), camera, target, 0.5):
            y = surface.vertices[:, 1]
            assert y.min() > -3.8 and y.max() < -0.2, surface.name


def test_boxes_are_closed_and_point_outwards():
    crate = box('crate', (1, 2, 3), (1, 2, 4), Material(), yaw=0.7)
    a, b, c = (crate.vertices[crate.faces[:, i]] - [1, 2, 3] for i in range(3))
    assert np.einsum('fi,fi->f', np.cross(a, b), c).sum() / 6 == pytest.approx(8)  # its volume


def test_colours():
    assert srgb(255, 0, 188) == pytest.approx((1, 0, 0.5029), abs=1e-3)
    assert srgb((255, 0, 188)) == srgb(255, 0, 188)
    with pytest.raises(ValueError, match="'velvet'"):
        Material('velvet')
    with pytest.raises(ValueError, match="'zigzag'"):
        Material(pattern='zigzag')
