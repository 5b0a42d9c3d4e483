"""Render scans of people, textured meshes, with depth, normals and albedo.

SCANS is a folder of meshes, OBJ with MTL and images, PLY or GLB, at any depth: RenderPeople's, THuman2's, or your own. Poses
are those of the scans. Cameras are drawn at random: focal length, direction, height, and face, upper body or full body. Light
comes from rooms and streets, from environment maps with shadows, or from a photograph behind.
The folders of OUT are those that configs of depth, normals, pointmaps and albedo read as render_people (data/README.md).

All scans are looked at first. A missing texture, an unknown unit or a hole is told by the name of its file.

Examples:
    # training data of the depth and normal configs, lit by environment maps
    sapiens scans RenderPeople --out data/render_people --num 500000 --environments hdris
    # a look at 24 images before photographs without people
    sapiens scans RenderPeople --out look --num 24 --backgrounds data/coco/no_people --preview
    # the first 90 % of the scans, so that the others are unseen; with an option of the generator
    sapiens scans RenderPeople --out data/faces --num 5000 --part 0-0.9 --scene "shots={'face': 1}"
    # evaluation: three views of each scan of THuman2, and what configs/{depth,normal} lack of Hi4D
    sapiens scans THuman2.0_Release --out data/thuman2 --protocol thuman2
    sapiens scans data/hi4d --protocol hi4d
    # on all machines of a Ray cluster, which see all folders under the same paths (docs/distributed.md)
    sapiens scans /shared/RenderPeople --out /shared/scans --num 500000 --engine ray --address auto

Image i shows scan i modulo the number of scans, and depends only on --seed, i and the options, not on the number of workers or
the engine. Ctrl-C stops at any time. The same command continues, with another engine too, and a larger --num adds images.
"""

import argparse
import hashlib
import json
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from sapiens.bulk import OutputFolder, build_engine, check_engine
from sapiens.datasets.paired_folders import part_of
from sapiens.synthetic import writer as folders
from sapiens.synthetic.making import Missing, blocks, make
from sapiens.synthetic.scans import hi4d
from sapiens.synthetic.scans.files import find_scans
from sapiens.synthetic.scans.fits import FIT, find_fits, read_scale
from sapiens.synthetic.scans.folders import ScanWriter, finish_scans
from sapiens.synthetic.scans.generator import ScanGenerator, ScanSample
from sapiens.synthetic.scans.inspection import UNITS, Inspector, choose_unit, choose_up, find_doubts
from sapiens.synthetic.scans.scan import UPS
from sapiens.utils.cli import positive, tool_parser
from sapiens.utils.files import write_atomically
from sapiens.utils.progress import LateBar

from . import render

PROTOCOLS = ('thuman2', 'hi4d')
OF_HI4D = ('scans', 'protocol', 'engine', 'workers', 'address', 'verbose')  # options that have an effect there
VIEWS = ('face', 'upper', 'full')  # of THuman2, in the order of their seeds
PUBLISHED_SCANS = 526
NO_FIT = (
    2.26  # meters of a unit of THuman2 where the fits are missing: 1 over the mean of the scales that were published
)
FACTS = 'scans.json'
INSPECTED = '.inspected'
BATCH = 16  # images of one scan that a worker makes in a row: reading a scan takes as long as several images
SHOWN = 10


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = tool_parser(
        __doc__, first=('--out', '--num', '--environments', '--backgrounds', '--protocol', '--size', '--workers')
    )
    add = parser.add_argument
    add('scans', type=Path, metavar='SCANS', help='folder of meshes at any depth, or one mesh')
    text = 'folder of the dataset; created, continued or extended. Of hi4d it is SCANS. With --engine ray all machines see it'
    add('--out', type=Path, help=text)
    add('--num', type=positive, help='images in all, with those that are there already')
    text = 'an evaluation set: thuman2 (three views of each scan) or hi4d (depth and normals of its cameras)'
    add('--protocol', choices=PROTOCOLS, help=text)
    add('--size', type=render._pair('x'), default=(768, 1024), help='width x height in pixels; default: 768x1024')
    add('--seed', type=int, default=0, help='of the whole dataset, another one for each; default: %(default)s')
    add('--environments', type=Path, help='folder of environment maps (.hdr, .exr), for light and behind the scans')
    add('--backgrounds', type=Path, help='folder of photographs without people; their license then applies')
    text = 'of the files: auto (most of them decide), m, cm, mm, the meters of one unit, or smplx: that of the fits of THuman2'
    add('--unit', type=_unit, default='auto', help=text)
    add(
        '--up',
        choices=['auto', *UPS],
        default='auto',
        help='axis of the files that points up; default: most of them decide',
    )
    text = 'range of the scans in the order of their names, such as 0-0.9'
    add('--part', type=_part, default=(0.0, 1.0), metavar='BEGIN-END', help=text)
    add('--labels', default=','.join(ScanWriter.KINDS), help='kinds, with commas between; default: %(default)s')
    add('--format', choices=['png', 'jpg'], default='png', help='of the images; default: %(default)s')
    add('--compact', action='store_true', help='normals as float16 .npz, a fifth of their size, exact to 0.0005')
    add(
        '--preview',
        action='store_true',
        help=f'also draw OUT/preview_*.png of the first {render.PREVIEW_IMAGES} images',
    )
    text = "the generator's further options: shots, background_share, photo, rays, device"
    add('--scene', nargs='+', default=[], metavar='KEY=VALUE', help=text)
    render.add_places(parser)
    args = parser.parse_args(argv)
    if args.protocol is None and args.num is None:
        parser.error('--num is missing: the number of images. With --protocol it is that of the evaluation')
    if args.protocol is not None and args.num is not None:
        parser.error(f'--num {args.num}: the number of images is that of --protocol {args.protocol}')
    if args.protocol == 'hi4d':
        if args.out is not None:
            parser.error('--out: depth and normals of hi4d belong beside its images, in SCANS')
        for name, value in vars(args).items():
            if name not in OF_HI4D and value != parser.get_default(name):
                name = name.replace('_', '-')
                parser.error(f'--{name}: images, cameras and scale of hi4d are those of its release; leave it out')
    elif args.out is None:
        parser.error('--out is missing: the folder of the dataset')
    return args


