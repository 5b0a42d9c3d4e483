import copy
import math

import pytest
import torch
import torch.nn.functional as F

from sapiens.evaluation import DepthMetric
from sapiens.models import (
    AlignedDepthLoss,
    DepthGradientLoss,
    NormalCosineLoss,
    NormalGradientLoss,
    NormalL1Loss,
    ScaleShiftInvariantLoss,
    SegCrossEntropyLoss,
    SegDiceLoss,
    SiLogLoss,
)

WEIGHTS = [0.5, 1.0, 2.0, 4.0]
SEG = [
    SegCrossEntropyLoss(),
    SegCrossEntropyLoss(class_weight=WEIGHTS),
    SegCrossEntropyLoss(class_weight=WEIGHTS, average='weights'),
    SegCrossEntropyLoss(average='weights'),
    SegDiceLoss(),
    SegDiceLoss(background=None),
]
DEPTH = [
    SiLogLoss(),
    SiLogLoss(published=True),
    SiLogLoss(invariance=1.0),
    ScaleShiftInvariantLoss(),
    DepthGradientLoss(),
    DepthGradientLoss(invariant=True),
    AlignedDepthLoss(),
]
NORMAL = [NormalCosineLoss(), NormalL1Loss(), NormalGradientLoss()]
ALL = [*SEG, *DEPTH, *NORMAL]
NAMES = [f'{type(loss).__name__}-{index}' for index, loss in enumerate(ALL)]


def data(loss, batch=2, seed=0):
    """Output, target and validity for any loss; a third of the pixels is not valid."""
    generator = torch.Generator().manual_seed(seed)
    valid = torch.rand(batch, 9, 7, generator=generator) > 0.33
    if any(loss is one for one in SEG):
        return (
            torch.randn(batch, 4, 9, 7, generator=generator),
            torch.randint(4, (batch, 9, 7), generator=generator),
            valid,
        )
    if any(loss is one for one in DEPTH):
        return (
            torch.rand(batch, 1, 9, 7, generator=generator) * 1.2 - 0.1,
            torch.rand(batch, 1, 9, 7, generator=generator),
            valid,
        )
    normal = torch.randn(batch, 3, 9, 7, generator=generator)
    return torch.randn(batch, 3, 9, 7, generator=generator), F.normalize(normal, dim=1), valid


def gradient(loss, output, target, valid):
    output = output.clone().requires_grad_()
    value = loss(output, target, valid)
    value.backward()
    return value.detach(), output.grad


# ---------------------------------------------------------------------- every loss


@pytest.mark.parametrize('loss', ALL, ids=NAMES)
def test_invalid_pixels_do_not_matter(loss):
    output, target, valid = data(loss)
    value, grad = gradient(loss, output, target, valid)
    assert value.shape == () and value > 0 and grad.any()
    changed, other = output.clone(), target.clone()
    outside = ~valid[:, None] if target.ndim == 4 else ~valid
    changed.masked_fill_(~valid[:, None], -37.0)
    other.masked_fill_(outside, 255 if target.ndim == 3 else torch.nan)
    again, grad_again = gradient(loss, changed, other, valid)
    assert torch.equal(value, again)
    assert torch.equal(grad, grad_again)
    assert not grad[(~valid[:, None]).expand_as(grad)].any()


@pytest.mark.parametrize('loss', ALL, ids=NAMES)
def test_without_a_valid_pixel_there_is_nothing_to_learn(loss):
    output, target, valid = data(loss)
    value, grad = gradient(loss, output, target, torch.zeros_like(valid))
    assert value == 0 and not grad.any()


@pytest.mark.parametrize('loss', ALL, ids=NAMES)
def test_an_image_without_a_valid_pixel_does_not_spoil_the_others(loss):
    output, target, valid = data(loss)
    valid[1] = False
    value, grad = gradient(loss, output, target, valid)
    assert value > 0 and value.isfinite() and grad[0].any() and grad.isfinite().all() and not grad[1].any()
    alone = loss(output[:1], target[:1], valid[:1])
    # These are means over all pixels or images, as published.
    halved = (
        (isinstance(loss, SegCrossEntropyLoss) and loss.average == 'pixels')
        or isinstance(loss, SegDiceLoss)
        or (isinstance(loss, SiLogLoss) and loss.published)
    )
    assert value.item() == pytest.approx(alone.item() / (2 if halved else 1), rel=1e-6)


@pytest.mark.parametrize('loss', ALL, ids=NAMES)
def test_float32_from_bf16_and_weighted(loss):
    output, target, valid = data(loss)
    value = loss(output.bfloat16(), target, valid)
    assert value.dtype == torch.float32
    assert torch.equal(value, loss(output.bfloat16().float(), target, valid))
    tripled = copy.copy(loss)
    tripled.loss_weight = 3.0
    assert tripled(output, target, valid).item() == pytest.approx(3 * loss(output, target, valid).item())


