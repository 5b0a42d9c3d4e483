"""Files of the second family, in every spelling."""

import hashlib
import math

import pytest
import torch
from safetensors.torch import save_file

from sapiens.checkpoints import ZOO, describe, load_weights, recognise
from sapiens.checkpoints.expected_shapes import shapes_of
from sapiens.models import DenseEstimator, PoseEstimator, Sapiens2ViT, SapiensViT
from sapiens.utils.checkpoint import Checkpoint, load_state
from sapiens.utils.checkpoint.names import canonical, layout_of
from sapiens.utils.config import load_config

ARCH = dict(embed_dims=32, num_layers=3, num_heads=2, feedforward_channels=64, num_tokenizer_layers=1)
BACKBONE = dict(type='Sapiens2ViT', arch=ARCH, img_size=(64, 48))
POSE = dict(type='DeconvHead', deconv_channels=(8, 8), conv_channels=(8,), predictor='conv_pose')
NORMAL = dict(type='PixelShuffleHead', upsample_channels=(8, 8), conv_channels=(8, 4))

# Number of tensors and digest of the sorted "key shape" lines of published files, from listings of the published system's own
# state dicts.
MANIFESTS = {
    'sapiens2-pretrain-0.1b': (210, '87c961bd89264e49'),
    'sapiens2-pretrain-0.4b': (414, '02c9a6e9dedac205'),
    'sapiens2-pretrain-1b-4k': (744, '498c731f0b104347'),
    'sapiens2-pose-0.4b': (424, '969cdbd19d209635'),
    'sapiens2-seg-0.4b': (424, '4d242c44239c430c'),
    'sapiens2-normal-0.4b': (432, '27dfd9040a8a2785'),
    'sapiens2-pointmap-0.4b': (444, 'c6b83fb72f86e402'),
    'sapiens2-matting-1b': (704, '783c4c1186c89dff'),
}
ALBEDO = (440, '72f9204d45f56dc7')  # of 0.4b, whose weights are not published
# Parameters of whole models.
PARAMETERS = {
    'pointmap': {'0.4b': 528_675_364, '0.8b': 967_366_180, '1b': 1_629_594_148, '5b': 5_348_345_860},
    'albedo': {'0.4b': 453_360_531, '0.8b': 884_580_499, '1b': 1_539_337_619, '5b': 5_316_147_155},
    'matting': {'1b': 1_539_334_324},
}


def digest(shapes):
    lines = sorted(f'{key} {list(shape)}' for key, shape in shapes.items())
    return len(lines), hashlib.sha256('\n'.join(lines).encode()).hexdigest()[:16]


@pytest.mark.parametrize('name', MANIFESTS)
def test_shapes_of_published_files(name):
    shapes = ZOO[name].shapes()
    assert digest(shapes) == MANIFESTS[name]
    found = recognise({key: torch.empty(shape, device='meta') for key, shape in shapes.items()})
    entry = ZOO[name]
    assert (found['family'], found['size'], found['task']) == ('sapiens2', entry.size, entry.task)
    assert found['tokenizer'] == entry.tokenizer and found['config'] == entry.config


@pytest.mark.parametrize(('task', 'size'), [(task, size) for task in PARAMETERS for size in PARAMETERS[task]])
def test_parameters_of_recipes(task, size):
    data = dict(matting='general').get(task, 'renderpeople')
    config = load_config(f'{task}/sapiens2_{size}_{data}-1024x768.py').model
    shapes = shapes_of(config)
    rotary = shapes['backbone.rope_embed.periods']
    assert sum(map(math.prod, shapes.values())) - math.prod(rotary) == PARAMETERS[task][size]
    if (task, size) == ('albedo', '0.4b'):
        assert digest(shapes) == ALBEDO


# Tensors of the heads.
HEADS = dict(pretrain=0, pose=10, seg=10, normal=18, pointmap=30, matting=18)


@pytest.mark.parametrize('name', [name for name, entry in ZOO.items() if entry.family.name == 'sapiens2'])
def test_number_of_tensors(name):
    entry = ZOO[name]
    encoder = {'0.1b': 210, '0.4b': 414, '0.8b': 550, '1b': 686, '5b': 958}[entry.size] + (
        58 if entry.tokenizer else 0
    )
    assert len(entry.shapes()) == encoder + HEADS[entry.task]


def pose(seed=0):
    torch.manual_seed(seed)
    model = PoseEstimator(BACKBONE, POSE, 'coco17')
    model.init_weights()
    return model


def equal(model, other):
    return all(torch.equal(value, other.state_dict()[name]) for name, value in model.state_dict().items())


