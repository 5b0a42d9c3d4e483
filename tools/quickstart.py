"""The whole chain in two minutes on a CPU: pretrain the tiny model on a few pictures and say where everything lies.

Without --images the pictures are samples that ship inside scikit-image, so nothing is downloaded.

Examples:
    python tools/quickstart.py
    python tools/quickstart.py --images ~/photos --iterations 1000
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONFIG = 'configs/mae/sapiens_tiny_folder-256x256.py'
# Colour photographs among scikit-image's samples (documents, logos and test patterns are left out).
SAMPLES = ('astronaut.png', 'chelsea.png', 'coffee.png', 'motorcycle_left.png', 'motorcycle_right.png', 'rocket.jpg',
           'hubble_deep_field.jpg', 'retina.jpg', 'ihc.png')  # fmt: skip


def sample_images(folder: Path) -> Path:
    """Copy the samples of scikit-image into ``folder``."""
    import skimage

    source = Path(skimage.__file__).parent / 'data'
    missing = [name for name in SAMPLES if not (source / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f'scikit-image {skimage.__version__} does not ship {", ".join(missing)} in {source}; '
            'give your own pictures with --images FOLDER (make quickstart DATA_ROOT=FOLDER)'
        )
    folder.mkdir(parents=True, exist_ok=True)
    for name in SAMPLES:
        shutil.copy(source / name, folder / name)
    return folder


def newest(folder: Path, pattern: str) -> Path:
    """The last written file that matches, with an error if there is none."""
    files = sorted(folder.rglob(pattern), key=lambda path: path.stat().st_mtime)
    if not files:
        raise FileNotFoundError(f'the run left no {pattern} in {folder}: its log above says why')
    return files[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--images', type=Path, help='folder of your own pictures (default: samples of scikit-image)')
    parser.add_argument('--iterations', type=int, default=400, help='training steps (default: %(default)s)')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/quickstart'), help='default: %(default)s')
    args = parser.parse_args()
    images = args.images or sample_images(args.work_dir / 'images')
    if not images.is_dir():
        sys.exit(f'--images {images} is not a folder')

    end = args.iterations
    options = [f'train_cfg.max_iters={end}', f'train_cfg.val_interval={end}', f'param_scheduler.1.T_max={end - 20}',
               f'param_scheduler.1.end={end}']  # fmt: skip
    command = [sys.executable, 'tools/train.py', CONFIG, '--work-dir', str(args.work_dir.resolve())]
    environment = dict(os.environ, DATA_ROOT=str(images.resolve()))
    result = subprocess.run([*command, '--cfg-options', *options], cwd=ROOT, env=environment)
    if result.returncode:
        sys.exit(result.returncode)

    checkpoint = newest(args.work_dir, 'iter_*.pth')
    picture = newest(args.work_dir, 'reconstruction_*.png')
    print(f"""
Done: sapiens_tiny was pretrained for {end} steps on the images of {images}

  picture      {picture}   [original | masked | reconstructed]
  checkpoint   {checkpoint}
  curves       {picture.parent}   tensorboard --logdir {args.work_dir}
  loss values  {newest(args.work_dir, 'scalars.json')}

Next:
  longer, on your own pictures     make quickstart DATA_ROOT=FOLDER
  held-out loss of a checkpoint    DATA_ROOT={images} python tools/test.py {CONFIG} {checkpoint}
  features of a folder of images   python tools/extract_features.py {CONFIG} {checkpoint} {images} --out features
  the real thing on 8 GPUs         bash tools/dist_train.sh configs/mae/sapiens_0.3b_humans300m-1024x1024.py 8
""")


if __name__ == '__main__':
    main()
