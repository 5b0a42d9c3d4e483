"""Train what a config describes.

Examples:
    python tools/train.py configs/mae/sapiens_tiny_folder-256x256.py
    python tools/train.py CONFIG --resume                       # go on from the newest valid checkpoint of the work dir
    python tools/train.py CONFIG --cfg-options train_dataloader.batch_size=64 optim_wrapper.accumulative_counts=8
    bash tools/dist_train.sh CONFIG 8                           # 8 GPUs of this machine
    bash tools/slurm_train.sh PARTITION JOB CONFIG 4            # 4 nodes of 8 GPUs

A run stopped by Ctrl-C, SIGTERM or SIGUSR1 writes a checkpoint first; --resume continues exactly.
"""

import argparse
import os
from pathlib import Path

from sapiens.engine import Runner
from sapiens.utils.config import add_options_argument, load_config


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='path of a config file, e.g. configs/mae/sapiens_0.3b_humans300m-1024x1024.py')
    parser.add_argument('--work-dir', help='where logs and checkpoints go (default: work_dirs/<name of the config>)')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='PATH',
        help='without a path: go on from the newest valid checkpoint of the work dir, or start if there is none',
    )
    parser.add_argument('--amp', action='store_true', help='bf16 autocast, also on CPUs (default: on GPUs only)')
    add_options_argument(parser)
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='who starts the processes'
    )
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def main() -> None:
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
    cfg.launcher = args.launcher
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or str(Path('work_dirs') / Path(args.config).stem)
    if args.amp:
        cfg.optim_wrapper.precision = 'bf16'
    if args.resume == 'auto':
        cfg.resume = 'auto'
    elif args.resume:
        cfg.resume, cfg.load_from = True, args.resume
    Runner.from_cfg(cfg).train()


if __name__ == '__main__':
    main()
