"""Images of one scene by a moving camera."""

import numpy as np
import pytest

from sapiens.synthetic import HumanGenerator
from sapiens.synthetic.camera import Camera

GENERATOR = HumanGenerator(size=(96, 128), people=(1, 1), rays=0)


@pytest.fixture(scope='module')
def frames():
    return list(GENERATOR.sequence(3, 4, sway=0.05))


def test_a_moved_camera_keeps_its_target_at_its_pixel():
    camera = Camera.look_at((0.2, -3, 1.5), (0, 0, 1), 300.0, 96, 128, roll=0.2)
    target = np.array([0.3, 0.1, 0.8])
    moved = camera.moved((0.2, -0.1, 0.05), target)
    np.testing.assert_allclose(moved.project(target)[:2], camera.project(target)[:2], atol=1e-9)
    np.testing.assert_allclose(camera.to_camera(moved.position), (0.2, -0.1, 0.05), atol=1e-9)
    np.testing.assert_allclose(moved.rotation @ moved.rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(moved.rotation) == pytest.approx(1)


def test_labels_of_all_images_are_those_of_one_scene(frames):
    """Points of one image lie on the surfaces that another one shows."""
    first, second = frames[0], frames[1]
    assert np.linalg.norm(first.camera.position - second.camera.position) > 0.03
    points = first.camera.unproject(first.depth)[first.mask]
    world = (points - first.camera.translation) @ first.camera.rotation
    seen = second.camera.project(world)
    columns, rows = np.rint(seen[:, :2]).astype(int).T
    inside = (columns >= 0) & (columns < 96) & (rows >= 0) & (rows < 128)
    difference = second.depth[rows[inside], columns[inside]] - seen[inside, 2]
    assert inside.mean() > 0.9
    assert np.median(np.abs(difference)) < 0.01, 'meters'
    assert (np.abs(difference) < 0.05).mean() > 0.8, 'but for what one of them does not see'


def test_a_camera_that_stands_still_sees_the_image_of_the_seed_but_for_noise():
    (still,) = GENERATOR.sequence(3, 1, sway=0)
    alone = GENERATOR(3)
    for name in ('depth', 'normal', 'part', 'instance'):
        np.testing.assert_array_equal(getattr(still, name), getattr(alone, name))
    assert np.abs(still.image.astype(float) - alone.image).mean() < 12


def test_images_are_the_same_again(frames):
    again = list(GENERATOR.sequence(3, 4, sway=0.05))
    np.testing.assert_array_equal(frames[2].image, again[2].image)
    assert not np.array_equal(frames[0].image, frames[1].image)


def test_wrong_arguments_are_refused():
    for arguments in ((0, 0.03), (3, -0.1), (3, float('nan'))):
        with pytest.raises(ValueError, match='at least 1 image'):
            next(GENERATOR.sequence(0, *arguments))
