"""Estimate memory, time and cost of a training before it runs, and what makes it fit.

One training step of the config is traced on fake tensors: nothing is computed, and no weights, data or GPU are needed.
GB are 1e9 bytes and belong to one GPU. docs/clusters.md describes the columns, what is assumed, and the measured error.

Examples:
    sapiens estimate sapiens_1b_goliath-1024x768 --gpus 64 --memory 80 --nic 400
    sapiens estimate configs/mae/sapiens_2b_humans300m-1024x1024.py --gpus 64 --images 300000000
    sapiens estimate CONFIG --gpus 8 --cfg-options train_dataloader.batch_size=4 --json estimate.json
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from prettytable import PrettyTable, TableStyle

from sapiens.engine.estimate.advice import advise, settings_of
from sapiens.engine.estimate.arithmetic import Cluster
from sapiens.engine.estimate.plan import Choice, Plan, plan_training
from sapiens.engine.peak_rates import peak_rates
from sapiens.utils.cli import positive, tool_parser
from sapiens.utils.config import load_config
from sapiens.utils.config_options import add_options_argument
from sapiens.utils.files import write_atomically

GB, TERA = 1e9, 1e12


def main(argv: list[str] | None = None) -> None:
    parser = tool_parser(__doc__, first=('--gpus', '--memory', '--nic', '--images', '--cfg-options'))
    parser.add_argument('config', help='path or name of a config')
    add = parser.add_argument
    add('--gpus', type=positive, default=8, help='number of GPUs in all; default: %(default)s')
    add('--gpus-per-node', type=positive, default=8, help='GPUs of a machine; default: %(default)s')
    add('--memory', type=above_zero, default=80.0, metavar='GB', help='memory of a GPU; default: %(default)g')
    text = 'network card of each GPU, between machines; default: %(default)g'
    add('--nic', type=above_zero, default=400.0, metavar='GBIT', help=text)
    text = 'what collectives reach between the GPUs of a machine, in GB/s; default: %(default)g'
    add('--link', type=above_zero, default=370.0, metavar='GB', help=text)
    text = 'name of the GPU, whose peak rate is taken (dense, bf16 or fp32 as the config trains); default: %(default)s'
    add('--gpu', default='H100', metavar='NAME', help=text)
    text = (
        'fraction of the peak rate that the operations of a step reach, recomputed ones included; default: %(default)g'
    )
    add('--mfu', type=above_zero, default=0.4, metavar='FRACTION', help=text)
    add('--price', type=above_zero, default=2.5, help='of a GPU for an hour; default: %(default)g')
    text = 'number of training images, for configs that count epochs'
    add('--images', type=positive, metavar='NUMBER', help=text)
    add('--json', type=Path, metavar='FILE', help='write all numbers to a file')
    add_options_argument(parser)
    args = parser.parse_args(argv)
    cfg = load_config(args.config, args.cfg_options)
    uses_fp32 = cfg.optim_wrapper.get('precision', 'auto') == 'fp32'
    rates = peak_rates(args.gpu)
    if rates is None:
        raise ValueError(
            f'--gpu {args.gpu}: no peak rate is known of such a GPU (sapiens/engine/peak_rates.py lists them)'
        )
    cluster = Cluster(
        gpus=args.gpus,
        gpus_per_node=args.gpus_per_node,
        memory=args.memory,
        network=args.nic,
        link=args.link,
        rate=rates.fp32 if uses_fp32 else rates.bf16,
        utilization=args.mfu,
        price=args.price,
    )
    plan = plan_training(cfg, cluster, args.images)
    print(report(plan, cfg.model.type))
    if cfg.get('compile'):
        print('The config compiles. The table is for uncompiled training: what a compiler keeps is not estimated.')
    if args.json is not None:
        write_atomically(args.json, json.dumps(as_json(plan), indent=2) + '\n')


def above_zero(text: str) -> float:
    """The ``type`` of an argument that is a number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float('inf'):
        raise argparse.ArgumentTypeError(f'{text}: expected a number above 0')
    return value


def report(plan: Plan, name: str) -> str:
    """The plan as text."""
    counts, cluster, own = plan.counts, plan.cluster, plan.own
    height, width = counts.image
    frozen = counts.parameters - counts.trained
    lines = [
        f'{name}, images of {height}x{width}: {counts.parameters:,} parameters'
        + (f', {frozen:,} of them fixed' if frozen else '')
        + f'; {counts.forward / TERA:.2f} TFLOP an image forward, {counts.step / TERA:.2f} with the backward pass',
        f'{cluster.gpus} GPUs of {cluster.memory:g} GB ({cluster.nodes} x {cluster.node}), {plan.precision}, '
        f'{cluster.utilization:.0%} of {cluster.rate:g} TFLOP/s; batch {own.batch} a GPU'
        + (f' x {own.accumulated} accumulated' if own.accumulated > 1 else ''),
        str(table(plan)),
        *advise(plan),
    ]
    if plan.total_images is None:
        lines.append('GPU-days and cost are for a million images; --images NUMBER gives those of the whole schedule.')
    else:
        lines.append(f'GPU-days and cost are for the {plan.total_images:,} images of the whole schedule.')
    return '\n'.join(lines)


def table(plan: Plan) -> PrettyTable:
    """One row for each way. Rows whose batch does not fit have the speed that they would have."""
    columns = ['parallel', 'checkpointing', 'state GB', 'GB/image', f'GB at batch {plan.own.batch}', 'largest batch']
    columns += ['recompute', 'sent GB', 'step s', 'network', 'images/s', 'GPU-days', 'cost']
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
                f'{one.state / GB:.1f}',
                f'{one.per_image / GB:.2f}',
                f'{one.peak / GB:.1f}' + ('' if one.fits else ' !'),
                one.largest or '-',
                f'{one.recomputed:.0%}',
                f'{sum(one.sent) / GB:.1f}',
                f'{one.seconds:.3f}',
                f'{one.exposed / one.seconds:.0%}',
                f'{one.images_per_second:,.0f}',
                three_digits(plan.gpu_days(one, images)),
                three_digits(plan.cost(one, images)),
            ]
        )
    return table


def three_digits(value: float) -> str:
    return f'{value:,.0f}' if value >= 100 else f'{value:.3g}'


def as_json(plan: Plan) -> dict:
    """All numbers of a plan, in bytes, seconds and floating-point operations."""
    images = plan.total_images

    def row(one: Choice) -> dict:
        numbers = {key: value for key, value in asdict(one).items() if key not in ('parallel', 'checkpointing')}
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
