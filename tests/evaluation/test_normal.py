"""NormalMetric: counts, reports and errors. The angle itself: test_dense_functional.py."""

import math

import numpy as np
import pytest
import torch

from sapiens.evaluation import NormalMetric, normal, streaming

from .dense import dense_samples, evaluate

NAMES = ['mean', 'median', 'RMSE', 'within_5', 'within_11.25', 'within_22.5', 'within_30']


@pytest.fixture(autouse=True)
def said(monkeypatch):
    """Record the log of the metric."""
    said = []
    for module in (normal, streaming):
        monkeypatch.setattr(module, 'print_log', lambda message, *_: said.append(message))
    return said


def turned(degrees):
    """(3, 1, N) unit vectors, turned about the vertical from facing the camera."""
    radians = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    return torch.stack([radians.sin(), torch.zeros_like(radians), -radians.cos()])[:, None].float()


def sample(degrees, index=0, valid=None, truth=None):
    """Predictions with the given angles in degrees to normals that face the camera, or to given ones."""
    target = turned([0.0] * len(degrees)) if truth is None else turned(truth)
    valid = torch.ones(target.shape[1:], dtype=torch.bool) if valid is None else torch.tensor([valid])
    fields = dict(gt_normal=target, pred_normal=turned(degrees), valid_mask=valid)
    return dict(sample_idx=index, img_path=f'{index}.png', **fields)


def test_by_hand(said):
    numbers = evaluate(NormalMetric(), [sample([3.0, 8.0]), sample([20.0, 25.0, 100.0], 1)])
    assert list(numbers) == [f'normal/{name}' for name in (*NAMES, 'flat_mean')]
    assert list(numbers.values()) == [
        pytest.approx(31.2, abs=1e-4),
        pytest.approx(20, abs=0.026),
        pytest.approx(math.sqrt((9 + 64 + 400 + 625 + 10000) / 5), abs=1e-4),
        *(0.2, 0.4, 0.6, 0.8),
        0,
    ]
    assert 'normal, in degrees: 2 images; average over pixels' in said[-1]
    row = next(line for line in said[-1].splitlines() if ' prediction ' in line)
    assert '31.20' in row and '80.00' in row


def test_thresholds_themselves_are_outside():
    numbers = evaluate(NormalMetric(), [sample([4.99, 5.01, 11.24, 11.26, 22.49, 22.51, 29.99, 30.01])])
    assert [numbers[f'normal/{name}'] for name in NAMES[3:]] == [1 / 8, 3 / 8, 5 / 8, 7 / 8]


def test_perfect_prediction():
    samples = dense_samples(4)
    for item in samples:
        item['pred_normal'] = item['gt_normal'].clone()
    numbers = evaluate(NormalMetric(), samples)
    assert numbers.pop('normal/flat_mean') > 60  # of random normals
    assert numbers.pop('normal/median') <= 0.025  # half a bin
    assert list(numbers.values()) == pytest.approx([0, 0, 1, 1, 1, 1], abs=1e-5)
    assert evaluate(NormalMetric('image'), samples)['normal/median'] == pytest.approx(0, abs=1e-5)


def test_pixels_that_are_not_valid_do_not_matter():
    item = sample([3.0, 50.0, 7.0], valid=[True, False, True])
    expected = evaluate(NormalMetric(), [sample([3.0, 7.0])])
    for value in (1.0, math.nan, 0.0):
        item['pred_normal'][:, 0, 1] = value
        item['gt_normal'][:, 0, 1] = -value
        assert evaluate(NormalMetric(), [item]) == pytest.approx(expected)


def test_each_image_or_each_pixel_counts_the_same():
    samples = [sample([1.0, 2.0, 6.0]), sample([40.0, 50.0], 1)]
    numbers = evaluate(NormalMetric('image'), samples)
    assert [numbers[f'normal/{name}'] for name in NAMES] == pytest.approx(
        [(3 + 45) / 2, (2 + 45) / 2, (math.sqrt(41 / 3) + math.sqrt(2050)) / 2, 1 / 3, 1 / 2, 1 / 2, 1 / 2], abs=1e-4
    )
    assert evaluate(NormalMetric(), samples)['normal/mean'] == pytest.approx(99 / 5, abs=1e-4)


def test_the_histogram_gives_the_median_to_half_a_bin():
    random = np.random.default_rng(0)
    for count in (1, 2, 3, 10, 1001):
        degrees = random.uniform(0, 180, count)
        samples = [sample(part.tolist(), index) for index, part in enumerate(np.array_split(degrees, min(3, count)))]
        assert evaluate(NormalMetric(), samples)['normal/median'] == pytest.approx(np.median(degrees), abs=0.026)
    assert evaluate(NormalMetric(), [sample([10.0, 170.0, 180.0, 0.0])])['normal/median'] == pytest.approx(
        90, abs=0.026
    )


def test_flat_people_face_the_camera():
    item = sample([0.0, 0.0], truth=[30.0, 60.0])
    numbers = evaluate(NormalMetric(), [item])
    assert numbers['normal/flat_mean'] == pytest.approx(45, abs=1e-4) == numbers['normal/mean']


def test_a_prediction_that_is_not_finite_is_not_hidden(said):
    item = sample([3.0, 4.0])
    item['pred_normal'][:, 0, 1] = math.nan
    for average in ('pixel', 'image'):
        said.clear()
        assert math.isnan(evaluate(NormalMetric(average), [sample([1.0], 5), item])['normal/mean'])
        assert said[0] == 'normal: 1 of 2 samples have a prediction that is not finite, among them 0.png'


def test_images_without_people_and_refused_settings(said):
    empty = sample([3.0], 4, valid=[False])
    assert evaluate(NormalMetric('image'), [empty, sample([7.0])])['normal/mean'] == pytest.approx(7, abs=1e-5)
    assert said[0] == 'normal: 1 of 2 samples have no labeled pixel and are skipped, among them 4.png'
    assert evaluate(NormalMetric(), [empty]) == {} and 'nothing is reported' in said[-1]
    with pytest.raises(ValueError, match="average='median', expected 'pixel' or 'image'"):
        NormalMetric('median')
