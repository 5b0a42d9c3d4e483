import logging

import pytest
import torch
from mmengine.logging import MMLogger
from torch import nn

from sapiens.engine.optim.optim_wrapper import OptimWrapper
from sapiens.engine.optim.param_groups import ParamGroupConstructor, make_param_groups
from sapiens.models import MAE, SapiensViT
from sapiens.registry import OPTIM_WRAPPER_CONSTRUCTORS

TINY = dict(embed_dims=32, num_layers=3, num_heads=2, feedforward_channels=64)


@pytest.fixture(params=[True, False], ids=['fused', 'plain'])
def wrapper(request):
    """Builds a layer and its optimizer. Fused optimizers clip and skip themselves, the wrapper does it for others."""

    def build(**kwargs):
        torch.manual_seed(0)
        layer = nn.Linear(4, 1, bias=False)
        optimizer = torch.optim.SGD(layer.parameters(), lr=1.0, fused=request.param)
        return layer, OptimWrapper(optimizer, precision='fp32', **kwargs)

    return build


def mae():
    return MAE(
        dict(type='SapiensViT', arch=TINY, img_size=64, with_cls_token=True, pos_embed='sincos'), mask_ratio=0.5
    )


def test_step_clips_by_the_norm(wrapper):
    layer, optim = wrapper(clip_grad=dict(max_norm=0.5))
    before, x = layer.weight.detach().clone(), torch.tensor([[3.0, 4.0, 0.0, 0.0]])
    optim.update_params(layer(x).sum())
    torch.testing.assert_close(before - layer.weight, x * 0.1)  # norm 5 scaled to 0.5
    assert optim.grad_norm.item() == pytest.approx(5)  # before clipping


def test_gradients_under_the_limit_stay(wrapper):
    layer, optim = wrapper(clip_grad=dict(max_norm=50))
    before, x = layer.weight.detach().clone(), torch.tensor([[3.0, 4.0, 0.0, 0.0]])
    optim.update_params(layer(x).sum())
    torch.testing.assert_close(before - layer.weight, x)


def test_accumulation_averages(wrapper):
    layer, optim = wrapper(accumulative_counts=2)
    optim.initialize_count_status(layer, 0, 4)
    before = layer.weight.detach().clone()
    optim.update_params(layer(torch.ones(1, 4)).sum())
    assert torch.equal(layer.weight, before)
    optim.update_params(layer(3 * torch.ones(1, 4)).sum())
    torch.testing.assert_close(before - layer.weight, torch.full((1, 4), 2.0))


@pytest.mark.parametrize('kind', ['loss', 'gradient'])
def test_nonfinite_steps_are_skipped_counted_and_stop_the_run(wrapper, kind, caplog, monkeypatch):
    monkeypatch.setattr(MMLogger.get_current_instance(), 'handlers', [caplog.handler])
    layer, optim = wrapper(max_skipped_in_a_row=3)
    before = layer.weight.detach().clone()

    def bad():
        if kind == 'loss':
            optim.update_params(layer(torch.ones(1, 4)).sum() * 0 + float('nan'))
        else:
            # the loss is 0, its gradient infinite
            optim.update_params((layer(torch.ones(1, 4)).sum() * 0).sqrt())

    bad()
    bad()
    assert optim.skips.read() == (2, 2)
    assert torch.equal(layer.weight, before) and layer.weight.grad is None
    optim.update_params(layer(torch.ones(1, 4)).sum())
    assert not torch.equal(layer.weight, before)
    assert optim.skips.read() == (2, 0)
    optim.report()
    optim.report()  # nothing new
    bad()
    bad()
    optim.report()
    bad()
    with pytest.raises(RuntimeError, match='3 steps in a row.*lower learning rate'):
        optim.report()
    warnings = [record.message for record in caplog.records if 'skipped' in record.message]
    assert len(warnings) == 3 and all(text.startswith('2 steps skipped, the last at') for text in warnings[:2])
    assert warnings[2].startswith('Step of iteration')
    assert '2 skipped so far, 0 in a row' in warnings[0] and '5 skipped so far, 3 in a row' in warnings[2]
    saved = optim.state_dict()
    _, other = wrapper()
    other.load_state_dict(saved)
    assert other.skips.read() == (5, 3)
    other.update_params(layer(torch.ones(1, 4)).sum() * float('nan'))
    assert other.skips.read() == (6, 4)


