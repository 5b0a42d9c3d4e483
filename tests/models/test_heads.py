"""Heads of both families: sizes, published names, initial weights, and inference in parts."""

import hashlib
import warnings

import pytest
import torch
import torch.nn.functional as F

from sapiens.models import SAPIENS2_ARCHS, DeconvHead, HeatmapHead, PixelShuffleHead, PoseEstimator
from sapiens.models.heads import pixel_shuffle
from sapiens.models.layers import conv_stack

POSE = dict(deconv_channels=(1024, 768), conv_channels=(512, 512, 256), predictor='conv_pose')
POSE_1B = dict(deconv_channels=(1536, 1024), conv_channels=(768, 512, 256), predictor='conv_pose')
SEG = dict(deconv_channels=(512, 256, 128, 64), conv_channels=(64, 64), predictor='conv_seg')
NORMAL = dict(upsample_channels=(768, 512, 256, 128), conv_channels=(64, 32, 16))
NORMAL_5B = dict(upsample_channels=(1536, 768, 512, 256), conv_channels=(128, 64, 32))
ALBEDO = dict(NORMAL, norm='rms', predictor='conv_albedo')
ALBEDO_5B = dict(ALBEDO, upsample_channels=(1536, 768, 512, 256))
MATTING = dict(NORMAL, predictor='conv_matting', sigmoid=True)
SCALE = dict(conv_channels=(1536, 512, 128), hidden=(512, 128), cells=(8, 6))
POINTMAP = dict(
    upsample_channels=(1536, 768, 512, 256),
    conv_channels=(64, 32, 16),
    predictor='conv_pointmap',
    scale=SCALE,
    scalars=('scale',),
)
POINTMAP_5B = dict(POINTMAP, upsample_channels=(1536, 768, 768, 768), conv_channels=(128, 64, 32))

# Published heads by task: layers for all sizes but 1b and 5b, outputs, parameters by size, and the number and digest of the
# sorted "key shape" lines of 0.4b (matting: 1b), from listings of the published system's own state dicts.
PUBLISHED = {
    'pose': (POSE, 308, {'0.4b': 30_226_996, '0.8b': 34_421_300, '1b': 64_305_972, '5b': 53_295_668}),
    'seg': (SEG, 29, {'0.4b': 11_151_325, '0.8b': 13_248_477, '1b': 15_345_629, '5b': 22_685_661}),
    'normal': (NORMAL, 3, {'0.4b': 57_907_363, '0.8b': 70_293_923, '1b': 83_860_131, '5b': 249_455_299}),
    'pointmap': (
        POINTMAP,
        dict(pointmap=3),
        {'0.4b': 133_224_996, '0.8b': 153_082_660, '1b': 174_119_972, '5b': 281_442_884},
    ),
    'albedo': (ALBEDO, 3, {'0.4b': 57_910_163, '0.8b': 70_296_979, '1b': 83_863_443, '5b': 249_244_179}),
    'matting': (MATTING, dict(foreground=3, alpha=1), {'1b': 83_860_148}),
}
OTHER = {
    ('pose', '1b'): POSE_1B,
    ('normal', '5b'): NORMAL_5B,
    ('albedo', '5b'): ALBEDO_5B,
    ('pointmap', '5b'): POINTMAP_5B,
}
KEYS = {
    'pose': (10, '1701ff63946369f9'),
    'seg': (10, '48ef5ea162520d5f'),
    'normal': (18, '29897e1f226a86a0'),
    'pointmap': (30, '353dc7e116e07a79'),
    'albedo': (26, 'c671723ba0a68e56'),
    'matting': (18, '805c34058c847086'),
}


def build(layers, in_channels, out_channels):
    kind = DeconvHead if 'deconv_channels' in layers else PixelShuffleHead
    return kind(in_channels, out_channels, **layers)


@pytest.mark.parametrize(('task', 'size'), [(task, size) for task in PUBLISHED for size in PUBLISHED[task][2]])
def test_published_heads(task, size):
    layers, outputs, parameters = PUBLISHED[task]
    with torch.device('meta'):
        head = build(OTHER.get((task, size), layers), SAPIENS2_ARCHS[size]['embed_dims'], outputs)
    assert sum(value.numel() for value in head.parameters()) == parameters[size]
    if size == min(PUBLISHED[task][2]):
        lines = sorted(f'{name} {list(value.shape)}' for name, value in head.state_dict().items())
        assert (len(lines), hashlib.sha256('\n'.join(lines).encode()).hexdigest()[:16]) == KEYS[task]


SMALL = {
    'deconv': dict(deconv_channels=(12, 8), conv_channels=(8, 6), conv_kernels=(1, 3)),
    'shuffle': dict(upsample_channels=(12, 8), conv_channels=(8, 6), conv_kernels=(3, 1)),
    'rms': dict(upsample_channels=(12, 8), conv_channels=(8,), norm='rms'),
    'scale': dict(
        upsample_channels=(8,),
        scale=dict(conv_channels=(6, 4), hidden=(5,), cells=(2, 1)),
        scalars=('scale',),
    ),
}