def _unit(text: str) -> str | float:
    if text in ('auto', 'smplx', *UNITS):
        return text
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f'{text}: expected auto, smplx, {", ".join(UNITS)}, or a number above 0')
    return value


def _part(text: str) -> tuple[float, float]:
    begin, _, end = text.partition('-')
    try:
        return float(begin), float(end)
    except ValueError:
        raise argparse.ArgumentTypeError(f'{text!r}: expected two fractions like 0-0.9') from None


# ---------------------------------------------------------------------- looking at the scans


def inspect_scans(args: argparse.Namespace, make_all: Callable) -> tuple[list[Path], dict]:
    """Look at all scans, and choose their unit and axis.

    Args:
        make_all: :func:`sapiens.synthetic.making.make` with an engine and its folder.

    Returns:
        The paths, and dict(names, facts, units, up, digest).

    Raises:
        FileNotFoundError, ValueError: the folder has no scans, or some cannot be used; the message names them.
    """
    root = Path(os.path.abspath(args.scans.expanduser()))  # workers have another working directory on other machines
    paths = find_scans(root)
    begin, end = part_of(args.part, len(paths), str(root))
    paths = paths[begin:end]
    make_writer(args, args.out)
    scene = dict(shots={VIEWS[0]: 1}) if args.protocol == 'thuman2' else {}
    build = generator_of(args, paths, unit=1.0, up='y', **scene)
    render.gpus_of(args, build.options)
    build()  # wrong options are found out before all scans are read
    inspector = Inspector(root, paths, Path(os.path.abspath(args.out / INSPECTED)))
    missing = Missing(len(paths), inspector.is_made)
    with LateBar(len(paths), len(paths) - len(missing), 'scan', 'looking at the scans') as bar:
        make_all('inspection', inspector, missing, blocks(missing), bar=bar)
    facts = [json.loads(file.read_text()) for file in inspector.files]
    names = [inspector.name(index) for index in range(len(paths))]
    errors = [(index, fact['error']) for index, fact in enumerate(facts) if 'error' in fact]
    for index, _ in errors:
        inspector.files[index].unlink()  # it is looked at again when it was repaired
    if errors:
        more = '' if len(errors) == 1 else f'\n{len(errors)} of {len(facts)} scans cannot be used:\n'
        listing = '\n'.join(text for _, text in errors[:SHOWN])
        raise ValueError(f'{more}{listing}{_and_more(len(errors))}')
    units = choose_units(args, root, paths, names, facts)
    up, warnings = choose_up(names, facts, args.up)
    warnings += find_doubts(names, facts, float(np.median(units)))
    for text in warnings[:SHOWN]:
        print(f'warning: {text}', file=sys.stderr)
    if len(warnings) > SHOWN:
        print(f'warning: {len(warnings) - SHOWN} more in {args.out / FACTS}', file=sys.stderr)
    listing = json.dumps([[name, path.stat().st_size] for name, path in zip(names, paths, strict=True)])
    digest = hashlib.sha256(listing.encode()).hexdigest()[:12]
    return paths, dict(names=names, facts=facts, units=units, up=up, warnings=warnings, digest=digest)


