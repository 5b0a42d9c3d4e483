"""Where the time of finetuning goes: loading a batch, and a training step in fp32 beside the same step in bf16.

    DATA_ROOT=people python tools/benchmark/finetune_step.py configs/normal/sapiens_tiny_synthetic-128x96.py
    python tools/benchmark/finetune_step.py CONFIG CONFIG --steps 5 --device cuda --cfg-options train_dataloader.batch_size=2

A step is what the config trains with: forward, losses, backward, clipping, optimizer. Both precisions start from the same random
weights and see the same batches; their steps alternate, and the ratio is that of neighbours, so that a machine whose speed
drifts does not matter. Batches are loaded in this process, and timed there.
"""

import argparse
import copy
import statistics
import tempfile
import time

import torch
from prettytable import PrettyTable

from sapiens.engine import Runner
from sapiens.utils.config import add_options_argument, load_config

PRECISIONS = ('fp32', 'bf16')


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('configs', nargs='+', metavar='CONFIG')
    parser.add_argument('--steps', type=int, default=20, help='of each precision; default: %(default)s')
    parser.add_argument('--warmup', type=int, default=3, help='steps before, which do not count; default: %(default)s')
    parser.add_argument(
        '--device', default='cuda' if torch.cuda.is_available() else 'cpu', help='default: %(default)s'
    )
    add_options_argument(parser)
    args = parser.parse_args()
    if args.steps < 1 or args.warmup < 0:
        parser.error('--steps: expected 1 or more; --warmup: 0 or more')
    return args


def seconds(run, device: str) -> float:
    begin = time.perf_counter()
    run()
    if device.startswith('cuda'):
        torch.cuda.synchronize(device)
    return time.perf_counter() - begin


def measure(path: str, args, work_dir: str) -> list[str]:
    """A row of the table."""
    config = load_config(path, args.cfg_options)
    config.train_dataloader.update(num_workers=0, persistent_workers=False)
    config.work_dir, config.load_from, config.log_level = work_dir, None, 'ERROR'
    config.model.backbone.init_cfg = None
    runner = Runner.from_cfg(config)
    torch.manual_seed(0)
    runner.model.init_weights()
    models = {name: copy.deepcopy(runner.model).to(args.device).train() for name in PRECISIONS}
    runs = {}
    for name, model in models.items():
        runner.model = model
        runs[name] = model, runner.build_optim_wrapper({**config.optim_wrapper, 'precision': name})

    batches = iter(runner.build_dataloader(config.train_dataloader))
    loading, steps, losses = [], {name: [] for name in PRECISIONS}, {}
    for index in range(args.warmup + args.steps):
        batch = []
        loading.append(seconds(lambda batch=batch: batch.append(next(batches)), args.device))
        for name, (model, wrapper) in runs.items():

            def step(model=model, wrapper=wrapper, name=name, batch=batch):
                losses[name] = model.train_step(copy.deepcopy(batch[0]), wrapper)['loss'].detach()

            steps[name].append(seconds(step, args.device))
            if not losses[name].isfinite():
                raise SystemExit(f'{path}: the loss in {name} is {losses[name]} at step {index}')
    slow, fast = (steps[name][args.warmup :] for name in PRECISIONS)
    ratios = sorted(a / b for a, b in zip(slow, fast, strict=True))
    return [
        path,
        str(config.train_dataloader.batch_size),
        f'{statistics.median(loading[args.warmup :]):.3f}',
        *(f'{statistics.median(times):.3f}' for times in (slow, fast)),
        f'{statistics.median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})',
        *(f'{float(losses[name]):.4f}' for name in PRECISIONS),
    ]


def main() -> None:
    args = parse_args()
    table = PrettyTable(
        ['config', 'batch', 'loading s', 'fp32 s', 'bf16 s', 'ratio: median (range)', 'loss fp32', 'loss bf16']
    )
    for path in args.configs:
        with tempfile.TemporaryDirectory() as work_dir:
            table.add_row(measure(path, args, work_dir))
    print(table)


if __name__ == '__main__':
    main()
