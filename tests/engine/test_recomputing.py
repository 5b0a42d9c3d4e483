"""Recomputed activations: equal gradients, less memory, refused settings."""

import copy

import pytest
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from sapiens.engine.compiling import compile_parts
from sapiens.engine.recomputing import recompute_activations
from sapiens.models import MAE, DenseEstimator
from sapiens.models.heads.pixel_shuffle import CellNorm
from sapiens.models.layers import recompute
from sapiens.models.layers.conv_stack import ConvStack
from sapiens.models.layers.gated_transformer import GatedBlock
from sapiens.models.layers.transformer import TransformerBlock
from sapiens.registry import MODELS
from sapiens.structures import DenseDataSample
from tools.benchmark.activation_memory import Held, measure

from ..models import multi_task, test_gradients
from . import toy

ARCH = dict(multi_task.ARCH, num_layers=3)
BACKBONES = {name: dict(backbone, arch=ARCH) for name, backbone in multi_task.BACKBONES.items()}


def mae(family):
    options = dict(patch_padding=0, with_cls_token=True, drop_path_rate=0.5) if family == 'sapiens' else {}
    decoder = dict(num_layers=3, embed_dims=16, num_heads=2)
    return MAE(dict(BACKBONES[family], **options), decoder, mask_ratio=0.75), (torch.randn(2, 3, 64, 48), None)


def several(family, task):
    backbone = dict(BACKBONES[family], drop_path_rate=0.5)
    model = MODELS.build(multi_task.config(family, backbone=backbone))
    return model, (torch.randn(2, 3, 64, 48), multi_task.samples(task))


def depth():
    """The first family's head has dropout."""
    head = dict(type='DenseHead', deconv_channels=(8, 8), conv_channels=(8, 8), dropout=0.5)
    model = DenseEstimator(BACKBONES['sapiens'], head, dict(type='DepthTask', relative=False))
    samples = [DenseDataSample(gt_depth=1 + torch.rand(1, 64, 48)) for _ in range(2)]
    for sample in samples:
        sample.valid_mask = torch.ones(64, 48, dtype=torch.bool)
    return model, (torch.randn(2, 3, 64, 48), samples)


def pointmap():
    """A scale in addition to the map, by a branch of its own."""
    model, samples = test_gradients.build(test_gradients.RECIPES[0]), test_gradients.samples('pointmap')
    return model, (torch.randn(2, 3, *test_gradients.SIZE), samples)


CASES = {
    'mae': lambda: mae('sapiens'),
    'mae, sapiens2': lambda: mae('sapiens2'),
    'pose': lambda: several('sapiens', 'pose'),
    'seg': lambda: several('sapiens', 'seg'),
    'normal': lambda: several('sapiens', 'normal'),
    'pose, sapiens2': lambda: several('sapiens2', 'pose'),
    'seg, sapiens2': lambda: several('sapiens2', 'seg'),
    'normal, sapiens2': lambda: several('sapiens2', 'normal'),
    'depth': depth,
    'pointmap': pointmap,
}
SETTINGS = ['all', 2, 'selective', dict(backbone='all'), dict(backbone='selective')]


def build(case, setting='off', **options):
    torch.manual_seed(0)
    model, batch = CASES[case]()
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape) * 0.15)
    if isinstance(setting, dict):  # the other part of the model
        other = 'decoder' if case.startswith('mae') else 'head'
        setting = {name.replace('other', other): value for name, value in setting.items()}
    recompute_activations(model.train(), setting, **options)
    return model, batch


def learn(model, batch, autocast=False):
    """Loss and gradients of a training step."""
    torch.manual_seed(2)
    with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
        losses = model(*batch, mode='loss')
    loss = sum(value for name, value in losses.items() if 'loss' in name)
    loss.backward()
    return loss.detach(), {name: value.grad for name, value in model.named_parameters() if value.grad is not None}


def assert_equal(found, wanted, **tolerances):
    torch.testing.assert_close(found[0], wanted[0], **tolerances)
    assert found[1].keys() == wanted[1].keys()
    for name, grad in wanted[1].items():
        torch.testing.assert_close(found[1][name], grad, msg=lambda text, name=name: f'{name}: {text}', **tolerances)