def _and_more(count: int) -> str:
    return f'\nand {count - SHOWN} more' if count > SHOWN else ''


def choose_units(args: argparse.Namespace, root: Path, paths: list, names: list, facts: list) -> list[float]:
    """Meters of a unit of each scan."""
    wanted = args.unit
    if wanted == 'smplx' or (wanted == 'auto' and args.protocol == 'thuman2'):
        fits = find_fits(root, paths)
        lacking = [name for name, fit in zip(names, fits, strict=True) if fit is None]
        if not lacking:
            units = [1 / read_scale(fit) for fit in fits]
            for name, fact, unit in zip(names, facts, units, strict=True):
                choose_unit([name], [fact], unit)  # a person's size by its own fit
            return units
        if wanted == 'smplx':
            raise FileNotFoundError(
                f'--unit smplx: the scan {lacking[0]} has no {FIT} in a folder of its name, below {str(root)!r} or beside it'
            )
        print(
            f'warning: the scan {lacking[0]} has no {FIT}, which has its scale: all are taken with {NO_FIT} meters for a unit. '
            'Errors of depth in meters depend on it',
            file=sys.stderr,
        )
        wanted = NO_FIT
    return [choose_unit(names, facts, wanted)] * len(paths)


# ---------------------------------------------------------------------- rendering


class ScanMaker(render.ImageMaker):
    """Makes images of scans: image i shows scan i modulo their number."""

    def make(self, index: int, seed: int) -> ScanSample:
        return self.generator(seed, index % len(self.generator.scans))

    def about(self, index: int) -> str:
        return f' of the scan {str(self.generator.scans[index % len(self.generator.scans)])!r}'


class Build:
    """Makes a generator, in each worker."""

    def __init__(self, paths: list, options: dict):
        self.paths, self.options = paths, options

    def __call__(self) -> ScanGenerator:
        try:
            return ScanGenerator(self.paths, **self.options)
        except TypeError as error:  # an option that it does not have
            raise ValueError(f'--scene: ScanGenerator does not take these options: {error}') from error


def make_writer(args: argparse.Namespace, out: Path) -> ScanWriter:
    """The writer of a folder."""
    kinds = [kind for kind in ScanWriter.KINDS if kind in args.labels.split(',')]
    unknown = [kind for kind in args.labels.split(',') if kind and kind not in ScanWriter.KINDS]
    return ScanWriter(out, kinds + unknown, args.format, args.compact)


def generator_of(args: argparse.Namespace, paths: list, **own) -> Build:
    """What makes the generator of a folder."""
    maps = None if args.environments is None else str(args.environments.expanduser().resolve())
    return Build(paths, render.generator_options(args, environments=maps, **own))


def batches(missing: Missing, num: int, count: int) -> Iterator[list[int]]:
    """Group images by their scans, in rounds of :data:`BATCH` images of each, so that an interrupted run has the first ones.

    Args:
        num: number of images.
        count: number of scans.
    """
    for begin in range(0, num, BATCH * count):
        end = min(begin + BATCH * count, num)
        for first in range(begin, min(begin + count, end)):
            if batch := [index for index in range(first, end, count) if index in missing]:
                yield batch


def run_folder(
    args: argparse.Namespace, make_all: Callable, paths: list, found: dict, out: Path, num: int, seed: int, scene: dict
) -> None:
    """Render a folder. See :func:`inspect_scans`."""
    writer = make_writer(args, Path(os.path.abspath(out)))
    units = found['units']
    build = generator_of(args, paths, unit=units[0] if len(set(units)) == 1 else units, up=found['up'], **scene)
    maker = ScanMaker(build, writer, seed)
    missing = Missing(num, maker.is_made)
    render.require_space(out, len(missing), num, args.size, writer)
    files = dict(labels=list(writer.kinds), format=args.format, compact=args.compact)
    scans = f'{len(paths)} files, {found["digest"]}'
    folders.begin_folder(out, num, dict(build.options, seed=seed, scans=scans, **files))
    notice = 'the first image: reading a scan and compiling the renderer'
    with LateBar(num, num - len(missing), 'image', notice) as bar:
        gpus = render.gpus_of(args, build.options)
        make_all('scans', maker, missing, batches(missing, num, len(paths)), bar=bar, gpus=gpus)
    licence = f'that of the scans in {args.scans}'
    if args.backgrounds is not None:
        licence += f' and of the backgrounds in {args.backgrounds}'
    if args.environments is not None:
        licence += f' and of the environment maps in {args.environments}'
    card = finish_scans(out, writer, licence)
    print(
        f'{card["images"]} images of {len(card["counts"]["scan"])} scans, {card["bytes"] / 1e9:.2f} GB: {out / folders.CARD}'
    )
    if args.preview:
        print(f'{len(render.draw_previews(out, num))} previews: {out}/preview_*.png')


