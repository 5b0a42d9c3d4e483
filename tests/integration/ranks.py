"""Recipes of three tasks on small data, each trained by one and by two processes: ``python -m tests.integration.ranks``."""

import gc
import json
import os
import sys
import traceback

import torch
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
BATCH, STEPS, SAVED = 4, 10, 5
# Folder, number of processes, and the run that it continues in the middle.
RUNS = (('one', 1, None), ('two', 2, None), ('two-then-one', 1, 'two'), ('one-then-two', 2, 'one'))


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


def train(task: str, work_dir: str, processes: int, port: str, resume: str | None = None) -> None:
    """Fork the processes of one run, and wait until all have succeeded."""
    children = []
    for rank in range(processes):
        child = os.fork()
        if child == 0:
            if processes > 1:
                world = dict(
                    RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=processes, MASTER_ADDR='127.0.0.1', MASTER_PORT=port
                )
                os.environ.update({name: str(value) for name, value in world.items()})
            try:
                Runner.from_cfg(make_config(task, work_dir, processes, resume)).train()
                if processes > 1:
                    torch.distributed.destroy_process_group()
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            sys.stdout.flush()
            os._exit(0)  # taking apart all modules takes a second
        children.append(child)
    if any([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]):
        raise SystemExit(f'{work_dir}: a process has failed')


def main(root: str, data_root: str, port: str, *tasks: str) -> None:
    import matplotlib.pyplot  # noqa: F401  (what a Runner imports, once for all processes)
    import torchvision  # noqa: F401

    import sapiens.datasets
    import sapiens.models  # noqa: F401

    os.environ['DATA_ROOT'] = data_root
    # Two thirds of the time of such runs.
    Config.pretty_text = property(lambda cfg: '# not formatted')
    Runner._log_env = lambda *_: None  # asks the compilers of the machine for their versions
    gc.freeze()  # a run collects garbage, and need not search what was imported
    for task in tasks:
        for name, processes, start in RUNS:
            resume = start and f'{root}/{task}/{start}/iter_{SAVED}.pth'
            train(task, f'{root}/{task}/{name}', processes, port, resume)


if __name__ == '__main__':
    main(*sys.argv[1:])
