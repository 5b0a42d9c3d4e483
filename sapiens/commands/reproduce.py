"""Evaluate a published model by the published protocol, and compare the scores.

Without a name: lists every published score, what it needs, and what was reproduced.

With a name: checks data and weights, evaluates on the given devices, compares each score with the published one to its last
digit, and adds a row to docs/reproduced.md. A run that was stopped continues with the parts that are missing, also on other
devices.

--quick evaluates a fixed twentieth of the images, and prints the interval in which the score of all images lies (95 percent, by
drawing images with repetition). Nothing is added to the table then.

Examples:
    sapiens reproduce                                          # all published scores
    sapiens reproduce sapiens-pose-0.3b-17 --quick --root /data
    sapiens reproduce sapiens-pose-0.3b-17 --root /data --devices 0,1,2,3
    sapiens reproduce sapiens-normal-2b/hi4d-normal --root /data
    sapiens prepare coco --root /data --only val               # the data before
    sapiens download sapiens-pose-0.3b-17                      # the weights before

With --checkpoint or --cfg-options the scores are printed and not added to the table.
"""

import argparse
import json
import os
import shlex
import sys
from pathlib import Path

import torch
from tqdm import tqdm

from sapiens.reproduction.evaluate import Evaluation, Plan
from sapiens.reproduction.interval import interval_of
from sapiens.reproduction.protocols import Target, all_targets, find_targets
from sapiens.reproduction.requirements import find_needs, has_data, weights_of
from sapiens.reproduction.table import (
    Row,
    add_rows,
    default_table,
    difference_of,
    read_rows,
    reproduced_text,
    rows_of,
)
from sapiens.utils.cli import positive, tool_parser
from sapiens.utils.config_options import add_options_argument
from sapiens.utils.device import pick_device
from sapiens.utils.files import write_atomically
from sapiens.utils.folder_lock import FolderLock
from sapiens.version import __version__

