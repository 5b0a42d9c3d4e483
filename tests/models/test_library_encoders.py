"""Encoders of timm and mmpretrain under our heads: their feature maps, depths, weights and refusals."""

import copy

import pytest
import torch

from sapiens.checkpoints import require_starts
from sapiens.engine.lora import add_lora, reset_lora
from sapiens.engine.optim.param_groups import make_param_groups
from sapiens.engine.recomputing import recompute_activations
from sapiens.models import MAE, MMPretrainBackbone, PoseEstimator, TimmBackbone
from sapiens.models.heads.heatmap import HeatmapHead
from sapiens.utils.checkpoint import load_state, read_checkpoint

timm = pytest.importorskip('timm')
pytest.importorskip('mmpretrain')

SIZE = (64, 48)
VIT = dict(embed_dims=48, num_layers=3, num_heads=3, feedforward_channels=96)
SWIN = dict(embed_dims=24, depths=[1, 2, 2, 1], num_heads=[1, 1, 2, 2])
CONVNEXT = dict(depths=[1, 1, 2, 1], channels=[8, 16, 24, 32])
CASES = {
    'timm-vit': dict(type='TimmBackbone', name='vit_tiny_patch16_224', depth=3, embed_dim=48),
    'timm-swin': dict(
        type='TimmBackbone', name='swin_tiny_patch4_window7_224', embed_dim=24, depths=(1, 2, 2, 1), num_heads=(1, 1, 2, 2)
    ),
    'timm-convnext': dict(type='TimmBackbone', name='convnext_atto', depths=(1, 1, 2, 1), dims=(8, 16, 24, 32)),
    'mmpretrain-vit': dict(type='MMPretrainBackbone', name='VisionTransformer', arch=VIT),
    'mmpretrain-swin': dict(type='MMPretrainBackbone', name='SwinTransformer', arch=SWIN),
    'mmpretrain-convnext': dict(type='MMPretrainBackbone', name='ConvNeXt', arch=CONVNEXT),
}  # fmt: skip
KINDS = dict(TimmBackbone=TimmBackbone, MMPretrainBackbone=MMPretrainBackbone)
HIERARCHICAL = [case for case in CASES if 'vit' not in case]
HEAD = dict(type='HeatmapHead', deconv_channels=(8,), conv_channels=(8,))
cases = pytest.mark.parametrize('case', CASES)


def build(case, **options):
    torch.manual_seed(0)
    config = dict(CASES[case], img_size=SIZE) | options
    model = KINDS[config.pop('type')](**config)
    model.init_weights()
    with torch.no_grad():  # weights that start at 0 or 1 differ too
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.1)
    return model


def whole_network(case, model, img_size=SIZE):
    """The network with all stages as the library builds it, with the weights of a wrapper in the stages that this one has."""
    config = dict(CASES[case])
    kind, name = config.pop('type'), config.pop('name')
    if kind == 'TimmBackbone':
        size = {} if 'convnext' in case else dict(img_size=img_size, dynamic_img_size=True)
        whole = timm.create_model(name, **size, **config)
    else:
        from mmpretrain import models

        options = dict(out_type='featmap', img_size=img_size) if 'vit' in case else dict(out_indices=[2])
        if 'convnext' in case:
            options['gap_before_final_norm'] = False
        if 'swin' in case:
            options['pad_small_map'] = True
        whole = getattr(models, name)(**config, **options)
    assert not whole.load_state_dict(model.network.state_dict(), strict=False).unexpected_keys
    whole.eval()  # which returns None in mmpretrain
    return whole


