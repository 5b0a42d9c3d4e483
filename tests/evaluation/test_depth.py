"""DepthMetric: counts, reports and errors. The formulas: test_dense_functional.py."""

import math

import numpy as np
import pytest
import torch

from sapiens.evaluation import DepthMetric, depth, streaming
from sapiens.evaluation.dense_functional import DEPTH_ERRORS

from .dense import dense_samples, evaluate


@pytest.fixture(autouse=True)
def said(monkeypatch):
    """Record the log of the metric."""
    said = []
    for module in (depth, streaming):
        monkeypatch.setattr(module, 'print_log', lambda message, *_: said.append(message))
    return said


def sample(target, pred, index=0, valid=None, **fields):
    target, pred = torch.tensor([[target]]).float(), torch.tensor([[pred]]).float()
    valid = torch.ones(target.shape[1:], dtype=torch.bool) if valid is None else torch.tensor([valid])
    return dict(
        sample_idx=index, img_path=f'{index}.png', gt_depth=target, pred_depth=pred, valid_mask=valid, **fields
    )


def test_by_hand(said):
    numbers = evaluate(DepthMetric('none'), [sample([1.0, 2.0, 3.0], [1.0, 1.0, 3.0])])
    assert list(numbers) == [f'depth_none/{name}' for name in (*DEPTH_ERRORS, 'flat_RMSE')]
    assert numbers['depth_none/AbsRel'] == pytest.approx(1 / 6)
    assert numbers['depth_none/RMSE'] == pytest.approx(math.sqrt(1 / 3))
    assert numbers['depth_none/delta1'] == pytest.approx(2 / 3)
    assert numbers['depth_none/flat_RMSE'] == pytest.approx(math.sqrt(2 / 3))  # every pixel at 2
    assert 'depth_none: 1 images, metric targets, alignment none; average over images' in said[-1]
    flat = next(line for line in said[-1].splitlines() if 'flat person' in line).split()
    # 1, 2 and 3 are called 2: AbsRel is (1 + 0 + 1/3) / 3.
    assert flat[4] == f'{4 / 9:.4f}' and flat[8] == f'{math.sqrt(2 / 3):.4f}'


@pytest.mark.parametrize('alignment', ['none', 'median', 'scale-shift'])
@pytest.mark.parametrize('average', ['image', 'pixel'])
def test_perfect_up_to_the_alignment(alignment, average):
    samples = dense_samples(4)
    scale, shift = {'none': (1, 0), 'median': (0.2, 0), 'scale-shift': (0.2, -3.0)}[alignment]
    for item in samples:
        item['pred_depth'] = scale * item['gt_depth'] + shift
    numbers = evaluate(DepthMetric(alignment, average=average), samples)
    flat = numbers.pop(f'depth_{alignment}/flat_RMSE')
    assert list(numbers.values()) == pytest.approx([0, 0, 0, 0, 1, 1, 1], abs=1e-6) and 0.5 < flat < 1.5
    worse = [dict(item, pred_depth=scale * (item['gt_depth'] ** 2) + shift) for item in samples]
    assert evaluate(DepthMetric(alignment, average=average), worse)[f'depth_{alignment}/RMSE'] > 0.05


def test_scale_and_shift_are_not_for_a_shifted_scale():
    items = [sample([2.0, 4.0, 6.0], [1.0, 2.0, 3.0]), sample([1.0, 2.0, 4.0], [11.0, 12.0, 14.0], 1)]
    for alignment, right in (('none', ()), ('median', (0,)), ('scale-shift', (0, 1))):
        for index, item in enumerate(items):
            rmse = evaluate(DepthMetric(alignment), [item])[f'depth_{alignment}/RMSE']
            assert (rmse < 1e-6) == (index in right)


def test_pixels_that_are_not_valid_do_not_matter():
    valid = [True, True, False, True]
    names = [f'depth_scale-shift/{name}' for name in ('RMSE', 'AbsRel', 'flat_RMSE')]
    numbers = []
    for target, pred in ((2.0, 2.0), (-1.0, 1e9), (math.nan, math.inf)):
        item = sample([1.0, 2.0, target, 5.0], [0.1, 0.4, pred, 0.6], valid=valid)
        found = evaluate(DepthMetric(), [item])
        numbers.append([found[name] for name in names])
    assert numbers[0] == numbers[1] == numbers[2] and numbers[0][0] > 0.1


def test_each_image_or_each_pixel_counts_the_same():
    items = [sample([1.0, 1.0, 1.0], [2.0, 2.0, 2.0]), sample([2.0], [5.0], 1)]
    numbers = evaluate(DepthMetric('none'), items)
    assert numbers['depth_none/AbsRel'] == pytest.approx((1 + 1.5) / 2) and numbers['depth_none/RMSE'] == 2
    numbers = evaluate(DepthMetric('none', average='pixel'), items)
    assert numbers['depth_none/AbsRel'] == pytest.approx((3 * 1 + 1.5) / 4)
    assert numbers['depth_none/RMSE'] == pytest.approx(math.sqrt((3 * 1 + 9) / 4))


