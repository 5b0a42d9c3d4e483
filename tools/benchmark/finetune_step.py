"""Time finetuning: loading a batch, and a training step of a config compared with the same config under other options.

    DATA_ROOT=people python tools/benchmark/finetune_step.py configs/normal/sapiens_tiny_synthetic-128x96.py \\
        --cfg-options optim_wrapper.precision=bf16 --against optim_wrapper.precision=fp32       # gain of bf16 on this machine
    python tools/benchmark/finetune_step.py CONFIG --cfg-options +model.loss_stride=2 --against +model.loss_stride=1 --device cuda

A step is forward, losses, backward, clipping and optimizer, as in training. Both sides see the same batches and start from the
same random weights, except for parameters whose shape differs. Their steps alternate, and the ratio is the median over
neighboring steps, so a machine of varying speed does not bias it. Batches are loaded, and timed, in this process.
"""

import copy
import statistics
import tempfile
from pathlib import Path

import torch
from harness import seconds
from prettytable import PrettyTable

from sapiens.engine import Runner
from sapiens.utils.cli import tool_parser
from sapiens.utils.config import load_config
from sapiens.utils.config_options import add_options_argument


def parse_args():
    parser = tool_parser(__doc__)
    parser.add_argument('configs', nargs='+', metavar='CONFIG')
    text = 'options of the other side, applied after those of --cfg-options'
    parser.add_argument('--against', nargs='+', required=True, metavar='KEY=VALUE', help=text)
    parser.add_argument('--steps', type=int, default=20, help='measured steps of each side; default: %(default)s')
    parser.add_argument('--warmup', type=int, default=3, help='steps before the measurement; default: %(default)s')
    parser.add_argument(
        '--device', default='cuda' if torch.cuda.is_available() else 'cpu', help='default: %(default)s'
    )
    add_options_argument(parser)
    args = parser.parse_args()
    if args.steps < 1 or args.warmup < 0:
        parser.error('--steps: expected 1 or more; --warmup: 0 or more')
    options = args.cfg_options or []
    sides = options, [*options, *args.against]
    try:
        args.sides = {path: [load_config(path, side) for side in sides] for path in args.configs}
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    return args


def measure(path: str, args, work_dir: str) -> list[str]:
    """Run both sides; returns a row of the table."""
    runs, weights = [], None
    for index, config in enumerate(args.sides[path]):
        config.train_dataloader.update(num_workers=0, persistent_workers=False)
        # MMEngine keeps runners by name, so each needs its own.
        config.work_dir, config.experiment_name = work_dir, f'{Path(path).stem}_{index}'
        config.load_from, config.log_level, config.model.backbone.init_cfg = None, 'ERROR', None
        runner = Runner.from_cfg(config)
        torch.manual_seed(0)
        runner.model.init_weights()
        model = runner.model.to(args.device).train()
        state = model.state_dict()
        weights = weights or copy.deepcopy(state)
        same = {key: value for key, value in weights.items() if key in state and value.shape == state[key].shape}
        model.load_state_dict({**state, **same})
        runs.append((model, runner.build_optim_wrapper(config.optim_wrapper)))
        loader = runner.build_dataloader(config.train_dataloader)

    batches = iter(loader)
    loading, steps, losses = [], ([], []), [None, None]
    for index in range(args.warmup + args.steps):
        time, batch = seconds(next, batches, device=args.device)
        loading.append(time)
        for side, (model, wrapper) in enumerate(runs):
            time, log = seconds(model.train_step, copy.deepcopy(batch), wrapper, device=args.device)
            steps[side].append(time)
            losses[side] = log['loss'].detach()
            if not losses[side].isfinite():
                raise SystemExit(f'{path}: the loss of side {side + 1} is {losses[side]} at step {index}')
    own, other = (times[args.warmup :] for times in steps)
    ratios = sorted(b / a for a, b in zip(own, other, strict=True))
    return [
        path,
        str(config.train_dataloader.batch_size),
        f'{statistics.median(loading[args.warmup :]):.3f}',
        *(f'{statistics.median(times):.3f}' for times in (own, other)),
        f'{statistics.median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})',
        *(f'{float(loss):.4f}' for loss in losses),
    ]


def main() -> None:
    args = parse_args()
    print(f'against: {" ".join(args.against)}')
    table = PrettyTable(
        ['config', 'batch', 'loading s', 'step s', 'against s', 'ratio (range)', 'loss', 'loss against']
    )
    for path in args.configs:
        with tempfile.TemporaryDirectory() as work_dir:
            table.add_row(measure(path, args, work_dir))
    print(table)


if __name__ == '__main__':
    main()
