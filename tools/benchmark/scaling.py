"""How training scales: steps on the processes of this machine, and predictions for clusters of 8 to 1,024 GPUs.

Without an option that chooses a part, all three are printed. docs/scaling.md describes formulas and assumptions.

--measure: time of a step, bytes that a process sends, and overlap, for 1, 2 and 4 processes under DDP, FSDP2 and HSDP. Each
process has a GPU (NCCL) or a thread (gloo). Bytes are counted where collectives are called, and computed by the estimate.
--predict: efficiency, images per second and GPU as a fraction of those of one GPU that had memory for the same step, from the
estimate of `sapiens estimate`. Nothing is measured.
--failures: time lost to failures and saves, by GPU-hours between failures.

Examples:
    python tools/benchmark/scaling.py --measure
    python tools/benchmark/scaling.py --predict --nic 50 400 --config mae/sapiens_2b_humans300m-1024x1024 --batch 16
    python tools/benchmark/scaling.py --failures --restart 600 --interval 15
    python tools/benchmark/scaling.py --smoke
"""

import argparse
import os
import statistics
import sys
from collections.abc import Iterator, Sequence
from functools import cache

# Asking for a GPU must not touch it: processes are forked from one that has imported everything.
os.environ.setdefault('PYTORCH_NVML_BASED_CUDA_CHECK', '1')

import torch
from prettytable import PrettyTable, TableStyle
from scaling_steps import computed_bytes, measure, ways_of

import sapiens.engine  # noqa: F401  (registers what configs name)
from sapiens.engine.estimate.arithmetic import Cluster, Parallel
from sapiens.engine.estimate.checkpointing import Variant
from sapiens.engine.estimate.failures import HOUR, Failures
from sapiens.engine.estimate.plan import Choice, Planner
from sapiens.utils.cli import above_zero, positive, tool_parser
from sapiens.utils.config import load_config

TINY = 'mae/sapiens_tiny_synthetic-128x128'
# Of --smoke.
SMALLER = {'model.backbone.arch': dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)}
# Trainings with images of a GPU that fit 80 GB under DDP without recomputation; of 5b and of 4096x3072 pixels, one.
TRAININGS = {
    **{f'mae/sapiens_{size}_humans300m-1024x1024': batch for size, batch in {'0.3b': 64, '0.6b': 48, '1b': 32, '2b': 16}.items()},
    **{f'seg/sapiens_{size}_goliath-1024x768': batch for size, batch in {'0.3b': 8, '0.6b': 4, '1b': 4, '2b': 2}.items()},
    'seg/sapiens2_5b_goliath-1024x768': 1,
    'seg/sapiens2_1b_goliath-4096x3072': 1,
}  # fmt: skip
GPUS = (8, 16, 64, 128, 256, 512, 1024)
# Ways of recomputing activations whose time the estimate has, the fastest first.
CHECKPOINTING = ('off', 'encoder', 'all', 'as configured')
MINUTE, MEGA = 60, 1e6


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = tool_parser(__doc__)
    add = parser.add_argument
    text = 'only this part, and others that are named'
    add('--measure', action='store_true', help=text)
    add('--predict', action='store_true', help=text)
    add('--failures', action='store_true', help=text)
    add('--smoke', action='store_true', help='a tiny model, two processes, few steps')
    text = 'paths or names; default: a tiny one to measure; pretraining and segmentation of all sizes to predict'
    add('--config', nargs='+', metavar='CONFIG', help=text)
    text = 'images of a GPU; default: 16, and without --config those of the table in docs/scaling.md'
    add('--batch', type=positive, metavar='NUMBER', help=text)
    add('--processes', type=positive, nargs='+', default=[1, 2, 4], metavar='NUMBER', help='default: 1 2 4')
    add('--gpus', type=positive, nargs='+', default=GPUS, metavar='NUMBER', help='default: 8 to 1024')
    add('--gpus-per-node', type=positive, default=8, metavar='NUMBER', help='default: %(default)s')
    text = (
        'Gbit/s between nodes: the network card of each GPU, or its share in those of the node; default: 100 200 400'
    )
    add('--nic', type=above_zero, nargs='+', default=[100.0, 200.0, 400.0], metavar='GBIT', help=text)
    text = 'images of all GPUs in a step of the optimizer: a GPU takes its part in batches of --batch or less'
    add('--total-batch', type=positive, metavar='NUMBER', help=text)
    text = 'standard deviation of the time of a step between GPUs, as a fraction; default: %(default)g'
    add('--spread', type=float, default=0.01, metavar='FRACTION', help=text)
    text = 'hours of a GPU from failure to failure; default: 10000 50000'
    add('--failure-hours', type=above_zero, nargs='+', default=[10_000.0, 50_000.0], metavar='HOURS', help=text)
    text = 'until all processes have ended after one was killed; default: %(default)g'
    add('--killed', type=float, default=15.0, metavar='SECONDS', help=text)
    text = 'until the first step after a failure, assumed; default: %(default)g'
    add('--restart', type=float, default=300.0, metavar='SECONDS', help=text)
    text = 'between checkpoints (interval_minutes of the hook); default: %(default)g'
    add('--interval', type=above_zero, default=30.0, metavar='MINUTES', help=text)
    text = 'in which training stands during a save, assumed; default: %(default)g'
    add('--stall', type=above_zero, default=5.0, metavar='SECONDS', help=text)
    args = parser.parse_args(argv)
    if not (args.measure or args.predict or args.failures):
        args.measure = args.predict = args.failures = True
    if args.smoke:
        args.config, args.processes, args.gpus, args.nic = [TINY], [1, 2], [8, 64], [400.0]
        args.batch = args.batch or 2
    return args


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    try:
        if args.measure:
            print_measured(args)
        if args.predict:
            print_predicted(args)
        if args.failures:
            print_failures(args)
    except (ValueError, FileNotFoundError) as error:
        print(f'error: {error}', file=sys.stderr)
        sys.exit(2)


