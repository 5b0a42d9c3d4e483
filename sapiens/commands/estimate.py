"""Estimate memory, time and cost of a training before it runs, and what makes it fit.

One training step of the config is traced on fake tensors: nothing is computed, and no weights, data or GPU are needed.
MB are 1e6 bytes, GB are 1e9 bytes, and both belong to one GPU. docs/clusters.md describes the columns, what is assumed, and
the measured error.

Examples:
    sapiens estimate sapiens_1b_goliath-1024x768 --gpus 64 --memory 80 --nic 400
    sapiens estimate configs/mae/sapiens_2b_humans300m-1024x1024.py --gpus 64 --images 300000000
    sapiens estimate CONFIG --gpus 8 --cfg-options train_dataloader.batch_size=4 --json estimate.json
    sapiens estimate CONFIG --gpus 1 --memory 24 --cfg-options lora=True optim_wrapper.state_dtype=bf16
"""

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

from prettytable import PrettyTable, TableStyle
from tqdm import tqdm

from sapiens.engine.estimate.advice import advise, settings_of
from sapiens.engine.estimate.arithmetic import Cluster
from sapiens.engine.estimate.plan import Choice, Plan, plan_training, steps_to_trace
from sapiens.engine.estimate.units import BYTES, OPERATIONS, SECONDS, show, three_digits, unit_of
from sapiens.engine.peak_rates import known_devices, peak_rates
from sapiens.metainfo.naming import near
from sapiens.utils.cli import above_zero, positive, tool_parser
from sapiens.utils.config import load_config
from sapiens.utils.config_options import add_options_argument
from sapiens.utils.counting import count_of
from sapiens.utils.files import write_atomically

# Keys of a config that change a training and not the table.
NOT_COVERED = dict(
    compile='the table is for uncompiled training, since what a compiler keeps is not known without running it.',
    float8='memory and time are those of training without it.',
)


def main(argv: list[str] | None = None) -> None:
    parser = tool_parser(__doc__, first=('--gpus', '--memory', '--nic', '--images', '--cfg-options'))
    parser.add_argument('config', help='path or name of a config')
    add = parser.add_argument
    add('--gpus', type=positive, default=8, help='number of GPUs in all; default: %(default)s')
    add('--gpus-per-node', type=positive, default=8, help='GPUs of a machine; default: %(default)s')
    add('--memory', type=above_zero, default=80.0, metavar='GB', help='memory of a GPU; default: %(default)g')
    text = 'network card of each GPU between machines, or its share in those of its machine; default: %(default)g'
    add('--nic', type=above_zero, default=400.0, metavar='GBIT', help=text)
    text = 'what collectives reach between the GPUs of a machine, in GB/s; default: %(default)g'
    add('--link', type=above_zero, default=370.0, metavar='GB', help=text)
    text = 'name of the GPU, whose peak rate is taken (dense, bf16 or fp32 as the config trains); default: %(default)s'
    add('--gpu', default='H100', metavar='NAME', help=text)
    text = (
        'fraction of the peak rate that the operations of a step reach, recomputed ones included; default: %(default)g'
    )
    add('--mfu', type=fraction, default=0.4, metavar='FRACTION', help=text)
    text = 'of a GPU for an hour, in the currency of the cost; default: %(default)g'
    add('--price', type=above_zero, default=2.5, help=text)
    text = 'number of training images, for configs that count epochs'
    add('--images', type=positive, metavar='NUMBER', help=text)
    add('--json', type=Path, metavar='FILE', help='write all numbers to a file, in a folder that exists')
    add_options_argument(parser)
    args = parser.parse_args(argv)
    rates = peak_rates(args.gpu)
    if rates is None:
        known = known_devices()
        raise ValueError(f'--gpu {args.gpu}: no peak rate is known{near(args.gpu, known)} (known: {", ".join(known)})')
    if args.json is not None and not args.json.parent.is_dir():
        raise ValueError(f'--json {args.json}: there is no folder {args.json.parent}')
    cluster = Cluster(
        gpus=args.gpus,
        gpus_per_node=args.gpus_per_node,
        memory=args.memory,
        network=args.nic,
        link=args.link,
        rate=rates.bf16,
        utilization=args.mfu,
        price=args.price,
    )
    cfg = load_config(args.config, args.cfg_options)
    if (cfg.get('optim_wrapper') or {}).get('precision', 'auto') == 'fp32':
        cluster = replace(cluster, rate=rates.fp32)
    steps = steps_to_trace(cfg)
    print(f'tracing {count_of(steps, "training step")} of {args.config}', file=sys.stderr, flush=True)
    with tqdm(total=steps, unit='step', leave=False, disable=not sys.stderr.isatty()) as bar:
        plan = plan_training(cfg, cluster, args.images, bar.update)
    print(report(plan, cfg.model.type))
    for key, text in NOT_COVERED.items():
        if cfg.get(key):
            print(f'{key}={cfg[key]!r} is not covered: {text}')
    if args.json is not None:
        write_atomically(args.json, json.dumps(as_json(plan), indent=2) + '\n')
        print(f'numbers: {args.json}')


