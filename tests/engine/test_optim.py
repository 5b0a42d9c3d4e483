import logging

import pytest
import torch
from torch import nn

from sapiens.engine.optim.optim_wrapper import OptimWrapper
from sapiens.engine.optim.param_groups import ParamGroupConstructor, make_param_groups
from sapiens.models import MAE, SapiensViT
from sapiens.registry import OPTIM_WRAPPER_CONSTRUCTORS

TINY = dict(embed_dims=32, num_layers=3, num_heads=2, feedforward_channels=64)


def wrapper(**kwargs):
    torch.manual_seed(0)
    layer = nn.Linear(4, 1, bias=False)
    return layer, OptimWrapper(torch.optim.SGD(layer.parameters(), lr=1.0), precision='fp32', **kwargs)


def mae():
    return MAE(
        dict(type='SapiensViT', arch=TINY, img_size=64, with_cls_token=True, pos_embed='sincos'), mask_ratio=0.5
    )


def test_step_clips_by_the_norm():
    layer, optim = wrapper(clip_grad=dict(max_norm=0.5))
    before, x = layer.weight.detach().clone(), torch.tensor([[3.0, 4.0, 0.0, 0.0]])
    optim.update_params(layer(x).sum())
    torch.testing.assert_close(before - layer.weight, x * 0.1)  # norm 5 scaled to 0.5
    assert optim.message_hub.get_scalar('train/grad_norm').current() == pytest.approx(5)


def test_gradients_under_the_limit_stay():
    layer, optim = wrapper(clip_grad=dict(max_norm=50))
    before, x = layer.weight.detach().clone(), torch.tensor([[3.0, 4.0, 0.0, 0.0]])
    optim.update_params(layer(x).sum())
    torch.testing.assert_close(before - layer.weight, x)


def test_accumulation_averages():
    layer, optim = wrapper(accumulative_counts=2)
    optim.initialize_count_status(layer, 0, 4)
    before = layer.weight.detach().clone()
    optim.update_params(layer(torch.ones(1, 4)).sum())
    assert torch.equal(layer.weight, before)
    optim.update_params(layer(3 * torch.ones(1, 4)).sum())
    torch.testing.assert_close(before - layer.weight, torch.full((1, 4), 2.0))


@pytest.mark.parametrize('kind', ['loss', 'gradient'])
def test_nonfinite_steps_are_skipped_counted_and_stop_the_run(kind, caplog):
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
    assert (optim.skipped, optim.skipped_in_a_row) == (2, 2)
    assert torch.equal(layer.weight, before) and layer.weight.grad is None
    optim.update_params(layer(torch.ones(1, 4)).sum())
    assert not torch.equal(layer.weight, before)
    assert (optim.skipped, optim.skipped_in_a_row) == (2, 0)
    bad()
    bad()
    with pytest.raises(RuntimeError, match='3 steps in a row.*lower learning rate'):
        bad()
    saved = optim.state_dict()
    _, other = wrapper()
    other.load_state_dict(saved)
    assert (other.skipped, other.skipped_in_a_row) == (5, 3)


def test_a_bad_loss_inside_an_accumulation_drops_the_step():
    layer, optim = wrapper(accumulative_counts=2)
    optim.initialize_count_status(layer, 0, 4)
    before = layer.weight.detach().clone()
    optim.update_params(layer(torch.ones(1, 4)).sum() * float('inf'))
    optim.update_params(layer(torch.ones(1, 4)).sum())
    assert torch.equal(layer.weight, before) and optim.skipped == 1


def test_zeroing_reproduces_the_published_engine():
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
    ],
)
def test_unknown_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        OptimWrapper(torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0), **options)


def test_an_accumulation_ends_with_the_epoch():
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
    from mmengine.logging import MMLogger

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