@cache
def planner_of(name: str, is_small: bool) -> Planner:
    """Of a config. It traces each step once."""
    return Planner(load_config(name, SMALLER if is_small else None), Cluster())


def table_of(columns: Sequence[str], texts: int) -> PrettyTable:
    """A table in Markdown whose first columns are text."""
    table = PrettyTable(columns)
    table.set_style(TableStyle.MARKDOWN)
    table.align = 'r'
    for name in columns[:texts]:
        table.align[name] = 'l'
    return table


# ---------------------------------------------------------------------- measured


def print_measured(args: argparse.Namespace) -> None:
    columns = ['parallel', 'processes', 'ms a step: median (range)', 'MB sent, counted', 'MB sent, computed']
    columns += ['collectives', 'they run', 'they run alone', 'hidden']
    gpus = torch.cuda.device_count()
    for name in args.config or [TINY]:
        planner, batch = planner_of(name, args.smoke), args.batch or 16
        cfg, counts = planner.cfg, planner.trace(planner.own_variant).counts
        half = bool(gpus) and planner.precision == 'bf16'
        place = f'{gpus} GPUs, NCCL' if gpus else f'{os.cpu_count()} cores, gloo'
        print(f'{name}, {counts.parameters / MEGA:.2f} M parameters, {batch} images a process; {place}')
        table = table_of(columns, 1)
        for processes in args.processes:
            if gpus and processes > gpus:
                print(f'{processes} processes: there are {gpus} GPUs')
                continue
            for way in ways_of(processes):
                found = measure(cfg, way, processes, batch, *((1, 2) if args.smoke else ()))
                times = found['milliseconds']
                hidden = 1 - found['alone'] / found['collectives'] if found['collectives'] else None
                table.add_row(
                    [
                        way.name if processes > 1 else 'one process',
                        processes,
                        f'{statistics.median(times):.0f} ({min(times):.0f}-{max(times):.0f})',
                        f'{found["sent"] / MEGA:.3f}',
                        f'{computed_bytes(counts, way, processes, half) / MEGA:.3f}',
                        found['calls'],
                        *(f'{found[key]:.0%}' for key in ('collectives', 'alone')),
                        '' if hidden is None or processes == 1 else f'{hidden:.0%}',
                    ]
                )
        print(table, end='\n\n')


# ---------------------------------------------------------------------- predicted


def print_predicted(args: argparse.Namespace) -> None:
    trainings = {name: args.batch or 16 for name in args.config} if args.config else TRAININGS
    planners = {name: planner_of(name, args.smoke) for name in trainings}
    columns = [
        'training',
        'parallel',
        'checkpointing',
        'batch',
        'GB',
        'largest batch',
        *(f'{n:,} GPUs' for n in args.gpus),
    ]
    for nic in args.nic:
        cards = nic * args.gpus_per_node
        batch = f'{args.total_batch:,} images in a step' if args.total_batch else 'the batch of each GPU stays'
        print(f'Efficiency; {nic:g} Gbit/s a GPU, {cards:g} a node of {args.gpus_per_node}; {batch}')
        table = table_of(columns, 3)
        for name, planner in planners.items():
            for row in predicted_rows(args, planner, args.batch or trainings[name], nic):
                table.add_row([name.removeprefix('configs/').removesuffix('.py'), *row])
        print(table, end='\n\n')


