"""Losses of pointmaps, albedo and matting."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F

from sapiens.models import (
    AlbedoChromaticityLoss,
    AlbedoGradientLoss,
    AlbedoL1Loss,
    AlbedoLowFrequencyLoss,
    MattingGradientLoss,
    MattingL1Loss,
    MattingLaplacianLoss,
    PointmapIntrinsicsLoss,
    PointmapL1Loss,
    PointmapMultiscaleL1Loss,
    PointmapNormalLoss,
    PointmapScaleLoss,
    PointmapShiftInvariantLoss,
    PointmapSiLogLoss,
)
from sapiens.models.losses.matting import laplacian_pyramid, sobel
from tests.parity.golden import second_fill as fill

SIZE = (12, 9)
POINTMAP = [
    PointmapL1Loss(),
    PointmapMultiscaleL1Loss(clamp=None),
    PointmapMultiscaleL1Loss(factor=0.5, clamp=None),
    PointmapShiftInvariantLoss(clamp=None),
    PointmapSiLogLoss(),
    PointmapIntrinsicsLoss(),
    PointmapNormalLoss(),
    PointmapScaleLoss(),
]
ALBEDO = [AlbedoL1Loss(), AlbedoGradientLoss(), AlbedoChromaticityLoss(), AlbedoLowFrequencyLoss(4)]
MATTING = [MattingL1Loss(), MattingGradientLoss(), MattingLaplacianLoss(), MattingLaplacianLoss(levels=3)]
ALL = [*POINTMAP, *ALBEDO, *MATTING]
PUBLISHED = [
    PointmapMultiscaleL1Loss(published=True), PointmapSiLogLoss(published=True), PointmapNormalLoss(published=True),
    MattingGradientLoss(published=True), MattingLaplacianLoss(published=True), MattingL1Loss(published=True),
]  # fmt: skip


def named(losses):
    return [f'{type(loss).__name__}-{index}' for index, loss in enumerate(losses)]


def data(loss, batch=2, seed=0, size=SIZE):
    """Output, target and validity for a loss; a third of the pixels is not valid."""
    generator = torch.Generator().manual_seed(seed)

    def random(channels, low, high):
        return torch.rand(batch, channels, *size, generator=generator) * (high - low) + low

    valid = torch.rand(batch, *size, generator=generator) > 0.33
    if isinstance(loss, tuple(map(type, ALBEDO))):
        return random(3, -0.2, 1.1), random(3, 0, 1), valid
    if isinstance(loss, tuple(map(type, MATTING))):
        outputs, targets = (dict(alpha=random(1, 0, 1), foreground=random(3, 0, 1)) for _ in range(2))
        targets['foreground_valid'] = valid & (torch.rand(batch, *size, generator=generator) > 0.2)
        return outputs, targets, valid
    outputs, targets = (
        dict(
            pointmap=torch.cat([random(2, -1, 1), random(1, low, 3)], 1), scale=torch.rand(batch, generator=generator)
        )
        for low in (-0.5, 1)
    )
    targets['mean_depth'] = torch.rand(batch, generator=generator) + 1
    targets['intrinsics'] = torch.tensor([[20.0, 0, 4], [0, 21, 6], [0, 0, 1]]).expand(batch, 3, 3)
    return outputs, targets, valid


def maps_of(value):
    """Tensors by name of an output or target, whichever its form."""
    return value if isinstance(value, dict) else {'': value}


def gradient(loss, output, target, valid):
    leaves = {name: value.clone().requires_grad_() for name, value in maps_of(output).items()}
    value = loss(leaves if isinstance(output, dict) else leaves[''], target, valid)
    if value.requires_grad:
        value.backward()
    grads = [leaf.grad if leaf.grad is not None else torch.zeros_like(leaf) for leaf in leaves.values()]
    return value.detach(), dict(zip(leaves, grads, strict=True))


def with_maps(value, function):
    """A copy with another value of every map."""
    changed = {name: function(name, one) if one.ndim == 4 else one for name, one in maps_of(value).items()}
    return changed if isinstance(value, dict) else changed['']


# ---------------------------------------------------------------------- every loss


@pytest.mark.parametrize('loss', ALL, ids=named(ALL))
def test_invalid_pixels_do_not_matter(loss):
    output, target, valid = data(loss)
    value, grads = gradient(loss, output, target, valid)
    assert value.shape == () and value > 0 and any(grad.any() for grad in grads.values())

    def known(name):
        return (target['foreground_valid'] if name == 'foreground' else valid)[:, None]

    changed = with_maps(output, lambda name, one: one.masked_fill(~known(name), -37.0))
    other = with_maps(target, lambda name, one: one.masked_fill(~known(name), torch.nan))
    again, grads_again = gradient(loss, changed, other, valid)
    assert torch.equal(value, again)
    for name, grad in grads.items():
        assert torch.equal(grad, grads_again[name])
        assert grad.ndim < 4 or not grad[(~known(name)).expand_as(grad)].any()


@pytest.mark.parametrize('loss', [*ALL, *PUBLISHED], ids=named([*ALL, *PUBLISHED]))
def test_without_a_valid_pixel_there_is_nothing_to_learn(loss):
    output, target, valid = data(loss)
    if isinstance(target, dict):
        target = target | dict(foreground_valid=torch.zeros_like(valid))
    for wrong in (0.0, torch.nan):
        bad = with_maps(target, lambda name, one, wrong=wrong: torch.full_like(one, wrong))
        value, grads = gradient(loss, output, bad, torch.zeros_like(valid))
        assert value == 0 and not any(grad.any() for grad in grads.values())


@pytest.mark.parametrize('loss', ALL, ids=named(ALL))
def test_an_image_without_a_valid_pixel_does_not_spoil_the_others(loss):
    output, target, valid = data(loss)
    valid[1] = False
    value, grads = gradient(loss, output, target, valid)
    assert (
        value > 0 and value.isfinite() and all(grad.isfinite().all() and not grad[1].any() for grad in grads.values())
    )
    first = [{name: one[:1] for name, one in maps_of(part).items()} for part in (output, target)]
    alone = loss(*(part.get('', part) for part in first), valid[:1])
    # Matting averages over all pixels, as published.
    assert value.item() == pytest.approx(alone.item() / (2 if loss in MATTING else 1), rel=1e-5)


@pytest.mark.parametrize('loss', ALL, ids=named(ALL))
def test_float32_from_bf16_and_weighted(loss):
    output, target, valid = data(loss)
    half = {name: one.bfloat16() for name, one in maps_of(output).items()}
    widened = {name: one.float() for name, one in half.items()}
    with torch.autocast('cpu', torch.bfloat16):
        value = loss(half.get('', half), target, valid)
    assert value.dtype == torch.float32
    assert torch.equal(value, loss(widened.get('', widened), target, valid))
    tripled = copy.copy(loss)
    tripled.loss_weight, tripled.clamp = 3.0, None
    assert tripled(output, target, valid).item() == pytest.approx(3 * loss(output, target, valid).item(), rel=1e-6)


@pytest.mark.parametrize('loss', ALL, ids=named(ALL))
def test_gradients_are_those_of_the_values(loss):
    output, target, valid = data(loss)
    output, target = (
        {name: one.double() if one.is_floating_point() else one for name, one in maps_of(part).items()}
        for part in (output, target)
    )
    _, grads = gradient(loss, output.get('', output), target.get('', target), valid)
    generator, step = torch.Generator().manual_seed(1), 2e-4
    direction = {name: torch.randn(one.shape, generator=generator, dtype=one.dtype) for name, one in output.items()}
    sides = []
    for sign in (1, -1):
        moved = {name: one + sign * step * direction[name] for name, one in output.items()}
        sides.append(loss(moved.get('', moved), target.get('', target), valid).item())
    slope = sum((grads[name].double() * direction[name]).sum().item() for name in grads)
    assert (sides[0] - sides[1]) / (2 * step) == pytest.approx(slope, rel=0.05, abs=5e-3)


@pytest.mark.parametrize('loss', ALL, ids=named(ALL))
def test_a_perfect_prediction_costs_nothing(loss):
    output, target, valid = data(loss)
    if isinstance(loss, PointmapIntrinsicsLoss):
        return  # below
    perfect = {name: maps_of(target)[name] for name in maps_of(output)}
    value, grads = gradient(loss, perfect.get('', perfect), target, valid)
    assert value.item() == pytest.approx(0, abs=1e-6)
    assert all(grad.isfinite().all() for grad in grads.values())


@pytest.mark.parametrize('level', [0.0, 0.3, -1.0])
@pytest.mark.parametrize('loss', [*ALL, *PUBLISHED], ids=named([*ALL, *PUBLISHED]))
def test_gradients_of_a_constant_prediction_are_finite(loss, level):
    output, target, valid = data(loss)
    output = with_maps(output, lambda name, one: torch.full_like(one, level))
    for truth in (target, with_maps(target, lambda name, one: torch.full_like(one, 0.4))):
        value, grads = gradient(loss, output, truth, valid)
        assert value.isfinite() and all(grad.isfinite().all() for grad in grads.values())


@pytest.mark.parametrize('loss', ALL, ids=named(ALL))
def test_gradients_lead_to_the_target(loss):
    output, target, valid = data(loss)
    before = loss(output, target, valid)
    for _ in range(50):
        _, grads = gradient(loss, output, target, valid)
        size = sum(grad.square().sum() for grad in grads.values()).sqrt()
        moved = {name: one - 0.05 * grads[name] / size for name, one in maps_of(output).items()}
        output = moved.get('', moved)
    assert loss(output, target, valid) < before


# ---------------------------------------------------------------------- published values


# Values that the published code gave for prediction, target and mask of sine waves, see tests/parity/golden.py.
def waves(positive=False, depth=False):
    output, target = fill((2, 3, 16, 12), 1), fill((2, 3, 16, 12), 2)
    if positive:
        output, target = output.abs(), target.abs()
    if depth:
        output[:, 2], target[:, 2] = output[:, 2].abs() + 1, target[:, 2].abs() + 1
    return output, target, fill((2, 16, 12), 3) > -0.3


@pytest.mark.parametrize(
    ('loss', 'depth', 'value'),
    [
        (PointmapL1Loss(), False, 0.2105664163827896),
        (PointmapMultiscaleL1Loss(published=True), False, 0.15446989238262177),
        (PointmapShiftInvariantLoss(), False, 0.17771390080451965),
        (PointmapSiLogLoss(), True, 0.04782692342996597),
        (PointmapSiLogLoss(published=True), True, 0.04782692342996597),
        (PointmapIntrinsicsLoss(), True, 1.3348994255065918),
        (PointmapNormalLoss(published=True), True, 0.0613308884203434),
    ],
    ids=lambda value: getattr(value, 'name', None),
)
def test_published_values_of_pointmaps(loss, depth, value):
    output, target, valid = waves(depth=depth)
    camera = torch.tensor([[20.0, 0, 6], [0, 20, 8], [0, 0, 1]]).expand(2, 3, 3)
    whole = dict(mean_depth=torch.ones(2), intrinsics=camera, scale=torch.tensor([1.3, 0.7]))
    found = loss(dict(pointmap=output, scale=torch.ones(2)), dict(pointmap=target, **whole), valid).item()
    assert found == pytest.approx(value, rel=2e-6)


@pytest.mark.parametrize(
    ('loss', 'value'),
    [
        (AlbedoGradientLoss(), 0.03557512164115906),
        (AlbedoChromaticityLoss(), 0.10693902522325516),
    ],
    ids=lambda value: getattr(value, 'name', None),
)
def test_published_values_of_albedo(loss, value):
    output, target, valid = waves(positive=True)
    assert loss(output, target, valid).item() == pytest.approx(value, rel=2e-6)
    assert AlbedoL1Loss()(*waves()).item() == pytest.approx(0.2105664163827896, rel=2e-6)


# ---------------------------------------------------------------------- pointmaps


def test_relative_points_and_their_limit():
    output, target, valid = data(PointmapL1Loss(), batch=1)
    plain = PointmapL1Loss()(output, target, valid)
    far = [{**part, 'pointmap': part['pointmap'] * 10} for part in (output, target)]
    assert PointmapL1Loss()(
        far[0], far[1] | dict(mean_depth=target['mean_depth'] * 10), valid
    ).item() == pytest.approx(plain.item(), rel=1e-5)
    wrong = dict(output, pointmap=output['pointmap'] + 100)
    value, grads = gradient(PointmapL1Loss(loss_weight=2.0), wrong, target, valid)
    assert value == 4 and not grads['pointmap'].any()
    assert PointmapL1Loss(clamp=None)(wrong, target, valid) > 90


@pytest.mark.parametrize('loss', POINTMAP[:4], ids=named(POINTMAP[:4]))
def test_a_mean_depth_of_0_without_a_valid_pixel(loss):
    output, target, valid = data(loss)
    valid[1], target['mean_depth'][1] = False, 0
    value, grads = gradient(loss, output, target, valid)
    assert value > 0 and all(grad.isfinite().all() and grad[0].any() and not grad[1].any() for grad in grads.values()
                             if grad.ndim == 4)  # fmt: skip


def test_the_shift_invariant_loss_sees_no_place_of_an_image():
    loss = PointmapShiftInvariantLoss()
    output, target, valid = data(loss)
    moved = dict(output, pointmap=output['pointmap'] + torch.randn(2, 3, 1, 1))
    assert loss(moved, target, valid).item() == pytest.approx(loss(output, target, valid).item(), rel=1e-4)


def test_points_on_the_rays_of_their_pixels():
    loss = PointmapIntrinsicsLoss()
    _, target, valid = data(loss)
    camera = torch.tensor([[20.0, 0.7, 4], [0.3, 21, 6], [0, 0, 1]], dtype=torch.float64)  # also sheared
    v, u = torch.meshgrid(torch.arange(12.0), torch.arange(9.0), indexing='ij')
    depth = torch.rand(12, 9, dtype=torch.float64) + 1
    rays = torch.linalg.inv(camera) @ torch.stack([u, v, torch.ones_like(u)]).double().flatten(1)
    points = (rays.view(3, 12, 9) * depth)[None].expand(2, -1, -1, -1).float()
    target['intrinsics'] = camera.float().expand(2, 3, 3)
    assert loss(dict(pointmap=points), target, valid).item() == pytest.approx(0, abs=1e-6)
    shifted = points + torch.tensor([0.1, 0, 0]).view(3, 1, 1)
    slope = 1 + 0.3 / 21  # y of the pixel moves too
    assert loss(dict(pointmap=shifted), target, valid).item() == pytest.approx(0.1 * slope, rel=1e-4)


def test_normals_of_a_plane():
    loss = PointmapNormalLoss()
    v, u = torch.meshgrid(torch.arange(12.0), torch.arange(9.0), indexing='ij')
    flat, tilted = torch.stack([u, v, 0 * u + 5]) / 100, torch.stack([u, v, u + 5]) / 100
    valid, target = torch.ones(1, 12, 9, dtype=torch.bool), dict(pointmap=flat[None])
    # 45 degrees apart: normals (0, 0, 1) and (-1, 0, 1) / sqrt(2); (0, 0, -1) and (1, 0, -1) / sqrt(2) at one of the borders
    root = math.sqrt(0.5)
    expected = 1 - root + (root + (1 - root)) / 3
    assert loss(dict(pointmap=tilted[None]), target, valid).item() == pytest.approx(expected, rel=1e-5)
    # Points of a fine grid: their normals have the length 1 too.
    fine = [dict(pointmap=points[None] / 500) for points in (tilted, flat)]
    assert loss(*fine, valid).item() == pytest.approx(expected, rel=1e-3)
    # A person in front of nothing: the published loss takes the edge for a surface.
    valid[..., 5:] = False
    target['pointmap'] = torch.where(valid[:, None], flat, 0)
    output = dict(pointmap=torch.where(valid[:, None], flat, 1))
    assert loss(output, target, valid).item() == pytest.approx(0, abs=1e-6)
    assert PointmapNormalLoss(published=True)(output, target, valid) > 0.1


def test_the_logarithm_of_depth_pulls_points_from_behind_the_camera():
    output, target, valid = data(PointmapSiLogLoss())
    output['pointmap'][:, 2] = -1
    output['pointmap'][:, 2, ::2] = -2
    _, grads = gradient(PointmapSiLogLoss(), output, target, valid)
    _, published = gradient(PointmapSiLogLoss(published=True), output, target, valid)
    assert grads['pointmap'][:, 2].sum() < 0 and not published['pointmap'].any()


def test_the_error_of_the_scale():
    scales = dict(scale=torch.tensor([0.5, 1.5, -3.0])), dict(scale=torch.tensor([1.3, 0.7, 9.0]))
    valid = torch.ones(3, 2, 2, dtype=torch.bool)
    valid[2] = False
    assert PointmapScaleLoss(loss_weight=4.0)(*scales, valid).item() == pytest.approx(3.2)


def test_refused_options():
    for make in (
        lambda: PointmapL1Loss(clamp=0),
        lambda: PointmapMultiscaleL1Loss(factor=0),
        lambda: MattingLaplacianLoss(levels=0),
        lambda: AlbedoLowFrequencyLoss(0),
    ):
        with pytest.raises(ValueError, match='expected'):
            make()
    assert PointmapMultiscaleL1Loss().name == 'l1_2' and PointmapMultiscaleL1Loss(factor=0.5).name == 'l1_0.5'


# ---------------------------------------------------------------------- albedo


def test_low_frequencies_are_averages_of_squares():
    valid = torch.ones(1, 4, 6, dtype=torch.bool)
    target = torch.zeros(1, 3, 4, 6)
    output = torch.zeros(1, 3, 4, 6)
    output[..., ::2] = 0.4  # a pattern of 0.2 on average
    assert AlbedoLowFrequencyLoss(2)(output, target, valid).item() == pytest.approx(0.6)
    target[:] = 0.2
    assert AlbedoLowFrequencyLoss(2)(output, target, valid).item() == pytest.approx(0, abs=1e-6)
    valid[..., ::2] = False  # the valid pixels of each square are 0
    assert AlbedoLowFrequencyLoss(2)(output, target, valid).item() == pytest.approx(0.6)
    valid[:, 2:] = False  # squares without a valid pixel do not count
    assert AlbedoLowFrequencyLoss(2)(output, target, valid).item() == pytest.approx(0.6)
    assert AlbedoLowFrequencyLoss()(output, target, valid).item() == pytest.approx(0.6), 'larger than the image'


def test_chromaticity_does_not_depend_on_brightness():
    loss = AlbedoChromaticityLoss()
    _, target, valid = data(loss)
    assert loss(target * 0.5, target, valid).item() == pytest.approx(0, abs=1e-5)
    red, gray = torch.tensor([0.5, 0, 0]), torch.tensor([0.2, 0.2, 0.2])
    red, gray = (color.view(1, 3, 1, 1).expand(1, 3, 2, 2) for color in (red, gray))
    expected = 2 / 3 + 2 / 3
    everywhere = torch.ones(1, 2, 2, dtype=torch.bool)
    assert loss(red, gray, everywhere).item() == pytest.approx(expected, rel=1e-4)
    # Predictions are cut to [0, 1]: (1.8, 0.5, -0.5) counts as (1, 0.5, 0).
    outside = torch.tensor([1.8, 0.5, -0.5]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    assert loss(outside, gray, everywhere).item() == pytest.approx(2 / 3, rel=1e-4)


# ---------------------------------------------------------------------- matting


def sobel_by_hand(maps):
    """The definition, by PyTorch's convolution."""
    across = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    channels = maps.shape[1]
    kernels = torch.stack([across, across.T])[:, None].repeat(channels, 1, 1, 1)
    slopes = F.conv2d(F.pad(maps, (1,) * 4, mode='reflect'), kernels, groups=channels)
    return (slopes.unflatten(1, (channels, 2)).square().sum(2) + 1e-6).sqrt()