@pytest.mark.parametrize('loss', [*DEPTH, *NORMAL], ids=NAMES[len(SEG) :])
def test_a_perfect_prediction_costs_nothing(loss):
    _, target, valid = data(loss)
    value, grad = gradient(loss, target, target, valid)
    assert value.item() == pytest.approx(0, abs=1e-6)
    assert grad.isfinite().all()


@pytest.mark.parametrize('prediction', [0.0, 0.3, -1.0])
@pytest.mark.parametrize('loss', [*DEPTH, *NORMAL], ids=NAMES[len(SEG) :])
def test_gradients_of_a_constant_prediction_are_finite(loss, prediction):
    output, target, valid = data(loss)
    for truth in (target, torch.zeros_like(target), torch.full_like(target, 0.4)):
        value, grad = gradient(loss, torch.full_like(output, prediction), truth, valid)
        assert value.isfinite() and grad.isfinite().all()


# ---------------------------------------------------------------------- segmentation


def test_cross_entropy_by_hand():
    scores = torch.tensor([[0.0, 1.0, 2.0], [3.0, 1.0, 0.0], [1.0, 1.0, 1.0]]).T.view(1, 3, 1, 3)  # one row per pixel
    labels, valid = torch.tensor([[[2, 1, 0]]]), torch.tensor([[[True, True, False]]])
    first = -math.log(math.exp(2) / (1 + math.e + math.exp(2)))
    second = -math.log(math.e / (math.exp(3) + math.e + 1))
    weights = [7.0, 2.0, 0.5]
    plain, weighted = first + second, 0.5 * first + 2 * second
    for loss, expected in (
        (SegCrossEntropyLoss(), plain / 3),
        (SegCrossEntropyLoss(average='weights'), plain / 2),
        (SegCrossEntropyLoss(class_weight=weights), weighted / 3),
        (SegCrossEntropyLoss(class_weight=weights, average='weights'), weighted / 2.5),
    ):
        assert loss(scores, labels, valid).item() == pytest.approx(expected, rel=1e-6)


def test_dice_by_hand():
    # two images of two pixels, three classes; probabilities as logarithms, so that the softmax gives them back
    p = torch.tensor([[[0.2, 0.5, 0.3], [0.1, 0.1, 0.8]], [[0.6, 0.2, 0.2], [0.4, 0.3, 0.3]]])
    scores = p.log().permute(0, 2, 1)[:, :, None]
    labels = torch.tensor([[[1, 2]], [[0, 0]]])
    s = 1e-3
    one = 1 - (2 * 0.5 + s) / (0.5**2 + 0.1**2 + 1 + s)
    two = 1 - (2 * 0.8 + s) / (0.3**2 + 0.8**2 + 1 + s)
    everywhere = torch.ones(2, 1, 2, dtype=torch.bool)
    # the second image has nothing but background
    assert SegDiceLoss()(scores, labels, everywhere).item() == pytest.approx((one + two) / 2 / 2, rel=1e-5)
    zero = 1 - (2 * (0.6 + 0.4) + s) / (0.6**2 + 0.4**2 + 2 + s)
    assert SegDiceLoss(background=None)(scores, labels, everywhere).item() == pytest.approx(
        ((one + two) / 2 + zero) / 2, rel=1e-5
    )


def test_wrong_options_of_segmentation_losses():
    output, target, valid = data(SEG[0])
    with pytest.raises(ValueError, match="average='mean' is not one of"):
        SegCrossEntropyLoss(average='mean')
    with pytest.raises(ValueError, match='has 3 numbers for 4 classes'):
        SegCrossEntropyLoss(class_weight=[1, 2, 3])(output, target, valid)
    with pytest.raises(ValueError, match='below 0'):
        SegCrossEntropyLoss(class_weight=[1, -2, 3])
    with pytest.raises(ValueError, match='SegTask'):
        SegCrossEntropyLoss(class_weight='classes')


# ---------------------------------------------------------------------- depth


def row(*values):
    return torch.tensor(values, dtype=torch.float32).view(1, 1, 1, -1)


def all_valid(depth):
    return torch.ones(depth.shape[0], *depth.shape[-2:], dtype=torch.bool)


def test_silog_by_hand():
    prediction, target = row(0.1, 0.4, 0.8), row(0.2, 0.4, 0.4)
    d = [math.log(2), 0.0, -math.log(2)]
    expected = math.sqrt(sum(x * x for x in d) / 3 - 0.5 * (sum(d) / 3) ** 2)
    for loss in (SiLogLoss(), SiLogLoss(published=True)):
        assert loss(prediction, target, all_valid(target)).item() == pytest.approx(expected, rel=1e-6)
    # a common factor counts half, fully or not at all
    double = 2 * target
    for invariance, factor in ((0.5, math.sqrt(0.5)), (0.0, 1.0), (1.0, 0.0)):
        loss = SiLogLoss(invariance=invariance)(double, target, all_valid(target))
        assert loss.item() == pytest.approx(factor * math.log(2), abs=1e-6)


