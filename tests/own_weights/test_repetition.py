"""Each recipe of the package's weights, repeated, gives the same weights to the last bit."""

import os
from unittest.mock import patch

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger
from PIL import Image

from sapiens.checkpoints import ZOO
from sapiens.commands import render
from sapiens.engine import Runner
from sapiens.own_weights.recipes import JOINT_CONFIG, RECIPES, length_options
from sapiens.utils.config import load_config

from .made import OWN

ITERATIONS = int(os.environ.get('SAPIENS_REPEATED_ITERATIONS', 200))
"""Of the slow tests: minutes for each recipe on one core."""
LABELS = 'mask,depth,normal,seg,instance,alpha'
SINGLE = [ZOO[name].config for name in OWN]
CONFIGS = [JOINT_CONFIG, *SINGLE, *sorted({recipe.pretraining for recipe in RECIPES.values()})]


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """Drawn people, single ones and several, and photographs of noise."""
    root = tmp_path_factory.mktemp('people')
    fake = ['--generator', 'tests.synthetic.fake:FakeGenerator', '--size', '96x128', '--workers', '0']
    for folder, people in (('synthetic', '1-1'), ('several/synthetic', '1-2')):
        for split, number, seed in (('train', 8, 0), ('val', 3, 1)):
            out = ['--out', str(root / folder / split), '--num', str(number), '--seed', str(seed)]
            render.main([*out, '--people', people, '--labels', LABELS, *fake])
    (root / 'backgrounds/train').mkdir(parents=True)
    (root / 'several/backgrounds').symlink_to(root / 'backgrounds')
    for index in range(3):
        noise = np.random.default_rng(index).integers(0, 255, (90, 120, 3)).astype(np.uint8)
        Image.fromarray(noise).save(root / f'backgrounds/train/{index}.png')
    return root


def train(config, root, work_dir, iterations, validate=False, batch=4):
    """Weights after the first iterations, and the numbers of the evaluation."""
    is_pretraining = config.startswith('mae/')
    with patch.dict(os.environ, DATA_ROOT=str(root)):
        options = length_options(iterations, is_pretraining, batch, draws=config != JOINT_CONFIG)
        cfg = load_config(config, options)
        cfg.work_dir, cfg.custom_hooks = str(work_dir), []
        cfg.visualizer.vis_backends = [dict(type='LocalVisBackend')]
        for split in ('val', 'test'):
            cfg[f'{split}_dataloader'].update(batch_size=2, num_workers=0)
        if not validate:
            cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
        try:
            runner = Runner.from_cfg(cfg)
            runner.train()
        finally:
            MMLogger._instance_dict.clear()
    return {name: value.clone() for name, value in runner.bare_model.state_dict().items()}, runner


def test_the_shared_training_reaches_all_heads(data, tmp_path):
    """Four steps: three of crops with all labels and one of boxes."""
    weights, runner = train(JOINT_CONFIG, data, tmp_path / 'run', 4, validate=True, batch=2)
    found = set(runner.message_hub.log_scalars)
    for part in ('pose_loss', 'seg_loss_ce', 'depth_loss_aligned', 'normal_loss_cosine', 'person_loss_center'):
        assert f'train/{part}' in found
    assert all(torch.isfinite(value).all() for value in weights.values())
    for part in ('coco-wholebody/AP', 'seg/mIoU', 'normal/mean', 'person/AP'):
        assert f'val/{part}' in found, sorted(name for name in found if name.startswith('val'))


@pytest.mark.slow
@pytest.mark.parametrize('config', CONFIGS)
def test_every_recipe_repeats(config, data, tmp_path):
    root = data / 'several' if config.startswith('person/') else data
    first, second = (train(config, root, tmp_path / name, ITERATIONS)[0] for name in ('first', 'second'))
    differing = [name for name, value in first.items() if not torch.equal(value, second[name])]
    assert first.keys() == second.keys() and not differing, f'{len(differing)} differ: {differing[:3]}'
