"""Unpack and check a public data set, so that the configs can read it.

Without a name: lists the data sets, where they come from, their licenses, and what is there.

With a name: says what to download, and from where. Nothing is downloaded here, since most sets ask for an agreement. Unpacks
the archives that lie in ROOT or in the folder of the data set, converts what needs it, counts the samples as the configs read
them, and looks for every image. The last line is the next command.

Nothing that is there is written over. An unpacking that was stopped continues with the missing files.

Examples:
    sapiens prepare                                          # what is known, and what is there
    sapiens prepare coco --root /data                        # archives in /data or /data/coco
    sapiens prepare coco --root /data --only val             # what an evaluation reads
    sapiens prepare lip --root /data --from ~/Downloads      # archives, or folders that were unpacked by hand
    sapiens prepare cihp --root /data --images               # also decode every image: minutes to hours

The exit status is 1 if something is missing.
"""

import os
import shlex
import sys
from pathlib import Path

from tqdm import tqdm

from sapiens.known_data import KNOWN, SPLITS, KnownData, find_data, prepare, rendered_by, state_of, where
from sapiens.utils.cli import tool_parser
from sapiens.utils.counting import count_of


def parse_args(argv: list[str] | None):
    parser = tool_parser(__doc__, first=('--root', '--from', '--only'))
    parser.add_argument('name', nargs='?', help='of a data set; none: list them')
    text = 'folder of all data; default: $DATA_ROOT, else data'
    parser.add_argument('--root', type=Path, metavar='DIR', help=text)
    text = 'archives, folders with archives, and folders that are unpacked already'
    parser.add_argument('--from', nargs='+', type=Path, default=[], dest='sources', metavar='PATH', help=text)
    parser.add_argument('--only', choices=['train', 'val'], help='data of training, or of evaluation (val)')
    parser.add_argument('--images', action='store_true', help='decode every image and its labels')
    args = parser.parse_args(argv)
    if args.name is None and (args.sources or args.only or args.images):
        parser.error('--from, --only and --images are for one data set: give its name')
    return args


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    root = (args.root or default_root()).expanduser()
    if args.name is None:
        print(listing(root))
        return 0
    data = find_data(args.name)
    splits = {'train': ('train',), 'val': ('val', 'test')}.get(args.only, SPLITS)
    print(about(data, root, splits))
    parts = prepare(data, root, args.sources, splits, args.images, progress=bar)
    for part in parts:
        print(f'{part.name}: {count_of(part.samples, "sample")}' if part.samples else f'{part.name}: not complete')
    problems = list(dict.fromkeys(problem for part in parts for problem in part.problems))
    for problem in problems:
        print(f'missing or wrong: {problem}')
    print(f'next: {next_command(data, root, {part.split for part in parts}, bool(problems))}')
    return int(bool(problems))


def listing(root: Path) -> str:
    """A table of the data sets, with what is there of each."""
    rows = [('name', 'folder', 'there', 'license')]
    for data in KNOWN.values():
        rows.append((data.name, data.folder, summary(data, root), data.license))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ['  '.join(map(str.ljust, row, widths)).rstrip() for row in rows]
    sources = [f'{data.name}: {data.title}, {data.source}' for data in KNOWN.values()]
    return '\n'.join(
        [*lines, '', *sources, '', f'in {root}; `sapiens prepare NAME` says what to download, and checks it']
    )


def summary(data: KnownData, root: Path) -> str:
    """How many of the places of a data set are there."""
    folder = root / data.unpacked
    if data.scans and (root / data.folder).is_dir():
        return 'renderings'
    counts = [count for download in data.downloads for _, count in state_of(download, folder)]
    there = sum(count is not None for count in counts)
    return f'{there} of {len(counts)} parts' if there else '-'


def about(data: KnownData, root: Path, splits: tuple[str, ...]) -> str:
    """What to download, where it belongs, and what is there."""
    lines = [f'{data.title}', f'license: {data.license}', f'source: {data.source}']
    for name in data.needs:
        lines.append(f'needs {name}: `sapiens prepare {name}`')
    for download in data.downloads:
        if not download.splits() & set(splits):
            continue
        places = ', '.join(
            f'{place}: {"missing" if count is None else f"{count:,} files" if count > 1 else "there"}'
            for place, count in state_of(download, root / data.unpacked)
        )
        without = f' (not needed for {download.optional})' if download.optional else ''
        lines.append(
            f'  {download.name} from {where(download, data)}{without}\n    in {root / data.unpacked}: {places}'
        )
    if data.rendered:
        lines.append(f'  rendered from scans: {rendered_by(data, root)}')
    return '\n'.join(lines)


def next_command(data: KnownData, root: Path, splits: set[str], problems: bool) -> str:
    """The command that follows: to get what is missing, or to use the data."""
    again = f'sapiens prepare {data.name} --root {shlex.quote(str(root))}'
    if problems and data.rendered and (data.scans or (root / data.folder).is_dir()):
        return f'{rendered_by(data, root)}, then {again}'
    if problems:
        return f'put what is missing into {root / data.folder}, then {again}'
    if not data.config:
        [dataset] = data.datasets.values()
        return f'use it in a config: {dict(dataset, data_root=str(root / data.folder))}'
    environment = '' if root == default_root() else f'DATA_ROOT={shlex.quote(str(root))} '
    split = '' if 'train' in splits else f' --split {min(splits)}'
    return f'{environment}sapiens check configs/{data.config}{split}'


def default_root() -> Path:
    """The folder where configs look for data."""
    return Path(os.environ.get('DATA_ROOT') or 'data')


def bar(items):
    """A progress bar on a terminal."""
    return tqdm(items, desc='images', disable=not sys.stderr.isatty(), leave=False)
