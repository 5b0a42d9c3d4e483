"""The whole chain in minutes on a CPU: make pictures of people, pretrain the tiny model on them, say where everything lies.

Without --images the pictures are rendered (docs/synthetic.md), so nothing is downloaded.

Examples:
    python tools/quickstart.py
    python tools/quickstart.py --images ~/photos --iterations 1000
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONFIG = 'configs/mae/sapiens_tiny_folder-256x256.py'


def run(command: list, environment: dict | None = None) -> None:
    """Run a tool of this repository; its failure ends this one with the same status."""
    result = subprocess.run([sys.executable, *map(str, command)], cwd=ROOT, env=environment)
    if result.returncode:
        sys.exit(result.returncode)


def render_people(folder: Path, num: int) -> Path:
    """Make synthetic people with every label; returns the folder of the images."""
    command = ['tools/data/make_synthetic_humans.py', '--out', folder, '--num', num]
    run([*command, '--size', '288x384', '--people', '1-2', '--compact', '--preview'])
    return folder / 'rgb'


def newest(folder: Path, pattern: str) -> Path:
    """The last written file that matches, with an error if there is none."""
    files = sorted(folder.rglob(pattern), key=lambda path: path.stat().st_mtime)
    if not files:
        raise FileNotFoundError(f'the run left no {pattern} in {folder}: its log above says why')
    return files[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--images', type=Path, help='folder of your own pictures (default: rendered people)')
    parser.add_argument('--people', type=int, default=64, help='pictures to render; default: %(default)s')
    parser.add_argument('--iterations', type=int, default=400, help='training steps; default: %(default)s')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/quickstart'), help='default: %(default)s')
    args = parser.parse_args()
    work_dir = args.work_dir.resolve()
    if args.images and not args.images.is_dir():
        sys.exit(f'--images {args.images} is not a folder')
    images = args.images or render_people(work_dir / 'people', args.people)

    end = args.iterations
    options = [f'train_cfg.max_iters={end}', f'train_cfg.val_interval={end}', f'param_scheduler.1.T_max={end - 20}',
               f'param_scheduler.1.end={end}']  # fmt: skip
    environment = dict(os.environ, DATA_ROOT=str(images.resolve()))
    run(['tools/train.py', CONFIG, '--work-dir', work_dir, '--cfg-options', *options], environment)

    checkpoint = newest(args.work_dir, 'iter_*.pth')
    picture = newest(args.work_dir, 'reconstruction_*.png')
    sheets = work_dir / 'people' / 'preview_rgb.png'
    people = '' if args.images else f'\n  people       {sheets}   beside it depth, normals, parts, keypoints'
    print(f"""
Done: sapiens_tiny was pretrained for {end} steps on the images of {images}
{people}
  picture      {picture}   [original | masked | reconstructed]
  checkpoint   {checkpoint}
  curves       {picture.parent}   tensorboard --logdir {args.work_dir}
  loss values  {newest(args.work_dir, 'scalars.json')}

Next:
  longer, on your own pictures     make quickstart DATA_ROOT=FOLDER
  more people, larger, all labels  python tools/data/make_synthetic_humans.py --help
  held-out loss of a checkpoint    DATA_ROOT={images} python tools/test.py {CONFIG} {checkpoint}
  features of a folder of images   python tools/extract_features.py {CONFIG} {checkpoint} {images} --out features
  the real thing on 8 GPUs         bash tools/dist_train.sh configs/mae/sapiens_0.3b_humans300m-1024x1024.py 8
""")


if __name__ == '__main__':
    main()
