from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from sapiens.checkpoints import describe, expected_shapes, load_weights, recognise
from sapiens.metainfo import get_classes, get_skeleton
from sapiens.models import SapiensViT
from sapiens.models.backbones.archs import SAPIENS_ARCHS
from sapiens.registry import MODELS
from sapiens.tasks import members_of, task_of
from sapiens.utils.checkpoint import Checkpoint

CONFIGS = Path(__file__).parents[2] / 'configs'
LEAVES = sorted(path for path in CONFIGS.glob('*/*.py') if path.parent.name not in ('_base_', 'curation'))


def on_meta(*kind, **options):
    return {name: torch.empty(shape, device='meta') for name, shape in expected_shapes(*kind, **options).items()}


def weights_of(cfg, task):
    """Names and shapes of a config's model: of the model itself where that is quick, else of the published listing."""
    listed = cfg.model.backbone.type == 'SapiensViT' and cfg.model.get('head', {}).get('type') != 'PixelShuffleHead'
    if not listed or cfg.model.backbone.arch in ('tiny', '0.3b'):
        backbone = {key: value for key, value in cfg.model.backbone.items() if key != 'init_cfg'}
        with torch.device('meta'):
            return MODELS.build({**cfg.model, 'backbone': backbone}).state_dict()
    outputs = None
    if task == 'pose':
        outputs = len(get_skeleton(cfg.model.skeleton))
    elif task == 'seg':
        outputs = len(get_classes(cfg.model.task.classes))
    return on_meta(cfg.model.backbone.arch, task, outputs, image_size=cfg.model.backbone.img_size)


@pytest.mark.parametrize('path', LEAVES, ids=lambda path: path.stem)
def test_the_weights_of_every_config_lead_back_to_it(path):
    cfg = Config.fromfile(str(path))
    tasks = {name: task_of(part).name for name, part in members_of(cfg.model).items()}  # as a run writes them
    found = recognise(weights_of(cfg, path.parent.name), dict(task=path.parent.name, tasks=tasks or None))
    if 'ViT' not in cfg.model.backbone.type:
        assert found is None, 'the encoder of another library is none of the families'
        return
    assert (found['size'], found['task']) == (cfg.model.backbone.arch, path.parent.name)
    assert found['image_size'] == (tuple(cfg.model.backbone.img_size) if found['family'] == 'sapiens' else None)
    assert str(path.relative_to(CONFIGS)) in found['configs']
    assert f'configs/{path.relative_to(CONFIGS)}' in describe(found)


@pytest.mark.parametrize(
    ('kind', 'text'),
    [
        (('1b', 'pose', 308), 'pose with 308 keypoints, sapiens_1b, 1024x768; config: configs/pose'
         '/sapiens_1b_goliath-1024x768.py'),
        (('0.3b', 'seg', 20), 'segmentation with 20 classes, sapiens_0.3b, 1024x768; config: configs/seg/sapiens_0.3b_cihp-'
         '1024x768.py or configs/seg/sapiens_0.3b_lip-1024x768.py'),
        (('2b', 'pretrain'), 'an encoder, sapiens_2b, 1024x1024; config: configs/mae/sapiens_2b_humans300m-1024x1024.py'),
        (('0.6b', 'seg', 2), 'segmentation with 2 classes, sapiens_0.6b, 1024x768'),
        (('0.6b', 'seg', 7), 'an encoder with an unknown head, sapiens_0.6b, 1024x768'),
    ],
)  # fmt: skip
def test_description(kind, text):
    assert describe(recognise(on_meta(*kind))) == text


def test_sizes_that_are_not_named():
    weights = on_meta(dict(SAPIENS_ARCHS['1b'], num_layers=7), 'depth', image_size=(512, 384))
    found = recognise(weights)
    assert (found['size'], found['embed_dims'], found['num_layers'], found['image_size']) == (
        None,
        1536,
        7,
        (512, 384),
    )
    assert found['task'] == 'depth' and found['config'] is None and found['configs'] == []
    assert describe(found) == 'depth, sapiens with 7 blocks of 1536 (none of the named sizes), 512x384'
    weights['backbone.pos_embed'] = torch.empty(1, 33, 1536, device='meta')
    assert recognise(weights)['image_size'] is None


def test_heads_of_the_second_family_on_an_encoder_of_the_first():
    for task, count in dict(pointmap=3, matting=4, albedo=3).items():
        (path,) = (CONFIGS / task).glob('sapiens_1b_*.py')
        found = recognise(weights_of(Config.fromfile(str(path)), task))  # without a name in the file
        assert (found['family'], found['task'], found['outputs'], found['size']) == ('sapiens', task, count, '1b')
        assert found['configs'] == [str(path.relative_to(CONFIGS))]


