"""A small training run as a process, so that tests can kill it: a masked autoencoder of 32 channels on a folder of images.

``python toy.py --serve`` imports everything once and forks a process for every run it is asked for, which saves seconds per
run. Used by the tests of this folder; not collected.
"""

import argparse
import atexit
import json
import os
import random
import signal
import sys
import traceback
from typing import NoReturn

import numpy as np
import torch
from mmengine.config import Config
from mmengine.hooks import Hook

from sapiens.engine import Runner
from sapiens.registry import HOOKS


@HOOKS.register_module()
class SignalHook(Hook):
    """Sends a signal after an iteration: SIGKILL to this process, others to its group, as terminals and clusters do."""

    priority = 'NORMAL'

    def __init__(self, after: int, number: int, rank: int) -> None:
        self.after, self.number, self.rank = after, number, rank

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.after and runner.rank == self.rank:
            os.kill(os.getpid() if self.number == signal.SIGKILL else 0, self.number)


@HOOKS.register_module()
class DrawHook(Hook):
    """Uses every random generator in validation, and kills this process in that of an iteration."""

    def __init__(self, kill: int | None = None) -> None:
        self.kill = kill

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        random.random(), np.random.rand(), torch.rand(3)
        if runner.iter == self.kill:
            os.kill(os.getpid(), signal.SIGKILL)


@HOOKS.register_module()
class SpoilHook(Hook):
    """Spoils the loss of one iteration on the last rank: adds infinity, which has no gradient, or multiplies by NaN."""

    def __init__(self, how: str) -> None:
        self.how = how

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        wrapper = runner.optim_wrapper
        if runner.rank == runner.world_size - 1:
            wrapper.__dict__.pop('update_params', None)
            if runner.iter == 3:
                update_params = wrapper.update_params
                spoil = dict(add=lambda loss: loss + float('inf'), multiply=lambda loss: loss * float('nan'))[self.how]
                wrapper.update_params = lambda loss: update_params(spoil(loss))