def cluster_of(args: argparse.Namespace, gpus: int, nic: float) -> Cluster:
    return Cluster(gpus=gpus, gpus_per_node=args.gpus_per_node, network=nic, spread=args.spread)


def predicted_rows(args: argparse.Namespace, planner: Planner, batch: int, nic: float) -> Iterator[list]:
    first = planner.on(cluster_of(args, min(args.gpus), nic))
    for way in planner.on(cluster_of(args, max(args.gpus), nic)).ways():
        variant = fitting(first, way, batch)
        if variant is None:
            yield [way.name, 'does not fit', batch, *[''] * (2 + len(args.gpus))]
            continue
        least = first.choose(way, variant, batch)
        cells = [f'{efficiency(args, planner, way, variant, batch, gpus, nic):.0%}' for gpus in args.gpus]
        shown = '' if args.total_batch else batch
        yield [way.name, variant.name, shown, f'{least.peak / 1e9:.1f}', least.largest, *cells]


def fitting(planner: Planner, way: Parallel, batch: int) -> Variant | None:
    """The fastest way of recomputing activations with which a batch fits; None if there is none."""
    known = {variant.name: variant for variant in planner.variants}
    for variant in (known[name] for name in CHECKPOINTING if name in known):
        choice = planner.choose(way, variant, batch)
        if choice.fits:
            return variant
        if choice.state > planner.cluster.usable:
            return None
    return None


def efficiency(
    args: argparse.Namespace, planner: Planner, way: Parallel, variant: Variant, batch: int, gpus: int, nic: float
) -> float:
    """Of a step of each GPU's batch, or of its part of the total batch, in several batches if it is larger than ``batch``.

    Raises:
        ValueError: the total batch is not a multiple of the GPUs.
    """
    accumulated, planner = 1, planner.on(cluster_of(args, gpus, nic))
    if args.total_batch:
        own, rest = divmod(args.total_batch, gpus)
        if rest:
            raise ValueError(f'--total-batch {args.total_batch}: expected a multiple of --gpus {gpus}')
        accumulated = next(number for number in range(1, own + 1) if own % number == 0 and own // number <= batch)
        batch = own // accumulated
    choice: Choice = planner.choose(way, variant, batch, accumulated)
    return choice.efficiency


# ---------------------------------------------------------------------- failures


def print_failures(args: argparse.Namespace) -> None:
    timeout = load_config(TINY).env_cfg.dist_cfg.step_timeout
    print(
        f'Time lost to failures; a killed process is noticed after {args.killed:g} s, one that hangs {timeout:g} s later '
        f'(step_timeout); restart {args.restart:g} s; a save stalls {args.stall:g} s'
    )
    columns = ['GPU-hours between failures', 'GPUs', 'hours between failures']
    columns += [f'{what}: minutes a failure' for what in ('killed', 'hangs')]
    columns += [f'{what}: time lost' for what in ('killed', 'hangs')]
    columns += ['best interval, minutes', 'killed: time lost then']
    table, interval = table_of(columns, 0), args.interval * MINUTE
    for hours in args.failure_hours:
        killed, hangs = (Failures(hours, args.killed + late, args.restart, args.stall) for late in (0, timeout))
        for gpus in args.gpus if args.smoke else [gpus for gpus in args.gpus if gpus >= 64]:
            best = killed.best_interval(gpus)
            table.add_row(
                [
                    f'{hours:,.0f}',
                    f'{gpus:,}',
                    f'{killed.between(gpus) / HOUR:,.1f}',
                    *(f'{kind.lost(interval) / MINUTE:.1f}' for kind in (killed, hangs)),
                    *(f'{kind.share(gpus, interval):.2%}' for kind in (killed, hangs)),
                    f'{best / MINUTE:.0f}',
                    f'{killed.share(gpus, best):.2%}',
                ]
            )
    print(f'A checkpoint every {args.interval:g} minutes (interval_minutes), and at the best interval (Young)')
    print(table)


if __name__ == '__main__':
    main()
