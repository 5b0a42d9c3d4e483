"""Render a dataset of synthetic people with exact labels.

The folders follow the published Sapiens data and COCO. Every image has a mask of the people, depth, surface normals, body parts
(28 classes of Goliath, 20 of LIP), instances, albedo, alpha, foreground, the camera, and 17, 133 and 308 keypoints of each
person. A pointmap is computed from depth and camera, it has no files.
OUT/dataset_card.json describes the files, their units and conventions, their number and the license.

Examples:
    # 24 images with a preview of each kind of label
    sapiens render --out data/synthetic/look --num 24 --preview
    # 10000 images on 16 cores, with photographs without people behind most of them, for pose only
    sapiens render --out data/synthetic/pose --num 10000 --workers 16 \\
        --backgrounds data/coco/no_people --labels mask,instance --format jpg
    # for matting: more rays on hair, so that alpha has 16 levels there
    sapiens render --out data/synthetic/matting --num 10000 --labels mask,alpha,foreground --scene hair_rays=15
    # close-ups of one person, with an option of the generator
    sapiens render --out data/synthetic/faces --num 500 --people 1-1 \\
        --scene "shots={'head': 1}"
    # on all machines of a Ray cluster, which see the folder under the same path (docs/distributed.md)
    sapiens render --out /shared/people --num 1000000 --engine ray --address auto

Image i depends only on --seed, i and the options, not on the number of workers or the engine. Ctrl-C stops at any time. The same
command continues, with another engine too, and a larger --num adds images.

Keypoints are COCO files in annotations/, for mmpose's CocoDataset and CocoWholeBodyDataset too (data_root=OUT,
data_prefix=dict(img='')). Dense labels have the names of their images: rgb/000000.png, depth/000000.npy.
"""

import argparse
import ast
import importlib
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sapiens.bulk import OutputFolder, UnitFailed, add_engine_arguments, build_engine, check_engine
from sapiens.datasets.draw import hash63
from sapiens.metainfo import get_classes
from sapiens.metainfo.palettes import PALETTES, with_palette
from sapiens.synthetic import writer as folders
from sapiens.synthetic.annotations import FILES
from sapiens.synthetic.making import Maker, Missing, blocks, check_inputs, inputs_of, make
from sapiens.utils.cli import above_zero, positive, tool_parser
from sapiens.utils.matte import multiply
from sapiens.utils.progress import LateBar
from sapiens.utils.srgb import encode_srgb
from sapiens.visualization import labels as draw
from sapiens.visualization.layout import contact_sheet, fit
from sapiens.visualization.matting import CHROMA_GREEN, over

from . import is_user_error

GENERATOR = 'sapiens.synthetic.generator:HumanGenerator'
PREVIEW_IMAGES, PREVIEW_SIDE, PREVIEW_COLUMNS = 24, 420, 8


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = tool_parser(__doc__, first=('--size', '--people', '--labels', '--workers', '--seed'))
    add = parser.add_argument
    text = 'folder of the dataset; created, continued or extended. With --engine ray all machines have to see it'
    add('--out', type=Path, required=True, help=text)
    add('--num', type=positive, required=True, help='images in all, with those that are there already')
    add('--size', type=_pair('x'), default=(768, 1024), help='width x height in pixels; default: 768x1024')
    add('--seed', type=int, default=0, help='of the whole dataset, another one for each; default: %(default)s')
    add('--people', type=_pair('-'), default=(1, 4), help='fewest and most people in an image; default: 1-4')
    add('--backgrounds', type=Path, help='folder of photographs without people; their license then applies')
    add('--labels', default=','.join(folders.KINDS), help='kinds, with commas between; default: %(default)s')
    add('--format', choices=['png', 'jpg'], default='png', help='of the images; default: %(default)s')
    add('--compact', action='store_true', help='normals as float16 .npz, a fifth of their size, exact to 0.0005')
    add('--preview', action='store_true', help=f'also draw OUT/preview_*.png of the first {PREVIEW_IMAGES} images')
    text = "the generator's further options, see its docstring"
    add('--scene', nargs='+', default=[], metavar='KEY=VALUE', help=text)
    add('--generator', default=GENERATOR, metavar='MODULE:CLASS', help='one of your own; default: %(default)s')
    add_places(parser)
    return parser.parse_args(argv)


