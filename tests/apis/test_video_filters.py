import numpy as np
import pytest

from sapiens.apis.results import MattingResult, NormalResult, PointmapResult, PoseResult
from sapiens.apis.user_camera import centered_intrinsics
from sapiens.apis.video.filters import SteadyFocal, build_filters
from sapiens.apis.video.steady_matte import SteadyMatte

from .test_steady_matte import noisy, scene

SIZE = (24, 32)


def pointmap(focal, source='estimated', size=SIZE, rays='predicted'):
    """A wall three meters away for a camera of 40 pixels, as a network that estimates ``focal`` predicts it."""
    points = np.random.default_rng(0).uniform(-1, 1, (*size, 3)).astype(np.float32)
    points[..., 2] = 3
    points *= focal / 40
    return PointmapResult(
        np.zeros((*size, 3), np.uint8), '', points, centered_intrinsics(focal, size), source, focal, rays=rays
    )


def test_points_of_a_video_have_one_focal_length():
    steady, rng = SteadyFocal(), np.random.default_rng(0)
    estimates = 40 * np.exp(rng.normal(0, 0.2, 60))
    found = [steady(pointmap(focal), number / 30) for number, focal in enumerate(estimates)]
    depths = np.array([result.depth[0, 0] for result in found])
    assert depths == pytest.approx(3 * np.array([result.focal for result in found]) / 40, rel=1e-5)
    assert found[-1].focal == pytest.approx(np.exp(np.log(estimates).mean()))
    assert np.abs(np.diff(depths[10:])).mean() < 0.1 * np.abs(np.diff(3 * estimates[10:] / 40)).mean(), (
        'they hold still'
    )
    assert found[-1].focal_source == 'estimated' and found[-1].estimated_focal == estimates[-1]


def test_points_stay_on_their_rays():
    steady = SteadyFocal()
    for focal in (30.0, 50.0):
        result = steady(pointmap(focal, rays='project').on_rays(), focal)
    pixels = result.points @ result.intrinsics.T / result.depth[..., None]
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    np.testing.assert_allclose(pixels[..., 0], columns, atol=1e-4)
    np.testing.assert_allclose(pixels[..., 1], rows, atol=1e-4)


def test_a_known_camera_and_frames_without_an_estimate_stay_as_they_are():
    steady = SteadyFocal()
    steady(pointmap(30.0), 0)
    given = pointmap(50.0, source='given')
    assert steady(given, 1) is given
    unknown = pointmap(50.0)
    unknown.estimated_focal = float('nan')
    assert steady(unknown, 2) is unknown
    assert steady(pointmap(30.0), 3).focal == pytest.approx(30), 'neither of them counts'


def test_frames_of_another_size_share_the_angle_of_view():
    steady = SteadyFocal()
    steady(pointmap(32.0), 0)
    assert steady(pointmap(64.0, size=(48, 64)), 1).focal == pytest.approx(64)


def test_mattes_are_averaged_along_the_motion():
    filtered = build_filters({'matting': MattingResult}, smooth=True)['matting']
    rng, steady = np.random.default_rng(1), SteadyMatte()
    for number in range(4):
        frame, alpha = scene(40 + number)
        given = noisy(alpha, rng)
        front = given * frame / np.float32(255)
        expected = steady(frame, np.concatenate([given, front], -1), number / 30)
        result = filtered(MattingResult(frame, '', given[..., 0], front), number / 30)
    np.testing.assert_array_equal(result.alpha, expected[..., 0])
    np.testing.assert_array_equal(result.foreground, expected[..., 1:])
    assert np.abs(result.alpha - given[..., 0]).max() > 0.05
    assert (result.foreground <= result.alpha[..., None] + 1e-6).all(), 'still premultiplied'


def test_only_what_is_asked_for_is_filtered():
    kinds = dict(pose=PoseResult, pointmap=PointmapResult, matting=MattingResult, normal=NormalResult)
    assert build_filters(kinds) == {}
    assert list(build_filters(kinds, track=True)) == ['pose']
    assert list(build_filters(kinds, smooth=True)) == ['pose', 'pointmap', 'matting']
