"""Folders of transformers, in both directions, with its own classes as the judge."""

import importlib
import json
import os

import numpy as np
import pytest
import torch

from sapiens.apis import load_model
from sapiens.apis.loading.build import build_model, load_encoder, read_config
from sapiens.checkpoints import is_huggingface_folder, load_weights, save_huggingface
from sapiens.commands.convert import main as convert
from sapiens.models import DenseEstimator, PoseEstimator, Sapiens2ViT, SapiensViT
from sapiens.utils.checkpoint import load_state, save_weights
from sapiens.utils.checkpoint.names import canonical, layout_of
from sapiens.utils.config import config_folder

# A required package of the tests: where all of them run, its absence is an error.
transformers = importlib.import_module('transformers') if os.environ.get('CI') else pytest.importorskip('transformers')

# 18 layers: the two in the middle have half as many heads of keys.
SIZES = dict(
    hidden_size=64,
    intermediate_size=128,
    num_hidden_layers=18,
    num_attention_heads=4,
    num_key_value_attention_heads=2,
    image_size=[64, 48],
    patch_size=16,
)
ARCH = dict(embed_dims=64, num_layers=18, num_heads=4, feedforward_channels=128)
BACKBONE = dict(type='Sapiens2ViT', arch=ARCH, img_size=(64, 48))
DECONV = dict(upsample_out_channels=[16, 8], conv_out_channels=[8, 8], conv_kernel_sizes=[1, 1])
SHUFFLE = dict(
    use_pixel_shuffle=True,
    upsample_out_channels=[16, 8],
    upsample_kernel_sizes=[3, 3],
    conv_out_channels=[8, 4],
    conv_kernel_sizes=[3, 3],
)
SCALE = dict(scale_conv_out_channels=[8], scale_conv_kernel_sizes=[3], scale_final_hidden_sizes=[6, 5])
# Task -> class, number of outputs, head, name of the output, or of each.
THEIRS = {
    'pose': ('Sapiens2ForPoseEstimation', 17, DECONV, 'heatmaps'),
    'seg': ('Sapiens2ForSemanticSegmentation', 29, DECONV, 'logits'),
    'normal': ('Sapiens2ForNormalEstimation', 3, SHUFFLE, 'normals'),
    'pointmap': (
        'Sapiens2ForPointmapEstimation', 3, SHUFFLE | SCALE, dict(pointmap='pointmaps', scale='scales'),
    ),
    'matting': ('Sapiens2ForImageMatting', 4, SHUFFLE, dict(foreground='foregrounds', alpha='alphas')),
}  # fmt: skip
OURS = {
    'pose': lambda: PoseEstimator(
        BACKBONE, dict(type='DeconvHead', deconv_channels=(16, 8), conv_channels=(8,), predictor='conv_pose'), 'coco17'
    ),
    'seg': lambda: DenseEstimator(
        BACKBONE,
        dict(type='DeconvHead', deconv_channels=(16, 8), conv_channels=(8,), predictor='conv_own'),
        dict(type='SegTask', classes='goliath29'),
    ),
    'normal': lambda: DenseEstimator(
        BACKBONE,
        dict(type='PixelShuffleHead', upsample_channels=(16, 8), conv_channels=(8, 4)),
        dict(type='NormalTask'),
    ),
    'pointmap': lambda: DenseEstimator(
        BACKBONE,
        dict(
            type='PixelShuffleHead',
            upsample_channels=(16, 8),
            conv_channels=(8, 4),
            predictor='conv_pointmap',
            scale=dict(conv_channels=(8,), conv_kernels=(3,), hidden=(6, 5), cells=(2, 2)),
        ),
        dict(type='PointmapTask'),
    ),
    'matting': lambda: DenseEstimator(
        BACKBONE,
        dict(
            type='PixelShuffleHead',
            upsample_channels=(16, 8),
            conv_channels=(8, 4),
            predictor='conv_own',
            sigmoid=True,
        ),
        dict(type='MattingTask'),
    ),
}
IMAGES = torch.randn(2, 3, 64, 48, generator=torch.Generator().manual_seed(0))


def randomize(model):
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model.eval()


def compare(found, theirs, names):
    """Outputs of ours, one or a dict, with those of a model of transformers."""
    if isinstance(names, str):
        found, names = {'': found}, {'': names}
    assert found.keys() == names.keys()
    for name, value in found.items():
        assert value.std() > 1e-4
        torch.testing.assert_close(value, theirs[names[name]].view_as(value), atol=1e-4, rtol=1e-4)


def equal(found, expected):
    if isinstance(found, dict):
        return found.keys() == expected.keys() and all(torch.equal(one, expected[name]) for name, one in found.items())
    return torch.equal(found, expected)


