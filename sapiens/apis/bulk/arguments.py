"""Arguments of ``sapiens infer`` for inference on units."""

import argparse
import os

from sapiens.bulk import check_engine
from sapiens.utils.cli import positive

from ..batch_job import Plan
from ..inputs import is_inside
from ..output_dir import check_places
from ..path_lists import PATH_COLUMN
from ..results import Saving
from .forms import FORMS
from .run import BulkRun, make_engine
from .units import check_sources

__all__ = ['add_bulk_arguments', 'check_bulk', 'check_without_bulk', 'run_bulk']

IMAGES = 1000
# Options that say something about units, and their defaults.
UNIT_OPTIONS = dict(images_per_unit=None, label_threshold=None, retry_failed=False, address=None)
# Options of a file for each image, and their defaults.
FILE_OPTIONS = dict(
    boxes=None, mask_dir=None, figure=False, csv=False, coco=True, track=False, smooth=False, side_by_side=False,
    max_frames=None, json_layout=Saving.json_layout,
)  # fmt: skip


def add_bulk_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--out-format`` and what belongs to it, and the options of inputs that are lists."""
    add = parser.add_argument_group('any number of images: labels of a teacher, docs/inference.md').add_argument
    text = (
        'files: for each image; coco: one data set of people, annotations.json; parquet: tables with a row for each '
        'image; shards: tar shards with images and labels; default: %(default)s'
    )
    add('--out-format', choices=['files', *FORMS], default='files', help=text)
    text = f'images of a unit of work, which has one table or shard; a tar shard is a unit; default: {IMAGES}'
    add('--images-per-unit', type=positive, metavar='N', help=text)
    text = f'coco, shards: score from which a keypoint counts as labeled; default: {Saving.threshold}'
    add('--label-threshold', type=float, metavar='SCORE', help=text)
    text = 'compute units again that had unreadable images; otherwise they stay as they are'
    add('--retry-failed', action='store_true', help=text)
    add('--column', metavar='NAME', help=f'column of .parquet inputs that has the paths; default: {PATH_COLUMN}')
    text = 'local: processes of this machine; ray: actors of Ray, also on many machines; default: %(default)s'
    add('--engine', choices=['local', 'ray'], default='local', help=text)
    text = 'of a running Ray cluster: auto, or ray://HOST:10001; default: start Ray on this machine'
    add('--address', help=text)


def check_without_bulk(args: argparse.Namespace) -> None:
    """Raise ValueError for options of units without a format that has them."""
    for name, default in dict(UNIT_OPTIONS, engine='local').items():
        if getattr(args, name) != default:
            raise ValueError(f'{_flag(name)} goes with --out-format {", ".join(FORMS)}: add one of them')
    _check_column(args)


def check_bulk(args: argparse.Namespace) -> None:
    """Raise ValueError for options that do not fit together, before anything is loaded."""
    for name, default in FILE_OPTIONS.items():
        if getattr(args, name) != default:
            raise ValueError(f'{_flag(name)} is for a file for each image: leave it out, or --out-format files')
    check_engine(args)
    if args.label_threshold is not None and args.out_format == 'parquet':
        raise ValueError('--label-threshold is for --out-format coco and shards: tables hold all scores')
    _check_column(args)


def run_bulk(args: argparse.Namespace, plan: Plan, devices: list[str]) -> int:
    """Label the inputs of parsed arguments. Returns the number of failures.

    Raises:
        FileNotFoundError, ValueError: inputs that do not exist, or results that the format cannot hold.
        ImportError: Ray is not installed.
    """
    FORMS[plan.form].check(plan)
    check_sources(args.input)
    check_places([], args.input, args.out)
    for source in args.input:
        if is_inside(source, [args.out]):
            raise ValueError(f'--out {args.out} holds the input {source}: choose another folder')
    engine = make_engine(args.engine, args.address, devices, args.jobs_per_device)
    run = BulkRun(
        plan, args.input, args.images_per_unit or IMAGES, args.column or PATH_COLUMN, args.overwrite, args.retry_failed,
        devices[0], args.jobs_per_device,
    )  # fmt: skip
    try:
        return run.write_results(engine)
    finally:
        if hasattr(engine, 'close'):
            engine.close()


def _check_column(args: argparse.Namespace) -> None:
    has_table = any(os.path.splitext(source)[1].lower() == '.parquet' for source in args.input)
    if args.column is not None and not has_table:
        raise ValueError(f'--column {args.column} is that of a .parquet input, and no input is one')


def _flag(name: str) -> str:
    return f'--{"no-" if name == "coco" else ""}{name.replace("_", "-")}'
