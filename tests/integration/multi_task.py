"""The recipe of several tasks on small data. Not collected."""

import os
from unittest.mock import patch

import torch
from mmengine.config import Config
from mmengine.hooks import Hook

from sapiens.commands import render
from sapiens.engine import Runner
from sapiens.registry import HOOKS
from sapiens.utils.config import load_config

RECIPE = 'configs/multi/sapiens2_tiny_synthetic-128x96.py'
FAKE = ['--generator', 'tests.synthetic.fake:FakeGenerator', '--size', '48x64', '--workers', '0', '--people', '1-2']
ARCH = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)


class Stop(Exception):
    """Ends a run in the middle, as a crash would."""


@HOOKS.register_module(force=True)
class CrashHook(Hook):
    def __init__(self, after: int) -> None:
        self.after = after

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.after:
            raise Stop


@HOOKS.register_module(force=True)
class AgreeHook(Hook):
    """Compares the weights of all ranks after each step."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        flat = torch.cat([parameter.detach().flatten() for parameter in runner.bare_model.parameters()])
        others = [torch.empty_like(flat) for _ in range(runner.world_size)]
        torch.distributed.all_gather(others, flat)
        assert all(torch.equal(flat, other) for other in others), f'weights differ after iteration {runner.iter + 1}'


def render_people(root) -> None:
    """Training and validation data of drawn people, for all tasks."""
    for name, count, seed in (('train', 6, 0), ('val', 3, 1)):
        render.main(['--out', str(root / 'synthetic' / name), '--num', str(count), '--seed', str(seed), *FAKE])


def _resized(node):
    """A config for inputs of 64x48 instead of 128x96, without workers."""
    if isinstance(node, dict):
        return {key: (48, 64) if key == 'size' else _resized(value) for key, value in node.items()}
    return [_resized(value) for value in node] if isinstance(node, list) else node


def make_config(work_dir, data_root, iterations=6, batch=2, workers=0, **changes) -> Config:
    """The recipe with a narrow model, few small images and a short run."""
    with patch.dict(os.environ, DATA_ROOT=str(data_root)):
        cfg = load_config(RECIPE)
    cfg = Config(_resized(cfg.to_dict()))
    cfg.model.backbone.update(arch=ARCH, img_size=(64, 48), drop_path_rate=0.2)
    for part in cfg.model.tasks.values():
        for layers in {'deconv_channels', 'upsample_channels', 'conv_channels'} & set(part.head):
            part.head[layers] = (8,) * len(part.head[layers])
    cfg.train_dataloader.update(batch_size=batch, num_workers=workers)
    for split in ('val', 'test'):
        cfg[f'{split}_dataloader'].update(batch_size=2, num_workers=0)
    cfg.train_cfg.update(max_iters=iterations, val_interval=iterations)
    cfg.param_scheduler[0].end = cfg.param_scheduler[1].begin = 2
    cfg.param_scheduler[1].end = 2 * iterations  # the last step changes the weights too
    cfg.default_hooks.logger.interval = 1
    cfg.default_hooks.checkpoint.update(interval=2, max_keep_ckpts=-1, save_best='seg/mIoU')
    for hook in cfg.custom_hooks:
        hook.update(interval=iterations, num_images=2)
    cfg.visualizer = dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')])
    cfg.work_dir, cfg.experiment_name = str(work_dir), f'multi-{work_dir}'
    cfg.launcher = 'pytorch' if 'RANK' in os.environ else 'none'
    cfg.merge_from_dict(changes)
    return cfg


def train_on_rank(work_dir, data_root) -> None:
    """Train together with the other ranks, without and with accumulation."""
    for accumulate in (1, 2):
        cfg = make_config(f'{work_dir}/{accumulate}', data_root)
        cfg.optim_wrapper.accumulative_counts = accumulate
        cfg.custom_hooks = [dict(type='AgreeHook', priority='LOW')]
        cfg.default_hooks.checkpoint.save_best = None
        for part in ('dataloader', 'evaluator', 'cfg'):
            cfg[f'val_{part}'] = None
        Runner.from_cfg(cfg).train()
