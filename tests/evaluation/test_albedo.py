"""AlbedoMetric: differences, similarity, encodings and the photograph."""

import math

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from sapiens.evaluation import AlbedoMetric, albedo, streaming
from sapiens.evaluation.albedo import photograph
from sapiens.evaluation.dense_functional import gradient_error_sums, masked_ssim
from sapiens.utils.srgb import decode_srgb

from .dense import dense_samples, evaluate


@pytest.fixture(autouse=True)
def said(monkeypatch):
    """Record the log of the metric."""
    said = []
    for module in (albedo, streaming):
        monkeypatch.setattr(module, 'print_log', lambda message, *_: said.append(message))
    return said


def sample(pred, target, index=0, image=None, **more):
    """(H, W) gray maps as samples."""
    pred, target = (torch.tensor(values, dtype=torch.float32).expand(3, -1, -1).clone() for values in (pred, target))
    valid = torch.ones(target.shape[1:], dtype=torch.bool)
    fields = dict(pred_albedo=pred, gt_albedo=target, valid_mask=valid, image=image)
    return dict(fields, sample_idx=index, img_path=f'{index}.png', **more)


def test_by_hand(said):
    # Differences 0.1, 0, 0 and 0.3; steps between them 0.1 and 0.3 along x, 0.1 and 0.3 along y.
    image = torch.full((3, 2, 2), 51, dtype=torch.uint8)  # 0.2
    item = sample([[0.3, 0.2], [0.2, 0.5]], [[0.2, 0.2], [0.2, 0.2]], image=image)
    numbers = evaluate(AlbedoMetric('linear'), [item])
    assert list(numbers) == [f'albedo/{name}' for name in AlbedoMetric.names]
    square = (0.01 + 0.09) / 4
    assert numbers['albedo/MAE'] == pytest.approx(0.1)
    assert numbers['albedo/RMSE'] == pytest.approx(math.sqrt(square))
    assert numbers['albedo/PSNR'] == pytest.approx(-10 * math.log10(square), rel=1e-5)
    assert numbers['albedo/gradient'] == pytest.approx(0.2)
    assert math.isnan(numbers['albedo/SSIM'])  # no window of 11 pixels is half inside
    assert numbers['albedo/photo_MAE'] == pytest.approx(abs(float(decode_srgb(np.array(0.2))) - 0.2), rel=1e-5)
    assert 'albedo, linear values in [0, 1]: 1 images' in said[-1] and 'its mean color' in said[-1]


def test_labels_are_linear_and_predictions_coded():
    coded = np.linspace(0, 1, 12).reshape(3, 4)
    image = torch.from_numpy(np.rint(coded * 255)).to(torch.uint8).expand(3, -1, -1)
    item = sample(coded, decode_srgb(coded), image=image)
    numbers = evaluate(AlbedoMetric(), [item])
    assert numbers['albedo/MAE'] == pytest.approx(0, abs=1e-6) and numbers['albedo/PSNR'] > 100
    # The photograph is the albedo but for its rounding to 8 bits; its mean color is 0.5 in the middle of an even ramp.
    assert numbers['albedo/photo_MAE'] < 0.002
    assert numbers['albedo/mean_color_MAE'] == pytest.approx(np.abs(coded - 0.5).mean(), abs=1e-3)
    assert evaluate(AlbedoMetric('linear'), [item])['albedo/MAE'] > 0.1


def test_the_mean_color_is_that_of_people():
    image = torch.tensor([[51, 153, 255, 255]], dtype=torch.uint8).expand(3, -1, -1)  # 0.2, 0.6, and white beside them
    item = sample([[0.4] * 4], [[0.4] * 4], image=image)
    item['gt_albedo'][:] = float(decode_srgb(np.array(0.4)))
    item['valid_mask'][:, 2:] = False
    numbers = evaluate(AlbedoMetric(), [item])
    assert numbers['albedo/mean_color_MAE'] == pytest.approx(0, abs=1e-6)
    assert numbers['albedo/photo_MAE'] == pytest.approx(0.2, rel=1e-5)


def test_each_image_or_each_pixel_counts_the_same():
    samples = [sample([[0.1, 0.1, 0.1]], [[0, 0, 0]]), sample([[0.4]], [[0]], 1)]
    assert evaluate(AlbedoMetric('linear'), samples)['albedo/MAE'] == pytest.approx(0.25)
    assert evaluate(AlbedoMetric('linear', 'pixel'), samples)['albedo/MAE'] == pytest.approx(0.7 / 4)
    psnr = [20, -20 * math.log10(0.4)]
    assert evaluate(AlbedoMetric('linear'), samples)['albedo/PSNR'] == pytest.approx(sum(psnr) / 2, rel=1e-5)
    # One pixel has no steps: the other image alone counts.
    samples[0]['pred_albedo'][:, 0, 1] = 0.3
    assert evaluate(AlbedoMetric('linear'), samples)['albedo/gradient'] == pytest.approx(0.2)