def test_relative_targets(said):
    item = sample([3.0, 5.0, 4.0], [0.0, 1.0, 0.6])
    numbers = evaluate(DepthMetric('none', target='relative', prefix='hi4d'), [item])
    assert numbers['hi4d_relative_none/RMSE'] == pytest.approx(math.sqrt(0.01 / 3))
    # The nearest pixel has the target 0, by which nothing can be divided.
    assert numbers['hi4d_relative_none/AbsRel'] == pytest.approx((0 + 0.1 / 0.5) / 2)
    # A plane is at 0 everywhere and has an RMSE only.
    numbers = evaluate(DepthMetric('none', target='relative'), [item, sample([2.0, 2.0], [0.5, 0.5], 1)])
    assert numbers['depth_relative_none/AbsRel'] == pytest.approx(0.1)
    assert numbers['depth_relative_none/RMSE'] == pytest.approx((math.sqrt(0.01 / 3) + 0.5) / 2)


def test_flat_people_have_the_mean_depth_of_their_person():
    item = sample([1.0, 3.0, 7.0, 9.0], [0.0, 0.0, 0.0, 0.0])
    assert evaluate(DepthMetric(), [item])['depth_scale-shift/flat_RMSE'] == pytest.approx(math.sqrt((16 + 4) / 2))
    item['gt_instance'] = torch.tensor([[1, 1, 4, 4]], dtype=torch.uint8)
    numbers = evaluate(DepthMetric(), [item])
    assert numbers['depth_scale-shift/flat_RMSE'] == pytest.approx(1)
    # A constant prediction is at best a flat image.
    assert numbers['depth_scale-shift/RMSE'] == pytest.approx(math.sqrt((16 + 4) / 2))


def test_equal_to_mmseg(monkeypatch):
    from mmseg.evaluation.metrics import depth_metric

    monkeypatch.setattr(depth_metric, 'print_log', lambda *_, **__: None)
    theirs = depth_metric.DepthMetric(min_depth_eval=1e-3, max_depth_eval=100)
    samples = [item for item in dense_samples(5) if item['valid_mask'].any()]
    packed = []
    for item in samples:
        truth = torch.where(item['valid_mask'], item['gt_depth'], 0)
        packed.append(dict(gt_depth_map=dict(data=truth), pred_depth_map=dict(data=item['pred_depth'])))
    theirs.process({}, packed)
    expected = theirs.compute_metrics(theirs.results)
    ours = evaluate(DepthMetric('none'), samples)
    names = dict(d1='delta1', d2='delta2', d3='delta3', abs_rel='AbsRel', sq_rel='SqRel', rmse='RMSE')
    for name, own in (names | dict(rmse_log='log-RMSE')).items():
        assert ours[f'depth_none/{own}'] == pytest.approx(expected[name], rel=1e-5), name
    assert expected['rmse'] > 1


def test_odd_images_are_counted_and_named(said):
    items = [
        sample([1.0, 2.0], [1.0, 2.0]),
        sample([1.0, 2.0], [1.0, 2.0], 1, valid=[False, False]),
        sample([1.0, 2.0], [9.0, 4.0], 2),
    ]
    numbers = evaluate(DepthMetric(), items)
    assert numbers['depth_scale-shift/RMSE'] == pytest.approx(0, abs=1e-6)
    assert said[:2] == [
        'depth_scale-shift: 1 of 3 samples have no labeled pixel and are skipped, among them 1.png',
        'depth_scale-shift: 1 of 3 samples were aligned with a negative scale: the prediction is higher in front, '
        'among them 2.png',
    ]
    said.clear()
    numbers = evaluate(DepthMetric('median'), [items[0], sample([1.0, 2.0], [math.nan, 2.0], 3)])
    assert math.isnan(numbers['depth_median/RMSE'])
    assert 'not finite or cannot be aligned, among them 3.png' in said[0]
    said.clear()
    assert evaluate(DepthMetric('median'), [items[1]]) == {} and 'nothing is reported' in said[-1]


def test_refused_settings():
    for message, options in (
        ("alignment='scale', expected one of 'none', 'median', 'scale-shift'", dict(alignment='scale')),
        ("target='disparity'", dict(target='disparity')),
        ("average='all'", dict(average='all')),
        ('min_depth=0, ', dict(min_depth=0)),
    ):
        with pytest.raises(ValueError, match=message):
            DepthMetric(**options)
    with pytest.raises(ValueError, match='0.png has no valid_mask'):
        item = sample([1.0], [1.0])
        del item['valid_mask']
        DepthMetric().process({}, [item])


def test_arrays_are_as_good_as_tensors():
    item = dense_samples(1)[0]
    arrays = {key: np.asarray(value) if isinstance(value, torch.Tensor) else value for key, value in item.items()}
    assert evaluate(DepthMetric(), [arrays]) == evaluate(DepthMetric(), [item])