RESULT = 'scores.json'


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = tool_parser(__doc__, first=('--quick', '--root', '--devices'))
    add = parser.add_argument
    add('name', nargs='?', help='published model, or model/protocol; none: list the scores')
    text = 'a fixed twentieth of the images, and the interval of the whole score'
    add('--quick', action='store_true', help=text)
    add('--root', type=Path, metavar='DIR', help='folder of all data; default: $DATA_ROOT, else data')
    add('--devices', metavar='LIST', help='0,1,2 or cpu; default: all GPUs, else the CPU')
    add('--batch-size', type=positive, metavar='N', help='samples per step and device; default: of the config')
    add('--workers', type=positive, metavar='N', help='processes per device that load data; default: up to 8')
    add('--checkpoint', type=Path, metavar='FILE', help='other weights than the published ones')
    text = 'where finished parts are kept; default: work_dirs/reproduce/<model>-<protocol>'
    add('--work-dir', type=Path, metavar='DIR', help=text)
    text = 'document that rows are added to; default: docs/reproduced.md of a clone, else reproduced.md'
    add('--table', type=Path, metavar='FILE', help=text)
    add_options_argument(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    root = (args.root or Path(os.environ.get('DATA_ROOT') or 'data')).expanduser()
    table = args.table or default_table()
    if args.name is None:
        print(listing(root, table))
        return 0
    targets = find_targets(args.name)
    if args.work_dir and len(targets) > 1:
        names = ', '.join(target.name for target in targets)
        raise ValueError(f'--work-dir {args.work_dir} is for one evaluation: give one of {names}')
    # All are checked before the first begins.
    needs = {target.name: find_needs(target, root, args.checkpoint) for target in targets}
    missing = list(dict.fromkeys(one for listed in needs.values() for one in listed))
    if missing:
        names = ' and '.join(name for name, listed in needs.items() if listed)
        listed = ''.join(f'\n  {one}' for one in missing)
        raise FileNotFoundError(f'{names} {"need" if " and " in names else "needs"} what is not here:{listed}')
    for target in targets:
        reproduce(target, root, table, args)
    return 0


def reproduce(target: Target, root: Path, table: Path, args: argparse.Namespace) -> None:
    """Evaluate, print the scores, and add them to the table."""
    folder = args.work_dir or default_folder(target, args.quick)
    plan = Plan(
        target.config,
        weights_of(target, args.checkpoint),
        root,
        folder,
        tuple(args.cfg_options or ()),
        args.quick,
        args.batch_size,
        args.workers,
    )
    print(f'{target.name}: {target.protocol.notes}')
    with FolderLock(folder, 'wait until it has ended, or give another --work-dir'):
        evaluation = Evaluation(plan)
        data = evaluation.data
        part = f'{len(data.images):,} of {data.total:,} images' if args.quick else f'{data.total:,} images'
        print(f'{part}, {len(data.indices):,} samples, {len(evaluation.blocks)} parts in {folder}')
        evaluation.begin()
        evaluate(evaluation, parse_devices(args.devices))
        run = evaluation.collect()
        intervals = {}
        if args.quick:
            intervals = interval_of(evaluation.metrics, target.values, data.total)
        values = target.values(evaluation.evaluate())
        report(target, values, intervals, evaluation)
        is_published = not (args.quick or args.checkpoint or args.cfg_options)
        if is_published and not is_recorded(folder, table):
            add_rows(table, rows_with(target, values, run, args))
            print(f'added to {table}')
        result = dict(values=values, table=str(table.resolve()) if is_published else '', **run)
        write_atomically(folder / RESULT, json.dumps(result, indent=1) + '\n')


def evaluate(evaluation: Evaluation, devices: list[str]) -> None:
    """Run what is missing, with a progress bar."""
    done, total = evaluation.samples_done(), len(evaluation.data.indices)
    if done:
        print(f'{done:,} samples are done already')
    with tqdm(total=total, initial=done, unit='sample', disable=not sys.stderr.isatty(), leave=False) as bar:
        for count in evaluation.run(devices):
            bar.update(count)


def report(target: Target, values: dict[str, float], intervals: dict, evaluation: Evaluation) -> None:
    """Print each score beside the published one."""
    for name, published in target.scores.items():
        text = reproduced_text(values[name], published)
        if name not in intervals:
            print(f'{name}: {text}, published {published} ({difference_of(values[name], published)})')
            continue
        low, high = intervals[name]
        inside = 'inside' if low <= float(published) <= high else 'outside'
        print(
            f'{name}: {text} on {len(evaluation.data.images):,} images. On all {evaluation.data.total:,} between '
            f'{reproduced_text(low, published)} and {reproduced_text(high, published)} (95 percent). '
            f'Published {published}, {inside}'
        )


def rows_with(target: Target, values: dict[str, float], run: dict, args: argparse.Namespace) -> list[Row]:
    """Rows of the table for the scores of a run."""
    words = ['sapiens', 'reproduce', target.name]
    if args.batch_size:
        words += ['--batch-size', str(args.batch_size)]
    versions = f'sapiens {__version__}, torch {torch.__version__}'
    return [
        Row(
            *row.key,
            row.published,
            reproduced_text(values[row.score], row.published),
            difference_of(values[row.score], row.published),
            versions,
            ', '.join(run['devices']),
            f'{run["seconds"] / 60:.1f}',
            f'`{shlex.join(words)}`',
        )
        for row in rows_of(target)
    ]


def is_recorded(folder: Path, table: Path) -> bool:
    """Whether the scores of a folder are in a table already."""
    try:
        return json.loads((folder / RESULT).read_text())['table'] == str(table.resolve())
    except (OSError, ValueError, KeyError):
        return False


def default_folder(target: Target, quick: bool) -> Path:
    return Path('work_dirs/reproduce') / (target.name.replace('/', '-') + ('-quick' if quick else ''))


def parse_devices(text: str | None) -> list[str]:
    """Names of devices; by default all GPUs, else the best device there is.

    Raises:
        ValueError: a device that this machine does not have.
    """
    if text is None:
        count = torch.cuda.device_count()
        return [f'cuda:{number}' for number in range(count)] or [str(pick_device())]
    names = [name.strip() for name in text.split(',')]
    names = [f'cuda:{name}' if name.isdigit() else name for name in names]
    for name in names:
        pick_device(name)  # fails early
    return names


def listing(root: Path, table: Path) -> str:
    """A table of the published scores, what they need, and what was reproduced."""
    found = {row.key: row.reproduced for row in read_rows(table) if row.reproduced}
    rows = [('name', 'score', 'published', 'reproduced', 'weights', 'data')]
    for target in all_targets():
        try:
            weights_of(target)
            weights = 'here'
        except FileNotFoundError:
            weights = 'missing'
        data = ('here' if has_data(target, root) else ' + '.join(target.protocol.data)) or 'not public'
        for row in rows_of(target):
            rows.append((target.name, row.score, row.published, found.get(row.key, ''), weights, data))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ['  '.join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return '\n'.join([*lines, '', f'data below {root}, scores in {table}'])
