import io

import cv2
import numpy as np
import pytest
from PIL import Image

from sapiens.datasets.transforms import GaussianBlur, GaussianNoise, JPEGCompression, LowerResolution, Solarize

from .helpers import smooth_image

IMAGE = smooth_image(64, 48)
ALL = [GaussianBlur, GaussianNoise, JPEGCompression, LowerResolution, Solarize]


def changed(transform, seed=0, image=IMAGE):
    np.random.seed(seed)
    return transform(dict(img=image.copy(), gt_depth=1))['img']


@pytest.mark.parametrize('kind', ALL)
def test_probability_and_seed(kind):
    assert np.array_equal(changed(kind(prob=0)), IMAGE)
    always = kind(prob=1)
    first = changed(always)
    assert first.dtype == np.uint8 and first.shape == IMAGE.shape and not np.array_equal(first, IMAGE)
    assert np.array_equal(first, changed(always))
    some = kind(prob=0.3)
    count = sum(not np.array_equal(changed(some, seed), IMAGE) for seed in range(200))
    assert 35 < count < 85


@pytest.mark.parametrize('kind', ALL)
def test_later_draws_do_not_depend_on_the_probability(kind):
    states = []
    for prob in (0, 1):
        changed(kind(prob=prob))
        states.append(np.random.random())
    assert states[0] == states[1]


def test_defaults_are_the_published_values():
    assert GaussianBlur().sigma == (0.1, 2.0) and GaussianBlur().prob == 0.3
    assert GaussianNoise().variance == (5.0, 20.0) and GaussianNoise().prob == 0.3
    assert LowerResolution().scale == (0.1, 0.7) and LowerResolution().prob == 0.2
    assert JPEGCompression().quality == (30, 60) and JPEGCompression().prob == 0.5
    assert Solarize().prob == 0.3


def test_noise_has_its_variance():
    grey = np.full((200, 200, 3), 128, np.uint8)
    noise = changed(GaussianNoise((9, 9), prob=1), image=grey).astype(float) - 128
    assert noise.mean() == pytest.approx(0, abs=0.05) and noise.std() == pytest.approx(3, abs=0.05)
    assert not np.array_equal(noise[..., 0], noise[..., 1])
    white = np.full((50, 50, 3), 255, np.uint8)
    assert changed(GaussianNoise((100, 100), prob=1), image=white).min() > 200


def test_solarize():
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 256, 1).repeat(3, 2)
    result = changed(Solarize(prob=1), image=ramp)[0, :, 0]
    assert (result[:128] == np.arange(128)).all() and (result[128:] == 255 - np.arange(128, 256)).all()
    assert changed(Solarize(threshold=10, prob=1), image=ramp)[0, 10, 0] == 245


def test_lower_resolution_loses_detail_and_keeps_the_place(monkeypatch):
    checks = (np.indices((48, 64)).sum(0) % 2 * 255).astype(np.uint8)[..., None].repeat(3, 2)
    monkeypatch.setattr(np.random, 'randint', lambda n, size: np.array([3, 1]))  # area, then linear
    result = changed(LowerResolution((0.5, 0.5), prob=1), image=checks)
    assert np.abs(result.astype(int) - 128).max() <= 1
    edge = np.zeros((48, 64, 3), np.uint8)
    edge[:, 32:] = 255
    result = changed(LowerResolution((0.25, 0.25), prob=1), image=edge)
    assert (result[:, :28] == 0).all() and (result[:, 36:] == 255).all()
    assert changed(LowerResolution((0.001, 0.001), prob=1)).shape == IMAGE.shape


def test_blur_is_3x3():
    point = np.zeros((9, 9, 3), np.uint8)
    point[4, 4] = 255
    result = changed(GaussianBlur((2, 2), prob=1), image=point)
    assert (result[3:6, 3:6] > 0).all() and (result > 0).sum() == 27
    assert np.array_equal(result, cv2.GaussianBlur(point, (3, 3), 2.0))


def test_jpeg_quality_counts():
    errors = [
        np.abs(changed(JPEGCompression((quality, quality), prob=1)).astype(int) - IMAGE).mean() for quality in (5, 60)
    ]
    assert errors[0] > 1.5 * errors[1]
    file = io.BytesIO()
    Image.fromarray(IMAGE).save(file, 'JPEG', quality=45)
    assert np.array_equal(changed(JPEGCompression((45, 45), prob=1)), np.array(Image.open(file)))


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: GaussianBlur(sigma=(2, 1)), r'sigma=\(2, 1\)'),
        (lambda: GaussianNoise(variance=(-1, 1)), r'variance=\(-1, 1\)'),
        (lambda: LowerResolution(scale=(0.5,)), r'scale=\(0.5,\)'),
        (lambda: JPEGCompression(quality=(0, 10)), 'quality'),
        (lambda: Solarize(threshold=300), 'threshold=300'),
        (lambda: Solarize(prob=1.5), 'prob=1.5'),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_before_a_loading_transform_the_image_is_read(tmp_path):
    Image.fromarray(IMAGE).save(tmp_path / 'a.png')
    np.random.seed(3)
    made = JPEGCompression(prob=1)(dict(img_path=str(tmp_path / 'a.png')))['img']
    assert np.array_equal(made, changed(JPEGCompression(prob=1), 3)) and not np.array_equal(made, IMAGE)
    assert 'img' not in JPEGCompression(prob=0)(dict(img_path=str(tmp_path / 'a.png')))
