"""Every config loads, builds and tells the truth in its name."""

import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from sapiens.models.backbones.archs import resolve_arch
from sapiens.registry import HOOKS, LOOPS, METRICS, MODELS, OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS, TRANSFORMS
from sapiens.utils.config import load_config

CONFIGS = Path(__file__).parents[1] / 'configs'
LEAVES = sorted(path for path in CONFIGS.rglob('*.py') if '_base_' not in path.parts)
TINY = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
NAME = re.compile(r'(?P<model>sapiens2?)_(?P<size>[^_]+)_(?P<data>[^-_]+)-(?P<h>\d+)x(?P<w>\d+)(_(?P<what>.+))?')

leaves = pytest.mark.parametrize('path', LEAVES, ids=lambda path: str(path.relative_to(CONFIGS)))


def chain(path, depth=0):
    """(file, depth) of a config and everything it inherits from."""
    yield path, depth
    for base in Config._get_base_files(str(path)):
        yield from chain((path.parent / base).resolve(), depth + 1)


@leaves
def test_name_tells_the_truth(path):
    cfg = load_config(path)
    match = NAME.fullmatch(path.stem)
    assert match, f'{path.name} is not <model>_<size>_<data>-<h>x<w>[_<what>].py'
    size = (int(match['h']), int(match['w']))
    assert cfg.model.backbone.arch == match['size']
    assert tuple(cfg.model.backbone.img_size) == size
    load = next(step for step in cfg.train_pipeline if 'size' in step)
    assert tuple(load['size']) == size[::-1]
    assert (match['what'] is not None) == ('ablations' in path.parts)


@leaves
def test_everything_it_names_exists(path):
    cfg = load_config(path)
    for registry, config in [
        (LOOPS, cfg.train_cfg),
        (OPTIM_WRAPPERS, cfg.optim_wrapper),
        (METRICS, cfg.val_evaluator),
        *((TRANSFORMS, step) for step in [*cfg.train_pipeline, *cfg.val_pipeline]),
        *((HOOKS, hook) for hook in [*cfg.default_hooks.values(), *cfg.get('custom_hooks', [])] if hook),
    ]:
        assert registry.get(config['type']) is not None, config
    assert OPTIM_WRAPPER_CONSTRUCTORS.get(cfg.optim_wrapper.constructor) is not None


@leaves
def test_builds_and_trains_with_a_tiny_encoder(path):
    cfg = load_config(path)
    resolve_arch(cfg.model.backbone.arch)
    cfg.model.backbone.arch = TINY
    cfg.model.decoder.update(embed_dims=16, num_heads=2)
    model = MODELS.build(cfg.model).train()
    model.init_weights()
    height, width = cfg.model.backbone.img_size
    batch = dict(inputs=torch.randint(0, 256, (1, 3, height, width), dtype=torch.uint8), data_samples=[None])
    data = model.data_preprocessor(batch, training=True)
    loss = model(**data, mode='loss')['loss']
    loss.backward()
    assert loss.isfinite()


@leaves
def test_leaves_are_thin(path):
    assert len(path.read_text().splitlines()) <= 15
    limit = 4 if 'ablations' in path.parts else 3
    assert max(depth for _, depth in chain(path)) <= limit


@leaves
def test_pipelines_in_the_loaders_are_the_ones_declared(path):
    """Overriding a pipeline in a child does not change a loader by itself: the child must wire it again."""
    cfg = load_config(path)
    assert cfg.train_dataloader.dataset.pipeline == cfg.train_pipeline
    assert cfg.val_dataloader.dataset.pipeline == cfg.val_pipeline
    assert cfg.test_dataloader == cfg.val_dataloader


def test_published_schedule():
    cfg = load_config(CONFIGS / 'mae' / 'sapiens_2b_humans300m-1024x1024.py')
    assert cfg.optim_wrapper.optimizer.lr == 1.5e-4 and cfg.auto_scale_lr == dict(enable=True, base_batch_size=256)
    assert cfg.optim_wrapper.optimizer.betas == (0.9, 0.95) and cfg.optim_wrapper.optimizer.weight_decay == 0.05
    assert cfg.optim_wrapper.clip_grad.max_norm == 1.0
    assert cfg.train_cfg.max_epochs == 1600 and cfg.param_scheduler[1].T_max == 1560
    assert cfg.model.mask_ratio == 0.95 and cfg.model.norm_pix and cfg.model.decode_share == 1.0
    assert cfg.model.decoder == dict(num_layers=8, embed_dims=512, num_heads=16)


def test_ablations_change_what_they_say():
    changed = {}
    base = load_config(CONFIGS / 'mae' / 'sapiens_0.3b_humans300m-1024x1024.py').model
    for path in LEAVES:
        if 'ablations' in path.parts:
            model = load_config(path).model
            changed[path.stem.rsplit('_', 1)[1]] = {k: v for k, v in model.items() if v != base[k]}
    assert changed == {
        'mask-0.75': dict(mask_ratio=0.75),
        'block-mask': dict(mask_block_size=4),
        'decoder-depth-4': dict(decoder=dict(num_layers=4, embed_dims=512, num_heads=16)),
        'no-norm-pix': dict(norm_pix=False),
        'decode-0.25': dict(decode_share=0.25),
    }
