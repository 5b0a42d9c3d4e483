"""Poses of synthetic people: limits, ground, balance and contact, measured on the posed vertices."""

import numpy as np
import pytest

pytest.importorskip('anny', reason='synthetic people need anny (requirements/optional.txt)')

from sapiens.synthetic.body import REGIONS, load_body
from sapiens.synthetic.pose import ACTIONS, Poser, sample_expression, sample_pose
from sapiens.synthetic.posing.anatomy import hand_axes
from sapiens.synthetic.posing.limbs import Limb
from sapiens.synthetic.posing.rotations import turn
from sapiens.synthetic.posing.skeleton import Rig

STANDING = ('stand', 'crossed_arms', 'reach', 'walk', 'squat')
PEOPLE = (
    {},
    {'gender': 1.0, 'cupsize': 0.8, 'weight': 0.7, 'age': 0.7},
    {'age': 0.3, 'height': 0.4},
    {'gender': 0.0, 'weight': 0.95, 'muscle': 0.3},
)


@pytest.fixture(scope='module')
def body():
    return load_body()


@pytest.fixture(scope='module')
def people(body):
    return [body.shape(phenotype) for phenotype in PEOPLE]


@pytest.fixture(scope='module')
def samples(body, people):
    """(person, sample) by action."""
    out = {}
    for number, action in enumerate(ACTIONS):
        for k, person in enumerate(people):
            rng = np.random.default_rng(100 * number + k)
            out.setdefault(action, []).append((person, sample_pose(body, person, rng, action, sole=0.02)))
    return out


def skin(body, sample):
    return sample.posed.vertices[: body.quads['body'].max() + 1]


def region(body, *names):
    return np.isin(body.region_weights[: body.quads['body'].max() + 1].argmax(1), [REGIONS.index(n) for n in names])


@pytest.mark.parametrize('action', ACTIONS)
def test_rotations_are_rotations_within_limits(body, samples, action):
    for person, sample in samples[action]:
        r = sample.rotations.astype(float)
        assert r.shape == (163, 3, 3)
        assert np.abs(r @ r.transpose(0, 2, 1) - np.eye(3)).max() < 1e-5
        assert np.linalg.det(r).min() > 0.999
        for kind in ('arm', 'leg'):
            for side in 'LR':
                limb = Limb(Rig(body, person), kind, side)
                angles, (low, high) = limb.read(r), limb.limits.T
                slack = np.radians(15) if kind == 'leg' else np.radians(1)  # a standing foot is turned to lie flat
                assert (angles > low - slack).all() and (angles < high + slack).all(), (kind, side, np.degrees(angles))


@pytest.mark.parametrize('action', ACTIONS)
def test_people_stand_on_the_ground(body, samples, action):
    feet = region(body, 'left_foot', 'right_foot')
    for _, sample in samples[action]:
        z = skin(body, sample)[:, 2]
        low = min(z[feet].min() - 0.02, z[~feet].min())
        assert low > -0.005
        if action not in ('jump', 'run'):
            assert low < 0.005
        heads = sample.posed.heads
        hips = 0.5 * (heads[body.bones['upperleg01.L']] + heads[body.bones['upperleg01.R']])
        assert np.abs(hips[:2]).max() < 1e-3


def test_both_soles_are_on_the_ground(body, samples):
    for action in ('stand', 'crossed_arms'):
        for _, sample in samples[action]:
            for side in ('left', 'right'):
                foot = skin(body, sample)[region(body, f'{side}_foot')]
                front, back = foot[:, 1] < np.quantile(foot[:, 1], 0.3), foot[:, 1] > np.quantile(foot[:, 1], 0.7)
                assert abs(foot[front, 2].min() - 0.02) < 0.006
                assert abs(foot[back, 2].min() - 0.02) < 0.006


def volume_center(vertices, quads):
    """Center (3,) of the volume inside a closed surface."""
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    a, b, c = (vertices[triangles[:, i]].astype(float) for i in range(3))
    volume = np.einsum('ij,ij->i', a, np.cross(b, c))
    return (volume[:, None] * (a + b + c) / 4).sum(0) / volume.sum()


def test_standing_people_are_balanced(body, samples):
    from scipy.spatial import ConvexHull

    for action in ('stand', 'crossed_arms', 'reach', 'squat'):
        for _, sample in samples[action]:
            vertices = skin(body, sample)
            feet = vertices[region(body, 'left_foot', 'right_foot')]
            hull = ConvexHull(feet[feet[:, 2] < 0.05][:, :2])
            center = volume_center(vertices, body.quads['body'])
            assert (hull.equations[:, :2] @ center[:2] + hull.equations[:, 2]).max() < 0.01, action


