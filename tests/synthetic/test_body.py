"""The body's tables, meshes and cameras."""

import numpy as np
import pytest

pytest.importorskip('anny')

from sapiens.metainfo import get_skeleton
from sapiens.synthetic.body import REGIONS, load_body
from sapiens.synthetic.camera import Camera
from sapiens.synthetic.keypoints import (
    SKELETONS,
    brow_lines,
    iris_centres,
    keypoint_status,
    load_landmarks,
    visibility,
)
from sapiens.synthetic.mesh import compact, cut, grid_faces, subdivide, triangulate, vertex_normals


@pytest.fixture(scope='module')
def body():
    return load_body()


def test_every_triangle_has_one_region(body):
    assert body.faces.min() >= 0 and body.faces.max() < len(body.refine(body.template))
    assert set(np.unique(body.face_region)) == set(range(1, len(REGIONS)))
    area = np.linalg.norm(_cross(body.refine(body.template), body.faces), axis=1) / 2
    whole = np.linalg.norm(_cross(body.template, triangulate(body.quads['body'])), axis=1).sum() / 2
    skin = np.isin(body.face_kind, [body.KINDS.index(k) for k in ('skin', 'upper_lip', 'lower_lip', 'mouth', 'nail')])
    assert area[skin].sum() == pytest.approx(whole, rel=1e-4)  # cutting along borders neither loses nor doubles skin


def test_left_is_the_persons_left(body):
    """The person faces -y, so the left is +x."""
    center = body.refine(body.template)[body.faces].mean(1)
    for index, region in enumerate(REGIONS):
        if region.startswith(('left', 'right')):
            side = np.sign(center[body.face_region == index, 0]).mean()
            assert side == pytest.approx(1 if region.startswith('left') else -1, abs=0.02), region
    for skeleton in SKELETONS:
        marks = load_landmarks(skeleton)
        points = marks.weights @ body.template
        for name, known, (x, _, _) in zip(marks.names, marks.known, points, strict=True):
            if known and name.startswith('left_'):
                assert x > 0.01, (skeleton, name)
            if known and name.startswith('right_'):
                assert x < -0.01, (skeleton, name)


@pytest.mark.parametrize('skeleton', SKELETONS)
def test_keypoint_table(body, skeleton):
    marks = load_landmarks(skeleton)
    known = get_skeleton(skeleton)
    status = keypoint_status(skeleton)
    assert marks.names == tuple(known.keypoints) == tuple(status)
    assert [value != 'none' for value in status.values()] == marks.known.tolist()
    points = np.asarray(marks.weights @ body.template)
    both = marks.known & marks.known[known.flip_indices]
    # The template is symmetric, and so must the points be; iris clocks run the same way round in the image.
    mirrored = points[known.flip_indices] * [-1, 1, 1]
    assert np.abs(points - mirrored)[both].max() < 0.004
    assert both.sum() == marks.known.sum()
    counts = {value: sum(v == value for v in status.values()) for value in ('exact', 'approximate', 'none')}
    assert (
        counts
        == {
            'coco17': dict(exact=17, approximate=0, none=0),
            'wholebody133': dict(exact=102, approximate=31, none=0),
            'goliath308': dict(exact=194, approximate=82, none=32),
        }[skeleton]
    )


def test_landmarks_follow_shape_and_pose(body):
    marks = load_landmarks('coco17')
    angle = np.radians(90)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    shape = body.shape(dict(age=0.33, height=0.3))
    posed = body.pose(shape, {'lowerleg01.L': turn})
    rest, bent = marks.locate(body.pose(shape, {})), marks.locate(posed)
    moved = np.linalg.norm(rest - bent, axis=1)
    ankle = marks.names.index('left_ankle')
    assert moved[ankle] > 0.25 and np.delete(moved, [ankle, marks.names.index('left_knee')]).max() < 0.005


def test_brows_and_eyes_are_painted_where_the_points_are(body):
    marks = load_landmarks('goliath308')
    points = marks.weights @ body.template
    centers, iris, pupil = iris_centres()
    for side, letter in enumerate('lr'):
        for ring, radius in (('iris', iris), ('pupil', pupil)):
            border = [k for k, n in enumerate(marks.names) if n.startswith(f'{letter}_border_of_{ring}')]
            assert len(border) == 8
            distance = np.linalg.norm(points[border] - centers[side], axis=1)
            assert distance == pytest.approx(radius, rel=0.12)
        line = brow_lines()[side]
        for k, name in enumerate(marks.names):
            if f'of_{letter}_eyebrow' in name and 'midpoint' in name:
                nearest = np.abs(line[:, 0] - points[k, 0]).argmin()
                assert abs(points[k, 2] - line[nearest, 1]) <= line[nearest, 2] * 1.05 + 1e-4


def test_pose_without_rotations_changes_nothing(body):
    shape = body.shape(dict(gender=1.0, age=0.9), dict(jawOpen=0.5))
    posed = body.pose(shape, {})
    np.testing.assert_allclose(posed.vertices, shape.vertices, atol=1e-5)
    np.testing.assert_allclose(posed.heads, shape.heads, atol=1e-5)