def test_silog_below_the_logarithm():
    """The line touches the logarithm, and goes on for depths of 0 and less."""
    prediction, target = row(0.01, 0.0, -0.02), row(0.01, 0.01, 0.01)
    d = [0.0, 1.0, 3.0]
    expected = math.sqrt(sum(x * x for x in d) / 3 - 0.5 * (sum(d) / 3) ** 2)
    assert SiLogLoss()(prediction, target, all_valid(target)).item() == pytest.approx(expected, rel=1e-5)
    log = SiLogLoss(min_depth=0.1).log
    assert log(torch.tensor([1.0, 0.1, 0.0])).tolist() == pytest.approx([0, math.log(0.1), math.log(0.1) - 1])


def test_silog_teaches_where_the_published_form_does_not():
    """Predictions below 0, and the nearest pixel."""
    prediction, target = row(-0.5, -0.1, -0.2, 0.3), row(0.0, 0.4, 0.7, 1.0)
    grad = gradient(SiLogLoss(published=True), prediction, target, all_valid(target))[1].flatten()
    assert grad[:3].tolist() == [0, 0, 0] and grad[3] != 0
    grad = gradient(SiLogLoss(), prediction, target, all_valid(target))[1].flatten()
    assert (grad[:3] < 0).all()
    # a nearest pixel that is predicted far
    prediction = row(0.9, 0.4, 0.7, 1.0)
    assert SiLogLoss(published=True)(prediction, target, all_valid(target)) == 0
    value, grad = gradient(SiLogLoss(), prediction, target, all_valid(target))
    assert value > 1 and grad.flatten()[0] > 0


def test_a_network_that_starts_below_zero_learns_depth():
    target = torch.linspace(0, 1, 64).view(1, 1, 8, 8)
    errors = {}
    for published in (False, True):
        output = torch.full_like(target, -0.2).requires_grad_()
        optimizer = torch.optim.Adam([output], lr=0.02)
        for _ in range(300):
            optimizer.zero_grad()
            SiLogLoss(published=published)(output, target, all_valid(target)).backward()
            optimizer.step()
        errors[published] = (output - target).abs().mean().item()
    assert errors[False] < 0.02 and errors[True] > 0.5


def test_scale_and_shift_invariance():
    output, target, valid = data(DEPTH[3])
    loss = ScaleShiftInvariantLoss()
    value = loss(output, target, valid)
    for scale, shift in ((3.0, 0.7), (0.2, -5.0)):
        assert loss(scale * output + shift, target, valid).item() == pytest.approx(value.item(), rel=1e-4)
        assert loss(output, scale * target + shift, valid).item() == pytest.approx(value.item(), rel=1e-4)
    assert loss(2 * target - 1, target, valid).item() == pytest.approx(0, abs=1e-5)
    # by hand: medians 1 and 4, mean deviations 2 / 3 and 1
    prediction, truth = row(0.0, 1.0, 2.0), row(4.0, 3.0, 6.0)
    expected = (abs(-1.5 - 0) + abs(0 - -1) + abs(1.5 - 2)) / 3
    assert loss(prediction, truth, all_valid(truth)).item() == pytest.approx(expected, rel=1e-6)


def test_an_inverted_depth_has_a_loss_and_a_gradient():
    _, target, valid = data(DEPTH[3])
    value, grad = gradient(ScaleShiftInvariantLoss(), 1 - target, target, valid)
    assert value > 1
    inside = valid[:, None]
    # far pixels are pushed farther, near ones nearer
    assert (grad[inside] * (target - target.mean())[inside]).sum() < 0


def test_aligned_depth_is_the_root_mean_square_error_after_least_squares():
    loss = AlignedDepthLoss()
    output, target, valid = data(DEPTH[-1])
    output = target + 0.5 * output  # such that all are correlated
    expected = []
    for prediction, truth, known in zip(output[:, 0], target[:, 0], valid, strict=True):
        x = torch.stack([prediction[known], torch.ones_like(prediction[known])], dim=1)
        fit = x @ torch.linalg.lstsq(x, truth[known, None]).solution
        expected.append((fit[:, 0] - truth[known]).square().mean().sqrt().item())
    value = loss(output, target, valid).item()
    assert value == pytest.approx(sum(expected) / 2, rel=1e-5)
    for scale, shift in ((3.0, 0.7), (0.2, -5.0)):
        assert loss(scale * output + shift, target, valid).item() == pytest.approx(value, rel=1e-4)
    # in the target's unit
    assert loss(output, 1000 * target + 3, valid).item() == pytest.approx(1000 * value, rel=1e-4)