def test_a_run_of_skipped_steps_stops_the_run_when_it_is_over_too(wrapper):
    """Steps are reported at intervals, in which training may have recovered."""
    layer, optim = wrapper(max_skipped_in_a_row=2)
    for factor in (float('nan'), float('nan'), 1.0):
        optim.update_params(layer(torch.ones(1, 4)).sum() * factor)
    assert optim.skips.read() == (2, 0)
    with pytest.raises(RuntimeError, match='2 steps in a row'):
        optim.report()


def test_a_bad_loss_inside_an_accumulation_drops_the_step(wrapper):
    layer, optim = wrapper(accumulative_counts=2)
    optim.initialize_count_status(layer, 0, 4)
    before = layer.weight.detach().clone()
    optim.update_params(layer(torch.ones(1, 4)).sum() * float('inf'))
    optim.update_params(layer(torch.ones(1, 4)).sum())
    assert torch.equal(layer.weight, before) and optim.skips.read() == (1, 1)


def test_fused_steps_equal_plain_ones():
    """AdamW with clipping and skipped steps: weights, moments and step counts."""
    ended = []
    for fused in (True, False):
        torch.manual_seed(0)
        layer = nn.Linear(6, 5)
        adam = torch.optim.AdamW(layer.parameters(), lr=0.1, weight_decay=0.1, fused=fused)
        optim = OptimWrapper(adam, precision='fp32', clip_grad=dict(max_norm=0.7))
        for step in range(8):
            x = torch.full((1, 6), float('nan') if step in (0, 4) else 0.3 * step)
            optim.update_params((layer(x) ** 2).sum())
        assert optim.skips.read() == (2, 0)
        ended.append([*layer.parameters(), *(value for state in adam.state.values() for value in state.values())])
        assert [float(state['step']) for state in adam.state.values()] == [6, 6]
    for fused, plain in zip(*ended, strict=True):
        torch.testing.assert_close(fused, plain, rtol=1e-5, atol=1e-6)


def test_zeroing_reproduces_the_published_engine(wrapper):
    layer, optim = wrapper(nonfinite='zero')
    before = layer.weight.detach().clone()
    x = torch.tensor([[1.0, 1.0, 1.0, 1.0]])
    loss = layer(x).sum()
    layer.weight.register_hook(lambda grad: grad * torch.tensor([[float('nan'), 1.0, float('inf'), 2.0]]))
    optim.update_params(loss)
    torch.testing.assert_close(before - layer.weight, torch.tensor([[0.0, 1.0, 0.0, 2.0]]))


def test_precision():
    model = nn.Linear(8, 8)
    for precision, dtype in (('auto', torch.float32), ('fp32', torch.float32), ('bf16', torch.bfloat16)):
        optim = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1), precision=precision)
        with optim.optim_context(model):
            assert model(torch.ones(1, 8)).dtype == dtype, precision


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(precision='fp16'), "precision='fp16'"),
        (dict(nonfinite='ignore'), "nonfinite='ignore'"),
        (dict(clip_grad=dict(norm=1)), 'max_norm'),
        (dict(clip_grad=5), r'optim_wrapper.clip_grad=5: expected dict\(max_norm=NUMBER\) or None'),
        *(
            (
                dict(clip_grad=dict(max_norm=value)),
                f'optim_wrapper.clip_grad.max_norm={value!r}: expected a finite number',
            )
            for value in (float('nan'), float('inf'), 0, -1, 'x', True)
        ),
        *(
            (dict(accumulative_counts=value), f'optim_wrapper.accumulative_counts={value!r}: expected a whole number')
            for value in (1.5, True, 0, '2')
        ),
        *(
            (
                dict(max_skipped_in_a_row=value),
                f'optim_wrapper.max_skipped_in_a_row={value!r}: expected a whole number',
            )
            for value in ('x', -1, 0)
        ),
    ],
)
def test_unknown_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        OptimWrapper(torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0), **options)