@pytest.mark.parametrize('case', CASES)
def test_parts_are_all_blocks_and_all_layers_but_the_last(case):
    model, _ = build(case)
    for module in model.modules():
        if hasattr(module, 'parts_to_recompute'):
            ((name, parts),) = module.parts_to_recompute().items()
            kinds = (nn.Conv2d, nn.ConvTranspose2d) if name == 'head' else (TransformerBlock, GatedBlock)
            assert len(parts) == sum(isinstance(child, kinds) for child in module.modules()) - (name == 'head')


@pytest.mark.parametrize('autocast', [False, True])
@pytest.mark.parametrize('case', CASES)
def test_losses_and_gradients_are_those_of_plain_training(case, autocast):
    plain, batch = build(case)
    wanted = learn(plain, batch, autocast)
    assert len(wanted[1]) > 20 and all(grad.isfinite().all() for grad in wanted[1].values())
    for setting in [*SETTINGS, dict(other='all'), dict(other='selective'), dict(backbone=2, other='selective')]:
        model, batch = build(case, setting)
        assert list(model.state_dict()) == list(plain.state_dict())
        assert_equal(learn(model, batch, autocast), wanted, rtol=0, atol=0)


@pytest.mark.parametrize(('case', 'setting'), [('mae', 'selective'), ('depth', 'all'), ('depth', 'selective')])
def test_compiled_blocks_and_heads_recompute_inside(case, setting):
    from torch._dynamo.utils import counters

    torch._dynamo.reset()
    plain, batch = build(case)
    wanted = learn(plain, batch)
    model, batch = build(case, setting)
    compile_parts(model, dict(backend='aot_eager'))
    counters.clear()
    assert_equal(learn(model, batch), wanted, rtol=1e-5, atol=1e-6)
    assert not counters['graph_break']


def test_evaluation_is_plain(monkeypatch):
    plain, (images, _) = build('depth')
    model, _ = build('depth', 'all')
    monkeypatch.setattr(recompute, 'checkpoint', None)
    with torch.no_grad():
        assert torch.equal(model.eval()(images), plain.eval()(images))


def test_a_copy_trains_on_its_own():
    """Averages of the weights are copies of the model."""
    model, batch = build('mae', 'all')
    wanted = learn(model, batch)
    other = copy.deepcopy(model)
    model.zero_grad()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    other.zero_grad()
    assert_equal(learn(other, batch), wanted, rtol=0, atol=0)
    assert all(value.grad is None for value in model.parameters())


# ------------------------------------------------------------------ memory

B, L, C, HEADS = 2, 7, 16, 2
SIZE = B * L * C * 4  # bytes of the tokens


def held(parts, x):
    """Bytes that exist after the forward pass of parts, one after the other, without their input and their last output."""
    with Held([x, *parts.parameters()]) as counter:
        output = parts(x)
    return counter.now - output.untyped_storage().nbytes()


@pytest.mark.parametrize(
    ('kind', 'products'),
    [
        (lambda: TransformerBlock(C, HEADS, 4 * C), 3 + 1 + 1 + 4 + 1),  # q k v, attention, projection, two of the MLP
        (lambda: GatedBlock(C, HEADS, HEADS, 4 * C), 3 + 1 + 1 + 8 + 1),
    ],
)
def test_what_blocks_keep(kind, products):
    blocks = nn.Sequential(*[kind() for _ in range(4)])
    x = torch.randn(B, L, C, requires_grad=True)
    plain = held(blocks, x)
    sums = B * HEADS * L * 4  # of exponentials, which attention keeps
    kept = {}
    for setting in ('all', 2, 'selective'):
        assert recompute.recompute_parts(blocks, setting) == (2 if setting == 2 else 4)
        kept[setting] = held(blocks, x)
    assert kept['all'] == 3 * SIZE  # between the blocks
    assert kept['selective'] == 3 * SIZE + 4 * (products * SIZE + sums)
    assert kept['all'] < kept[2] < plain and kept['selective'] < plain
    recompute.recompute_parts(blocks, 'off')
    assert held(blocks, x) == plain