def test_similarity_is_that_of_a_library():
    random = np.random.default_rng(0)
    target = np.clip(np.cumsum(random.normal(0.02, 0.1, (40, 50, 3)), 0), 0, 1).astype(np.float32)
    pred = np.clip(target + random.normal(0, 0.1, target.shape), 0, 1).astype(np.float32)
    options = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1, channel_axis=2)
    _, expected = structural_similarity(pred, target, full=True, **options)
    valid = torch.zeros(40, 50, dtype=torch.bool)
    valid[2:38, 3:47] = True
    tensors = [torch.from_numpy(maps).permute(2, 0, 1) for maps in (pred, target)]
    ours = masked_ssim(*tensors, torch.ones(40, 50, dtype=torch.bool)).view(3, -1)
    # The weights of windows around the outermost pixels are still more than half inside, those of the corners are not.
    counted = np.ones((40, 50), bool)
    counted[::39, ::49] = False
    assert ours.shape[1] == counted.sum()
    found = np.zeros((3, 40, 50), np.float32)
    found[:, counted] = ours
    assert np.allclose(found[:, 5:-5, 5:-5], expected.transpose(2, 0, 1)[:, 5:-5, 5:-5], atol=1e-4)


def test_similarity_with_unknown_pixels_is_that_of_the_known_ones():
    random = np.random.default_rng(1)
    pred, target = (torch.from_numpy(random.random((1, 11, 11)).astype(np.float32)) for _ in range(2))
    valid = torch.from_numpy(random.random((11, 11)) > 0.2)
    pred[0][~valid] = math.nan
    x = np.arange(11) - 5
    taps = np.exp(-(x**2) / 4.5)
    weights = np.outer(taps, taps) / taps.sum() ** 2 * valid.numpy()
    assert weights.sum() > 0.5
    weights /= weights.sum()
    p, t = (np.nan_to_num(maps[0].numpy().astype(np.float64)) for maps in (pred, target))
    mean_p, mean_t = (weights * p).sum(), (weights * t).sum()
    var_p, var_t = (weights * (p - mean_p) ** 2).sum(), (weights * (t - mean_t) ** 2).sum()
    both = (weights * (p - mean_p) * (t - mean_t)).sum()
    expected = (2 * mean_p * mean_t + 1e-4) * (2 * both + 9e-4)
    expected /= (mean_p**2 + mean_t**2 + 1e-4) * (var_p + var_t + 9e-4)
    windows = masked_ssim(pred, target, valid)
    assert abs(windows - expected).min() < 1e-5 and windows.isfinite().all()


def test_steps_across_the_edge_of_people_do_not_count():
    pred, target = torch.zeros(1, 1, 4), torch.zeros(1, 1, 4)
    pred[0, 0] = torch.tensor([0.0, 0.5, math.nan, 9])
    valid = torch.tensor([[True, True, False, True]])
    assert [float(value) for value in gradient_error_sums(pred, target, valid)] == [1, 0.5]


def test_the_photograph_is_put_on_the_labels():
    image = torch.arange(48, dtype=torch.uint8).view(3, 4, 4)
    assert torch.equal(photograph(dict(inputs=image), (4, 4)), image.float() / 255)
    # Four times as large as the labels: each label covers 2 x 2 pixels.
    assert torch.allclose(
        photograph(dict(inputs=image), (2, 2)) * 255, torch.nn.functional.avg_pool2d(image.float(), 2), atol=0.51
    )
    # A letterbox: the labels are the two rows in the middle.
    matrix = np.array([[1.0, 0, 0], [0, 1, 1]])
    assert torch.equal(photograph(dict(inputs=image, warp_matrix=matrix), (2, 4)), image[:, 1:3].float() / 255)
    assert photograph(dict(inputs=image.float()), (4, 4)) is None and photograph({}, (4, 4)) is None


def test_odd_samples_are_told(said):
    good = sample([[0.5]], [[0.4]], 7)
    assert 'albedo/photo_MAE' not in evaluate(AlbedoMetric(), [good])
    assert said[0] == 'albedo: 1 of 1 samples come without the photograph, which is not compared, among them 7.png'
    said.clear()
    broken = sample([[math.nan]], [[0.4]])
    for average in ('pixel', 'image'):
        assert math.isnan(evaluate(AlbedoMetric(average=average), [good, broken])['albedo/MAE'])
        assert 'albedo: 1 of 2 samples have a prediction that is not finite, among them 0.png' in said
    same = sample([[0.5]], [[0.5]])
    said.clear()
    assert evaluate(AlbedoMetric('linear'), [same])['albedo/PSNR'] == math.inf and len(said) == 2
    good['valid_mask'][:] = False
    assert evaluate(AlbedoMetric(), [good]) == {} and 'nothing is reported' in said[-1]


def test_refused():
    with pytest.raises(ValueError, match="encoding='gamma', expected one of 'srgb', 'linear'"):
        AlbedoMetric('gamma')
    with pytest.raises(ValueError, match="average='median', expected one of 'image', 'pixel'"):
        AlbedoMetric(average='median')
    with pytest.raises(ValueError, match=r'gt_albedo is \(2, 2\) \(H, W\), but the prediction is \(1, 1\)'):
        evaluate(AlbedoMetric(), [dict(sample([[0.5]], [[0.5]]), gt_albedo=torch.zeros(3, 2, 2))])


def test_batches_do_not_matter():
    samples = dense_samples(5)
    for average in ('pixel', 'image'):
        numbers = evaluate(AlbedoMetric(average=average), samples, batch=5)
        assert numbers == pytest.approx(evaluate(AlbedoMetric(average=average), samples[::-1], batch=1), rel=1e-12)
        assert len(numbers) == 7
