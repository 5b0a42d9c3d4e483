"""MattingMetric: errors by hand and against direct formulas."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from sapiens.evaluation import MattingMetric, matting, streaming
from sapiens.evaluation.matting_functional import matting_errors, unknown_band

from .dense import dense_samples, evaluate


@pytest.fixture(autouse=True)
def said(monkeypatch):
    """Record the log of the metric."""
    said = []
    for module in (matting, streaming):
        monkeypatch.setattr(module, 'print_log', lambda message, *_: said.append(message))
    return said


def sample(pred, target, index=0, **more):
    pred, target = (torch.tensor(values, dtype=torch.float32)[None] for values in (pred, target))
    valid = torch.ones(target.shape[1:], dtype=torch.bool)
    fields = dict(pred_alpha=pred, gt_alpha=target, valid_mask=valid)
    return dict(fields, sample_idx=index, img_path=f'{index}.png', **more)


def disc(size=(60, 50), radius=15.0, soft=6.0, center=(30, 25)):
    y, x = np.mgrid[: size[0], : size[1]]
    return np.clip((radius - np.hypot(y - center[0], x - center[1])) / soft + 0.5, 0, 1).astype(np.float32)


def errors(pred, target, region=None):
    pred, target = np.float32(pred), np.float32(target)
    everywhere = np.ones(target.shape, bool)
    return matting_errors(pred, target, everywhere, [everywhere if region is None else region])[0]


def test_sums_and_means_by_hand(said):
    target = np.zeros((20, 50))
    pred = target.copy()
    pred[:, :10] = 0.5
    first, second = sample(pred, target), sample(target, target, 1)
    numbers = evaluate(MattingMetric(), [first, second])
    assert numbers['matting/SAD'] == pytest.approx(0.05)  # 200 pixels x 0.5, in thousands, over two images
    assert numbers['matting/MAD'] == pytest.approx(0.05) and numbers['matting/MSE'] == pytest.approx(0.025)
    assert numbers['matting/mask_MAD'] == 0
    assert not any('unknown' in name for name in numbers)  # the truth has no edge
    assert any('no image has unknown pixels' in line for line in said)
    assert 'matting: 2 images; SAD, grad and conn in thousands' in said[-1]


def test_gradients_are_those_of_a_gaussian():
    target, pred = disc(), disc(radius=17, soft=3)
    x = np.arange(-4, 5)
    smooth = np.exp(-(x**2) / (2 * 1.4**2))
    slope = x * smooth
    kernel = np.outer(smooth, slope) / np.linalg.norm(np.outer(smooth, slope))
    sizes = [
        np.hypot(ndimage.correlate(alpha, kernel, mode='nearest'), ndimage.correlate(alpha, kernel.T, mode='nearest'))
        for alpha in (pred.astype(np.float64), target.astype(np.float64))
    ]
    region = unknown_band(target, 0.05)
    for part in (None, region):
        expected = np.square(sizes[0] - sizes[1])[... if part is None else part].sum() / 1000
        assert errors(pred, target, part)[3] == pytest.approx(expected, rel=1e-4)
    assert errors(target, target)[3] == 0


def connectivity(pred, target):
    """The definition, pixel by pixel of the thresholds."""
    level, done = np.full(pred.shape, -1.0), np.zeros(pred.shape, bool)
    for number in range(11):
        both = (pred >= np.float32(number / 10)) & (target >= np.float32(number / 10))
        labels, count = ndimage.label(both)
        sizes = ndimage.sum_labels(both, labels, range(1, count + 1))
        part = labels == 1 + int(np.argmax(sizes)) if count else both
        done |= ~part
        level[~done] = number / 10
    phi = [1 - np.where(alpha - level >= 0.15, alpha - level, 0) for alpha in (pred, target)]
    return np.abs(phi[0] - phi[1]).sum() / 1000


def test_connectivity():
    target = np.maximum(disc(), disc(radius=5, soft=2, center=(8, 8)))
    pred = np.maximum(disc(soft=4), 0.5 * disc(radius=4, soft=1, center=(52, 40)))
    assert errors(pred, target)[4] == pytest.approx(connectivity(pred, target), rel=1e-5)
    assert errors(pred, target)[4] > 0.01 and errors(target, target)[4] == 0
    # An isolated spot of 20 pixels at 0.9: nothing of it is connected to the rest, so all of 0.9 counts; a step of 0.1 does not.
    body = np.zeros((30, 30), np.float32)
    body[5:25, 5:15] = 1
    spot, step = body.copy(), body.copy()
    spot[10:12, 18:28] = 0.9
    step[5:25, 5:15] = 0.9
    assert errors(spot, body)[4] == pytest.approx(20 * 0.9 / 1000, rel=1e-5)
    assert errors(step, body)[4] == 0


def test_parts_that_touch_at_a_corner_are_not_connected():
    """The matte of 36 pixels at the corner of a body belongs to no level: 1 of the target counts, and 0.1 is below the tolerance.
    With the body, its level is 0.1, and 0.9 of the target counts."""
    target = np.zeros((20, 20), np.float32)
    target[:10, :10] = target[10:16, 10:16] = 1
    pred = target.copy()
    pred[10:16, 10:16] = 0.1
    assert errors(pred, target)[4] == pytest.approx(36 * 1.0 / 1000, rel=1e-5)
    target[10, 9] = pred[10, 9] = 1  # touches both by its sides
    assert errors(pred, target)[4] == pytest.approx(36 * 0.9 / 1000, rel=1e-5)


def test_the_connected_part_is_that_of_both_mattes():
    """What only one of the mattes has is connected to nothing, next to the body or larger than it."""
    body = np.zeros((40, 40), np.float32)
    body[5:25, 5:15] = 1
    arm, crowd = body.copy(), body.copy()
    arm[10:12, 15:25] = 0.9
    crowd[5:35, 20:40] = 0.9  # 600 pixels; the body has 200
    for extra, pixels in ((arm, 20), (crowd, 600)):
        assert errors(extra, body)[4] == pytest.approx(pixels * 0.9 / 1000, rel=1e-5)
        assert errors(body, extra)[4] == pytest.approx(pixels * 0.9 / 1000, rel=1e-5)
    # Of two parts that both have, the larger one is the body: the other, at 0.1 in one of them, has no level.
    small, both = body.copy(), body.copy()
    both[30:34, 5:9] = 1
    small[30:34, 5:9] = 0.1
    assert errors(small, both)[4] == pytest.approx(16 * 1.0 / 1000, rel=1e-5)


def test_the_unknown_band():
    hard = np.zeros((40, 100), np.float32)
    hard[:, 50:] = 1
    columns = unknown_band(hard, 0.03).all(0).nonzero()[0].tolist()
    assert columns == list(range(47, 53)) and unknown_band(hard, 0.03).sum() == 6 * 40
    hard[:, 80] = 0.5
    assert unknown_band(hard, 0.001).all(0).nonzero()[0].tolist() == [49, 50, 79, 80, 81]
    hard[:, 80] = 254 / 255  # a step of 8 bits is opaque
    assert unknown_band(hard, 0.001).all(0).nonzero()[0].tolist() == [49, 50]
    assert not unknown_band(np.ones((5, 5), np.float32), 0.5).any()


def test_pixels_that_are_not_valid_make_no_unknown_band():
    alpha = np.ones((40, 100), np.float32)
    alpha[:, 50:] = 0
    valid = np.ones(alpha.shape, bool)
    valid[:, :20] = False
    for value in (0.0, 0.5, np.nan):
        alpha[:, :20] = value
        columns = (unknown_band(alpha, 0.03, valid) & valid).all(0).nonzero()[0].tolist()
        assert columns == list(range(47, 53)), value
    # One of seven columns is soft, and the mask is 0.3 off there.
    alpha[:, :50], alpha[:, 50] = 1, 0.3
    item = sample(alpha, alpha)
    item['valid_mask'] = torch.from_numpy(valid)
    assert evaluate(MattingMetric(0.03), [item])['matting/unknown_mask_MAD'] == pytest.approx(0.3 / 7, rel=1e-5)


def test_regions_and_the_mask_of_people():
    target = disc()
    mask = torch.from_numpy(disc(soft=1, radius=14) > 0.5)
    numbers = evaluate(MattingMetric(0.1), [sample(target, target, gt_mask=mask)])
    assert numbers['matting/MAD'] == numbers['matting/unknown_SAD'] == 0
    assert numbers['matting/mask_MAD'] == pytest.approx(np.abs(mask.numpy() - target).mean(), rel=1e-5)
    band = unknown_band(target, 0.1)
    assert numbers['matting/unknown_mask_MAD'] == pytest.approx(np.abs(mask.numpy() - target)[band].mean(), rel=1e-5)
    # Without a mask: the truth, cut at a half.
    numbers = evaluate(MattingMetric(0.1), [sample(target, target)])
    assert numbers['matting/mask_MAD'] == pytest.approx(np.abs((target >= 0.5) - target).mean(), rel=1e-5)
    # An image without edges counts among all pixels, not in the band.
    empty = sample(np.zeros((60, 50)), np.zeros((60, 50)), 1)
    both = evaluate(MattingMetric(0.1), [sample(target, target), empty])
    assert both['matting/mask_MAD'] == pytest.approx(numbers['matting/mask_MAD'] / 2)
    assert both['matting/unknown_mask_MAD'] == numbers['matting/unknown_mask_MAD']
    assert list(both) == [f'matting/{name}' for name in MattingMetric.names]


def test_masks_of_a_model(tmp_path, said):
    target, shifted = disc(), disc(soft=1, center=(34, 25)) > 0.5
    np.save(tmp_path / '0.npy', shifted)
    metric = MattingMetric(0.1, mask_dir=tmp_path)
    numbers = evaluate(metric, [sample(target, target)])
    band = unknown_band(target, 0.1)
    assert numbers['matting/model_mask_MAD'] == pytest.approx(np.abs(shifted - target).mean(), rel=1e-5)
    assert numbers['matting/unknown_model_mask_MAD'] == pytest.approx(np.abs(shifted - target)[band].mean(), rel=1e-5)
    assert numbers['matting/mask_MAD'] == evaluate(MattingMetric(0.1), [sample(target, target)])['matting/mask_MAD']
    assert list(numbers) == [f'matting/{name}' for name in metric.names] and 'model mask, all pixels' in said[0]
    with pytest.raises(FileNotFoundError, match=r'no .*1\.npy for 1\.png; `sapiens infer seg --save mask` writes it'):
        evaluate(metric, [sample(target, target, 1)])
    np.save(tmp_path / '1.npy', shifted[1:])
    with pytest.raises(ValueError, match=r'1\.npy: a mask of \(59, 50\) for labels of \(60, 50\)'):
        evaluate(MattingMetric(mask_dir=tmp_path), [sample(target, target, 1)])


def test_pixels_that_are_not_valid_do_not_matter():
    item = sample(disc(soft=3), disc())
    item['valid_mask'][:30] = False
    expected = evaluate(MattingMetric(), [item])
    for value in (1.0, math.nan):
        item['pred_alpha'][:, :30] = value
        item['gt_alpha'][:, :30] = value
        assert evaluate(MattingMetric(), [item]) == pytest.approx(expected)
    assert 0 < expected['matting/SAD'] < evaluate(MattingMetric(), [sample(disc(soft=3), disc())])['matting/SAD']


def test_odd_samples_are_told(said):
    broken = sample(disc(), disc())
    broken['pred_alpha'][0, 30, 25] = math.nan
    numbers = evaluate(MattingMetric(), [sample(disc(), disc(), 7), broken])
    assert all(math.isnan(numbers[f'matting/{name}']) for name in ('SAD', 'MAD', 'MSE', 'grad', 'conn'))
    assert said[0] == 'matting: 1 of 2 samples have a prediction that is not finite, among them 0.png'
    broken['valid_mask'][:] = False
    assert evaluate(MattingMetric(), [broken]) == {} and 'nothing is reported' in said[-1]
    with pytest.raises(ValueError, match='band=0, expected a fraction'):
        MattingMetric(0)
    with pytest.raises(ValueError, match=r'gt_alpha is \(2, 2\) \(H, W\), but the prediction is \(1, 1\)'):
        evaluate(MattingMetric(), [dict(sample([[0.5]], [[0.5]]), gt_alpha=torch.zeros(1, 2, 2))])


def test_batches_do_not_matter():
    samples = dense_samples(5)
    numbers = evaluate(MattingMetric(), samples, batch=5)
    assert numbers == pytest.approx(evaluate(MattingMetric(), samples[::-1], batch=1), rel=1e-12)
    assert len(numbers) == 12