def test_aligned_depth_equals_the_metric():
    torch.manual_seed(0)
    truth, prediction = 2 + torch.rand(1, 8, 6), torch.rand(1, 8, 6)
    prediction += 2 * truth
    metric = DepthMetric(alignment='scale-shift')
    sample = dict(sample_idx=0, pred_depth=prediction, gt_depth=truth, valid_mask=torch.ones(8, 6, dtype=torch.bool))
    metric.process({}, [sample])
    expected = metric.evaluate(1)['depth_scale-shift/RMSE']
    value = AlignedDepthLoss()(prediction[None], truth[None], sample['valid_mask'][None])
    assert value.item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize('prediction', ['upside down', 'uncorrelated', 'flat'])
def test_aligned_depth_learns_from_where_a_free_fit_would_not(prediction):
    target = torch.linspace(0, 1, 64).view(1, 1, 8, 8)
    start = {
        'upside down': 1 - target,
        'uncorrelated': (torch.arange(64).view(1, 1, 8, 8) % 2).float(),
        'flat': torch.zeros_like(target),
    }[prediction]
    loss, valid = AlignedDepthLoss(), all_valid(target)
    deviation = target.std(correction=0).item()
    assert loss(start, target, valid).item() >= 0.99 * deviation
    output = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([output], lr=0.02)
    for _ in range(300):
        optimizer.zero_grad()
        loss(output, target, valid).backward()
        optimizer.step()
    assert loss(output, target, valid).item() < 0.1 * deviation
    assert torch.corrcoef(torch.stack([output.detach().flatten(), target.flatten()]))[0, 1] > 0.99


def test_depth_gradients_by_hand():
    prediction, target = torch.zeros(1, 1, 2, 3), torch.tensor([[0.0, 1.0, 3.0], [0.0, 0.0, 0.0]])[None, None]
    valid = all_valid(target)
    right, down = (1 + 2 + 0 + 0) / 4, (0 + 1 + 3) / 3
    assert DepthGradientLoss(num_scales=1)(prediction, target, valid).item() == pytest.approx(right + down)
    # every second pixel: 0 and 3 remain in one row
    assert DepthGradientLoss(num_scales=2)(prediction, target, valid).item() == pytest.approx((right + down + 3) / 2)
    valid[0, 0, 1] = False
    assert DepthGradientLoss(num_scales=1)(prediction, target, valid).item() == pytest.approx(0 + (0 + 3) / 2)
    # a shift does not matter, and with invariant=True a scale neither
    _, target, valid = data(DEPTH[4])
    assert DepthGradientLoss()(target + 0.3, target, valid).item() == pytest.approx(0, abs=1e-6)
    assert DepthGradientLoss()(2 * target, target, valid) > 0.1
    assert DepthGradientLoss(invariant=True)(2 * target - 1, target, valid).item() == pytest.approx(0, abs=1e-4)


def test_wrong_options_of_depth_losses():
    for wrong, message in (
        (lambda: SiLogLoss(min_depth=0), 'min_depth=0'),
        (lambda: SiLogLoss(invariance=1.5), 'invariance=1.5'),
        (lambda: DepthGradientLoss(num_scales=0), 'num_scales=0'),
    ):
        with pytest.raises(ValueError, match=message):
            wrong()


# ---------------------------------------------------------------------- normals


def test_normal_losses_by_hand():
    # three pixels: right direction but half as long, at 60 degrees, not valid
    prediction = torch.tensor([[0.5, 0.0, 0.0], [0.5, math.sqrt(0.75), 0.0], [9.0, 9.0, 9.0]]).T.view(1, 3, 1, 3)
    target = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]).T.view(1, 3, 1, 3)
    valid = torch.tensor([[[True, True, False]]])
    assert NormalCosineLoss()(prediction, target, valid).item() == pytest.approx(0.5 / 2, abs=1e-6)
    assert NormalL1Loss()(prediction, target, valid).item() == pytest.approx((0.5 + 0.5 + math.sqrt(0.75)) / 2)
    # one pair is left: the error goes from (-0.5, 0, 0) to (-0.5, sqrt(0.75), 0)
    assert NormalGradientLoss()(prediction, target, valid).item() == pytest.approx(0.75, rel=1e-6)


def test_length_of_a_normal_matters_only_to_l1():
    output, target, valid = data(NORMAL[0])
    for loss, same in ((NormalCosineLoss(), True), (NormalL1Loss(), False)):
        change = loss(3 * output, target, valid) - loss(output, target, valid)
        assert (change.abs() < 1e-6) == same