@cases
@pytest.mark.parametrize('size', [SIZE, (96, 128)])
def test_the_feature_map_is_that_of_the_library(case, size):
    model = build(case).eval()
    whole, images = whole_network(case, model), torch.randn(2, 3, *size)
    with torch.no_grad():
        if case == 'timm-vit':
            tokens = whole.forward_features(images)[:, whole.num_prefix_tokens :]
            expected = tokens.transpose(1, 2).unflatten(2, (size[0] // 16, size[1] // 16))
        elif 'timm' in case:
            (expected,) = whole.forward_intermediates(images, indices=[2], intermediates_only=True)
        else:
            (expected,) = whole(images)
        (found,) = model(images)
    assert found.shape == (2, model.embed_dims, size[0] // 16, size[1] // 16)
    assert torch.equal(found, expected) and found.std() > 0.01
    assert model.grid_of(*size) == tuple(found.shape[-2:]) and model.patch_size == 16


@pytest.mark.parametrize('case', HIERARCHICAL)
def test_any_stride_of_the_network(case):
    channels = (8, 16, 24, 32) if 'convnext' in case else (24, 48, 96, 192)
    for stride, expected in zip((4, 8, 16, 32), channels, strict=True):
        model = build(case, img_size=(128, 96), stride=stride)
        (found,) = model(torch.randn(1, 3, 128, 96))
        assert found.shape == (1, expected, 128 // stride, 96 // stride) and model.embed_dims == expected
        found.square().mean().backward()
        assert all(parameter.grad is not None for parameter in model.parameters())


@cases
@pytest.mark.parametrize('precision', [torch.float32, torch.bfloat16])
def test_every_parameter_gets_a_gradient_with_a_head(case, precision):
    model = PoseEstimator(dict(CASES[case], img_size=SIZE), HEAD, 'coco17')
    model.init_weights()
    with torch.autocast('cpu', precision, enabled=precision != torch.float32):
        maps = model(torch.randn(2, 3, *SIZE))
    maps.float().square().mean().backward()
    assert maps.shape == (2, 17, 8, 6) and isinstance(model.head, HeatmapHead)
    without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert not without, 'DDP waits for the gradients of all parameters'


def scales_of(model, rate):
    """Scale of the learning rate of each parameter of an encoder, by its name in the network, from our groups."""
    holder = torch.nn.Module()
    holder.backbone, holder.head = model, torch.nn.Linear(1, 1)
    groups = make_param_groups(holder, 1.0, 0.1, layer_decay_rate=rate)
    scales = {id(parameter): group['lr'] for group in groups for parameter in group['params']}
    assert scales[id(holder.head.weight)] == 1
    return {name: scales[id(parameter)] for name, parameter in model.network.named_parameters()}


@cases
@pytest.mark.parametrize('last', [False, True])
def test_layer_decay_is_that_of_the_library(case, last):
    stride = 32 if last and case in HIERARCHICAL else 16
    model = build(case, img_size=(64, 64), stride=stride)
    found, network = scales_of(model, 0.85), model.network
    names = dict(network.named_parameters())
    if 'timm' in case:
        from timm.optim import param_groups_layer_decay

        network.reset_classifier(5, 'avg')  # the heads of timm are classifiers
        groups = param_groups_layer_decay(network, layer_decay=0.85)
        expected = {id(parameter): group['lr_scale'] for group in groups for parameter in group['params']}
        expected = {name: expected[id(parameter)] for name, parameter in names.items()}
    else:
        from mmpretrain.engine import LearningRateDecayOptimWrapperConstructor

        settings = dict(optimizer=dict(type='AdamW', lr=1.0, weight_decay=0.1))
        make = LearningRateDecayOptimWrapperConstructor(settings, dict(layer_decay_rate=0.85))
        groups = make(network).optimizer.param_groups
        expected = {group['param_name']: group['lr_scale'] for group in groups}
        # mmpretrain counts the stages that were dropped: all rates differ by one factor, apart from the last norm.
        factor = 1 if stride == 32 or 'vit' in case else max(v for v in expected.values() if v < 1) / 0.85
        expected = {name: min(1, value / factor) for name, value in expected.items()}
    assert found == pytest.approx(expected, rel=1e-6)
    assert len(set(found.values())) > 3


@cases
def test_depths_grow_along_the_network(case):
    model = build(case)
    called, handles = [], []
    for name, module in model.network.named_modules():
        start = f'{model.part}.{name}.' if name else f'{model.part}.'
        own = [f'{start}{key}' for key, _ in module.named_parameters(recurse=False)]
        if own:
            hook = (lambda names: lambda *_: called.extend(names))(own)
            handles.append(module.register_forward_pre_hook(hook))
    model(torch.randn(1, 3, *SIZE))
    depths = [model.get_layer_depth(f'backbone.{name}', 'backbone.') for name in called]
    assert depths == sorted(depths) and depths[0][0] == 0
    counts = {count for _, count in depths}
    assert len(counts) == 1 and depths[-1][0] >= counts.pop() - 2
    with pytest.raises(ValueError, match=r'has no parameter .backbone\.none.'):
        model.get_layer_depth('backbone.none', 'backbone.')


@cases
def test_frozen_stages_are_those_of_the_depths(case):
    model = build(case, frozen_stages=1).train()
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert frozen == {name for name, _ in model.named_parameters() if model.get_layer_depth(name)[0] <= 1}
    assert frozen and len(frozen) < len(list(model.parameters()))
    assert not model.blocks[0].training and model.blocks[-1].training
    deepest = model.get_layer_depth(next(iter(frozen)))[1] - 2
    assert not any(parameter.requires_grad for parameter in build(case, frozen_stages=deepest).parameters())
    with pytest.raises(ValueError, match=rf'frozen_stages={deepest + 1} must lie in \[-1, {deepest}\]'):
        build(case, frozen_stages=deepest + 1)


@cases
def test_recomputed_blocks_give_equal_gradients(case):
    images, gradients = torch.randn(2, 3, *SIZE), []
    for setting in ('off', 'all', 'config'):
        model = build(case, activation_checkpointing=setting if setting != 'config' else 'off')
        if setting == 'config':
            recompute_activations(model, {'backbone': 'selective'})
        assert sum(type(block).__mro__[1].__name__ == '_Recomputed' for block in model.blocks) == (
            0 if setting == 'off' else len(model.blocks)
        )
        model(images)[-1].square().mean().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for other in gradients[1:]:
        torch.testing.assert_close(other, gradients[0], rtol=1e-5, atol=1e-7)


def test_adapters_of_other_libraries():
    pytest.importorskip('peft')
    for case, targets in (('timm-vit', ('attn', 'mlp')), ('timm-swin', ('qkv',)), ('mmpretrain-vit', ('attn', 'ffn'))):
        model = PoseEstimator(dict(CASES[case], img_size=SIZE), HEAD, 'coco17')
        model.init_weights()
        images = torch.randn(1, 3, *SIZE)
        before = model.eval()(images)
        add_lora(model, dict(rank=2, targets=targets))
        reset_lora(model, 0)
        assert torch.equal(model.eval()(images), before)
        groups = make_param_groups(model, 1.0, 0.1, layer_decay_rate=0.85)
        trained = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
        assert {id(parameter) for group in groups for parameter in group['params']} == trained
        assert len({group['lr_scale'] for group in groups}) == 4 or case == 'timm-swin'


# ------------------------------------------------------------------ weights


@cases
def test_initial_weights_are_those_of_the_library(case):
    torch.manual_seed(3)
    config = dict(CASES[case], img_size=SIZE)
    model = KINDS[config.pop('type')](**config)
    for parameter in model.parameters():
        parameter.data.fill_(9.0)
    torch.manual_seed(5)
    model.init_weights()
    first = copy.deepcopy(model.state_dict())
    torch.manual_seed(5)
    model.init_weights()
    assert all(torch.equal(value, first[name]) for name, value in model.state_dict().items())
    assert all((parameter.abs() < 5).all() for parameter in model.parameters())
    assert sum(parameter.std() > 0.01 for parameter in model.parameters() if parameter.ndim > 1) > 3


@cases
def test_weights_of_a_run_start_another_one(case, tmp_path):
    model = PoseEstimator(dict(CASES[case], img_size=SIZE), HEAD, 'coco17')
    model.backbone = build(case)
    path = tmp_path / 'run.pth'
    torch.save(dict(state_dict=model.state_dict(), meta={}), path)
    assert read_checkpoint(path).layout == 'sapiens', 'names after the name of the library are not changed'
    config = dict(CASES[case], img_size=SIZE, pretrained=str(path))
    other = KINDS[config.pop('type')](**config)
    other.init_weights()
    assert all(torch.equal(value, model.backbone.state_dict()[name]) for name, value in other.state_dict().items())
    whole = PoseEstimator(dict(CASES[case], img_size=SIZE), HEAD, 'coco17')
    report = load_state(whole, read_checkpoint(path).state_dict, required='')
    assert report.share == 1 and not report.unused
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in whole.state_dict().items())


@cases
def test_files_of_the_library(case, tmp_path):
    """All stages and the classifier, for another size of images."""
    source = build(case, img_size=(96, 96))
    whole = whole_network(case, source, (96, 96)).state_dict()
    assert len(whole) > len(source.state_dict()) or case == 'mmpretrain-vit'
    path = tmp_path / 'library.pth'
    prefix = 'backbone.' if 'mmpretrain' in case else ''
    torch.save({f'{prefix}{name}': value for name, value in whole.items()}, path)
    model = build(case, pretrained=str(path), img_size=(96, 96))
    for parameter in model.parameters():
        parameter.data.zero_()
    model.init_weights()
    assert all(torch.equal(value, source.state_dict()[name]) for name, value in model.state_dict().items())
    other = build(case, pretrained=str(path), img_size=SIZE)
    other.init_weights()
    source.set_image_size(SIZE)
    if 'vit' in case:
        assert torch.allclose(other.network.pos_embed, source.network.pos_embed, atol=1e-5)
    if case == 'timm-swin':  # windows are as large as the map there, and so are the tables
        names = [name for name in other.state_dict() if name.endswith('relative_position_bias_table')]
        assert any(other.state_dict()[name].shape != source.state_dict()[name].shape for name in names)
        assert all(other.state_dict()[name].std() > 0.05 for name in names), 'tables are not resized'
        return
    images = torch.randn(1, 3, *SIZE)
    torch.testing.assert_close(other.eval()(images), source.eval()(images), rtol=1e-4, atol=1e-4)


def test_tables_of_windows_of_another_size_are_resized(tmp_path):
    source, path = build('mmpretrain-swin', window_size=7), tmp_path / 'library.pth'
    offsets = torch.arange(-6, 7)
    bump = (-(offsets[:, None] ** 2 + offsets**2) / 8).exp()
    source.network.stages[0].blocks[0].attn.w_msa.relative_position_bias_table.data.copy_(bump.view(169, 1))
    torch.save(source.network.state_dict(), path)
    name = 'stages.0.blocks.0.attn.w_msa.relative_position_bias_table'
    model = build('mmpretrain-swin', window_size=5, pretrained=str(path))
    model.init_weights()
    table = model.network.state_dict()[name].view(9, 9)
    torch.testing.assert_close(table, table.flip(0), rtol=0, atol=1e-4)
    torch.testing.assert_close(table, table.T, rtol=0, atol=1e-4)
    assert table[4, 4] == pytest.approx(1, abs=1e-4) and (table[4, 4:].diff() < 0).all() and table[4, -1] < 0.2
    plain = 'stages.0.blocks.0.ffn.layers.1.weight'
    assert torch.equal(model.network.state_dict()[plain], source.network.state_dict()[plain])


@pytest.mark.parametrize('case', ['timm-vit', 'mmpretrain-vit'])
def test_another_image_size_is_set_once(case):
    model = build(case).eval()
    images = torch.randn(1, 3, 96, 64)
    (before,) = model(images)
    model.set_image_size((96, 64))
    assert model.img_size == (96, 64) and model.grid_size == (6, 4) and model.num_extra_tokens == 1
    assert model.network.pos_embed.shape == (1, 25, 48)
    assert torch.allclose(model(images)[0], before, atol=1e-6)
    model.init_weights()
    assert model.network.pos_embed.shape == (1, 25, 48)


# ------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        (dict(type='TimmBackbone', name='vit_tinny_patch16_224'), r"not a network of timm; did you mean 'vit_tiny_patch16_224'"),
        (dict(type='TimmBackbone', name='hf-hub:timm/convnext'), 'not a network of timm'),
        (dict(CASES['timm-vit'], stride=32), 'stride=32: vit_tiny_patch16_224 has the strides 16'),
        (dict(CASES['timm-swin'], stride=2), 'stride=2: swin.* has the strides 4, 8, 16, 32'),
        (dict(CASES['mmpretrain-swin'], stride=7), 'stride=7: SwinTransformer has the strides 4, 8, 16, 32'),
        (dict(CASES['mmpretrain-vit'], patch_size=8), 'stride=16: VisionTransformer has the strides 8'),
        (dict(CASES['timm-vit'], deph=2), "timm's vit_tiny_patch16_224 has no option 'deph'"),
        (dict(CASES['mmpretrain-vit'], archs=2), "mmpretrain's VisionTransformer has no option 'archs'"),
        (dict(type='MMPretrainBackbone', name='ConvNeXt', arch='huger'), r"ConvNeXt cannot be built with \{'arch': 'huger'\}"),
        (dict(type='MMPretrainBackbone', name='SwinTransformr'), "did you mean 'SwinTransformer'"),
        (dict(CASES['timm-vit'], num_classes=3), 'num_classes cannot be set'),
        (dict(CASES['mmpretrain-convnext'], gap_before_final_norm=True), 'gap_before_final_norm cannot be set'),
        (dict(CASES['timm-vit'], pretrained=True), 'pretrained=True: expected the path of a file'),
        (dict(CASES['timm-vit'], pretrained='a', init_cfg=dict(type='Pretrained', checkpoint='b')), 'both name weights'),
        (dict(CASES['timm-vit'], img_size=(64, 50)), r'\(h=64, w=50\) is not a multiple of the stride of vit\S+, 16'),
        (dict(CASES['timm-convnext'], img_size=(64, 50)), r'\(h=64, w=50\) is not a multiple'),
        (dict(CASES['timm-vit'], out_type='raw'), "out_type='raw'"),
        (dict(CASES['timm-vit'], activation_checkpointing='some'), "activation_checkpointing='some'"),
        (dict(type='TimmBackbone', name='resnet18', drop_path_rate=0.1, dept=1), "no option 'dept'"),
    ],
)  # fmt: skip
def test_mistakes_are_refused(config, message):
    config = dict(img_size=SIZE) | config
    with pytest.raises(ValueError, match=message) as error:
        KINDS[config.pop('type')](**config)
    assert '\n' not in str(error.value)


def test_images_that_the_stride_does_not_divide_are_refused():
    with pytest.raises(ValueError, match=r'nearest sizes are \(h, w\) = \(64, 48\) and \(80, 64\)'):
        build('timm-convnext')(torch.zeros(1, 3, 70, 50))
    fixed = TimmBackbone('hiera_tiny_224', img_size=(64, 64), embed_dim=24)
    assert fixed(torch.zeros(1, 3, 64, 64))[0].shape == (1, 96, 4, 4)
    with pytest.raises(ValueError, match=r'takes images of img_size=\(64, 64\) only'):
        fixed(torch.zeros(1, 3, 96, 64))
    with pytest.raises(ValueError, match=r'takes images of img_size=\(64, 64\) only'):
        fixed.set_image_size((96, 64))


def test_files_of_weights_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match='no checkpoint'):
        build('timm-vit', pretrained=str(tmp_path / 'none.pth'))
    with pytest.raises(FileNotFoundError, match='no checkpoint'):
        require_starts(dict(model=dict(backbone=dict(CASES['timm-vit'], pretrained=str(tmp_path / 'none.pth')))))
    for source in ('timm-swin', 'mmpretrain-vit', 'timm-convnext'):
        path = tmp_path / f'{source}.pth'
        torch.save(build(source).network.state_dict(), path)
        for case in CASES:
            if case != source:
                with pytest.raises(ValueError, match='another architecture|cannot be used here') as error:
                    build(case, pretrained=str(path))
                assert str(path) in str(error.value)


def test_pretraining_as_a_masked_autoencoder_is_refused():
    with pytest.raises(ValueError, match='masked autoencoder .* need SapiensViT'):
        MAE(dict(CASES['timm-vit'], img_size=SIZE))


def test_networks_without_what_a_stage_is_taken_by_are_refused(monkeypatch):
    monkeypatch.delattr('timm.models.convnext.ConvNeXt.group_matcher')
    with pytest.raises(ValueError, match="timm's convnext_atto has no group_matcher, by which"):
        build('timm-convnext')