def random_head(kind, out_channels=3, in_channels=16):
    torch.manual_seed(0)
    head = build(SMALL[kind], in_channels, out_channels)
    head.init_weights()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return head


@pytest.mark.parametrize('part', [1, 700, 2**24])
@pytest.mark.parametrize('kind', SMALL)
def test_inference_in_parts_equals_training(kind, part, monkeypatch):
    monkeypatch.setitem(conv_stack.BAND, 'cpu', part)
    head = random_head(kind, dict(a=2, b=1) if kind == 'scale' else 3)
    features = torch.randn(2, 16, 5, 4)
    before = features.clone()
    trained = head(features)
    head.eval()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter('error')
        found = head(features)
    assert torch.equal(features, before)
    torch.testing.assert_close(found, trained, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize('norm', ['instance', 'rms'])
def test_inference_allocates_little_more_than_the_largest_map(norm, monkeypatch):
    monkeypatch.setitem(conv_stack.BAND, 'cpu', 2**16)
    head = PixelShuffleHead(16, 3, (32, 64), conv_channels=(32,), norm=norm).eval()
    features = torch.randn(1, 16, 32, 24)
    copy = 64 * (4 * 32) * (4 * 24) * 4  # bytes of the largest map

    def peak():
        with torch.no_grad(), torch.profiler.profile(profile_memory=True) as profile:
            head(features)
        total = high = 0
        for event in profile.profiler.kineto_results.events():
            if event.name() == '[memory]':
                total += event.nbytes()
                high = max(high, total)
        return high

    assert copy < peak() < 1.2 * copy
    monkeypatch.setattr(pixel_shuffle, 'may_work_in_place', lambda head: False)
    assert peak() >= 2.5 * copy


@pytest.mark.parametrize('kind', SMALL)
def test_every_parameter_gets_a_gradient(kind):
    head = random_head(kind, dict(a=2, b=1) if kind == 'scale' else 3)
    output = head(torch.randn(2, 16, 5, 4))
    sum(value.square().sum() for value in (output.values() if isinstance(output, dict) else [output])).backward()
    missing = [name for name, value in head.named_parameters() if value.grad is None or value.grad.eq(0).all()]
    # Instance norm removes the mean, and with it the bias of the layer before.
    biases = [name for name in missing if name.endswith('.bias')]
    assert missing == biases


def test_several_maps_and_a_number():
    head = random_head('scale', dict(a=2, b=1))
    outputs = head(torch.randn(2, 16, 5, 4))
    assert {name: tuple(value.shape) for name, value in outputs.items()} == {
        'a': (2, 2, 10, 8),
        'b': (2, 1, 10, 8),
        'scale': (2,),
    }
    assert head.scale_final_layer[1].in_features == 4 * 2 * 1


@pytest.mark.parametrize('training', [True, False])
def test_points_have_more_than_the_eight_bits_of_autocast(training):
    """With a constant map of 2 and small steps on it, bf16 would give a staircase."""
    head = random_head('scale', dict(a=2, b=1)).train(training)
    head.get_submodule(head.predictor).bias.data.fill_(2.0)
    head.get_submodule(head.predictor).weight.data.mul_(1e-3)
    features = torch.randn(2, 16, 5, 4)
    with torch.set_grad_enabled(training):
        exact = head(features)
        with torch.autocast('cpu', torch.bfloat16):
            found = head(features)
    for name, value in exact.items():
        assert found[name].dtype == torch.float32
        spread = float((value - value.mean()).abs().max())
        assert float((found[name] - value).abs().max()) < 0.1 * spread, name


@pytest.mark.parametrize('size', [(8, 6), (16, 12), (5, 7), (1, 2), (9, 13)])
def test_the_scale_pools_maps_of_any_size(size):
    pool = pixel_shuffle.FlatCells((8, 6))
    x = torch.randn(2, 3, *size, requires_grad=True)
    expected = F.adaptive_avg_pool2d(x, (8, 6)).flatten(1)
    torch.testing.assert_close(pool(x), expected, atol=1e-6, rtol=0)
    assert size != (8, 6) or torch.equal(pool(x), expected)
    head = PixelShuffleHead(4, dict(a=3), (4,), scale=dict(conv_channels=(8,) * 3, hidden=(4,)), scalars=('scale',))
    assert head(torch.randn(2, 4, *size))['scale'].isfinite().all()


def test_a_sigmoid_ends_the_maps():
    plain, head = (PixelShuffleHead(16, dict(a=2, b=1), (8,), sigmoid=sigmoid) for sigmoid in (False, True))
    head.load_state_dict(plain.state_dict())
    features = torch.randn(2, 16, 5, 4)
    for name, value in plain(features).items():
        torch.testing.assert_close(head(features)[name], value.sigmoid())
        with torch.no_grad():
            torch.testing.assert_close(head.eval()(features)[name], value.sigmoid())


@pytest.mark.parametrize('kernel', [2, 3, 4])
def test_deconvolutions_double_the_size(kernel):
    head = DeconvHead(4, 2, (4, 4, 4), deconv_kernels=(kernel,) * 3)
    assert head(torch.randn(1, 4, 5, 3)).shape == (1, 2, 40, 24)
    assert head.deconv_layers[0].kernel_size == (kernel, kernel)


def test_chosen_channels():
    head = random_head('deconv', 5)
    features, ids = torch.randn(2, 16, 5, 4), torch.tensor([3, 0])
    torch.testing.assert_close(head(features, ids), head(features)[:, ids])


def test_published_initial_weights():
    torch.manual_seed(0)
    head = DeconvHead(64, 40, (64,), (128,), init_deconvs=True)
    head.init_weights()
    other = DeconvHead(64, 40, (64,), (128,), init_deconvs=False)
    torch_default = other.deconv_layers[0].weight.std().item()
    other.init_weights()
    assert head.deconv_layers[0].weight.std().item() == pytest.approx((2 / (64 * 16)) ** 0.5, rel=0.05)
    assert other.deconv_layers[0].weight.std().item() == torch_default
    for one in (head, other):
        assert one.conv_layers[0].weight.std().item() == pytest.approx((2 / 128) ** 0.5, rel=0.05)
        assert one.conv_seg.weight.std().item() == pytest.approx((2 / 40) ** 0.5, rel=0.05)
        assert one.conv_layers[0].bias.eq(0).all() and one.conv_seg.bias.eq(0).all()
    shuffle = PixelShuffleHead(32, dict(a=3), (64,), **{k: SMALL['scale'][k] for k in ('scale', 'scalars')})
    shuffle.init_weights()
    assert shuffle.upsample_blocks[0][0].weight.std().item() == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.05)
    linear = shuffle.scale_final_layer[1]
    assert linear.bias.eq(0).all()
    assert linear.weight.std().item() == pytest.approx(linear.in_features**-0.5, rel=0.3)
    small = PixelShuffleHead(32, 300, (64,), predictor_std=0.02)
    small.init_weights()
    assert small.conv_normal.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert small.conv_normal.bias.eq(0).all()
    assert small.upsample_blocks[0][0].weight.std().item() == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.05)