def blur_by_hand(maps):
    line = torch.tensor([1.0, 4, 6, 4, 1]) / 16
    kernel = torch.outer(line, line).expand(maps.shape[1], 1, 5, 5)
    return F.conv2d(F.pad(maps, (2,) * 4, mode='reflect'), kernel, groups=maps.shape[1])


def pyramid_by_hand(maps, levels=5):
    found = []
    for _ in range(levels - 1):
        maps = maps[..., : maps.shape[-2] // 2 * 2, : maps.shape[-1] // 2 * 2]
        half = blur_by_hand(maps)[..., ::2, ::2]
        zeros = torch.zeros_like(maps)
        zeros[..., ::2, ::2] = 4 * half
        found.append(maps - blur_by_hand(zeros))
        maps = half
    return [*found, maps]


@pytest.mark.parametrize('size', [(64, 48), (77, 81)])
def test_parts_of_matting_follow_their_definition(size):
    maps = torch.rand(2, 3, *size)
    torch.testing.assert_close(sobel(maps), sobel_by_hand(maps), atol=1e-5, rtol=1e-5)
    expected = pyramid_by_hand(maps)
    found = laplacian_pyramid(maps, 5)
    assert [one.shape for one in found] == [one.shape for one in expected]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)


def test_matting_by_its_definition():
    """A mask multiplies the error of the foreground, the mean runs over all elements, and both maps are summed."""
    loss = MattingL1Loss()
    output, target, valid = data(loss, size=(64, 48))
    valid[:] = True
    known = target['foreground_valid'] = target['foreground_valid'] | False
    mask = known[:, None].float()

    def both(error):
        return sum(error(output[name], target[name], one) for name, one in (('alpha', 1.0), ('foreground', mask)))

    def pyramid(one, other, mask):
        total = 0
        for level, (a, b) in enumerate(zip(pyramid_by_hand(one), pyramid_by_hand(other), strict=True)):
            small = F.interpolate(mask, size=a.shape[-2:], mode='nearest') if isinstance(mask, torch.Tensor) else 1.0
            total += 2**level * ((a - b).abs() * small).mean() / 5
        return total

    for kind, error in (
        (MattingL1Loss, lambda a, b, mask: ((a - b).abs() * mask).mean()),
        (MattingGradientLoss, lambda a, b, mask: ((sobel_by_hand(a) - sobel_by_hand(b)).abs() * mask).mean()),
        (MattingLaplacianLoss, pyramid),
    ):
        assert kind(published=True)(output, target, valid).item() == pytest.approx(both(error).item(), rel=1e-5)
        target['foreground_valid'] = torch.ones_like(known)
        assert kind()(output, target, valid) == kind(published=True)(output, target, valid), 'nothing is invalid'
        target['foreground_valid'] = known