def test_an_accumulation_ends_with_the_epoch(wrapper):
    """Five batches, two by two: the last step averages the one that is left."""
    layer, optim = wrapper(accumulative_counts=2)
    steps = []
    for index in range(5):
        before = layer.weight.detach().clone()
        optim.enter_batch(index, 5)
        optim.update_params(layer((index + 1) * torch.ones(1, 4)).sum())
        steps.append((before - layer.weight)[0, 0].item())
        assert optim.should_update() == (layer.weight.grad is None)
    assert steps == pytest.approx([0, 1.5, 0, 3.5, 5])


def test_an_accumulation_weighs_its_batches(wrapper):
    """Batches of weights 3, none, 0 and 1 by two: each loss is the weighted mean of its batch."""
    layer, optim = wrapper(accumulative_counts=2)
    steps, weights = [], ([4.0, 2.0], None, [0.0, 0.0], [1.0, 1.0], [0.0, 0.0], [0.0, 0.0])
    for index, weight in enumerate(weights):
        before = layer.weight.detach().clone()
        optim.enter_batch(index, 6, None if weight is None else torch.tensor(weight))
        optim.update_params(layer((index + 1) * torch.ones(1, 4)).sum())
        steps.append((before - layer.weight)[0, 0].item())
    assert steps == pytest.approx([0, (3 * 1 + 1 * 2) / 4, 0, 4, 0, 0])


def test_no_clipping(wrapper):
    assert wrapper(clip_grad=dict(max_norm=None))[1].max_norm is None


def test_an_accumulation_begins_where_a_run_resumes(wrapper):
    """Ten batches an epoch by four, from the third on: steps of four, of four, and of the first four of the next epoch."""
    optim = wrapper(accumulative_counts=4)[1]
    ends, scales = [], []
    for index in (2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3):
        optim.enter_batch(index, 10)
        scales.append(optim.scale_loss(torch.tensor(1.0)).item())
        if optim.should_update():
            ends.append(index)
    assert ends == [5, 9, 3] and scales == [0.25] * 12


def test_an_optimizer_without_numbers_is_refused():
    for key, value in dict(lr='x', weight_decay=None).items():
        optimizer = {**dict(type='AdamW', lr=1e-3, weight_decay=0.0), key: value}
        with pytest.raises(ValueError, match=f'optim_wrapper.optimizer.{key}={value!r}: expected a finite number'):
            ParamGroupConstructor(dict(type='OptimWrapper', optimizer=optimizer))


def test_groups_of_the_pretraining_recipe():
    model = mae()
    groups = make_param_groups(model, 1e-3, 0.05, no_decay=('ln', 'bias', 'pos_embed', 'mask_token', 'cls_token'))
    assert [(group['lr'], group['weight_decay']) for group in groups] == [(1e-3, 0.0), (1e-3, 0.05)]
    plain = {id(parameter) for parameter in groups[0]['params']}
    for name, parameter in model.named_parameters():
        exempt = any(part in name for part in ('ln', 'bias', 'mask_token', 'cls_token'))
        assert (id(parameter) in plain) == (exempt and parameter.requires_grad), name


