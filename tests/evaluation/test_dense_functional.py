import math

import numpy as np
import pytest
import torch

from sapiens.evaluation import dense_functional as functional
from sapiens.evaluation.dense_functional import DEPTH_ERRORS


def test_confusion_and_scores_by_hand():
    label = torch.tensor([0, 0, 0, 1, 1, 3], dtype=torch.uint8)
    pred = torch.tensor([0, 0, 1, 1, 0, 2])
    confusion = functional.confusion_matrix(pred, label, 5)
    assert confusion.sum() == 6 and confusion[0].tolist() == [2, 1, 0, 0, 0, 0] and confusion[3, 2] == 1
    iou, accuracy = functional.class_scores(confusion[:5, :5])
    # 0: 2 of 3 found, one more claimed; 1: 1 of 2, one more; 2 only claimed; 3 never found; 4 nowhere.
    np.testing.assert_allclose(iou, [2 / 4, 1 / 3, 0, 0, math.nan])
    np.testing.assert_allclose(accuracy, [2 / 3, 1 / 2, math.nan, 0, math.nan])
    outside = functional.confusion_matrix(torch.tensor([7, -1, 1]), torch.tensor([1, 0, 200]), 5)
    assert outside[1, 5] == outside[0, 5] == outside[5, 1] == 1


def test_median_is_that_of_numpy():
    for count in (1, 2, 5, 6):
        values = torch.from_numpy(np.random.default_rng(count).normal(size=count))
        assert functional.median(values) == np.median(values)


def test_relative_depth_by_hand():
    assert functional.relative_depth(torch.tensor([3.0, 5.0, 4.0])).tolist() == [0, 1, 0.5]
    assert functional.relative_depth(torch.tensor([3.0, 3.0])).tolist() == [0, 0]


def test_alignments_by_hand():
    pred, target = torch.tensor([1.0, 2.0, 3.0, 6.0]), torch.tensor([5.0, 7.0, 9.0, 15.0])
    assert functional.depth_alignment(pred, target, 'none') == (1, 0)
    scale, shift = functional.depth_alignment(pred, target, 'median')
    assert scale == pytest.approx(8 / 2.5) and shift == 0
    scale, shift = functional.depth_alignment(pred, target, 'scale-shift')
    assert (scale, shift) == (pytest.approx(2), pytest.approx(3))
    # Least squares, as numpy has them; also of what is upside down.
    random = np.random.default_rng(0)
    pred, target = random.normal(size=50).astype(np.float32), random.normal(size=50).astype(np.float32)
    expected = np.polyfit(pred.astype(float), target.astype(float), 1)
    found = functional.depth_alignment(torch.from_numpy(pred), torch.from_numpy(target), 'scale-shift')
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert functional.depth_alignment(-torch.from_numpy(target), torch.from_numpy(target), 'scale-shift')[0] == -1


def test_alignments_of_constant_maps():
    target = torch.tensor([5.0, 7.0, 12.0])
    for constant in (0.0, 0.1, 1234.5):  # 0.1 summed in floats leaves a rest
        scale, shift = functional.depth_alignment(torch.full((3,), constant), target, 'scale-shift')
        assert (scale, shift) == (0, 8)
    assert functional.depth_alignment(torch.tensor([-1.0, 0.0, 1.0]), target, 'median')[0].isnan()


def test_depth_errors_by_hand():
    target = torch.tensor([1.0, 2.0, 4.0, 0.0])
    pred = torch.tensor([1.0, 3.0, 2.0, 3.0])
    found = dict(
        zip(DEPTH_ERRORS, functional.depth_errors(functional.depth_error_sums(pred, target, 0.1)), strict=True)
    )
    # The last pixel counts in RMSE alone. Ratios are 1, 1.5 and 2; 1.25 squared is 1.56, cubed 1.95.
    assert found == {
        'AbsRel': pytest.approx((0 + 1 / 2 + 2 / 4) / 3),
        'SqRel': pytest.approx((0 + 1 / 2 + 4 / 4) / 3),
        'RMSE': pytest.approx(math.sqrt((0 + 1 + 4 + 9) / 4)),
        'log-RMSE': pytest.approx(math.sqrt((math.log(1.5) ** 2 + math.log(2) ** 2) / 3)),
        'delta1': pytest.approx(1 / 3),
        'delta2': pytest.approx(2 / 3),
        'delta3': pytest.approx(2 / 3),
    }


def test_perfect_depth_and_depth_below_zero():
    target = torch.rand(20) + 1
    assert functional.depth_errors(functional.depth_error_sums(target, target, 1e-3)).tolist() == [0, 0, 0, 0, 1, 1, 1]
    errors = functional.depth_errors(functional.depth_error_sums(torch.tensor([-1.0]), torch.tensor([1.0]), 0.01))
    assert errors.tolist() == [2, 4, 2, pytest.approx(math.log(100)), 0, 0, 0]


def test_angles_by_hand():
    pred = torch.tensor([[0.0, 0, -1], [1, 0, 0], [0, 0, 5], [1, 1, 0], [0, 0, 0], [1, 0, 0]]).T
    target = torch.tensor([[0.0, 0, -1], [0, 1, 0], [0, 0, -1], [1, 0, 0], [1, 0, 0], [math.nan, 0, 0]]).T
    found = functional.angular_error(pred, target)
    np.testing.assert_allclose(found, [0, 90, 180, 45, 90, math.nan], atol=1e-5)
    one, two = np.random.default_rng(0).normal(size=(2, 3, 50))
    cosine = (one * two).sum(0) / np.linalg.norm(one, axis=0) / np.linalg.norm(two, axis=0)
    found = functional.angular_error(torch.from_numpy(one), torch.from_numpy(two))
    np.testing.assert_allclose(found, np.degrees(np.arccos(cosine)), atol=1e-3)


def test_small_angles_are_exact():
    # An arc cosine in float32 gives 0 or 0.03 for these.
    degrees = torch.tensor([0.0, 0.001, 0.01, 0.1])
    radians = torch.deg2rad(degrees)
    pred = torch.stack([radians.sin(), torch.zeros(4), -radians.cos()])
    target = torch.tensor([0.0, 0, -1])[:, None].expand(3, 4)
    np.testing.assert_allclose(functional.angular_error(pred, target), degrees, rtol=1e-4)