@pytest.mark.parametrize('task', THEIRS)
def test_their_folder(task, tmp_path):
    name, count, head, output = THEIRS[task]
    config = transformers.Sapiens2Config(**SIZES, num_labels=count, head_config=head)
    theirs = randomize(getattr(transformers, name)(config))
    theirs.save_pretrained(tmp_path)
    assert is_huggingface_folder(tmp_path)
    ours = build_model(tmp_path, device='cpu')
    with torch.no_grad():
        compare(ours(IMAGES), theirs(IMAGES), output)
    assert ours.task_name == task
    predictor = load_model(tmp_path, device='cpu')
    assert predictor.preprocess.size == (48, 64)


@pytest.mark.parametrize('task', ['normal', 'pointmap', 'matting'])
def test_names_of_their_modules(task, tmp_path):
    """As they are in memory."""
    name, count, head, output = THEIRS[task]
    config = transformers.Sapiens2Config(**SIZES, num_labels=count, head_config=head)
    theirs, ours = randomize(getattr(transformers, name)(config)), randomize(OURS[task]())
    torch.save(theirs.state_dict(), tmp_path / 'x.pth')
    report = load_weights(ours, tmp_path / 'x.pth')
    assert not report.missing and not report.unused
    with torch.no_grad():
        compare(ours(IMAGES), theirs(IMAGES), output)


def test_their_encoder(tmp_path):
    theirs = randomize(transformers.Sapiens2Model(transformers.Sapiens2Config(**SIZES)))
    theirs.save_pretrained(tmp_path)
    ours = load_encoder(read_config(tmp_path), tmp_path, 'cpu', out_type='raw')
    with torch.no_grad():
        torch.testing.assert_close(ours(IMAGES)[0], theirs(IMAGES).last_hidden_state, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('task', OURS)
def test_our_folder(task, tmp_path):
    name, _, _, output = THEIRS[task]
    ours = randomize(OURS[task]())
    save_huggingface(ours, tmp_path / 'new')
    theirs, account = getattr(transformers, name).from_pretrained(tmp_path / 'new', output_loading_info=True)
    assert not any(account[kind] for kind in ('missing_keys', 'unexpected_keys', 'mismatched_keys'))
    with torch.no_grad():
        compare(ours(IMAGES), theirs.eval()(IMAGES), output)
    again = build_model(tmp_path / 'new', device='cpu')
    with torch.no_grad():
        assert equal(again(IMAGES), ours(IMAGES))
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path / 'new')
    assert processor.do_pad is (task in ('normal', 'pointmap'))
    assert (processor.size['height'], processor.size['width']) == (64, 48)


def test_our_encoder(tmp_path):
    ours = randomize(Sapiens2ViT(ARCH, (64, 48), out_type='raw'))
    save_huggingface(ours, tmp_path)
    theirs, account = transformers.Sapiens2Model.from_pretrained(tmp_path, output_loading_info=True)
    assert not account['missing_keys'] and not account['unexpected_keys']
    with torch.no_grad():
        torch.testing.assert_close(theirs.eval()(IMAGES).last_hidden_state, ours(IMAGES)[0], atol=1e-4, rtol=1e-4)


def test_every_output_of_the_encoder():
    config = transformers.Sapiens2Config(**SIZES, out_indices=[4, 9, 18])
    theirs = randomize(transformers.Sapiens2Backbone(config))
    ours = Sapiens2ViT(ARCH, (64, 48), out_type='featmap', out_indices=(3, 8, 17), norm_outputs='all').eval()
    state = theirs.state_dict()
    load_state(ours, canonical(state, layout_of(state)), min_share=1.0)
    with torch.no_grad():
        for found, expected in zip(ours(IMAGES), theirs(IMAGES).feature_maps, strict=True):
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_what_is_in_the_way_of_a_folder(tmp_path):
    index = tmp_path / 'model.safetensors.index.json'
    index.touch()
    for place, message in ((index, 'is a file'), (tmp_path, 'holds a model in parts')):
        with pytest.raises(FileExistsError, match=message):
            save_huggingface(Sapiens2ViT(ARCH, (64, 48)), place)
    assert [path.name for path in tmp_path.iterdir()] == [index.name]


def test_models_that_transformers_has_no_class_for(tmp_path):
    with pytest.raises(ValueError, match='tokenizer'):
        save_huggingface(Sapiens2ViT(ARCH, (256, 192), tokenizer=True), tmp_path)
    with pytest.raises(ValueError, match='only for Sapiens2ViT'):
        save_huggingface(SapiensViT(ARCH, (64, 48)), tmp_path)
    with pytest.raises(ValueError, match='final norm'):
        save_huggingface(Sapiens2ViT(ARCH, (64, 48), final_norm=False), tmp_path)
    head = dict(type='DenseHead', deconv_channels=(8,), conv_channels=(8,))
    with pytest.raises(ValueError, match='normal with DenseHead'):
        save_huggingface(DenseEstimator(BACKBONE, head, dict(type='NormalTask')), tmp_path)
    head = dict(type='PixelShuffleHead', upsample_channels=(8,), norm='rms')
    with pytest.raises(ValueError, match="norm='rms'"):
        save_huggingface(DenseEstimator(BACKBONE, head, dict(type='NormalTask')), tmp_path)
    parts = {task: dict(type='PixelShuffleHead', upsample_channels=(8,)) for task in ('Pointmap', 'Matting')}
    for task, change, message in (
        (
            'Pointmap',
            dict(scale=dict(conv_channels=(8,), hidden=(6, 5))),
            r'cells=\(8, 6\), but inputs of .* give \(2, 2\)',
        ),
        (
            'Pointmap',
            dict(scale=dict(conv_channels=(8,), hidden=(6,), cells=(2, 2))),
            r'hidden=\(6,\): transformers has',
        ),
        ('Matting', {}, 'head.sigmoid=False'),
    ):
        model = DenseEstimator(BACKBONE, parts[task] | change, dict(type=f'{task}Task'))
        with pytest.raises(ValueError, match=message):
            save_huggingface(model, tmp_path)
    model = DenseEstimator(BACKBONE, parts['Matting'], dict(type='AlbedoTask'))
    with pytest.raises(ValueError, match='albedo with PixelShuffleHead: transformers has classes for pose'):
        save_huggingface(model, tmp_path)
    assert not list(tmp_path.iterdir())