def test_seat_carries_the_person(body, samples):
    for _, sample in samples['sit']:
        seat = sample.seat
        local = skin(body, sample)[region(body, 'torso')] - seat.center
        inside = (np.abs(local[:, :2]) < seat.size[:2] / 2).all(1)
        top = seat.center[2] + seat.size[2] / 2
        assert abs(seat.center[2] - seat.size[2] / 2) < 0.02
        assert abs(local[inside, 2].min() + seat.center[2] - top) < 0.03
    assert all(sample.seat is None for _, sample in samples['stand'])


def test_mirrored_signs(body, people):
    """A curled finger tip moves towards the palm, the thumb lies on the palm's side, abducted hips spread the legs."""
    person = people[0]
    for side, sign in (('L', 1), ('R', -1)):
        figure = Rig(body, person)
        bones = figure.bones
        palm = hand_axes(figure.heads, figure.tails, bones, side)[1]
        wrist = figure.at(f'wrist.{side}')
        assert (figure.tail(f'finger1-3.{side}') - wrist) @ palm > 0.02
        poser = Poser(body, person, np.random.default_rng(0), 0.0, 0.01)
        poser.hand(side, 'fist')
        poser.figure.update()
        for finger in range(2, 6):
            moved = poser.figure.tail(f'finger{finger}-3.{side}') - figure.tail(f'finger{finger}-3.{side}')
            assert moved @ palm > 0.005
        leg = Limb(figure, 'leg', side)
        angles = np.zeros(6)
        angles[:2] = leg.swing_to(turn(np.array([0, -1.0, 0]), sign * np.radians(20)) @ leg.upper)
        before = figure.at(f'foot.{side}')[0]
        leg.write(angles)
        assert sign * (figure.at(f'foot.{side}')[0] - before) > 0.1
        knee = Limb(Rig(body, person), 'leg', side)
        knee.write(np.radians([0, 0, 0, 90, 0, 0]))
        assert knee.figure.at(f'foot.{side}')[1] > 0.2  # heels bend backwards
        arm = Limb(Rig(body, person), 'arm', side)
        arm.write(np.radians([0, 0, 0, 90, 0, 0, 0]))
        assert arm.figure.at(f'wrist.{side}')[1] < -0.2  # forearms forwards


def test_angles_are_read_back(body, people):
    rng = np.random.default_rng(0)
    for kind in ('arm', 'leg'):
        for side in 'LR':
            limb = Limb(Rig(body, people[0]), kind, side)
            angles = rng.uniform(*limb.limits.T)
            angles[:2] = rng.uniform(-1, 1, 2)
            limb.write(angles)
            assert np.abs(limb.read(limb.figure.rotations) - angles).max() < 2e-3


@pytest.mark.parametrize('action', ['stand', 'crossed_arms', 'sit', 'walk', 'dance'])
def test_hands_are_not_in_the_trunk(body, samples, action):
    """Vertices of the hands against the winding number of everything but the hands."""
    quads = body.quads['body']
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    keep = ~np.isin(triangles, np.flatnonzero(region(body, 'left_hand', 'right_hand'))).any(1)
    triangles = triangles[keep]
    hands = np.flatnonzero(region(body, 'left_hand', 'right_hand'))[::40]
    for _, sample in samples[action]:
        vertices = skin(body, sample).astype(float)
        points = vertices[hands]
        a, b, c = (vertices[triangles[:, i]][None] - points[:, None] for i in range(3))
        la, lb, lc = (np.linalg.norm(v, axis=2) for v in (a, b, c))
        top = np.einsum('pti,pti->pt', a, np.cross(b, c))
        dot = la * lb * lc + (a * b).sum(2) * lc + (b * c).sum(2) * la + (c * a).sum(2) * lb
        winding = (2 * np.arctan2(top, dot)).sum(1) / (4 * np.pi)
        assert (winding > 0.5).mean() < 0.04


def test_same_seed_same_pose(body, people):
    first, second = (sample_pose(body, people[1], np.random.default_rng(7)) for _ in range(2))
    assert first.action == second.action
    assert np.array_equal(first.rotations, second.rotations)
    assert np.array_equal(first.posed.vertices, second.posed.vertices)


def test_placed_vertices_are_the_rotations_posed(body, people):
    sample = sample_pose(body, people[0], np.random.default_rng(3), 'walk')
    again = body.pose(people[0], sample.rotations).vertices
    shift = sample.posed.vertices - again
    assert np.ptp(shift, axis=0).max() < 1e-4


def test_expressions(body):
    rng = np.random.default_rng(0)
    drawn = [sample_expression(rng) for _ in range(400)]
    known = set(body.model.facial_action_labels)
    for expression in drawn:
        assert set(expression) <= known
        assert all(0 <= value <= 1 for value in expression.values())
    assert 0.3 < np.mean(['jawOpen' in e for e in drawn]) < 0.5
    assert np.mean([e.get('jawOpen', 0) > 0.2 and 'mouthUpperUpLeft' in e for e in drawn]) > 0.08


def test_unknown_actions_are_refused(body, people):
    with pytest.raises(ValueError, match='unknown action'):
        sample_pose(body, people[0], np.random.default_rng(0), 'fly')
