"""Targets as profiles, and the losses of them compared with the formula over whole maps in float64."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sapiens.models import HeatmapCrossEntropyLoss, HeatmapMSELoss, UDPHeatmap
from sapiens.models.layers import chunks

from .test_norm_silu import kept
from .test_pose_estimator import SIZE, batch, tiny

INPUT, MAP = (96, 128), (24, 32)


def labels():
    """Points inside, on borders and corners, at distances where a part of the Gaussian or nothing of it is left, and without
    weight."""
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(2, 12, 2, generator=generator) * torch.tensor(INPUT)
    w, h = INPUT[0] - 1, INPUT[1] - 1
    points[0, :8] = torch.tensor([[0, 0], [w, 0], [0, h], [w, h], [-20, 60], [w + 20, 60], [40, -60], [40, 400]])
    weights = torch.ones(2, 12)
    weights[1, 3:6] = 0
    points[1, 3], points[1, 4], points[1, 5] = 1e30, -torch.inf, torch.nan
    return points, weights


def targets(sigma=2.0):
    return UDPHeatmap(sigma).targets(*labels(), INPUT, MAP)


@pytest.mark.parametrize('sigma', [0.3, 1.25, 2.0, 40.0])
def test_maps_are_products_of_profiles(sigma):
    target, weights = targets(sigma)
    product = target.along_y[..., None] * target.along_x[..., None, :]
    assert product.shape == (2, 12, 32, 24) and torch.equal(target.dense(), product)
    torch.testing.assert_close(target.mass(), product.sum((2, 3)))
    maps, same = UDPHeatmap(sigma).encode(*labels(), INPUT, MAP)
    assert torch.equal(maps, product) and torch.equal(weights, same)
    empty = ~product.flatten(2).any(-1)
    assert empty[1, 3:6].all() and empty[weights == 0].all() and not empty[weights > 0].all()


def prediction(kind, dtype):
    """Outputs near the target, as of a trained model."""
    target = targets()[0].dense()
    noise = torch.randn(target.shape, generator=torch.Generator().manual_seed(1))
    output = target + 1e-3 * noise if kind == 'squared' else 30 * target + noise
    return output.to(dtype)


def formula(loss, output, target, weights):
    """The losses by their definitions, over whole maps."""
    if isinstance(loss, HeatmapMSELoss):
        errors = (output - target).square().mean((2, 3)) * weights
        errors = errors.sort(1, descending=True).values[:, : loss.top_k]
        return loss.loss_weight * errors.mean(1)
    crossed = -(output.flatten(2).log_softmax(2).view_as(target) * target).sum((2, 3))
    mass = target.sum((2, 3))
    counts = weights * (mass > 0)
    return loss.loss_weight * (crossed / mass.clamp(min=1e-12) * counts).sum(1) / counts.sum(1).clamp(min=1)


LOSSES = dict(
    squared=HeatmapMSELoss(loss_weight=3.0), hardest=HeatmapMSELoss(top_k=5), crossed=HeatmapCrossEntropyLoss(2.0)
)


@pytest.mark.parametrize('part', [1, 4 * 24 * 32 * 5, 2**20])  # one map at once, five, all
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('name', LOSSES)
def test_losses_equal_the_formula_over_whole_maps(name, dtype, part, monkeypatch):
    monkeypatch.setitem(chunks.CHUNK, 'cpu', part)
    loss, (target, weights) = LOSSES[name], targets()
    output = prediction('crossed' if name == 'crossed' else 'squared', dtype).requires_grad_()
    exact = output.detach().double().requires_grad_()
    value = loss(output, target, weights)
    expected = formula(loss, exact, (target.along_y[..., None].double() * target.along_x[..., None, :]), weights)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value.double(), expected, rtol=1e-6, atol=0)
    factors = torch.tensor([1.0, 2.0])
    (value * factors).sum().backward()
    (expected * factors).sum().backward()
    assert output.grad.dtype == dtype and output.grad[0, 7].eq(0).all() and output.grad[1, 3:6].eq(0).all()
    scale = exact.grad.abs().max()
    rounding = 2.0**-8 if dtype == torch.bfloat16 else 1e-6
    assert ((output.grad.double() - exact.grad).abs() <= rounding * exact.grad.abs() + 1e-6 * scale).all()
    # As maps.
    maps = loss(output, target.dense(), weights)
    torch.testing.assert_close(value, maps, rtol=1e-6, atol=0)


@pytest.mark.parametrize('name', LOSSES)
def test_other_layouts_and_empty_batches(name):
    loss, (target, weights) = LOSSES[name], targets()
    output = prediction('squared', torch.float32)
    last = output.to(memory_format=torch.channels_last).requires_grad_()
    value = loss(last, target, weights)
    torch.testing.assert_close(value, loss(output, target, weights))
    value.sum().backward()
    empty, none = UDPHeatmap().targets(torch.zeros(0, 12, 2), torch.zeros(0, 12), INPUT, MAP)
    output = torch.zeros(0, 12, *MAP[::-1], requires_grad=True)
    loss(output, empty, none).sum().backward()
    assert output.grad.shape == output.shape


@pytest.mark.parametrize('name', ['squared', 'crossed'])
def test_the_backward_pass_keeps_the_prediction_only(name):
    """And profiles, which are not small for maps of this size."""
    output, (target, weights) = prediction('squared', torch.bfloat16).requires_grad_(), targets()
    size = output.numel() * output.element_size()
    profiles = 4 * (target.along_y.numel() + target.along_x.numel())
    assert kept(lambda: LOSSES[name](output, target, weights))[0] < size + profiles + 4096
    assert kept(lambda: LOSSES[name](output, target.dense(), weights))[0] >= 2 * size


@pytest.mark.parametrize('name', LOSSES)
def test_second_derivatives_are_refused(name):
    output = prediction('squared', torch.float32).requires_grad_()
    value = LOSSES[name](output, *targets()).sum()
    with pytest.raises(RuntimeError, match='no second derivative'):
        torch.autograd.grad(value, output, create_graph=True)


class Watch(TorchDispatchMode):
    """Names of operations, and the largest result in bytes."""

    def __init__(self):
        super().__init__()
        self.names, self.largest = set(), 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **kwargs or {})
        self.names.add(func.__name__.partition('.')[0])
        for value in result if isinstance(result, tuple | list) else [result]:
            if isinstance(value, torch.Tensor):
                self.largest = max(self.largest, value.untyped_storage().nbytes())
        return result


@pytest.mark.parametrize('name', LOSSES)
def test_a_step_reads_nothing_back_and_copies_no_map(name, monkeypatch):
    """Targets, losses, their gradients and the accuracy, from the output of the head on. ``lift_fresh`` is a constant, which is
    copied to a device."""
    monkeypatch.setitem(chunks.CHUNK, 'cpu', 1)
    model, (images, samples) = tiny(losses=dict(type=type(LOSSES[name]).__name__)), batch()
    with torch.autocast('cpu', torch.bfloat16):
        output = model.network(images).detach().requires_grad_()
    assert output.dtype == torch.bfloat16
    labels = model._labels(samples, 'cpu')
    with Watch() as watch:
        target, weights = model._encode(*labels, images, output)
        model._losses(output, target, weights).mean().backward()
        model._accuracy(output.detach(), *labels, images)
    assert watch.largest <= output.numel() * 2
    assert not watch.names & {'_local_scalar_dense', 'nonzero', 'masked_select', 'equal', 'lift_fresh', 'index'}
    with Watch() as watch:
        UDPHeatmap().encode(*labels, SIZE, (12, 16))  # the watch sees what it looks for
    assert '_local_scalar_dense' in watch.names and watch.largest >= output.numel() * 4


def test_accuracy_is_that_of_float32():
    model, (images, samples) = tiny(), batch(8)
    keypoints, weights = model._labels(samples, 'cpu')
    weights[0] = 0
    maps = UDPHeatmap(1.0).encode(keypoints, torch.ones_like(weights), SIZE, (12, 16))[0]
    maps[:, 2] = maps[:, 2].flip(-1)
    maps[1:4, 3] = 1.0  # ties: the first cell counts
    found = model._accuracy(maps.bfloat16(), keypoints, weights, images)
    cells = UDPHeatmap.highest_cells(maps.bfloat16().float())[0]
    error = cells / torch.tensor([11, 15]) - keypoints / torch.tensor([47, 63])
    hit = (error.square().sum(-1).sqrt() < 0.05)[weights > 0]
    assert found == hit.float().mean() and 0.3 < found < 1


def test_cross_entropy_of_an_empty_map_counts_nothing():
    target, weights = targets()
    weights[0, 7] = 1  # the map of a point far outside
    output = prediction('crossed', torch.float32).requires_grad_()
    loss = HeatmapCrossEntropyLoss()
    value = loss(output, target, weights)
    assert torch.equal(value, loss(output, *targets()))
    value.sum().backward()
    assert output.grad[0, 7].eq(0).all() and output.grad.isfinite().all()
