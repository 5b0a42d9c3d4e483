"""Norm and SiLU in one step: values, gradients, and what the backward pass keeps."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from sapiens.models.heads.pixel_shuffle import CellNorm
from sapiens.models.layers import chunks, conv_stack
from sapiens.models.layers.conv_stack import ChannelRMSNorm, ConvStack
from sapiens.models.layers.norm_silu import instance_norm_silu, rms_norm_silu

from .test_heads import SMALL, random_head

NORMS = dict(instance=nn.InstanceNorm2d, rms=ChannelRMSNorm)


def data(dtype=torch.float64, size=(3, 4, 7, 5)):
    generator = torch.Generator().manual_seed(0)
    x = 2 * torch.randn(size, generator=generator) + torch.arange(size[1])[:, None, None]
    weight = torch.rand(size[1], generator=generator) + 0.5
    return x.to(dtype), weight.to(dtype), torch.randn(size, generator=generator).to(dtype)


def formula(kind, x, weight):
    """Norm and SiLU by their definitions."""
    if kind == 'instance':
        centered = x - x.mean((2, 3), keepdim=True)
        normalized = centered / (centered.square().mean((2, 3), keepdim=True) + 1e-5).sqrt()
    else:
        normalized = x / (x.square().mean(1, keepdim=True) + 1e-6).sqrt() * weight[:, None, None]
    return normalized * normalized.sigmoid()


def fused(kind, x, weight):
    return instance_norm_silu(x, 1e-5) if kind == 'instance' else rms_norm_silu(x, weight, 1e-6)


def gradients(run, kind, x, weight, grad):
    """Output, gradients of the input and of the weights."""
    x, weight = x.clone().requires_grad_(), weight.clone().requires_grad_()
    output = run(kind, x, weight)
    return output, *torch.autograd.grad(output, [x] if kind == 'instance' else [x, weight], grad)


@pytest.mark.parametrize('part', [1, 4 * 4 * 5 * 3, 2**20])  # one row at once, three rows, everything
@pytest.mark.parametrize('kind', NORMS)
def test_values_and_gradients(kind, part, monkeypatch):
    monkeypatch.setitem(chunks.CHUNK, 'cpu', part)
    x, weight, grad = data()
    found, expected = (gradients(run, kind, x, weight, grad) for run in (fused, formula))
    torch.testing.assert_close(found, expected)
    # Other layouts, and gradients that are one number for all cells.
    last = x.detach().to(memory_format=torch.channels_last)
    torch.testing.assert_close(gradients(fused, kind, last, weight, grad), expected)
    same = torch.ones(()).double().expand(x.shape)
    torch.testing.assert_close(*(gradients(run, kind, x, weight, same) for run in (fused, formula)))


@pytest.mark.parametrize('kind', NORMS)
def test_bf16_is_rounded_at_the_end_only(kind):
    """Statistics in bf16 would move maps with a large mean by several per cent."""
    x, weight, grad = data(torch.bfloat16, (2, 6, 32, 24))
    x = x + 20
    exact = gradients(formula, kind, *(value.double() for value in (x, weight, grad)))
    found = gradients(fused, kind, x, weight, grad)
    assert all(value.dtype == torch.bfloat16 for value in found)
    for value, target in zip(found, exact, strict=True):
        assert float((value.double() - target).abs().max() / target.abs().max()) < 2**-7
    output, *_ = gradients(fused, kind, x, weight.float(), grad)
    assert output.dtype == torch.bfloat16


def test_a_constant_map_has_finite_gradients():
    x = torch.full((1, 2, 4, 4), 3.0, requires_grad=True)
    instance_norm_silu(x, 1e-5).sum().backward()
    assert x.grad.isfinite().all()


def plain(monkeypatch):
    monkeypatch.setattr(conv_stack, 'is_recorded', lambda: True)


def outputs_and_gradients(head, features, autocast=False):
    features = features.clone().requires_grad_()
    with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
        output = head(features)
    output = torch.cat([value.flatten() for value in output.values()]) if isinstance(output, dict) else output
    head.zero_grad()
    output.float().square().sum().backward()
    return output.detach(), features.grad, *(value.grad for value in head.parameters())


def maps_of(kind):
    return dict(a=2, b=1) if kind == 'scale' else 3


@pytest.mark.parametrize('kind', SMALL)
def test_heads_equal_their_modules(kind, monkeypatch):
    head, features = random_head(kind, maps_of(kind)), torch.randn(2, 16, 5, 4)
    outputs = [outputs_and_gradients(head, features), outputs_and_gradients(head, features, autocast=True)]
    forms = (False,) if kind == 'scale' else (False, True)  # the older form takes no dict
    checkpointed = [outputs_and_gradients(Checkpointed(head, use_reentrant), features) for use_reentrant in forms]
    plain(monkeypatch)
    expected = outputs_and_gradients(head, features)
    for found in (outputs[0], *checkpointed):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    # In bf16 both are off by the rounding of maps, ours by no more.
    theirs = outputs_and_gradients(head, features, autocast=True)
    distance = [float((value[0].float() - expected[0]).norm() / expected[0].norm()) for value in (outputs[1], theirs)]
    assert outputs[1][0].dtype == theirs[0].dtype
    assert distance[0] < 0.03 and distance[0] < 1.2 * distance[1]


class Checkpointed(nn.Module):
    def __init__(self, head, use_reentrant):
        super().__init__()
        self.head, self.use_reentrant = head, use_reentrant

    def forward(self, x):
        return checkpoint(self.head, x, use_reentrant=self.use_reentrant)


def kept(run, *own):
    """Bytes that the backward pass keeps, but for the tensors ``own``."""
    known, found = {value.untyped_storage()._cdata for value in own}, {}

    def pack(value):
        found[value.untyped_storage()._cdata] = value.untyped_storage().nbytes()
        return value

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        output = run()
    return sum(size for memory, size in found.items() if memory not in known), output


@pytest.mark.parametrize(('kind', 'autocast', 'bound'), [
    ('instance', False, 2.05), ('instance', True, 2.1), ('rms', False, 2.15), ('rms', True, 2.25),
])  # fmt: skip
def test_a_layer_keeps_two_maps(kind, autocast, bound, monkeypatch):
    """The output of the convolution, and that of the activation, which the next convolution reads."""
    stack = ConvStack(*(layer for _ in range(2) for layer in (nn.Conv2d(16, 16, 1), NORMS[kind](16), nn.SiLU(True))))
    last, x = nn.Conv2d(16, 1, 1), torch.randn(2, 16, 32, 24, requires_grad=True)

    def run():
        with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
            return last(stack(x))

    own = [x, *stack.parameters(), *last.parameters()]
    one_map = x.numel() * (2 if autocast else 4)
    copied = one_map if autocast else 0  # of x
    layers = (kept(run, *own)[0] - copied) / one_map / 2
    assert 2 <= layers < bound
    plain(monkeypatch)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        assert (kept(run, *own)[0] - copied) / one_map / 2 > 2.9


@pytest.mark.parametrize('kind', NORMS)
def test_second_derivatives_are_refused(kind):
    x, weight, _ = data()
    output = fused(kind, x.requires_grad_(), weight)
    with pytest.raises(RuntimeError, match='NormSiLU.* has no second derivative'):
        torch.autograd.grad(output.sum(), x, create_graph=True)


def layer(norm):
    return ConvStack(nn.Conv2d(2, 2, 1), norm, nn.SiLU(inplace=True))


def test_maps_without_statistics_are_those_of_the_modules():
    with pytest.raises(ValueError, match='more than 1 spatial element'):
        layer(nn.InstanceNorm2d(2))(torch.randn(3, 2, 1, 1))
    stack, x = layer(CellNorm(2)), torch.randn(3, 2, 1, 1, requires_grad=True)
    torch.testing.assert_close(stack(x), F.silu(stack[0](x)))
    for norm in (nn.InstanceNorm2d(2), ChannelRMSNorm(2)):
        empty = torch.zeros(0, 2, 4, 4, requires_grad=True)
        layer(norm)(empty).sum().backward()
        assert empty.grad.shape == empty.shape


@pytest.mark.parametrize('options', [dict(affine=True), dict(track_running_stats=True)])
def test_other_norms_run_as_modules(options):
    norm, x = nn.InstanceNorm2d(2, **options), torch.randn(3, 2, 5, 4, requires_grad=True)
    stack = layer(norm)
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.normal_()
    output = stack(x)
    assert not norm.track_running_stats or norm.running_mean.all()
    torch.testing.assert_close(output, F.silu(norm(stack[0](x))))


@pytest.mark.parametrize('kind', ['deconv', 'rms'])
def test_graphs_contain_modules_only(kind):
    head, features = random_head(kind), torch.randn(2, 16, 5, 4, requires_grad=True)
    graph = torch.jit.trace(head, features).inlined_graph
    assert 'silu' in str(graph) and 'PythonOp' not in str(graph) and 'NormSiLU' not in str(graph)
    exported = str(torch.export.export(head, (features,)).graph)
    assert 'silu' in exported and 'autograd' not in exported
    compiled = torch.compile(head, backend='eager', fullgraph=True)
    torch.testing.assert_close(compiled(features), head(features), atol=1e-5, rtol=1e-4)