def test_cut_keeps_the_area_and_lands_on_the_line():
    rng = np.random.default_rng(0)
    faces = grid_faces(9, 11)
    grid = np.stack(np.meshgrid(range(11), range(9), [0]), -1)
    points = grid.reshape(-1, 3).astype(np.float32)
    values = rng.normal(size=99).astype(np.float32)
    new, rows, step = cut(faces, values)
    extended = step.extend(points)
    np.testing.assert_allclose(step.extend(values)[99:], 0, atol=1e-6)
    assert np.linalg.norm(_cross(extended, new), axis=1).sum() / 2 == pytest.approx(80)
    assert (_cross(extended, new)[:, 2] >= -1e-6).all()  # orientation is kept
    kept, _, same = cut(faces, values, keep_below=False)
    side = same.extend(values)[kept].mean(1)
    assert (side >= -1e-6).all()
    below = -values
    other, _, again = cut(faces, below, keep_below=False)
    total = sum(
        np.linalg.norm(_cross(s.extend(points), f), axis=1).sum() / 2 for s, f in ((same, kept), (again, other))
    )
    assert total == pytest.approx(80)
    assert (rows < len(faces)).all()


def test_subdivide_and_compact():
    faces = grid_faces(3, 4)
    children, step = subdivide(faces, 12)
    points = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
    assert len(children) == 4 * len(faces)
    area = np.linalg.norm(_cross(step.extend(points), children), axis=1).reshape(-1, 4).sum(1)
    np.testing.assert_allclose(area, np.linalg.norm(_cross(points, faces), axis=1), rtol=1e-4)
    small, used = compact(faces[:2])
    assert (used[small] == faces[:2]).all() and small.max() == len(used) - 1


def test_normals_of_a_sphere():
    from sapiens.synthetic.materials import Material
    from sapiens.synthetic.rooms import sphere

    ball = sphere('ball', (1, 2, 3), 2.0, Material(), rows=40)
    normals = vertex_normals(ball.vertices, ball.faces)
    away = (ball.vertices - [1, 2, 3]) / 2
    inner = slice(160, -160)
    assert (np.einsum('vi,vi->v', normals, away)[inner] > 0.999).all()


def test_camera_projects_and_unprojects():
    camera = Camera.look_at((1, -4, 2), (0, 0, 1), 900, 640, 480, roll=0.3)
    middle = camera.project(np.array([[0.0, 0, 1]]))[0]
    assert middle[:2] == pytest.approx([319.5, 239.5])
    assert middle[2] == pytest.approx(np.sqrt(1 + 16 + 1))
    assert np.linalg.det(camera.rotation) == pytest.approx(1)
    np.testing.assert_allclose(camera.to_camera(camera.position), 0, atol=1e-12)
    higher = Camera.look_at((0, -4, 1), (0, 0, 1), 900, 640, 480).project(np.array([[0.0, 0, 1.5], [0.5, 0, 1]]))
    assert (
        higher[0, 1] < 239 and higher[1, 0] > 320
    )  # up is up, the world's +x is right for a camera that looks along +y
    depth = np.full((480, 640), 2.5, np.float32)
    points = camera.unproject(depth)
    pixels = (points[100, 200] / points[100, 200, 2]) @ camera.intrinsics.T
    assert pixels[:2] == pytest.approx([200, 100], abs=1e-3)


def _cross(points, faces):
    a, b, c = (points[faces[:, i]] for i in range(3))
    return np.cross(b - a, c - a)


def test_visibility_rules(body):
    """One joint of a person in front of a camera, and everything that can hide it."""
    marks = load_landmarks('coco17')
    points = marks.locate(body.pose(body.shape(), {}))
    k = marks.names.index('left_knee')
    camera = Camera.look_at(points[k] - [0, 3, 0], points[k], 300, 101, 101)
    surface = 3 - marks.inside[k]  # the skin in front of the joint
    region = REGIONS.index('left_lower_leg')

    def see(depth=surface, instance=1, part=region, where=points):
        maps = (np.full((101, 101), value) for value in (np.float32(depth), np.uint8(instance), np.uint8(part)))
        return visibility(where, marks, camera, *maps, own=1)[k]

    assert see().tolist() == pytest.approx([50, 50, 2], abs=1e-4)
    assert see(instance=2)[2] == 1  # somebody else is there
    assert see(instance=0)[2] == 1  # a thing is
    assert see(part=REGIONS.index('left_hand'))[2] == 1  # the own hand is
    assert see(depth=surface - 0.2)[2] == 1  # far in front
    assert see(where=points - np.float32([0, 6, 0])).tolist() == [0, 0, 0]  # behind the camera
    assert see(where=points + np.float32([3, 0, 0])).tolist() == [0, 0, 0]  # outside
    goliath = load_landmarks('goliath308')
    none = goliath.names.index('l_deepest_point_of_concha')
    assert not goliath.known[none] and np.isnan(goliath.locate(body.pose(body.shape(), {}))[none]).all()