def test_matting_by_hand():
    """An edge of alpha that is missed: 1 on the right half of 4 x 6 pixels, predicted as 0.5 everywhere."""
    alpha = torch.zeros(1, 1, 4, 6)
    alpha[..., 3:] = 1
    valid = torch.ones(1, 4, 6, dtype=torch.bool)
    output = dict(alpha=torch.full_like(alpha, 0.5), foreground=torch.zeros(1, 3, 4, 6))
    target = dict(alpha=alpha, foreground=torch.zeros(1, 3, 4, 6), foreground_valid=valid)
    assert MattingL1Loss()(output, target, valid).item() == pytest.approx(0.5)
    # Sobel: 4 in the two columns at the edge, 0 elsewhere, 0.001 where flat
    expected = (math.sqrt(16 + 1e-6) - 1e-3) * 2 / 6
    assert MattingGradientLoss()(output, target, valid).item() == pytest.approx(expected, rel=1e-6)
    # One halving: the pixels 0 2 4 of a row of errors 0.5 0.5 0.5 -0.5 -0.5 -0.5, blurred with reflected ends
    half = torch.tensor([0.5, (0.5 * 11 - 0.5 * 5) / 16, (0.5 - 0.5 * 15) / 16])
    a, b, c = half.tolist()
    row = torch.tensor([0.5, 0.5, 0.5, -0.5, -0.5, -0.5])
    back = torch.tensor([(6 * a + 2 * b) / 8, (a + b) / 2, (a + 6 * b + c) / 8, (b + c) / 2, (b + 7 * c) / 8, c])
    expected = ((row - back).abs().mean() + 2 * half.abs().mean()) / 2
    assert MattingLaplacianLoss(levels=2)(output, target, valid).item() == pytest.approx(expected.item(), rel=1e-6)


def test_the_published_matting_reads_unknown_colors():
    """A red foreground whose soft edge is not known: the published loss draws it towards black there."""
    known = torch.ones(1, 8, 8, dtype=torch.bool)
    known[..., 4:] = False
    red = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    alpha = torch.ones(1, 1, 8, 8)
    target = dict(alpha=alpha, foreground=torch.where(known[:, None], red, 0), foreground_valid=known)
    for kind in (MattingGradientLoss, MattingLaplacianLoss):
        value, _ = gradient(kind(), dict(alpha=alpha, foreground=red), target, torch.ones_like(known))
        assert value == 0
        published = kind(published=True)
        values = [published(dict(alpha=alpha, foreground=front), target, torch.ones_like(known)).item()
                  for front in (red, target['foreground'])]  # fmt: skip
        assert values[0] > 0.01 and values[1] == 0, 'a black edge is right, a red one wrong'
