"""Train a config with moments of the optimizer in float32, bf16 and 8 bits: bytes, time and losses.

    DATA_ROOT=photographs python tools/benchmark/optimizer_states.py configs/mae/sapiens_tiny_folder-256x256.py \\
        --iterations 300 --cfg-options train_dataloader.batch_size=8
    python tools/benchmark/optimizer_states.py CONFIG --sizes        # bytes only, from shapes, for models of any size

All three train from the same weights on the same batches with the same random numbers, step by step in turns, with the rates
of the config after a warm-up over the first tenth, falling to 0. Columns:

- bytes: of the states per trained parameter, and of all;
- step ms: forward, losses, backward and update; update ms: clipping and optimizer only; medians. Ratios to float32 are medians
  (with quartiles) over iterations;
- loss: mean over the last fifth of the iterations; difference to float32 by iteration: mean and standard error.

``optim_wrapper.state_dtype`` selects the format in a training.
"""

import copy
import statistics
import tempfile

import torch
from harness import seconds, use_one_thread
from mmengine.registry import DefaultScope
from prettytable import PrettyTable

from sapiens.engine import Runner
from sapiens.engine.optim.state_formats import STATE_DTYPES, state_bytes
from sapiens.registry import MODELS
from sapiens.utils.cli import tool_parser
from sapiens.utils.config import load_config
from sapiens.utils.config_options import add_options_argument


def parse_args():
    parser = tool_parser(__doc__)
    parser.add_argument('config', metavar='CONFIG')
    parser.add_argument('--iterations', type=int, default=300, help='default: %(default)s')
    parser.add_argument('--sizes', action='store_true', help='print the bytes only')
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    parser.add_argument('--device', default=device, help='default: %(default)s')
    add_options_argument(parser)
    args = parser.parse_args()
    if args.iterations < 5:
        parser.error('--iterations: expected 5 or more')
    try:
        args.loaded = load_config(args.config, args.cfg_options or [])
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    return args


def print_sizes(cfg) -> None:
    with DefaultScope.overwrite_default_scope('sapiens'), torch.device('meta'):
        model = MODELS.build(cfg.model)
    shapes = [tuple(parameter.shape) for parameter in model.parameters() if parameter.requires_grad]
    count = sum(torch.Size(shape).numel() for shape in shapes)
    table = PrettyTable(['states', 'bytes per parameter', 'GB'])
    for kind in STATE_DTYPES:
        total = state_bytes(dict(cfg.optim_wrapper, state_dtype=kind), shapes)
        table.add_row([kind, f'{total / count:.3f}', f'{total / 1e9:.3f}'])
    print(f'{count:,} trained parameters')
    print(table)


class Side:
    """A training with one format."""

    def __init__(self, kind: str, args, work_dir: str, weights: dict | None) -> None:
        cfg = copy.deepcopy(args.loaded)
        cfg.train_dataloader.update(num_workers=0, persistent_workers=False)
        # MMEngine keeps runners by name, so each needs its own.
        cfg.work_dir, cfg.experiment_name, cfg.load_from, cfg.log_level = work_dir, f'states_{kind}', None, 'ERROR'
        cfg.model.backbone.init_cfg = None
        cfg.optim_wrapper.state_dtype = kind
        self.runner = runner = Runner.from_cfg(cfg)
        self.model = runner.model
        torch.manual_seed(0)
        if weights is None:
            self.model.init_weights()
        else:
            self.model.load_state_dict(weights)
        self.model.to(args.device).train()
        self.wrapper = runner.build_optim_wrapper(cfg.optim_wrapper)
        self.rates = [group['lr'] for group in self.wrapper.optimizer.param_groups]
        self.update, self.times, self.updates, self.losses = self.wrapper.step, [], [], []
        self.wrapper.step = self.timed_update
        self.device = args.device

    def timed_update(self, **kwargs) -> None:
        if self.device != 'cpu':
            torch.cuda.synchronize(self.device)
        self.updates.append(seconds(lambda: self.update(**kwargs), device=self.device)[0])

    def step(self, batch: dict, index: int, total: int) -> None:
        warmup = max(1, total // 10)
        factor = min((index + 1) / warmup, (total - index) / max(1, total - warmup))
        for group, rate in zip(self.wrapper.optimizer.param_groups, self.rates, strict=True):
            group['lr'] = rate * factor
        torch.manual_seed(index)
        time, log = seconds(self.model.train_step, copy.deepcopy(batch), self.wrapper, device=self.device)
        self.times.append(time)
        self.losses.append(log['loss'].item())

    def bytes(self) -> int:
        states = self.wrapper.optimizer.state.values()
        return sum(value.nbytes for state in states for value in state.values())


def main() -> None:
    args = parse_args()
    if args.sizes:
        return print_sizes(args.loaded)
    if args.device == 'cpu':
        use_one_thread()
    with tempfile.TemporaryDirectory() as work_dir:
        sides: dict[str, Side] = {}
        for kind in STATE_DTYPES:
            weights = copy.deepcopy(sides['fp32'].model.state_dict()) if sides else None
            sides[kind] = Side(kind, args, work_dir, weights)
        loader = sides['fp32'].runner.build_dataloader(args.loaded.train_dataloader | dict(num_workers=0), seed=0)
        index = 0
        while index < args.iterations:
            for batch in loader:
                order = list(sides.values())
                for side in order if index % 2 else reversed(order):
                    side.step(batch, index, args.iterations)
                index += 1
                if index == args.iterations:
                    break
    report(sides, args.iterations)


def report(sides: dict[str, Side], iterations: int) -> None:
    base = sides['fp32']
    count = sum(parameter.numel() for parameter in base.model.parameters() if parameter.requires_grad)
    last, first = max(2, iterations // 5), min(3, iterations - 2)  # the first steps make the states
    columns = ['bytes per parameter', 'MB', 'step ms', 'step ratio', 'update ms', 'update ratio', 'loss', 'difference']
    table = PrettyTable(['states', *columns])
    for kind, side in sides.items():
        row = [kind, f'{side.bytes() / count:.3f}', f'{side.bytes() / 1e6:.2f}']
        for own, other in ((side.times, base.times), (side.updates, base.updates)):
            ratios = [a / b for a, b in zip(own[first:], other[first:], strict=True)]
            low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
            row += [f'{1e3 * statistics.median(own[first:]):.1f}', f'{middle:.2f} ({low:.2f}-{high:.2f})']
        losses = torch.tensor(side.losses[-last:])
        change = losses - torch.tensor(base.losses[-last:])
        error = change.std() / last**0.5
        table.add_row([*row, f'{losses.mean():.4f}', f'{change.mean():+.4f} +- {error:.4f}'])
    print(f'{count:,} trained parameters; losses of the last {last} of {iterations} iterations')
    print(table)


if __name__ == '__main__':
    main()
