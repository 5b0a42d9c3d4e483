"""Draw people under another light, a demonstration of albedo and normals.

There are no shadows and no highlights: it is shading only, in linear light (docs/tasks/albedo.md). `sapiens infer relight` is the
same command.

INPUT is an image, a folder, a quoted glob pattern, a .txt list of paths, a URL, or several of these. --model takes a model of
albedo and one of normals, or one of both; a matting or segmentation model in addition cuts people out, and the photograph stays
behind them, darkened. Results go to OUT/NAME.png, with --turn also to OUT/NAME.mp4, in which the light goes once around. Existing
results are skipped. Images that cannot be read are listed at the end. Exit status: 0 all done, 1 some failed, 2 wrong arguments.

Examples:
    sapiens relight photos --model ALBEDO.py sapiens2-normal-1b --checkpoint albedo.pth --out relit
    sapiens relight photo.jpg --model ALBEDO.py NORMAL.py SEG.py --checkpoint a.pth n.pth s.pth --light -60 20 --out relit
    sapiens relight photo.jpg --model SEVERAL_TASKS.py --checkpoint iter_5000.pth --turn 4 --out relit
"""

import argparse
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
from tqdm import tqdm

from sapiens.apis.inputs import find_inputs, is_video
from sapiens.apis.loading.build import read_config
from sapiens.apis.loading.load_model import inference_tasks, load_models, with_checkpoints
from sapiens.apis.output_dir import check_places
from sapiens.apis.pipeline import run
from sapiens.apis.relight import Light, around, relight_results
from sapiens.apis.video.video_file import Frame, VideoWriter
from sapiens.apis.writers.files import is_complete, write_file
from sapiens.utils.cli import add_model_arguments, positive, tool_parser
from sapiens.utils.device import DTYPES
from sapiens.utils.folder_lock import FolderLock

# The first two are needed; one of the others, the first that there is, cuts people out.
TASKS = ('albedo', 'normal', 'matting', 'seg')
RATE = 25  # frames per second


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = tool_parser(__doc__, first=('--checkpoint', '--light', '--turn', '--device'))
    add, default = parser.add_argument, Light()
    add('input', nargs='+', help='images, see below')
    add_model_arguments(parser)
    add('--out', type=Path, required=True, help='output folder')
    add('--overwrite', action='store_true', help='compute existing results again')
    text = 'degrees to the right of the camera and above it, as the camera sees it; default: %(default)s'
    add(
        '--light',
        type=float,
        nargs=2,
        metavar=('RIGHT', 'UP'),
        default=(default.azimuth, default.elevation),
        help=text,
    )
    text = 'brightness of the light, and of an equal light from everywhere; default: %(default)s'
    add('--strength', type=float, nargs=2, metavar=('LIGHT', 'EVERYWHERE'), help=text,
        default=(default.strength, default.ambient))  # fmt: skip
    text = 'color of the light, linear; default: %(default)s'
    add('--color', type=float, nargs=3, metavar=('R', 'G', 'B'), default=default.color, help=text)
    add('--dim', type=float, default=0.25, help='brightness of the photograph behind people; default: %(default)s')
    add('--turn', type=float, metavar='SECONDS', help='also write a video of so many seconds (needs: pip install av)')
    add('--device', default='auto', help='auto, cpu, cuda, cuda:1, mps; default: %(default)s')
    add('--dtype', choices=list(DTYPES), default='fp32', help='default: %(default)s')
    add('--batch-size', type=positive, default=4, help='images computed together; default: %(default)s')
    return parser.parse_args(argv)


def choose_models(args: argparse.Namespace) -> dict[str, dict]:
    """Options of ``load_model`` by task."""
    models: dict[str, dict] = {}
    for model, checkpoint in with_checkpoints(args.model, args.checkpoint):
        for task in inference_tasks(read_config(model)):
            if task in models:
                raise ValueError(f'two models for {task!r}: {models[task]["model"]} and {model}')
            options = dict(model=model, checkpoint=checkpoint, task=task, dtype=args.dtype, batch_size=args.batch_size)
            models[task] = options
    lacking = [task for task in TASKS[:2] if task not in models]
    if lacking:
        known = ', '.join(models)
        raise ValueError(f'relighting needs a model of {" and of ".join(lacking)}; those of --model are for {known}')
    cutting = next((task for task in TASKS[2:] if task in models), None)
    return {task: models[task] for task in (*TASKS[:2], *([cutting] if cutting else []))}


def write_turn(path: Path, draw: Callable[[Light], np.ndarray], light: Light, seconds: float) -> None:
    """Write a video in which the light goes once around."""
    writer = VideoWriter(path, Fraction(RATE))
    for number, turned in enumerate(around(light, max(2, round(seconds * RATE)))):
        writer.write(Frame(draw(turned), Fraction(number, RATE)))
    writer.close()


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    light = Light(*args.light, *args.strength, tuple(args.color))
    if not 0 <= args.dim <= 1:
        raise ValueError(f'--dim {args.dim}: expected a fraction between 0 and 1')
    if args.turn is not None and not 0 < args.turn <= 600:
        raise ValueError(f'--turn {args.turn}: expected seconds, up to 600')
    items = find_inputs(args.input)
    for item in items:
        if is_video(item.source):
            raise ValueError(f'{item.source}: relighting takes images, not videos')
    check_places(items, args.input, args.out)
    models = choose_models(args)
    args.out.mkdir(parents=True, exist_ok=True)
    failed = []
    with FolderLock(args.out, 'wait for that run, or choose another --out'):
        paths = {item.source: args.out / f'{item.name}.png' for item in items}
        videos = {source: path.with_suffix('.mp4') for source, path in paths.items()} if args.turn else {}
        todo = [
            item
            for item in items
            if args.overwrite
            or not is_complete(paths[item.source])
            or (args.turn and not is_complete(videos[item.source]))
        ]
        if len(todo) < len(items):
            print(f'{len(items) - len(todo)} of {len(items)} are there already; --overwrite computes them again')
        jobs = run(load_models(models, args.device), todo) if todo else ()
        for job in tqdm(jobs, total=len(todo), unit='img'):
            if job.error:
                failed.append(job.error if job.item.source in job.error else f'{job.item.source}: {job.error}')
                continue

            def draw(light: Light, results=job.results) -> np.ndarray:
                return relight_results(results, light, args.dim)

            path = paths[job.item.source]
            path.parent.mkdir(parents=True, exist_ok=True)
            if args.turn:
                write_turn(videos[job.item.source], draw, light, args.turn)
            write_file(path, draw(light))  # the last file marks the image as done
    for text in failed:
        print(f'failed: {text}', file=sys.stderr)
    print(f'{len(todo) - len(failed)} images in {args.out}')
    return int(bool(failed))
