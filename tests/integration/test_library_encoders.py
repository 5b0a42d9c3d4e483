"""Encoders of timm and mmpretrain with their recipes on rendered people: training with layer decay, and what is read again."""

import pytest
import torch
from mmengine.logging import MMLogger

from sapiens.apis.loading.build import build_model
from sapiens.commands import render
from sapiens.engine import Runner
from sapiens.utils.checkpoint import read_checkpoint
from sapiens.utils.config import load_config

from .test_tools import ROOT

pytest.importorskip('timm')
pytest.importorskip('mmpretrain')

FAKE = ['--generator', 'tests.synthetic.fake:FakeGenerator', '--size', '48x64', '--workers', '0', '--people', '1-2']
OPTIONS = [
    'train_cfg.max_iters=2', 'train_cfg.val_interval=2', 'train_dataloader.batch_size=2', 'train_dataloader.num_workers=0',
    'train_dataloader.persistent_workers=False', 'val_dataloader.num_workers=0', 'test_dataloader.num_workers=0',
    'custom_hooks=[]', 'optim_wrapper.paramwise_cfg.layer_decay_rate=0.85', 'default_hooks.logger.interval=1',
    'param_scheduler.0.start_factor=0.5',
]  # fmt: skip


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('people')
    for name, seed in (('train', 0), ('val', 1)):
        render.main(['--out', str(root / 'synthetic' / name), '--num', '4', '--seed', str(seed), *FAKE])
    return root


def train(network, folder, *options):
    path = ROOT / f'configs/pose/{network}_tiny_synthetic17-128x96.py'
    cfg = load_config(path, [*OPTIONS, *options])
    cfg.work_dir, cfg.experiment_name = str(folder), folder.name
    runner = Runner.from_cfg(cfg)
    runner.train()
    MMLogger._instance_dict.clear()
    return runner, path


@pytest.mark.parametrize('network', ['timm-swin', 'mmpretrain-convnext'])
def test_recipe_trains_and_its_weights_are_read_again(network, data, tmp_path, monkeypatch):
    monkeypatch.setenv('DATA_ROOT', str(data))
    runner, path = train(network, tmp_path / 'first')
    optimizer = runner.optim_wrapper.optimizer
    assert (
        len({group['initial_lr'] for group in optimizer.param_groups})
        == runner.model.backbone.get_layer_depth(next(iter(dict(runner.model.backbone.named_parameters()))))[1]
    )
    moved = [
        optimizer.state[one]['exp_avg'].abs().max() for group in optimizer.param_groups for one in group['params']
    ]
    assert all(value > 0 for value in moved) and len(moved) == len(list(runner.model.parameters()))
    checkpoint = tmp_path / 'first' / 'iter_2.pth'

    model = build_model(path, checkpoint, device='cpu')
    saved = read_checkpoint(checkpoint).state_dict
    assert all(torch.equal(value, saved[name]) for name, value in model.state_dict().items() if name in saved)
    assert {name for name in model.state_dict() if name.startswith('backbone.')} <= set(saved)

    start = [f'+model.backbone.pretrained={checkpoint}', 'optim_wrapper.optimizer.lr=0.0']
    other, _ = train(network, tmp_path / 'second', *start)
    for name, value in other.model.backbone.named_parameters():
        assert torch.equal(value, saved[f'backbone.{name}']), name
    # Inference does not read the start of a training, which may be gone.
    build_model(path, checkpoint, 'cpu', {'+model.backbone.pretrained': str(tmp_path / 'gone.pth')})