def add_places(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where images are made."""
    add_engine_arguments(parser)
    text = 'GPUs that each worker holds with --scene device=cuda, also a fraction; default: 1'
    parser.add_argument('--gpus-per-worker', type=above_zero, metavar='NUMBER', help=text)


def gpus_of(args: argparse.Namespace, options: dict) -> float:
    """GPUs that a worker holds.

    Args:
        options: of the generator.

    Raises:
        ValueError: options that say something about GPUs, and no rays are cast there.
    """
    if str(options.get('device', 'cpu')).startswith('cuda'):
        return args.gpus_per_worker or 1
    for name in ('gpus_per_worker', 'devices'):
        if getattr(args, name):
            raise ValueError(
                f'--{name.replace("_", "-")} has no effect without --scene device=cuda, which casts rays on GPUs'
            )
    return 0


def _pair(separator: str):
    def parse(text: str) -> tuple[int, int]:
        first, found, second = text.partition(separator)
        if not (found and first.isdigit() and second.isdigit()):
            raise argparse.ArgumentTypeError(f'{text!r}: expected two whole numbers like 3{separator}4')
        return int(first), int(second)

    return parse


def generator_options(args: argparse.Namespace, **own) -> dict:
    """What the generator is built with, beside the options of one command. Raises ValueError for what is not KEY=VALUE."""
    options = dict(size=args.size, **own, backgrounds=None)
    if args.backgrounds is not None:
        options['backgrounds'] = str(args.backgrounds.expanduser().resolve())
    for item in args.scene:
        key, found, value = item.partition('=')
        if not found or key in options:
            raise ValueError(f'--scene {item!r}: expected KEY=VALUE with a key that has no separate option')
        try:
            options[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            options[key] = value
    if 'background_share' in options and args.backgrounds is None:
        raise ValueError(
            f'--scene background_share={options["background_share"]} has no effect without --backgrounds FOLDER'
        )
    return options


def build_generator(name: str, options: dict):
    module, _, attribute = name.partition(':')
    try:
        generator = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f'cannot import {name}: {error} (the renderer needs: pip install "sapiens[optional]")'
        ) from error
    try:
        return generator(**options)
    except TypeError as error:  # an option that it does not have
        raise ValueError(f'{name} does not take these options: {error}') from error


class ImageMaker(Maker):
    """Makes the images of a folder.

    Args:
        build: makes the generator.
        writer: of the files.
        seed: of the dataset.
        again: Python that makes the generator, for messages about images that fail.

    Attributes:
        generator: of this process; each worker builds its own at the first image.
        inputs: what it draws from. That of a worker has to draw from the same.

    Raises:
        ValueError: the generator does not take its options.
    """

    def __init__(self, build: Callable, writer: folders.SampleWriter, seed: int, again: str = ''):
        self.build, self.writer, self.seed, self.again = build, writer, seed, again
        self.generator = build()
        self.inputs = inputs_of(self.generator)

    def __getstate__(self) -> dict:
        return dict(vars(self), generator=None)

    def is_made(self, index: int) -> bool:
        return self.writer.is_complete(index)

    def __call__(self, index: int) -> None:
        if self.generator is None:
            self.generator = self.build()
            check_inputs(self.generator, self.inputs)
        seed = hash63(self.seed, index)
        try:
            self.writer.write(index, self.make(index, seed))
        except Exception as error:
            if is_user_error(error):  # such as an image that cannot be read
                raise UnitFailed(f'image {index}{self.about(index)}: {error}') from None
            again = f'\nTo see it again:\n{self.again}({seed})' if self.again else ''
            raise UnitFailed(
                f'{traceback.format_exc()}\nimage {index} (seed {seed}){self.about(index)} failed: '
                f'{type(error).__name__}: {error}{again}'
            ) from None

    def make(self, index: int, seed: int) -> Any:
        """Return the sample of an image."""
        return self.generator(seed)

    def about(self, index: int) -> str:
        """What a message says about an image, after its seed."""
        return ''


def draw_previews(root: Path, images: int) -> list[Path]:
    """Draw a sheet of each kind of label that is there. Returns the files."""
    sheets: dict[str, list] = {}
    for index in range(min(images, PREVIEW_IMAGES)):
        for kind, tile in preview_tiles(folders.read_labels(root, index)).items():
            sheets.setdefault(kind, []).append(tile)
    paths = []
    for kind, tiles in sheets.items():
        names = [f'{index:06d}' for index in range(len(tiles))]
        sheet = contact_sheet(tiles, PREVIEW_COLUMNS, names)
        paths.append(root / f'preview_{kind}.png')
        cv2.imwrite(str(paths[-1]), sheet[..., ::-1])
    return paths


def preview_tiles(labels: dict) -> dict:
    """Draw one small preview of each kind of label of an image."""
    entry, full = labels['entry'], labels['rgb']
    image = fit(full, PREVIEW_SIDE)
    small = {
        kind: fit(labels[kind], PREVIEW_SIDE, nearest=True)
        for kind in ('mask', 'depth', 'normal', 'seg', 'seg29', 'lip', 'instance')
        if kind in labels
    }
    tiles = dict(rgb=image)
    colours = {
        kind: (with_palette(get_classes(name), PALETTES[0]).palette, 0.7)
        for kind, name in dict(seg='goliath28', seg29='goliath29', lip='lip20').items()
    }
    colours['instance'] = draw.distinct_palette(21), 0.6
    for kind, (palette, opacity) in colours.items():
        if kind in small:
            tiles[kind] = draw.draw_segmentation(image, small[kind], palette, opacity)
    if 'depth' in small:
        valid = (small['depth'] > 0) & (small['mask'] > 0) if 'mask' in small else None
        tiles['depth'] = draw.draw_depth(small['depth'], valid)
    if 'normal' in small:
        tiles['normal'] = draw.draw_normals(small['normal'])
    if 'mask' in small:
        tiles['mask'] = np.repeat(small['mask'][..., None], 3, -1)
    if 'alpha' in labels:
        tiles['alpha'] = np.repeat(fit(labels['alpha'], PREVIEW_SIDE)[..., None], 3, -1)
    if 'foreground' in labels:
        alpha = labels['foreground'][..., 3] / np.float32(255)
        composed = over(multiply(labels['foreground'][..., :3], alpha), alpha, CHROMA_GREEN)
        tiles['foreground'] = fit(composed, PREVIEW_SIDE)
    if 'albedo' in labels:
        colors = fit(labels['albedo'], PREVIEW_SIDE) / np.float32(65535)
        coded = colors if entry.get('albedo_coding') == 'srgb' else encode_srgb(colors)
        tiles['albedo'] = np.rint(coded * 255).astype(np.uint8)
    scale = image.shape[1] / full.shape[1]
    boxes = np.array([person['bbox'] for person in entry['people']]).reshape(-1, 4) * scale
    for name in FILES if all('keypoints' in person for person in entry['people']) else ():
        count = name.lstrip('abcdefghijklmnopqrstuvwxyz')
        picture = draw.draw_boxes(image, boxes, thickness=1) if name == 'coco17' else image
        for person in entry['people']:
            points = np.array(person['keypoints'][name]).reshape(-1, 3)
            points[:, :2] = (points[:, :2] + 0.5) * scale - 0.5
            picture = draw.draw_keypoints(picture, points, name, 3 if name == 'coco17' else 1.3)
        tiles[f'pose{count}'] = picture
    return tiles


def require_space(out: Path, missing: int, num: int, size: tuple, writer: folders.SampleWriter) -> None:
    """Say what is to be made. Raises ValueError where the disk has no space for it."""
    need = missing * folders.estimate_bytes(size, writer)
    place = next(folder for folder in (out, *out.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(place).free
    print(
        f'{out}: {missing} images of {size[0]} x {size[1]} to make, {num - missing} are there; about {need / 1e9:.2f} GB more, '
        f'{free / 1e9:.1f} GB free'
    )
    if need > free:
        raise ValueError(
            f'{out} has {free / 1e9:.1f} GB free, about {need / 1e9:.1f} GB are needed: fewer --num, --labels without normal, '
            '--compact, --format jpg, or another disk'
        )


def run(args: argparse.Namespace) -> None:
    check_engine(args)
    kinds = [kind for kind in folders.KINDS if kind in args.labels.split(',')]
    unknown = [kind for kind in args.labels.split(',') if kind and kind not in folders.KINDS]
    # Workers have another working directory on other machines.
    writer = folders.SampleWriter(os.path.abspath(args.out), kinds + unknown, args.format, args.compact)
    options = generator_options(args, people=args.people)
    gpus = gpus_of(args, options)
    module, _, attribute = args.generator.partition(':')
    again = f'    from {module} import {attribute}\n    {attribute}(**{options!r})'
    maker = ImageMaker(partial(build_generator, args.generator, options), writer, args.seed, again)
    with OutputFolder(writer.root, 'wait until it has ended, or give another --out') as out:
        missing = Missing(args.num, maker.is_made)
        require_space(args.out, len(missing), args.num, args.size, writer)
        for other in folders.folders_of_seed(args.out, args.seed):
            print(
                f'warning: {other} was rendered with the same --seed {args.seed}: images of the same number show the same '
                'scene. Training and held-out data need different seeds',
                file=sys.stderr,
            )
        with build_engine(args) as engine:
            files = dict(labels=kinds, format=args.format, compact=args.compact)
            begun = dict(options, seed=args.seed, generator=args.generator, **files)
            folders.begin_folder(args.out, args.num, begun)
            notice = 'the first image: loading people and compiling the renderer'
            with LateBar(args.num, args.num - len(missing), 'image', notice) as bar:
                make('render', maker, missing, blocks(missing), engine, out, bar, gpus)
        card = folders.finish_folder(args.out, writer)
    print(
        f'{card["images"]} images with {card["people"]} people, {card["bytes"] / 1e9:.2f} GB: {args.out / folders.CARD}'
    )
    if args.preview:
        paths = draw_previews(args.out, args.num)
        names = ', '.join(path.stem.removeprefix('preview_') for path in paths)
        print(f'{len(paths)} previews: {args.out}/preview_*.png ({names})')


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clusters and `timeout` stop it as Ctrl-C does
    try:
        run(args)
    except KeyboardInterrupt:
        print(f'\nStopped. Complete samples in {args.out} are kept; the same command continues.', file=sys.stderr)
        sys.exit(130)
    except RuntimeError as error:
        sys.exit(f'error: {error}')
