"""Recipes of three tasks on small data, each trained by one and by two processes. Used by test_ranks.py; not collected."""

import json
import os

import matplotlib.pyplot  # noqa: F401  (what runs import, once for all processes that are forked)
import mmpose.datasets  # noqa: F401
from mmengine.config import Config
from mmengine.dist import all_reduce
from mmengine.hooks import Hook

from sapiens.engine import Runner
from sapiens.registry import HOOKS
from sapiens.utils.config import load_config

from .multi_task import ARCH, _resized

RECIPES = dict(
    mae='configs/mae/sapiens_tiny_synthetic-128x128.py',
    seg='configs/seg/sapiens_tiny_synthetic-128x96.py',
    pose='configs/pose/sapiens_tiny_synthetic308-128x96.py',
)
# What a model can draw, in addition to masks and dropped paths.
CHANGES = dict(
    mae={'model.mask_block_size': 2, 'model.decode_share': 0.5},
    seg={'model.loss_stride': 4, 'model.head.dropout': 0.5, 'model.backbone.activation_checkpointing': 'all'},
    pose={'model.backbone.activation_checkpointing': 2},
)
BATCH, STEPS, SAVED = 4, 6, 3
# By folder, the number of processes, and the run that is continued in the middle.
RUNS = {'one': (1, None), 'two': (2, None), 'two-then-one': (1, 'two'), 'one-then-two': (2, 'one')}


@HOOKS.register_module(force=True)
class LossHook(Hook):
    """Writes the mean of the losses of all ranks at each step, by its number, at the end of a run."""

    def __init__(self, path: str) -> None:
        self.path, self.losses = path, {}

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        loss = outputs['loss'].detach().clone()
        all_reduce(loss, op='mean')
        self.losses[runner.iter + 1] = loss.item()

    def after_train(self, runner):
        if runner.rank == 0:
            with open(self.path, 'w') as file:
                json.dump(self.losses, file)


def make_config(task: str, work_dir: str, processes: int, resume: str | None = None) -> Config:
    cfg = Config(_resized(load_config(RECIPES[task]).to_dict()))
    size = (64, 64) if task == 'mae' else (64, 48)
    cfg.model.backbone.update(arch=ARCH, img_size=size, drop_path_rate=0.5)
    if task == 'mae':
        cfg.model.decoder = dict(num_layers=1, embed_dims=16, num_heads=2)
        cfg.train_dataloader.dataset.pipeline[0].size = size
    else:
        cfg.model.head.update(deconv_channels=(8, 8), conv_channels=(8,))
    cfg.merge_from_dict(CHANGES[task])
    cfg.train_dataloader.update(batch_size=BATCH // processes, num_workers=0, persistent_workers=False)
    cfg.train_dataloader.sampler.repeat = 10
    for part in ('dataloader', 'evaluator', 'cfg'):
        cfg[f'val_{part}'] = cfg[f'test_{part}'] = None
    cfg.train_cfg = dict(type='TrainLoop', max_iters=STEPS)
    cfg.param_scheduler[0].end = cfg.param_scheduler[1].begin = 2
    cfg.param_scheduler[1].end = 2 * STEPS
    cfg.default_hooks.checkpoint.update(interval=SAVED, by_epoch=False, save_best=None)
    cfg.custom_hooks = [dict(type='LossHook', path=f'{work_dir}/losses.json', priority='VERY_LOW')]
    cfg.visualizer = dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')])
    cfg.work_dir, cfg.experiment_name = work_dir, f'{task}-{os.path.basename(work_dir)}'
    cfg.launcher = 'pytorch' if processes > 1 else 'none'
    if resume:
        cfg.update(resume=True, load_from=resume)
    return cfg


def train(root: str, data_root: str, *names: str) -> None:
    """The runs of all recipes in this process, which was forked for them."""
    os.environ['DATA_ROOT'] = data_root
    Runner._log_env = lambda *_: None  # asks the compilers of the machine for their versions
    for task in RECIPES:
        for name in names:
            processes, start = RUNS[name]
            resume = start and f'{root}/{task}/{start}/iter_{SAVED}.pth'
            Runner.from_cfg(make_config(task, f'{root}/{task}/{name}', processes, resume)).train()