def test_what_layers_of_heads_keep():
    layers = []
    for _ in range(3):
        layers += [nn.Conv2d(8, 8, 3, padding=1), nn.InstanceNorm2d(8), nn.SiLU(inplace=True)]
    stack, x, size = ConvStack(*layers), torch.randn(2, 8, 16, 16, requires_grad=True), 2 * 8 * 16 * 16 * 4
    assert recompute.recompute_parts(stack.parts(), 'all') == 3
    assert held(stack, x) == 2 * size  # between the layers
    recompute.recompute_parts(stack.parts(), 'selective')
    assert held(stack, x) == (2 + 3) * size
    recompute.recompute_parts(stack.parts(), 'off')
    assert held(stack, x) > (2 + 3) * size


def test_a_norm_that_returns_its_input():
    """Maps of a single cell: the activation must not overwrite the output of the convolution, which is kept."""
    stack = ConvStack(nn.Conv2d(8, 8, 1, stride=2), CellNorm(8), nn.SiLU(inplace=True))
    x, gradients = torch.randn(2, 8, 2, 2), []
    for setting in ('off', 'selective'):
        recompute.recompute_parts(stack.parts(), setting)
        gradients.append(torch.autograd.grad(stack(x).square().sum(), stack[0].weight)[0])
    assert torch.equal(*gradients)


@pytest.mark.parametrize(('case', 'other'), [('mae', 'decoder'), ('depth', 'head')])
def test_each_part_saves_memory(case, other):
    def kept(setting):
        model, (images, _) = build(case, setting)
        return measure(model, images, 'fp32')[0]

    found = [kept(setting) for setting in ('off', {other: 2}, {other: 'all'}, 'all')]
    assert found == sorted(found, reverse=True) and len(set(found)) == 4
    assert kept(dict(backbone='all')) - kept('all') == found[0] - found[2]  # parts add up


def test_operations_of_recomputation():
    """All but the last product of each block, which no gradient needs; none of them where products are kept."""

    def flops(setting):
        model, (images, _) = build('mae', setting)
        return measure(model, images, 'fp32')[2]

    plain = flops('off')
    tokens = 2 * (12 + 1)  # all 12 patches and the class token, of two images
    attention = 2 * 2 * tokens * 13 * 16
    assert flops(dict(decoder='all')) - plain == 3 * (2 * tokens * (4 * 16**2 + 16 * 64) + attention)
    assert flops('selective') == plain


# ------------------------------------------------------------------ offload


@pytest.mark.parametrize('setting', ['all', 'selective'])
@pytest.mark.parametrize('case', ['mae, sapiens2', 'depth'])
def test_inputs_of_parts_wait_on_the_host(case, setting, monkeypatch):
    """Each input is moved once. Weights and positions, which blocks share, are not."""
    plain, batch = build(case)
    wanted = learn(plain, batch)
    parts = [part for module in plain.modules() if hasattr(module, 'parts_to_recompute')
             for some in module.parts_to_recompute().values() for part in some]  # fmt: skip
    moved = []

    class ToHost(saved_tensors_hooks):
        def __init__(self, pin_memory):
            assert pin_memory
            super().__init__(lambda tensor: moved.append(tensor) or tensor.clone(), lambda tensor: tensor)

    monkeypatch.setattr(recompute, 'save_on_cpu', ToHost)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    other = 'decoder' if case.startswith('mae') else 'head'
    model, batch = build(case, {'backbone': setting, other: setting, 'offload': True})
    assert_equal(learn(model, batch), wanted, rtol=0, atol=0)
    assert len(moved) == len(parts)
    weights = {value.untyped_storage().data_ptr() for value in model.parameters()}
    assert not weights & {tensor.untyped_storage().data_ptr() for tensor in moved}


def test_offload_without_a_gpu_is_reported(capsys):
    model, _ = build('mae', dict(backbone='all', offload=True))
    assert 'activation_checkpointing.offload has no effect without a GPU' in capsys.readouterr().out
    assert model.backbone.blocks[0].recompute == recompute.Recompute()


def test_what_parts_share_stays(monkeypatch):
    moved, (x, position) = [], torch.randn(2, 4, 8, requires_grad=True)
    hooks = saved_tensors_hooks(lambda tensor: moved.append(tensor) or tensor, lambda tensor: tensor)
    monkeypatch.setattr(recompute, 'save_on_cpu', lambda pin_memory: hooks)
    recompute.Recompute(offload=True)(torch.mul, x, position).sum().backward()
    assert len(moved) == 1 and torch.equal(moved[0], x)