def test_keys_of_the_head_follow_its_family():
    backbone = dict(type='Sapiens2ViT', arch=dict(embed_dims=16, num_layers=1, num_heads=2, feedforward_channels=16))
    second = PoseEstimator(backbone, dict(type='DeconvHead', deconv_channels=(8,), predictor='conv_pose'), 'coco17')
    first = PoseEstimator(backbone, dict(type='HeatmapHead', deconv_channels=(8,), conv_channels=()), 'coco17')
    assert 'decode_head.conv_pose.weight' in second.state_dict() and second.head is second.decode_head
    assert 'head.final_layer.weight' in first.state_dict() and isinstance(first.head, HeatmapHead)
    with pytest.raises(AttributeError, match='decode_head'):
        _ = first.decode_head


@pytest.mark.parametrize(
    ('kind', 'options', 'message'),
    [
        (
            DeconvHead,
            dict(deconv_channels=(4,), deconv_kernels=(5,)),
            r'deconv_kernels=\(5,\): 5 is not one of \(2, 3, 4\)',
        ),
        (DeconvHead, dict(deconv_channels=(4,), conv_channels=(4,), conv_kernels=(2,)), '2 is not odd'),
        (DeconvHead, dict(deconv_channels=(4, 4), deconv_kernels=(4,)), 'has 1 numbers for 2 layers'),
        (PixelShuffleHead, dict(upsample_channels=(4,), norm='layer'), "norm='layer' is not one of"),
        (
            PixelShuffleHead,
            dict(upsample_channels=(4,), predictor_std=0.0),
            'predictor_std=0.0: expected a number above 0',
        ),
        (PixelShuffleHead, dict(upsample_channels=(4,), scalars=('scale',)), 'scale=None does not fit'),
        (PixelShuffleHead, dict(upsample_channels=(4,), scale=SCALE), 'does not fit'),
        (
            PixelShuffleHead,
            dict(upsample_channels=(4,), scale=dict(SCALE, conv_kernels=(1, 2, 1)), scalars=('scale',)),
            r'scale.conv_kernels=\(1, 2, 1\): 2 is not odd',
        ),
    ],
)
def test_refused_options(kind, options, message):
    with pytest.raises(ValueError, match=message):
        kind(8, 3, **options)