def test_unsupported_weights():
    assert recognise({'conv1.weight': torch.ones(2, 3, 7, 7)}) is None
    assert describe(None) == 'no vision transformer of this kind'
    strange = on_meta('0.3b', 'pose', 17)
    del strange['head.final_layer.weight']
    assert recognise(strange)['task'] is None and 'unknown head' in describe(recognise(strange))


def test_the_error_of_a_refused_load_identifies_the_file():
    with torch.device('meta'):
        model = SapiensViT('tiny', img_size=(64, 48))
    with pytest.raises(
        ValueError, match=r'In the file: depth, sapiens_1b, 1024x768; config: configs/depth/sapiens_1b_renderpeople'
    ):
        load_weights(model, Checkpoint(on_meta('1b', 'depth'), {}, 'x.pth'))


def test_own_files_name_their_task():
    """Whatever the layers look like: a plug-in's head may equal a published one."""
    weights = on_meta('1b', 'normal')
    assert recognise(weights)['task'] == 'normal' and recognise(weights, dict(task='normal'))['task'] == 'normal'
    found = recognise(weights, dict(task='gloss'))
    assert (found['task'], found['outputs'], found['configs']) == ('gloss', 3, [])
    assert describe(found) == "task 'gloss', sapiens_1b, 1024x768"
    seven = recognise(on_meta('0.6b', 'seg', 7), dict(task='seg'))
    assert describe(seven) == 'segmentation with 7 classes, sapiens_0.6b, 1024x768' and seven['configs'] == []
    # Exports call a task by its field, or by its name in inference.
    assert recognise(weights, dict(task='sem_seg'))['task'] == 'seg'
    assert recognise(on_meta('1b', 'mae'), dict(task='features'))['task'] == 'mae'
    # An encoder that was cut out of a model is no longer for its task.
    assert recognise(on_meta('1b', 'pretrain'), dict(task='pose'))['task'] == 'pretrain'


def test_own_files_without_the_entry_are_told_by_the_text_of_their_config():
    weights = on_meta('tiny', 'depth', image_size=(128, 96))
    weights = {name: value for name, value in weights.items() if 'deconv' not in name}  # not a published head
    text = "model = dict(type='DenseEstimator', backbone=dict(type='SapiensViT'), task=dict(type='DepthTask'))\nraise SystemExit"
    assert recognise(weights)['task'] is None
    assert recognise(weights, dict(cfg=text))['task'] == 'depth'
    assert recognise(weights, dict(cfg=text.replace('DepthTask', 'ShadeTask')))['task'] is None
    assert recognise(weights, dict(cfg=text, task='seg'))['task'] == 'seg'


def test_heads_that_only_resemble_the_published_ones_are_unknown():
    weights = on_meta('1b', 'normal')
    for change in (
        {'decode_head.conv_seg.weight': (4, 768, 1, 1), 'decode_head.conv_seg.bias': (4,)},
        {'decode_head.conv_layers.0.weight': (512, 768, 1, 1)},
        {'scale_head.weight': (1, 1536)},
    ):
        changed = {**weights, **{name: torch.empty(shape, device='meta') for name, shape in change.items()}}
        assert recognise(changed)['task'] is None


@pytest.mark.parametrize(('task', 'size'), [('pose', '0.4b'), ('seg', '0.4b'), ('albedo', '0.4b'), ('pretrain', '1b')])
def test_the_second_family_is_not_mistaken_for_the_first(task, size):
    """0.4b has the width and depth of 0.3b. Names of tensors as published, those of the first and the last block."""
    width, depth = (1024, 24) if size == '0.4b' else (1536, 40)
    prefix = '' if task == 'pretrain' else 'backbone.'
    shapes = {
        'cls_token': (1, 1, width),
        'storage_tokens': (1, 8, width),
        'patch_embed.projection.weight': (width, 3, 16, 16),
    }
    for block in (0, depth - 1):
        shapes[f'blocks.{block}.attn.wq.weight'] = (width, width)
        shapes[f'blocks.{block}.ffn.w12.weight'] = (8 * width, width)
    shapes = {prefix + name: shape for name, shape in shapes.items()}
    if task != 'pretrain':
        shapes |= {
            'decode_head.conv_layers.0.weight': (512, 768, 1, 1),
            f'decode_head.conv_{task}.weight': (29, 256, 1, 1),
        }
    found = recognise({name: torch.empty(shape, device='meta') for name, shape in shapes.items()})
    assert (found['family'], found['size'], found['task']) == ('sapiens2', size, task)
    assert f'sapiens2_{size}' in describe(found)
    assert found['config'] == ('seg/sapiens2_0.4b_goliath-1024x768.py' if task == 'seg' else None)
    with torch.device('meta'):
        model = SapiensViT('0.3b', img_size=(64, 48))
    weights = {name: torch.empty(shape, device='meta') for name, shape in shapes.items()}
    with pytest.raises(ValueError, match=rf'In the file: .*sapiens2_{size}'):
        load_weights(model, Checkpoint(weights, {}, 'x.safetensors'))
