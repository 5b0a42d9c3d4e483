"""Render people and pretrain the tiny model on them, in minutes on a CPU.

Nothing is downloaded. --images takes your own images instead of rendered ones. Where the package has its own weights, people are
found at the end, and their keypoints and parts are drawn: on a few of your images, else on the rendered pictures of the package
and on two photographs of scikit-image.

Examples:
    sapiens quickstart
    sapiens quickstart --images ~/photos --iterations 1000
"""

import contextlib
import os
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

from sapiens.apis.inputs import find_images, find_inputs, read_pixels
from sapiens.apis.own_models import DETECTOR, is_here
from sapiens.apis.writers.files import write_file
from sapiens.checkpoints import ZOO
from sapiens.utils.cli import tool_parser
from sapiens.visualization.layout import contact_sheet, fit_width

CONFIG = 'sapiens_tiny_folder-256x256'
WARMUP = 20  # steps, of the config
DRAWN = ('sapiens-tiny-pose17', 'sapiens-tiny-seg28')
PHOTOGRAPHS = ('astronaut.png', 'camera.png')  # of scikit-image: NASA, public domain, and Lav Varshney, CC0
PICTURES, WIDTH = 6, 1200  # images on which people are drawn, and pixels of the width of the drawing of each


def run_command(*arguments, **environment: str) -> None:
    """Run another command in a separate process. If it fails, exit with its status."""
    command = [sys.executable, '-m', 'sapiens.commands', *map(str, arguments)]
    result = subprocess.run(command, env=dict(os.environ, **environment))
    if result.returncode:
        sys.exit(result.returncode)


def newest(folder: Path, pattern: str) -> Path:
    """The newest file that matches a pattern. FileNotFoundError if there is none."""
    files = sorted(folder.rglob(pattern), key=lambda path: path.stat().st_mtime)
    if not files:
        raise FileNotFoundError(f'the run left no {pattern} in {folder}: its log above says why')
    return files[-1]


def some_images(folder: Path | None) -> list[Path]:
    """A few images of a folder, from its first to its last ones. Without a folder, or where it has only shards, those of the
    package and two photographs."""
    try:
        found = find_images(folder) if folder else []
    except ValueError:
        found = []
    if not found:
        rendered = sorted(Path(str(files('sapiens.apis.web')), 'examples').glob('*.jpg'))
        photographs = (Path(str(files('skimage')), 'data', name) for name in PHOTOGRAPHS)
        found = [*rendered, *(path for path in photographs if path.is_file())]
    number = min(PICTURES, len(found))
    return [found[index * len(found) // number] for index in range(number)]


def draw_people(images: Path | None, out: Path) -> str:
    """Find people by the weights of the package, and draw their keypoints and parts into one picture, ``out/people.jpg``.

    Args:
        images: folder of which a few images are taken; None for those of :func:`some_images`.

    Returns:
        the line about the picture; '' without weights, or where no image could be read.
    """
    if not all(is_here(ZOO[name]) for name in (DETECTOR, *DRAWN)):
        return ''
    chosen, figures = some_images(images), out / 'figure'
    shutil.rmtree(figures, ignore_errors=True)  # of an earlier quickstart
    options = [
        '--detector',
        'embedded',
        '--show-boxes',
        '--figure',
        '--picture-format',
        'jpg',
        '--overwrite',
        '--out',
        out,
    ]
    with contextlib.suppress(SystemExit):  # the command has said which images cannot be read; the others are drawn
        run_command('infer', 'all', *chosen, '--model', *DRAWN, *options)
    drawn = [figures / f'{item.name}.jpg' for item in find_inputs(chosen)]
    drawn = [fit_width(read_pixels(path), WIDTH) for path in drawn if path.is_file()]
    if not drawn:
        return ''
    picture = out / 'people.jpg'
    write_file(picture, contact_sheet(drawn, columns=1 if len(drawn) < 4 else 2))
    return f'\n  keypoints    {picture}   [image | keypoints | parts], by {" and ".join(DRAWN)} of this package'


def main(argv: list[str] | None = None) -> None:
    parser = tool_parser(__doc__)
    parser.add_argument('--images', type=Path, help='folder of your own images (default: rendered people)')
    parser.add_argument('--people', type=int, default=64, help='images to render; default: %(default)s')
    parser.add_argument('--iterations', type=int, default=400, help='training steps; default: %(default)s')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/quickstart'), help='default: %(default)s')
    args = parser.parse_args(argv)
    work_dir = args.work_dir.resolve()
    if args.images and not args.images.is_dir():
        raise FileNotFoundError(f'--images {args.images} is not a folder')
    if args.iterations <= WARMUP:
        parser.error(f'--iterations {args.iterations}: expected more than {WARMUP}, in which the learning rate rises')
    images = args.images or work_dir / 'people' / 'rgb'
    if not args.images:
        options = ['--size', '288x384', '--people', '1-2', '--compact', '--preview']
        run_command('render', '--out', images.parent, '--num', args.people, *options)

    end = args.iterations
    options = [f'train_cfg.max_iters={end}', f'train_cfg.val_interval={end}', f'param_scheduler.1.T_max={end - WARMUP}',
               f'param_scheduler.1.end={end}']  # fmt: skip
    data_root = str(images.resolve())
    run_command('train', CONFIG, '--work-dir', work_dir, '--cfg-options', *options, DATA_ROOT=data_root)

    checkpoint = newest(args.work_dir, 'iter_*.pth')
    picture = newest(args.work_dir, 'reconstruction_*.png')
    sheets = work_dir / 'people' / 'preview_rgb.png'
    drawn = draw_people(args.images, work_dir / 'drawn')
    infer = '\n  people in your photographs       sapiens infer all FOLDER --figure --out results' if drawn else ''
    people = '' if args.images else f'\n  people       {sheets}   beside it depth, normals, parts, keypoints'
    print(f"""
Done: sapiens_tiny was pretrained for {end} steps on the images of {images}
{people}
  picture      {picture}   [original | masked | reconstructed]
  checkpoint   {checkpoint}
  curves       {picture.parent}   tensorboard --logdir {args.work_dir}
  loss values  {newest(args.work_dir, 'scalars.json')}{drawn}

Next (in a clone, first: source .venv/bin/activate):{infer}
  longer, on your own images       make quickstart DATA_ROOT=FOLDER
  more people, larger, all labels  sapiens render --help
  held-out loss of a checkpoint    DATA_ROOT={images} sapiens test {CONFIG} {checkpoint}
  features of a folder of images   sapiens features {CONFIG} {checkpoint} {images} --out features
  the real thing on 8 GPUs         bash tools/dist_train.sh configs/mae/sapiens_0.3b_humans300m-1024x1024.py 8
""")