def run_thuman2(args: argparse.Namespace) -> None:
    """Three views of each scan, in a folder each."""
    with locked(args.out) as out, build_engine(args) as engine:
        make_all = partial(make, engine=engine, out=out)
        paths, found = inspect_scans(args, make_all)
        for number, view in enumerate(VIEWS):
            seed, scene = args.seed + number, dict(shots={view: 1})
            run_folder(args, make_all, paths, found, args.out / view, len(paths), seed, scene)
        _write_facts(args, found)
    other = f'; the published evaluation has {PUBLISHED_SCANS} scans' if len(paths) != PUBLISHED_SCANS else ''
    print(f'{len(VIEWS) * len(paths)} images of {len(paths)} scans{other}')
    _print_next(args.out, 'thuman2')


def run(args: argparse.Namespace) -> None:
    with locked(args.out) as out, build_engine(args) as engine:
        make_all = partial(make, engine=engine, out=out)
        paths, found = inspect_scans(args, make_all)
        run_folder(args, make_all, paths, found, args.out, args.num, args.seed, {})
        _write_facts(args, found)


def locked(folder: Path) -> OutputFolder:
    """A lock, so that a second command does not complete the folder of one that has begun it with more images."""
    return OutputFolder(os.path.abspath(folder), 'wait until it has ended, or give another folder')


def _write_facts(args: argparse.Namespace, found: dict) -> None:
    rows = zip(found['names'], found['facts'], found['units'], strict=True)
    scans = [dict(file=name, **fact, unit=unit) for name, fact, unit in rows]
    content = dict(up=found['up'], warnings=found['warnings'], scans=scans)
    write_atomically(args.out / FACTS, json.dumps(content, indent=1) + '\n')


def _print_next(root: Path, name: str) -> None:
    root = Path(os.path.abspath(root))
    place = f'DATA_ROOT={shlex.quote(str(root.parent))} ' if root.name == name else ''
    where = '' if place else f', with {root} as DATA_ROOT/{name}'
    for task in ('depth', 'normal'):
        print(f'next{where}: {place}sapiens test configs/{task}/sapiens_1b_{name}-1024x768.py sapiens-{task}-1b')


# ---------------------------------------------------------------------- Hi4D


def run_hi4d(args: argparse.Namespace) -> None:
    root = Path(os.path.abspath(args.scans.expanduser()))
    frames = hi4d.find_frames(root)
    for sequence in {frame.sequence: frame for frame in frames}.values():
        hi4d.read_camera(sequence.sequence, hi4d.size_of(sequence.image))  # wrong ones are found out here
    maker = hi4d.FrameMaker(frames, root / INSPECTED)
    with locked(root) as out, build_engine(args) as engine:
        missing = Missing(len(frames), maker.is_made)
        print(f'{root}: {len(missing)} frames to make, {len(frames) - len(missing)} are there')
        notice = 'the first frame: compiling the renderer'
        with LateBar(len(frames), len(frames) - len(missing), 'frame', notice) as bar:
            make('frames', maker, missing, blocks(missing), engine, out, bar)
    rows = [json.loads(maker.file(index).read_text()) for index in range(len(frames)) if maker.file(index).is_file()]
    _report_overlap([row for row in rows if row['overlap'] is not None])
    other = f'; the published evaluation has {hi4d.PUBLISHED_IMAGES}' if len(frames) != hi4d.PUBLISHED_IMAGES else ''
    print(f'{len(frames)} frames of camera {hi4d.CAMERA} with depth and normals{other}')
    _print_next(root, 'hi4d')


def _report_overlap(rows: list[dict]) -> None:
    """Warn where meshes do not cover the released masks: of another camera, unit or frame."""
    if not rows:
        print(
            'warning: no masks of people to compare with (seg/img_seg_mask/4/all): the evaluation needs them',
            file=sys.stderr,
        )
        return
    worst = min(rows, key=lambda row: row['overlap'])
    print(f'intersection over union with the masks: {np.mean([row["overlap"] for row in rows]):.3f} in the mean')
    if worst['overlap'] < 0.8:
        print(
            f'warning: {worst["mesh"]} covers its mask by {worst["overlap"]:.2f} only: is it of this camera and frame?',
            file=sys.stderr,
        )


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clusters and `timeout` stop it as Ctrl-C does
    check_engine(args)
    try:
        dict(thuman2=run_thuman2, hi4d=run_hi4d).get(args.protocol, run)(args)
    except KeyboardInterrupt:
        print('\nStopped. What is complete is kept; the same command continues.', file=sys.stderr)
        sys.exit(130)
    except RuntimeError as error:
        sys.exit(f'error: {error}')