def test_memory_of_the_host_is_that_of_torch():
    x = torch.randn(4, 8, requires_grad=True)
    layer = nn.Linear(8, 8)
    wanted = torch.autograd.grad(layer(x).square().sum(), x)
    found = torch.autograd.grad(recompute.Recompute(offload=True)(layer, x).square().sum(), x)
    assert torch.equal(found[0], wanted[0])


# ------------------------------------------------------------------ settings


@pytest.mark.parametrize(
    ('setting', 'message'),
    [
        ('some', "activation_checkpointing='some' is not one of 'off', 'all', 'selective', or n >= 1"),
        (0, 'activation_checkpointing=0 is not one of'),
        (True, 'activation_checkpointing=True is not one of'),
        (dict(decoder='some'), "activation_checkpointing.decoder='some' is not one of"),
        (dict(head='all'), r'activation_checkpointing.head: MAE has no such part \(its parts: backbone, decoder; and offload\)'),
        (dict(decode='all'), "activation_checkpointing.decode: MAE has no such part; did you mean 'decoder'?"),
        (dict(decoder='all', offload='yes'), "activation_checkpointing.offload='yes': expected True or False"),
        ({}, r'activation_checkpointing={} names no part of MAE \(its parts: backbone, decoder\)'),
        (10**9, 'activation_checkpointing=1000000000: expected n of at most 3, the number of blocks or layers'),
        (dict(decoder=4), r"activation_checkpointing={'decoder': 4}: expected n of at most 3"),
        (dict(decoder='off', offload=True), 'offload=True moves the inputs of recomputed parts, but no part is recomputed'),
    ],
)  # fmt: skip
def test_wrong_settings_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        build('mae', setting)


def test_offload_of_a_compiled_model_is_refused():
    with pytest.raises(ValueError, match='offload=True does not work with compile'):
        build('mae', dict(decoder='all', offload=True), compiled=True)


def test_the_option_of_the_encoder_still_counts():
    def tiny(option):
        backbone = dict(BACKBONES['sapiens'], patch_padding=0, with_cls_token=True, activation_checkpointing=option)
        return MAE(backbone, dict(num_layers=2, embed_dims=16, num_heads=2))

    def ways(model):
        blocks = [*model.backbone.blocks, *model.neck.decoder_blocks]
        return [getattr(block, 'recompute', None) is not None for block in blocks]

    model = tiny(2)
    assert ways(model) == [True, False, True, False, False]
    recompute_activations(model, 'off')
    assert ways(model) == [True, False, True, False, False]
    recompute_activations(model, dict(decoder='all'))
    assert ways(model) == [True, False, True, True, True]
    recompute_activations(model, 2)  # the same value
    assert ways(model) == [True, False, True, True, False]
    model = tiny('off')
    recompute_activations(model, 'all')
    assert all(ways(model))
    for setting in ('all', dict(backbone='off'), dict(backbone='selective')):
        with pytest.raises(
            ValueError, match='contradicts model.backbone.activation_checkpointing=2; remove the latter'
        ):
            recompute_activations(tiny(2), setting)


def test_a_run_takes_the_setting_of_its_config(tmp_path, monkeypatch):
    plain = toy.make_runner(tmp_path / 'plain').train()
    with pytest.raises(ValueError, match=r'no part of Linear has a method parts_to_recompute\(\)'):
        toy.make_runner(tmp_path / 'none', cfg=dict(activation_checkpointing='all'))
    monkeypatch.setattr(toy.Linear, 'parts_to_recompute', lambda self: dict(backbone=[self.backbone]), raising=False)
    calls, checkpoint = [], recompute.checkpoint
    monkeypatch.setattr(
        recompute, 'checkpoint', lambda *args, **options: calls.append(1) or checkpoint(*args, **options)
    )
    runner = toy.make_runner(tmp_path / 'all', cfg=dict(activation_checkpointing=dict(backbone='all')))
    model = runner.train()
    assert len(calls) == 10 and runner.cfg.activation_checkpointing == dict(backbone='all')
    for found, wanted in zip(model.parameters(), plain.parameters(), strict=True):
        assert torch.equal(found, wanted)
