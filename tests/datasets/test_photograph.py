"""What cameras do to pictures: values on small pictures, equal results for equal seeds, and labels that stay."""

import cv2
import numpy as np
import pytest

from sapiens.datasets.transforms import Defocus, MotionBlur, RandomGrayscale, SensorNoise, ToneCurve
from sapiens.datasets.transforms.photograph import _disk, _line

from .helpers import smooth_image

ALL = (RandomGrayscale, ToneCurve, Defocus, MotionBlur, SensorNoise)


def picture(**others):
    return dict(img=smooth_image(40, 50), **others)


@pytest.mark.parametrize('kind', ALL)
def test_seeds_decide_and_draws_do_not_depend_on_the_probability(kind):
    results, ends = [], []
    for prob in (1.0, 1.0, 0.0):
        np.random.seed(3)
        results.append(kind(prob=prob)(picture())['img'])
        ends.append(np.random.random())
    once, again, never = results
    assert np.array_equal(once, again) and once.dtype == np.uint8 and once.shape == never.shape
    assert np.array_equal(never, picture()['img']) and not np.array_equal(once, never)
    assert len(set(ends)) == 1
    with pytest.raises(ValueError, match='prob'):
        kind(prob=1.5)


@pytest.mark.parametrize('kind', ALL)
def test_the_given_picture_is_not_written_to(kind):
    given = picture()
    image, before = given['img'], given['img'].copy()
    kind(prob=1.0)(given)
    assert np.array_equal(image, before) and given['img'] is not image


def test_gray_is_luma():
    image = RandomGrayscale(prob=1.0)(picture())['img']
    assert (
        np.array_equal(image[..., 0], cv2.cvtColor(picture()['img'], cv2.COLOR_RGB2GRAY)) and image.std(-1).max() == 0
    )


def test_tone_is_the_formula():
    tone, image = ToneCurve(prob=1.0), np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, -1)
    drawn = np.array([1.5, 0.8, 1.0, 1.2, 0.7])
    found = tone.apply(image, drawn)
    wanted = 255 * np.clip(1.5 * drawn[1:4] * (np.arange(256)[:, None] / 255) ** 0.7, 0, 1)
    assert abs(found[0] - wanted).max() <= 0.5
    np.random.seed(0)
    many = np.array([tone.draw() for _ in range(2000)])
    assert np.allclose(many.max(0), [1.8, 1.3, 1.3, 1.3, 1.6], rtol=0.02)
    assert np.allclose(many.min(0), 1 / np.array([1.8, 1.3, 1.3, 1.3, 1.6]), rtol=0.02)
    assert np.array_equal(ToneCurve(1, 1, 1, prob=1.0)(dict(img=image))['img'], image)
    with pytest.raises(ValueError, match='gamma=0.5'):
        ToneCurve(gamma=0.5)


def test_blur_keeps_the_light_and_goes_along_its_line():
    for kernel in (_disk(0.7), _disk(2.5), _line(2, 0.3), _line(9, 1.0)):
        assert np.isclose(kernel.sum(), 1) and (kernel >= 0).all() and np.allclose(kernel, kernel[::-1, ::-1])
    line = _line(7, 0.0)
    assert np.count_nonzero(line.sum(1) > 1e-6) == 1 and np.count_nonzero(line.sum(0) > 0.05) == 7
    assert np.allclose(_line(7, np.pi / 2), line.T, atol=1e-6)
    flat = dict(img=np.full((20, 20, 3), 77, np.uint8))
    assert (Defocus(prob=1.0)(dict(flat))['img'] == 77).all() and (MotionBlur(prob=1.0)(dict(flat))['img'] == 77).all()


def test_people_stay_sharp_before_a_blurred_background():
    alpha = np.zeros((50, 40), np.float32)
    alpha[10:40, 10:30] = 1
    noise = np.random.default_rng(0).integers(0, 255, (50, 40, 3)).astype(np.uint8)
    image = Defocus(radius=(2, 2), behind=1.0, prob=1.0)(dict(img=noise, gt_alpha=alpha))['img']
    inside = alpha == 1
    assert np.array_equal(image[inside], noise[inside])
    assert image[~inside].std() < 0.5 * noise[~inside].std()
    everywhere = Defocus(radius=(2, 2), behind=0.0, prob=1.0)(dict(img=noise, gt_alpha=alpha))['img']
    assert everywhere[inside].std() < 0.5 * noise[inside].std()
    assert np.array_equal(everywhere[~inside], image[~inside])


def test_noise_grows_with_the_gray_level():
    noise = SensorNoise(color=0.0, prob=1.0)
    for level, deviation in ((40, (4 + 0.5 * 40) ** 0.5), (160, (4 + 0.5 * 160) ** 0.5)):
        image = np.full((200, 200, 3), level, np.uint8)
        error = noise.apply(image, (2.0, 0.5, 7)).astype(float) - level
        assert abs(error.std() - deviation) < 0.05 * deviation and abs(error.mean()) < 0.2
        assert np.array_equal(error[..., 0], error[..., 2]), 'noise of luma changes all channels alike'
    error = SensorNoise(color=3.0).apply(np.full((200, 200, 3), 128, np.uint8), (2.0, 0.0, 7)).astype(float) - 128
    near, far = (np.corrcoef(error[::2, first::2, 0].ravel(), error[::2, 1::2, 0].ravel())[0, 1] for first in (0, 1))
    assert near > 0.8 and np.isclose(far, 1)
    assert abs(np.corrcoef(error[..., 0].ravel(), error[..., 1].ravel())[0, 1]) < 0.2
