"""Plot curves of training runs, and print the values of their evaluations.

Each key is a panel, each run a line. All panels have the same x axis.

Examples:
    sapiens curves work_dirs/pretrained work_dirs/scratch --keys loss coco/AP --out curves.png
Over minutes of training (without evaluation), with names of their own, from the second minute on:
    sapiens curves work_dirs/a work_dirs/b --names small large --keys seg/mIoU --minutes --begin 2
With a dashed line at a value to compare with:
    sapiens curves work_dirs/a --keys seg/mIoU --baseline seg/mIoU=0.811
Seconds per iteration, data and images per second of runs:
    sapiens curves work_dirs/a work_dirs/b --times
What there is to plot:
    sapiens curves work_dirs/a
"""

import argparse
from pathlib import Path
from typing import NoReturn

import numpy as np
from prettytable import PrettyTable

from sapiens.utils.cli import tool_parser
from sapiens.visualization import draw_curves, read_curves

LONGEST = 40  # points of a run in a table: evaluations, not each logged loss


def _print_table(runs: dict, key: str, x: str, digits: int) -> None:
    table = PrettyTable(['run', x, key])
    for name, curves in runs.items():
        if key in curves and len(curves[key][0]) <= LONGEST:
            rows = zip(*curves[key], strict=True)
            table.add_rows([(name, f'{place:.{digits}f}', f'{value:.4f}') for place, value in rows])
    if table.rows:
        print(table)


def times_table(runs: dict, begin: float) -> PrettyTable:
    """A row per run: seconds per iteration by its log (mean, median, 95 % of iterations are faster), the share of the time that
    the loader took, images per second, and minutes of training."""
    table = PrettyTable(['run', 'iterations', 'mean s', 'median s', '95 % s', 'data %', 'images/s', 'minutes'])
    table.align = 'r'
    table.align['run'] = 'l'
    for name, curves in runs.items():
        places, times = curves['time']
        keep = places >= begin
        if not keep.any():
            raise ValueError(f'--begin {begin:g}: {name} has no iteration from there on')
        steps, seconds = np.diff(places, prepend=0)[keep], times[keep]
        data, images = (_mean_from(curves, key, begin) for key in ('data_share', 'images_per_s'))
        row = [f'{value:.3f}' for value in (seconds.mean(), np.median(seconds), np.quantile(seconds, 0.95))]
        row += [f'{100 * data:.0f}', f'{images:.1f}', f'{(steps * seconds).sum() / 60:.1f}']
        table.add_row([name, int(places[-1]), *row])
    return table


def _mean_from(curves: dict, key: str, begin: float) -> float:
    places, values = curves.get(key, (np.array([begin]), np.array([np.nan])))
    return float(values[places >= begin].mean())


def key_and_number(text: str) -> tuple[str, float]:
    """Parse ``KEY=NUMBER``."""
    key, equals, number = text.rpartition('=')
    try:
        return (key, float(number)) if equals and key else _refuse(text)
    except ValueError:
        return _refuse(text)


def _refuse(text: str) -> NoReturn:
    raise argparse.ArgumentTypeError(f'{text}: expected a key and a number, such as seg/mIoU=0.811')


def main(argv: list[str] | None = None) -> None:
    parser = tool_parser(__doc__, first=('--keys', '--names', '--baseline', '--minutes', '--out'))
    parser.add_argument('runs', nargs='+', help='work dirs; a resumed run counts once')
    parser.add_argument('--keys', nargs='+', help='what to plot; without it the names are listed')
    parser.add_argument('--names', nargs='+', help='of the runs; default: those of their folders')
    text = 'a value to compare with, drawn as a dashed line'
    parser.add_argument('--baseline', nargs='+', type=key_and_number, default=[], metavar='KEY=NUMBER', help=text)
    parser.add_argument('--minutes', action='store_true', help='over minutes of training instead of iterations')
    text = 'print the time of iterations instead of plotting (--begin 100 leaves the first hundred out)'
    parser.add_argument('--times', action='store_true', help=text)
    text = 'leave out what was before, in minutes with --minutes, else iterations (default: %(default)s)'
    parser.add_argument('--begin', type=float, default=0, help=text)
    parser.add_argument('--out', default='curves.png', help='figure to write; default: %(default)s')
    args = parser.parse_args(argv)
    names = args.names or [Path(run).resolve().name for run in args.runs]
    if len(set(names)) != len(args.runs):
        parser.error(f'{len(args.runs)} runs, but their names are {", ".join(names)}: give each its own with --names')
    x = 'minutes of training' if args.minutes else 'iterations'
    runs = {name: read_curves(run, args.minutes) for name, run in zip(names, args.runs, strict=True)}
    if args.times:
        print(times_table(runs, args.begin))
        return
    if not args.keys:
        for name, curves in runs.items():
            print(f'{name}: {", ".join(sorted(curves))}')
        return
    for curves in runs.values():
        for key, (places, values) in curves.items():
            curves[key] = places[places >= args.begin], values[places >= args.begin]
    if not any(len(places) for curves in runs.values() for places, _ in curves.values()):
        raise ValueError(f'--begin {args.begin:g}: no run has anything from there on ({x})')
    draw_curves(runs, args.keys, args.out, x, baselines=dict(args.baseline))
    for key in args.keys:
        _print_table(runs, key, x, 1 if args.minutes else 0)
    print(f'picture: {args.out}')
