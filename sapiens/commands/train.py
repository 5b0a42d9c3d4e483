"""Train the model of a config.

Examples:
    sapiens train configs/mae/sapiens_tiny_folder-256x256.py
    sapiens train CONFIG --resume                       # (or --resume auto) from the newest valid checkpoint of the work dir
    sapiens train CONFIG --cfg-options train_dataloader.batch_size=64 optim_wrapper.accumulative_counts=8
    sapiens train CONFIG --cfg-options load_from=sapiens-pose-1b    # from the weights of a published model
    bash tools/dist_train.sh CONFIG 8                           # 8 GPUs of this machine
    sapiens submit CONFIG --nodes 4 --partition P               # 4 nodes of 8 GPUs, by Slurm

A run stopped by Ctrl-C, SIGTERM, SIGUSR1 or SIGUSR2 writes a checkpoint first; --resume continues exactly.
"""

import argparse

from sapiens.engine import Runner
from sapiens.engine.refusal import leave_no_traces
from sapiens.utils.cli import add_foreign_arguments, add_runner_arguments, load_runner_config, tool_parser

FIGURES = 'hooks such as PosePictureHook and DenseFigureHook write figures to vis_data/ of the work dir (custom_hooks)'


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = tool_parser(__doc__, first=('--work-dir', '--resume', '--amp', '--cfg-options', '--launcher'))
    parser.add_argument('config', help='path or name of a config, e.g. sapiens_0.3b_humans300m-1024x1024')
    text = "without a path, or with 'auto': resume from the newest valid checkpoint of the work dir, or start if there is none"
    parser.add_argument('--resume', nargs='?', const='auto', metavar='PATH', help=text)
    parser.add_argument('--amp', action='store_true', help='bf16 autocast, also on CPUs (default: on GPUs only)')
    text = 'scale the learning rate by the total batch over auto_scale_lr.base_batch_size of the config'
    parser.add_argument('--auto-scale-lr', action='store_true', help=text)
    add_runner_arguments(parser, 'logs and checkpoints go')
    add_foreign_arguments(
        parser,
        show=FIGURES,
        show_dir=FIGURES,
        interval=f'{FIGURES}; their option is interval',
        wait_time=FIGURES,
        seed='use --cfg-options randomness.seed=NUMBER',
        no_validate='use --cfg-options val_dataloader=None val_evaluator=None val_cfg=None '
        'default_hooks.checkpoint.save_best=None',
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    cfg = load_runner_config(args)
    if args.amp:
        cfg.optim_wrapper.precision = 'bf16'
    if args.auto_scale_lr:
        if 'base_batch_size' not in (cfg.get('auto_scale_lr') or {}):
            raise ValueError(
                f'--auto-scale-lr: {args.config} does not say which batch its learning rate is for. Add it to the config: '
                'auto_scale_lr = dict(base_batch_size=NUMBER)'
            )
        cfg.auto_scale_lr.enable = True
    if args.resume == 'auto':
        cfg.resume = 'auto'
    elif args.resume:
        cfg.resume, cfg.load_from = True, args.resume
    with leave_no_traces(cfg.work_dir) as start:
        start.runner = Runner.from_cfg(cfg)
        start.runner.train()
