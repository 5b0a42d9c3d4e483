"""Evaluate a checkpoint on the test set of its config.

Examples:
    python tools/test.py configs/mae/sapiens_0.3b_humans300m-1024x1024.py work_dirs/x/epoch_100.pth
    python tools/test.py CONFIG CHECKPOINT --cfg-options test_dataloader.dataset.data_root=my/held/out/images
    bash tools/dist_test.sh CONFIG CHECKPOINT 8
"""

import argparse
import json
import os
from pathlib import Path

from mmengine.dist import is_main_process

from sapiens.engine import Runner
from sapiens.utils.config import add_options_argument, load_config


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='path of a config file')
    parser.add_argument('checkpoint', help='weights to evaluate')
    parser.add_argument('--work-dir', help='where the log goes (default: work_dirs/<name of the config>)')
    parser.add_argument('--out', type=Path, help='also write the metrics to this JSON file')
    add_options_argument(parser)
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def main() -> None:
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
    cfg.launcher = args.launcher
    cfg.work_dir = args.work_dir or cfg.get('work_dir') or str(Path('work_dirs') / Path(args.config).stem)
    cfg.load_from, cfg.resume = args.checkpoint, False
    metrics = Runner.from_cfg(cfg).test()
    if args.out and is_main_process():
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(metrics, indent=2) + '\n')


if __name__ == '__main__':
    main()