def fraction(text: str) -> float:
    """The ``type`` of an argument that is a number above 0 and at most 1."""
    value = above_zero(text)
    if value > 1:
        hint = f'; did you mean {value / 100:g}?' if value <= 100 else ''
        raise argparse.ArgumentTypeError(f'{text}: expected a fraction of the peak rate, at most 1{hint}')
    return value


def report(plan: Plan, name: str) -> str:
    """The plan as text."""
    counts, cluster, own = plan.counts, plan.cluster, plan.own
    height, width = counts.image
    frozen = counts.parameters - counts.trained
    lines = [
        f'{name}, images of {height}x{width}: {counts.parameters:,} parameters'
        + (f', {frozen:,} of them fixed' if frozen else '')
        + f'; {show(counts.forward, OPERATIONS)} an image forward, {show(counts.step, OPERATIONS)} with the backward pass',
        f'{count_of(cluster.gpus, "GPU")} of {cluster.memory:g} GB ({cluster.nodes} x {cluster.node}), {plan.precision}, '
        f'{cluster.utilization:.0%} of {cluster.rate:g} TFLOP/s; batch {own.batch} a GPU'
        + (f' x {own.accumulated} accumulated' if own.accumulated > 1 else ''),
        str(table(plan)),
        *advise(plan),
    ]
    if plan.total_images is None:
        lines.append('GPU-days and cost are for a million images; --images NUMBER gives those of the whole schedule.')
    else:
        lines.append(f'GPU-days and cost are for the {plan.total_images:,} images of the whole schedule.')
    lines.append(f'The cost is in the currency of --price, {cluster.price:g} for an hour of a GPU.')
    return '\n'.join(lines)


def table(plan: Plan) -> PrettyTable:
    """One row for each way. Rows whose batch does not fit have the speed that they would have."""
    memory = unit_of([one.peak for one in plan.choices], BYTES)
    wire = unit_of([sum(one.sent) for one in plan.choices], BYTES)
    time = unit_of([one.seconds for one in plan.choices], SECONDS)
    columns = ['parallel', 'checkpointing', f'state {memory.name}', f'{memory.name}/image']
    columns += [f'{memory.name} at batch {plan.own.batch}', 'largest batch', 'recompute', f'sent {wire.name}']
    columns += [f'step {time.name}', 'network', 'images/s', 'GPU-days', 'cost']
    table = PrettyTable(columns)
    table.set_style(TableStyle.MARKDOWN)
    table.align = 'r'
    table.align['parallel'] = table.align['checkpointing'] = 'l'
    for one in plan.choices:
        images = plan.total_images or 1_000_000
        is_own = (one.parallel, one.checkpointing) == (plan.own.parallel, plan.own.checkpointing)
        name = one.parallel.name if plan.cluster.gpus > 1 else 'one GPU'
        table.add_row(
            [
                f'{name} *' if is_own else name,
                one.checkpointing.name,
                three_digits(one.state / memory.size),
                three_digits(one.per_image / memory.size),
                three_digits(one.peak / memory.size) + ('' if one.fits else ' !'),
                one.largest or '-',
                f'{one.recomputed:.0%}',
                three_digits(sum(one.sent) / wire.size),
                three_digits(one.seconds / time.size),
                f'{one.exposed / one.seconds:.0%}',
                f'{one.images_per_second:,.0f}',
                three_digits(plan.gpu_days(one, images)),
                three_digits(plan.cost(one, images)),
            ]
        )
    return table


# Of a choice, what its row of the JSON has in other words or places.
NOT_NUMBERS = ('parallel', 'checkpointing', 'counts_all', 'gpus')


def as_json(plan: Plan) -> dict:
    """All numbers of a plan, in bytes, seconds and floating-point operations."""
    images = plan.total_images

    def row(one: Choice) -> dict:
        numbers = {key: value for key, value in asdict(one).items() if key not in NOT_NUMBERS}
        return dict(
            parallel=one.parallel.name,
            checkpointing=one.checkpointing.name,
            settings=settings_of(one, plan.own),
            **numbers,
            gpu_days=None if images is None else plan.gpu_days(one),
            cost=None if images is None else plan.cost(one),
        )

    return dict(
        counts=asdict(plan.counts),
        cluster=asdict(plan.cluster),
        precision=plan.precision,
        total_images=images,
        own=row(plan.own),
        choices=[row(one) for one in plan.choices],
    )