@pytest.mark.parametrize(
    ('depth', 'rate', 'embedding'), [(24, 0.85, 1.72e-2), (32, 0.85, 4.69e-3), (40, 0.95, 0.122), (48, 0.85, 3.48e-4)]
)
def test_layer_decay_equals_the_published_scales(depth, rate, embedding):
    with torch.device('meta'):
        model = SapiensViT(dict(TINY, num_layers=depth), img_size=64)
    groups = make_param_groups(model, 1.0, 0.1, layer_decay_rate=rate, no_decay=('pos_embed',), no_decay_1d=True)
    scale = {id(parameter): group['lr'] for group in groups for parameter in group['params']}
    decay = {id(parameter): group['weight_decay'] for group in groups for parameter in group['params']}
    named = dict(model.named_parameters())
    assert scale[id(named['patch_embed.projection.weight'])] == pytest.approx(embedding, rel=5e-3)
    assert scale[id(named['layers.0.attn.qkv.weight'])] == pytest.approx(rate**depth)
    assert scale[id(named[f'layers.{depth - 1}.ln1.weight'])] == pytest.approx(rate)
    assert scale[id(named['ln1.weight'])] == 1
    assert decay[id(named['pos_embed'])] == decay[id(named['ln1.weight'])] == 0
    assert decay[id(named['patch_embed.projection.weight'])] == 0.1
    assert len(groups) <= 2 * (depth + 2)


def test_frozen_parameters_are_left_out():
    model = SapiensViT(TINY, img_size=64, frozen_stages=3)
    assert make_param_groups(model, 1.0, 0.1) == []


def test_constructor_logs_a_table_and_builds_the_wrapper(caplog):
    constructor = OPTIM_WRAPPER_CONSTRUCTORS.get('ParamGroupConstructor')
    assert constructor is ParamGroupConstructor
    with caplog.at_level(logging.INFO):
        logger = MMLogger.get_current_instance()
        logger.addHandler(caplog.handler)
        config = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.1), precision='fp32')
        built = constructor(config, dict(layer_decay_rate=0.5))(mae())
        logger.removeHandler(caplog.handler)
    assert isinstance(built, OptimWrapper)
    assert {group['lr'] for group in built.optimizer.param_groups} == {1e-3 * 0.5**n for n in range(5)}
    assert 'lr scale' in caplog.text and 'parameters' in caplog.text


@pytest.mark.parametrize(
    ('paramwise', 'message'),
    [
        (dict(custom_keys={}), "unknown key 'custom_keys'"),
        (dict(layer_decay=0.8), "did you mean 'layer_decay_rate'"),
    ],
)
def test_unknown_paramwise_keys_are_refused(paramwise, message):
    with pytest.raises(ValueError, match=message):
        ParamGroupConstructor(dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1, weight_decay=0)), paramwise)


def test_layer_decay_needs_a_model_that_knows_its_depths():
    with pytest.raises(ValueError, match='Linear.get_layer_depth'):
        make_param_groups(nn.Linear(2, 2), 1.0, 0.1, layer_decay_rate=0.9)
    backbone = nn.Module()
    backbone.backbone, backbone.head = SapiensViT(TINY, img_size=64), nn.Linear(2, 2)  # only the backbone knows
    groups = make_param_groups(backbone, 1.0, 0.0, layer_decay_rate=0.5)
    lr = {id(parameter): group['lr'] for group in groups for parameter in group['params']}
    assert lr[id(backbone.head.weight)] == 1 and lr[id(backbone.backbone.layers[0].ln1.weight)] == 0.5**3
    with pytest.raises(ValueError, match='layer_decay_rate=1.5'):
        make_param_groups(mae(), 1.0, 0.1, layer_decay_rate=1.5)


def test_the_kernels_of_an_optimizer_are_those_of_the_run_that_resumes():
    ended = []
    for fused in (True, False):
        torch.manual_seed(0)
        layer = nn.Linear(3, 2)
        wrappers = [
            OptimWrapper(torch.optim.AdamW(layer.parameters(), lr=0.1, fused=kind), clip_grad=dict(max_norm=0.1))
            for kind in (not fused, fused)
        ]
        wrappers[0].update_params(layer(torch.ones(1, 3)).sum())
        wrappers[1].load_state_dict(wrappers[0].state_dict())
        assert bool(wrappers[1].optimizer.param_groups[0]['fused']) == fused
        wrappers[1].update_params(layer(torch.ones(1, 3)).sum())
        ended.append(layer.weight.detach().clone())
    torch.testing.assert_close(*ended)
