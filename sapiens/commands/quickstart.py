"""Render people and pretrain the tiny model on them, in minutes on a CPU.

Nothing is downloaded. --images takes your own images instead of rendered ones. If this version of the package has weights of its
own, keypoints and parts of people are drawn at the end.

Examples:
    sapiens quickstart
    sapiens quickstart --images ~/photos --iterations 1000
"""

import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

from sapiens.apis.own_models import DETECTOR, is_here
from sapiens.checkpoints import ZOO
from sapiens.utils.cli import tool_parser

CONFIG = 'sapiens_tiny_folder-256x256'
WARMUP = 20  # steps, of the config
DRAWN = ('sapiens-tiny-pose17', 'sapiens-tiny-seg28')


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


def draw_people(images: Path | None, out: Path) -> str:
    """Draw keypoints and parts of people by the weights of the package. Returns the line about them, '' without weights.

    Args:
        images: folder; None for the pictures of the package.
    """
    if not all(is_here(ZOO[name]) for name in (DETECTOR, *DRAWN)):
        return ''
    images = images or Path(str(files('sapiens.apis.web'))) / 'examples'
    run_command('infer', 'all', images, '--model', *DRAWN, '--detector', 'embedded', '--figure', '--out', out)
    return f'\n  keypoints    {out / "figure"}   [image | keypoints | parts], by {" and ".join(DRAWN)} of this package'


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
    people = '' if args.images else f'\n  people       {sheets}   beside it depth, normals, parts, keypoints'
    print(f"""
Done: sapiens_tiny was pretrained for {end} steps on the images of {images}
{people}
  picture      {picture}   [original | masked | reconstructed]
  checkpoint   {checkpoint}
  curves       {picture.parent}   tensorboard --logdir {args.work_dir}
  loss values  {newest(args.work_dir, 'scalars.json')}{drawn}

Next (in a clone, first: source .venv/bin/activate):
  longer, on your own images       make quickstart DATA_ROOT=FOLDER
  more people, larger, all labels  sapiens render --help
  held-out loss of a checkpoint    DATA_ROOT={images} sapiens test {CONFIG} {checkpoint}
  features of a folder of images   sapiens features {CONFIG} {checkpoint} {images} --out features
  the real thing on 8 GPUs         bash tools/dist_train.sh configs/mae/sapiens_0.3b_humans300m-1024x1024.py 8
""")
