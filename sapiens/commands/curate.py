"""Choose images for pretraining by filters, and write tar shards of them.

SOURCES are folders, files, patterns, text or parquet lists, tar shards (with braces), or URLs of these (s3://, https://, ...).
--out gets shards/*.tar with their index, which pretraining reads; table.parquet with the scores and the verdict of every input;
and report.html, where images near each threshold are shown. Thresholds are in the config. A stopped run goes on where it was. A
second run with more sources adds what is new.

Examples:
    sapiens curate photos --out curated
    sapiens curate 'crawl/shard-{00000..00999}.tar' more.txt --out curated --cfg-options filters.people.detector=embedded
    sapiens curate --out curated --from-table curated/table.parquet --cfg-options filters.people.score=0.8
    sapiens curate list.parquet --out /shared/curated --engine ray --address auto --gpus-per-worker 1
"""

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from sapiens.apis.output_dir import check_places
from sapiens.bulk import OutputFolder, add_engine_arguments, build_engine
from sapiens.curation import load_settings
from sapiens.curation.report import write_report
from sapiens.curation.run import Curation
from sapiens.curation.sources import expand_sources, input_lists, write_new_lists
from sapiens.curation.statistics import Statistics, collect, describe
from sapiens.curation.verdicts import UNREADABLE
from sapiens.utils.cli import above_zero, tool_parser, zero_or_more
from sapiens.utils.config_options import add_options_argument
from sapiens.utils.counting import count_of
from sapiens.utils.terminal import near_path

CONFIG = 'curation/humans300m.py'


def parse_args(argv: list[str] | None = None):
    parser = tool_parser(__doc__, first=('--config', '--out', '--from-table', '--cfg-options'))
    text = 'what to curate; without any, those of earlier runs in --out'
    parser.add_argument('sources', nargs='*', metavar='SOURCE', help=text)
    parser.add_argument('--out', type=Path, required=True, help='output folder; all machines have to see it')
    parser.add_argument('--config', default=CONFIG, help='filters and thresholds; default: configs/%(default)s')
    text = 'apply the thresholds to the scores in a table.parquet again; images are read for shards and report only'
    parser.add_argument('--from-table', type=Path, metavar='TABLE', help=text)
    text = 'column of the paths in parquet lists; default: %(default)s'
    parser.add_argument('--column', default='path', help=text)
    parser.add_argument('--no-shards', action='store_true', help='write the table and the report only')
    text = 'images of each kind in the report; 0 opens none; default: %(default)s'
    parser.add_argument('--examples', type=zero_or_more, default=24, metavar='NUMBER', help=text)
    add_options_argument(parser)
    add_engine_arguments(parser)
    text = 'GPUs that each worker of the detectors holds, also a fraction; default: none'
    parser.add_argument('--gpus-per-worker', type=above_zero, default=0, metavar='NUMBER', help=text)
    args = parser.parse_args(argv)
    if args.from_table and args.sources:
        parser.error(f'--from-table takes no sources, and {args.sources[0]} is one')
    return args


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    settings = load_settings(args.config, args.cfg_options)
    check_places([], args.sources, args.out)
    for one in settings.build() if not args.from_table else ():
        one.check()
    advice = 'wait for it, or choose another --out'
    with build_engine(args) as engine, OutputFolder(args.out, advice) as out:
        if not args.from_table:
            find_inputs(args, out.path, settings.unit_size)
        curation = Curation(settings, out, engine, args.gpus_per_worker)
        if args.from_table:
            curation.judge(args.from_table)
        else:
            curation.measure()
        found = collect(curation.table, curation.filters, args.examples)
        refuse_unreadable(found, args)
        print('\n'.join(describe(found, curation.filters)))
        shards = [] if args.no_shards else curation.write_shards()
        if not found.kept:
            print('nothing is kept, so there are no shards: the report shows where the thresholds remove the images')
        report = write_report(out.path / 'report.html', found, curation.filters)
        print(f'table {near_path(curation.table)}, report {near_path(report)}')
        if shards:
            index = near_path(out.path / 'shards' / 'index.safetensors')
            print(f'{count_of(len(shards), "shard")}, which TarShards(shards={index!r}) reads (docs/curation.md)')
    if curation.failed:
        print(f'not all is there: see above, and {near_path(out.path / "failures")}', file=sys.stderr)
    return 1 if curation.failed else 0


def refuse_unreadable(found: Statistics, args) -> None:
    """Raise ValueError where no input can be read, as where the disk of the images is not mounted."""
    count = found.removed[UNREADABLE]
    if not count or count < found.inputs:
        return
    names = [str(args.from_table)] if args.from_table else args.sources or [str(args.out)]
    what = 'the only input' if count == 1 else f'all {count:,} inputs'
    raise ValueError(
        f'{", ".join(names[:3])}{", ..." * (len(names) > 3)}: {what} cannot be read; the first error is '
        f'{found.first_unreadable}. Make the files readable and choose another --out: {args.out} keeps what was measured'
    )


def find_inputs(args, folder: Path, unit_size: int) -> None:
    """Write lists of new inputs.

    Raises:
        ValueError: there are no inputs, of this run or an earlier one.
    """
    if args.sources:
        paths = refuse_own(expand_sources(args.sources, args.column), args.out)
        new, known = write_new_lists(folder, paths, unit_size)
        print(f'{count_of(new, "new input")}, {known:,} known')
    elif not input_lists(folder):
        raise ValueError(f'no SOURCE is given, and {args.out} has no inputs of an earlier run')


def refuse_own(paths: Iterable[str], out: Path) -> Iterator[str]:
    """Yield paths of inputs. Raises ValueError for one in the output folder, whose files would be curated in the next run."""
    own = f'{os.path.abspath(out.expanduser())}{os.sep}'
    for path in paths:
        if path.startswith(own):
            raise ValueError(f'--out {out} holds the input {path}: choose another folder')
        yield path