def test_scales_that_do_not_fit(tmp_path):
    save_huggingface(OURS['pointmap'](), tmp_path)
    fields = json.loads((tmp_path / 'config.json').read_text())
    for change, message in (
        (
            dict(scale_final_input_size=999),
            'scale_final_input_size=999, but an input of .64, 48. gives 8 channels of 2 x 2',
        ),
        (dict(scale_conv_out_channels=None), 'a pointmap without a scale'),
    ):
        (tmp_path / 'config.json').write_text(json.dumps(fields | dict(head_config=fields['head_config'] | change)))
        with pytest.raises(ValueError, match=message):
            read_config(tmp_path)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(rope_theta=50.0), r'rope_theta=50.0, but Sapiens2ViT has 100.0'),
        (dict(num_key_value_attention_heads=1), 'num_key_value_attention_heads=1, but Sapiens2ViT has 2'),
        (dict(model_type='vit'), "model_type='vit' is not one of"),
        (dict(architectures=['Sapiens2ForVideo']), 'Sapiens2ForVideo'),
        (dict(id2label={'0': 'a', '1': 'b'}), '2 keypoints are not one of 17, 133, 308'),
    ],
)
def test_folders_that_cannot_be_used(change, message, tmp_path):
    save_huggingface(OURS['pose'](), tmp_path)
    fields = json.loads((tmp_path / 'config.json').read_text())
    (tmp_path / 'config.json').write_text(json.dumps(fields | change))
    with pytest.raises(ValueError, match=message):
        read_config(tmp_path)


def test_half_a_folder(tmp_path):
    save_huggingface(OURS['pose'](), tmp_path)
    (tmp_path / 'model.safetensors').unlink()
    with pytest.raises(FileNotFoundError, match=r'has config\.json, but no weights \(model\.safetensors'):
        build_model(tmp_path, device='cpu')
    (tmp_path / 'config.json').write_text('{')
    with pytest.raises(ValueError, match='is not JSON'):
        read_config(tmp_path)


def test_own_classes(tmp_path):
    names = ['nothing', 'hat', 'shoe']
    ours = DenseEstimator(
        BACKBONE,
        dict(type='DeconvHead', deconv_channels=(8,), predictor='conv_seg'),
        dict(type='SegTask', classes=dict(name='own', classes=names)),
    )
    save_huggingface(ours, tmp_path)
    assert list(build_model(tmp_path, device='cpu').task.classes.classes) == names


def test_convert_to_their_folder(tmp_path, capsys):
    ours = randomize(OURS['pose']())
    save_weights(ours.state_dict(), tmp_path / 'x.pth', dict(task='pose'))
    config = tmp_path / 'config.py'
    head = dict(deconv_channels=(16, 8), conv_channels=(8,))
    model = dict(backbone=dict(BACKBONE, _delete_=True), head=head, skeleton='coco17')
    base = config_folder() / 'pose/sapiens2_tiny_synthetic308-128x96.py'
    config.write_text(f'_base_ = {str(base)!r}\nmodel = {model!r}\n')
    convert(
        ['convert', str(tmp_path / 'x.pth'), str(tmp_path / 'out'), '--to', 'huggingface', '--config', str(config)]
    )
    assert 'preprocessor_config.json' in capsys.readouterr().out
    again = build_model(tmp_path / 'out', device='cpu')
    with torch.no_grad():
        assert torch.equal(again(IMAGES), ours(IMAGES))


def test_letterboxed_inference_undoes_the_padding(tmp_path):
    """Normals of the image alone and of the image inside black bars are compared where the image is."""
    save_huggingface(randomize(OURS['normal']()), tmp_path)
    predictor = load_model(tmp_path, device='cpu')
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (64, 24, 3), dtype=np.uint8)
    padded = np.pad(image, ((0, 0), (12, 12), (0, 0)))
    alone, inside = predictor(image), predictor(padded)
    assert alone.normals.shape == (64, 24, 3)
    np.testing.assert_allclose(alone.normals, inside.normals[:, 12:36], atol=1e-5)
