"""Plot curves of training runs, and print the values of their evaluations.

Each key is a panel, each run a line.

Examples:
    sapiens curves work_dirs/pretrained work_dirs/scratch --keys loss coco/AP --out curves.png
Over minutes of training (without evaluation), with names of their own, from the second minute on:
    sapiens curves work_dirs/a work_dirs/b --names small large --keys seg/mIoU --minutes --begin 2
What there is to plot:
    sapiens curves work_dirs/a
"""

from pathlib import Path

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


def main(argv: list[str] | None = None) -> None:
    parser = tool_parser(__doc__)
    parser.add_argument('runs', nargs='+', help='work dirs; a resumed run counts once')
    parser.add_argument('--keys', nargs='+', help='what to plot; without it the names are listed')
    parser.add_argument('--names', nargs='+', help='of the runs; default: those of their folders')
    parser.add_argument('--minutes', action='store_true', help='over minutes of training instead of iterations')
    text = 'leave out what was before, in minutes with --minutes, else iterations (default: %(default)s)'
    parser.add_argument('--begin', type=float, default=0, help=text)
    parser.add_argument('--out', default='curves.png', help='figure to write; default: %(default)s')
    args = parser.parse_args(argv)
    names = args.names or [Path(run).resolve().name for run in args.runs]
    if len(set(names)) != len(args.runs):
        parser.error(f'{len(args.runs)} runs, but their names are {", ".join(names)}: give each its own with --names')
    x = 'minutes of training' if args.minutes else 'iterations'
    runs = {name: read_curves(run, args.minutes) for name, run in zip(names, args.runs, strict=True)}
    if not args.keys:
        for name, curves in runs.items():
            print(f'{name}: {", ".join(sorted(curves))}')
        return
    for curves in runs.values():
        for key, (places, values) in curves.items():
            curves[key] = places[places >= args.begin], values[places >= args.begin]
    if not any(len(places) for curves in runs.values() for places, _ in curves.values()):
        raise ValueError(f'--begin {args.begin:g}: no run has anything from there on ({x})')
    draw_curves(runs, args.keys, args.out, x)
    for key in args.keys:
        _print_table(runs, key, x, 1 if args.minutes else 0)
    print(f'picture: {args.out}')