def to_transformers(state):
    """Names of transformers' modules in memory, written out once more, by hand."""
    names = {
        'backbone.cls_token': 'model.embeddings.cls_token',
        'backbone.storage_tokens': 'model.embeddings.register_tokens',
        'backbone.patch_embed.projection.': 'model.embeddings.patch_embeddings.',
        'backbone.ln1.': 'model.norm.',
        'backbone.blocks.': 'model.model.layer.',
        '.ln1.': '.norm1.',
        '.ln2.': '.norm2.',
        '.attn.wq.': '.attention.q_proj.',
        '.attn.wk.': '.attention.k_proj.',
        '.attn.wv.': '.attention.v_proj.',
        '.attn.proj.': '.attention.o_proj.',
        '.attn.q_norm.': '.attention.q_norm.',
        '.attn.k_norm.': '.attention.k_norm.',
        '.attn.gamma.weight': '.layer_scale1.lambda1',
        '.ffn.w3.': '.mlp.down_proj.',
        'decode_head.deconv_layers.0.': 'decode_head.upsample_layers.0.convolution.',
        'decode_head.deconv_layers.3.': 'decode_head.upsample_layers.1.convolution.',
        'decode_head.conv_layers.0.': 'decode_head.conv_layers.0.convolution.',
        'decode_head.conv_layers.3.': 'decode_head.conv_layers.1.convolution.',
        'decode_head.input_conv.0.': 'decode_head.input_conv.convolution.',
        'decode_head.upsample_blocks.0.0.': 'decode_head.upsample_layers.0.convolution.',
        'decode_head.upsample_blocks.1.0.': 'decode_head.upsample_layers.1.convolution.',
        'decode_head.conv_pose.': 'decode_head.predictor.',
        'decode_head.conv_normal.': 'decode_head.predictor.',
    }
    renamed = {}
    for name, value in state.items():
        if name.endswith('periods'):
            continue
        for ours, theirs in names.items():
            name = name.replace(ours, theirs)
        if '.ffn.w12.' in name:
            gate, up = value.chunk(2)
            renamed[name.replace('.ffn.w12.', '.mlp.gate_proj.')] = gate
            renamed[name.replace('.ffn.w12.', '.mlp.up_proj.')] = up
        else:
            renamed[name] = value
    return renamed


@pytest.mark.parametrize('form', ['published', 'without periods', 'transformers', 'teacher', 'wrapped', 'pth'])
def test_every_spelling_loads(form, tmp_path):
    model, other = pose(), pose(seed=1)
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    path = tmp_path / ('x.pth' if form in ('teacher', 'pth', 'wrapped') else 'x.safetensors')
    if form == 'without periods':
        state.pop('backbone.rope_embed.periods')
    if form == 'transformers':
        state = {name: value.contiguous() for name, value in to_transformers(state).items()}
        assert layout_of(state) == 'transformers-sapiens2' and len(state) == len(model.state_dict()) - 1 + 6
    if form == 'wrapped':
        state = {f'module.{name}': value for name, value in state.items()}
    if path.suffix == '.pth':
        torch.save({form: state} if form == 'teacher' else dict(state_dict=state), path)
    else:
        save_file(state, path)
    report = load_weights(other, path)
    assert report.share == 1 and not (report.missing or report.unused or report.reinitialized)
    assert equal(model, other)


def test_names_of_transformers_of_the_other_head(tmp_path):
    models = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        model = DenseEstimator(BACKBONE, NORMAL, dict(type='NormalTask'))
        model.init_weights()
        models.append(model)
    save_file(
        {k: v.contiguous() for k, v in to_transformers(models[0].state_dict()).items()}, tmp_path / 'x.safetensors'
    )
    report = load_weights(models[1], tmp_path / 'x.safetensors')
    assert not report.missing and not report.unused and equal(*models)


def test_names_of_timm():
    timm = pytest.importorskip('timm')
    with torch.device('meta'):
        theirs = timm.create_model('vit_large_patch16_sapiens2').state_dict()
    ours = {name: tuple(value.shape) for name, value in canonical(theirs, layout_of(theirs)).items()}
    expected = ZOO['sapiens2-pretrain-0.4b'].shapes()
    expected.pop('rope_embed.periods')
    assert layout_of(theirs) == 'timm-sapiens2' and ours == expected


def test_outputs_equal_timms():
    timm = pytest.importorskip('timm')
    torch.manual_seed(0)
    theirs = timm.create_model('vit_base_patch16_sapiens2', img_size=(64, 48), embed_dim=96, num_classes=0).eval()
    ours = Sapiens2ViT(
        dict(ARCH, embed_dims=96, num_layers=12, num_heads=12, feedforward_channels=384), (64, 48), out_type='raw'
    ).eval()
    state = theirs.state_dict()
    load_state(ours, canonical(state, layout_of(state)), min_share=1.0)
    images = torch.randn(2, 3, 64, 48)
    with torch.no_grad():
        torch.testing.assert_close(ours(images)[0], theirs.forward_features(images), atol=2e-5, rtol=1e-4)


def test_a_file_of_the_other_family_is_refused():
    first = SapiensViT({k: v for k, v in ARCH.items() if 'tokenizer' not in k}, (64, 48))
    second = Sapiens2ViT(ARCH, (64, 48))
    for model, state, family in ((first, second.state_dict(), 'sapiens2'), (second, first.state_dict(), 'sapiens')):
        with pytest.raises(ValueError, match=rf'In the file: an encoder, {family} with 3 blocks of 32') as refused:
            load_weights(model, Checkpoint(state, {}, 'x.safetensors'))
        other = 'sapiens' if family == 'sapiens2' else 'sapiens2'
        assert str(refused.value).endswith(f'The file is of the family {family}, the model of {other}')


def test_tokenizer_of_4k_files():
    large = Sapiens2ViT(ARCH, (256, 192), tokenizer=True)
    plain = Sapiens2ViT(ARCH, (64, 48))
    with pytest.raises(ValueError, match='model.backbone.tokenizer=True'):
        load_state(plain, large.state_dict())
    report = load_state(large, plain.state_dict())
    assert report.missing and all(name.startswith('tokenizer.') for name in report.missing)
    assert 'with a tokenizer of 4x4 patches' in describe(recognise(large.state_dict()))
