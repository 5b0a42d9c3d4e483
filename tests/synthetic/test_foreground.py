"""People without their background, seen through the lens of the picture."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip('anny')
pytest.importorskip('warp')

from sapiens.synthetic import HumanGenerator
from sapiens.synthetic.camera import Camera
from sapiens.synthetic.lens import defocus
from sapiens.synthetic.materials import Material
from sapiens.synthetic.photo import Photo, develop, develop_foreground
from sapiens.synthetic.render import Lighting, Plane, render
from sapiens.synthetic.rooms import sphere
from sapiens.utils.srgb import decode_srgb, encode_srgb

SIZE, SEEDS = (96, 128), (1, 3, 11)


@pytest.fixture(scope='module')
def scenes():
    generator = HumanGenerator(SIZE, people=(1, 2))
    scenes = [generator.scene(np.random.default_rng(seed)) for seed in SEEDS]
    return [(scene, generator.render(scene, seed)) for scene, seed in zip(scenes, SEEDS, strict=True)]


def developed(rendering, photo):
    """Picture, foreground and alpha; and the background (H, W, 3) in [0, 1], developed like a foreground."""
    exposed = rendering.color, 0.1 + rendering.alpha, photo
    image = develop(*exposed, np.random.default_rng(0))
    foreground, alpha = develop_foreground(rendering.front, rendering.alpha, *exposed, image)
    behind, rest = develop_foreground(rendering.color - rendering.front, 1 - rendering.alpha, *exposed, image)
    return image, foreground, alpha, behind / np.maximum(rest, 1e-6)[..., None]


def composed(foreground, alpha, behind, coded=False):
    """Gray levels of the foreground over the background, in linear light or in coded values."""
    alpha = alpha[..., None]
    if coded:
        return (foreground + (1 - alpha) * behind) * 255
    light = alpha * decode_srgb(foreground / np.maximum(alpha, 1e-6)) + (1 - alpha) * decode_srgb(behind)
    return encode_srgb(light) * 255


@pytest.mark.parametrize('lens', [dict(), dict(blur=1.5), dict(motion=(5.0, 0.7)), dict(vignette=0.3, blur=0.8)])
def test_foreground_over_the_background_is_the_picture(scenes, lens):
    """In linear light, as light adds up. Below the shoulder of the tone curve only rounding remains: of the picture to 8 bits,
    and of light to 1/1024, which are 3.2 gray levels in the darkest shadows."""
    for _, rendering in scenes:
        image, foreground, alpha, behind = developed(rendering, Photo(exposure=0.3, **lens))
        mixed = (alpha > 0) & (alpha < 1)
        error = np.abs(composed(foreground, alpha, behind) - image).max(-1)
        assert mixed.sum() > 100 and error.max() < 4.5 and error[mixed].mean() < 1, lens
        assert error[alpha == 1].max() < 0.01


def test_foreground_over_a_blurred_background_is_the_picture(scenes):
    """Depth of field changes neither foregrounds nor alpha, as people are in focus."""
    changed = 0
    for scene, rendering in scenes:
        focal = scene.camera.intrinsics[0, 0]
        soft = dataclasses.replace(rendering, color=defocus(rendering, 0.02, focal))
        solid = rendering.alpha == 1
        np.testing.assert_allclose(soft.color[solid], rendering.color[solid], atol=1e-4)
        changed += np.abs(soft.color - rendering.color).max() > 0.02
        image, foreground, alpha, behind = developed(soft, Photo(exposure=0.3, blur=0.8))
        assert np.abs(composed(foreground, alpha, behind) - image).max() < 4.5
    assert changed


def test_a_composition_of_coded_values_differs_on_edges_only(scenes):
    """foreground + (1 - alpha) * background, as the published results are composed: the same away from edges. On them a mean of
    codes is not the code of a mean."""
    worst = 0
    for scene, rendering in scenes:
        photo = dataclasses.replace(scene.photo, noise=0, quality=0)
        image, foreground, alpha, behind = developed(rendering, photo)
        error = np.abs(composed(foreground, alpha, behind, coded=True) - image).max(-1)
        assert error[(alpha == 0) | (alpha == 1)].max() < 1.01
        worst = max(worst, error.max())
        assert np.median(error[(alpha > 0) & (alpha < 1)]) < 25
    assert worst > 5


def test_the_picture_is_the_foreground_of_solid_pixels_with_its_noise(scenes):
    scene, rendering = scenes[0]
    image, foreground, alpha, _ = developed(rendering, dataclasses.replace(scene.photo, noise=3.0, quality=70))
    assert (alpha == 1).mean() > 0.05
    assert np.abs(foreground * 255 - image)[alpha == 1].max() < 1e-3
    assert foreground[alpha == 0].max() == 0 and (foreground <= alpha[..., None] + 1e-6).all()


def test_alpha_has_the_blur_of_the_picture():
    """A white ball before a black wall: the linear picture is its alpha."""
    ball = sphere('ball', (0, 0, 0), 1.0, Material(color=(1, 1, 1)), rows=100)
    wall = Plane((-9, 2, -9), (1, 0, 0), (0, 0, 1), (18, 18), Material(color=(0, 0, 0)))
    light = Lighting(sun=(0, -1, 0), sun_color=(0, 0, 0), fill_color=(0, 0, 0), sky=(1, 1, 1), ground=(1, 1, 1))
    camera = Camera.look_at((0, -5, 0), (0, 0, 0), 100, 81, 81)
    rendering = render([[ball]], [], [wall], camera, light)
    for lens in (dict(), dict(blur=2.0), dict(motion=(7.0, 0.4))):
        image, foreground, alpha, _ = developed(rendering, Photo(**lens))
        lit = decode_srgb(image[..., 0] / np.float32(255))
        assert np.abs(lit / np.median(lit[alpha == 1]) - alpha)[34:47].mean() < 0.05
        width = (alpha[40] > 0.02) & (alpha[40] < 0.98)
        assert (width.sum() <= 4) == (not lens) and abs(alpha.sum() - rendering.alpha.sum()) < 2
        assert np.abs(foreground.max(-1) - alpha * foreground.max())[alpha > 0].mean() < 0.1


def test_more_rays_on_hair_give_more_levels_of_alpha():
    """Hair ends in levels of a sixteenth; other edges keep theirs of a quarter."""
    options = dict(size=(160, 200), people=(1, 1), shots={'head': 1})
    scene = HumanGenerator(**options).scene(np.random.default_rng(3))
    plain = HumanGenerator(**options).render(scene, 3)
    hair = HumanGenerator(hair_rays=15, **options).render(scene, 3)
    quarters = lambda alpha: np.isclose(alpha * 4 % 1, 0)  # noqa: E731
    assert quarters(plain.alpha).all() and not quarters(hair.alpha).all()
    assert np.isclose(hair.alpha * 16 % 1, 0, atol=1e-5).all() and len(np.unique(hair.alpha)) > 10
    assert abs(hair.alpha.mean() - plain.alpha.mean()) < 0.003
    moved = np.abs(hair.alpha - plain.alpha)
    assert moved.max() <= 0.75 and moved[moved > 0].mean() < 0.3
    # Labels of the center stay, and so does what is far from hair.
    for name in ('part', 'instance', 'depth', 'normal'):
        assert np.array_equal(getattr(hair, name), getattr(plain, name)), name
    assert (hair.color == plain.color).all(-1).mean() > 0.8