def make_config(args: argparse.Namespace) -> Config:
    arch = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
    backbone = dict(
        type='SapiensViT', arch=arch, img_size=32, with_cls_token=True, pos_embed='sincos', drop_path_rate=0.3
    )
    size = (32, 32)
    hooks = [dict(type='DrawHook', kill=args.kill_validation)]
    if args.kill:
        name, after, rank = args.kill.split(':')
        hooks.append(dict(type='SignalHook', after=int(after), number=int(signal.Signals[name]), rank=int(rank)))
    if args.spoil:
        hooks.append(dict(type='SpoilHook', how=args.spoil))
    by_epoch = args.max_epochs is not None
    length = dict(max_epochs=args.max_epochs) if by_epoch else dict(max_iters=20)
    if args.shards:
        dataset = dict(type='TarShards', shards=args.images, samples_per_epoch=28, interleave=2)
    else:
        dataset = dict(type='ImageFolder', data_root=args.images)
    pipeline = [dict(type='LoadRandomResizedCrop', size=size), dict(type='PackImage')]
    validation = dict(
        val_dataloader=dict(
            batch_size=10,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='stack_collate'),
            dataset=dict(type='ImageFolder', data_root=args.val_images or args.images, pipeline=pipeline),
        ),
        val_cfg=dict(type='ValLoop'),
        val_evaluator=dict(type='ReconstructionLoss'),
    )
    config = dict(
        default_scope='sapiens',
        model=dict(
            type='MAE', backbone=backbone, decoder=dict(num_layers=1, embed_dims=16, num_heads=2), mask_ratio=0.5
        ),
        work_dir=args.work_dir,
        train_dataloader=dict(
            batch_size=args.batch,
            num_workers=args.workers,
            persistent_workers=True,
            drop_last=True,
            sampler=dict(type='ResumableSampler', shuffle=True),
            collate_fn=dict(type='stack_collate'),
            dataset=dict(dataset, pipeline=pipeline),
        ),
        train_cfg=dict(type='TrainLoop', val_interval=7 if not by_epoch else 1, **length),
        optim_wrapper=dict(
            type='OptimWrapper',
            optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
            clip_grad=dict(max_norm=1.0),
            accumulative_counts=args.accumulate,
            constructor='ParamGroupConstructor',
            paramwise_cfg=dict(no_decay=['ln', 'bias']),
        ),
        param_scheduler=[
            dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=5),
            dict(type='CosineAnnealingLR', by_epoch=False, begin=5, end=20, T_max=15),
        ],
        default_hooks=dict(
            logger=dict(type='LoggerHook', interval=1),
            throughput=dict(type='ThroughputHook'),
            bad_data=dict(type='BadDataHook', max_share=args.max_bad_share, min_samples=10, interval=3),
            checkpoint=dict(
                type='CheckpointHook',
                interval=1 if by_epoch else 5,
                by_epoch=by_epoch,
                max_keep_ckpts=args.keep,
                save_best=None if args.no_val else 'mae/loss',
            ),
            stop=dict(type='StopHook', seconds=0),  # a step takes milliseconds
            sampler_seed=None,
        ),
        custom_hooks=hooks,
        log_processor=dict(by_epoch=False),
        visualizer=dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')]),
        env_cfg=dict(mp_cfg=dict(mp_start_method=args.start_method), dist_cfg=dict(backend='auto')),
        randomness=dict(seed=3, diff_rank_seed=True),
        resume=args.resume is not None,
        load_from=None if args.resume in (None, 'auto') else args.resume,
        launcher='pytorch' if 'RANK' in os.environ else 'none',
        **({} if args.no_val else validation),
    )
    return Config(config)


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('work_dir')
    parser.add_argument('images')
    parser.add_argument('--val-images')
    parser.add_argument('--no-val', action='store_true')
    parser.add_argument('--shards', action='store_true')
    parser.add_argument('--batch', type=int, default=4)
    parser.add_argument('--workers', type=int, default=0)
    parser.add_argument('--start-method', default='fork')
    parser.add_argument('--accumulate', type=int, default=1)
    parser.add_argument('--max-epochs', type=int)
    parser.add_argument('--max-bad-share', type=float, default=0.01)
    parser.add_argument('--keep', type=int, default=-1)
    parser.add_argument('--resume', nargs='?', const='auto')
    parser.add_argument('--spoil', choices=['add', 'multiply'])
    parser.add_argument('--kill-validation', type=int, help='iteration')
    parser.add_argument('--kill', help='NAME:after iteration:rank')
    Runner.from_cfg(make_config(parser.parse_args(argv))).train()


def serve() -> list[str]:
    """Fork a process for every rank of every requested run, and answer with how they ended. Returns in the children."""
    import matplotlib.pyplot  # noqa: F401  (what a Runner imports, at the cost of seconds)
    import torch._dynamo  # noqa: F401
    import torchvision  # noqa: F401

    import sapiens.datasets
    import sapiens.evaluation
    import sapiens.models  # noqa: F401

    Runner._log_env = lambda *_: None  # asks the compilers of the machine for their versions
    print('ready', flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        children = []
        for rank in range(request['processes']):
            child = os.fork()
            if child == 0:
                os.setsid()  # a group of its own, as torchrun gives to every rank
                signal.alarm(100)
                with open(request['log'], 'a') as log:
                    os.dup2(log.fileno(), 1)
                    os.dup2(log.fileno(), 2)
                if request['processes'] > 1:
                    world = dict(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=request['processes'])
                    os.environ.update({name: str(value) for name, value in world.items()})
                    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(request['port']))
                return request['arguments']
            children.append(child)
        print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]), flush=True)
    raise SystemExit


def run_child(argv: list[str]) -> NoReturn:
    """Do a run and end this process as Python does, but for taking apart all modules, which takes a second."""
    status = 0
    try:
        main(argv)
    except SystemExit as end:
        status = end.code
    except BaseException:
        traceback.print_exc()
        status = 1
    atexit._run_exitfuncs()
    sys.stdout.flush(), sys.stderr.flush()
    os._exit(status)


if __name__ == '__main__':
    if sys.argv[1:] == ['--serve']:
        run_child(serve())
    main(sys.argv[1:])
