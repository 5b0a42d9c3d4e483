"""Train the tiny normal model on rendered scans and on synthetic people, and compare on held-out synthetic people.

Scans are synthetic people that are written as OBJ files in RenderPeople's layout, in centimeters, and rendered by ``sapiens
scans``. Both sides have one person in an image, as many images, the same config, iterations and seeds. The goal is a mean angle
within 1.5 degrees of that of the generator's own images.

Examples:
    python tools/benchmark/scans_training.py --work-dir work_dirs/scans
    python tools/benchmark/scans_training.py --work-dir work_dirs/scans --people 2 --images 16 --held-out 4 --iterations 4
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from sapiens.utils.cli import positive, tool_parser

CONFIG = 'normal/sapiens_tiny_synthetic-128x96'
METRIC = 'normal/mean'
GOAL = 1.5  # degrees


def main() -> None:
    parser = tool_parser(__doc__)
    parser.add_argument(
        '--work-dir', type=Path, required=True, help='for scans, images and trainings; a second run goes on'
    )
    parser.add_argument('--people', type=positive, default=40, help='scans; default: %(default)s')
    parser.add_argument('--images', type=positive, default=200, help='of each side; default: %(default)s')
    parser.add_argument('--held-out', type=positive, default=100, help='images; default: %(default)s')
    parser.add_argument('--iterations', type=positive, default=1000, help='of a training; default: %(default)s')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1], help='of the trainings; default: %(default)s')
    parser.add_argument('--workers', type=int, default=2, help='processes that render; default: %(default)s')
    args = parser.parse_args()
    root = args.work_dir.absolute()
    export(root / 'rp', args.people)
    common = ['--size', '192x256', '--workers', args.workers]
    sapiens('scans', root / 'rp', '--out', root / 'scans/synthetic/train', '--num', args.images, *common)
    people = ['--people', '1-1', '--labels', 'mask,normal,alpha', *common]
    sapiens('render', '--out', root / 'people/synthetic/train', '--num', args.images, *people)
    held_out = root / 'held_out'
    sapiens('render', '--out', held_out, '--num', args.held_out, '--seed', 1, *people)
    angles: dict[str, list] = {}
    for side in ('people', 'scans'):
        val = root / side / 'synthetic/val'
        if not val.exists():
            val.symlink_to(held_out, target_is_directory=True)
        for seed in args.seeds:
            angles.setdefault(side, []).append(train(root, side, seed, args.iterations))
    print(
        f'\n{args.images} images, {args.iterations} iterations: mean angle on {args.held_out} held-out images, degrees\n'
    )
    print(f'| trained on | {" | ".join(f"seed {seed}" for seed in args.seeds)} | mean |')
    print(f'|---|{"--:|" * (len(args.seeds) + 1)}')
    for side, name in (('people', 'synthetic people'), ('scans', 'their scans')):
        cells = [f'{value:.2f}' for value in (*angles[side], np.mean(angles[side]))]
        print(f'| {name} | {" | ".join(cells)} |')
    difference = np.mean(angles['scans']) - np.mean(angles['people'])
    print(f'\nscans - people: {difference:+.2f} degrees; goal: at most {GOAL}')


def export(folder: Path, count: int) -> None:
    """Write people as scans. They are those of other seeds than the images of both sides."""
    from sapiens.synthetic.body import load_body
    from sapiens.synthetic.person import dress_figure, sample_figure
    from sapiens.synthetic.scans.baking import bake, write_obj

    for number in range(count):
        name = f'rp_person{number:03d}_posed_{number:03d}'
        path = folder / f'{name}_OBJ/{name}_100k.obj'
        if path.with_suffix('.mtl').is_file() and (path.parent / f'tex/{name}_dif.jpg').is_file():
            continue
        rng = np.random.default_rng((2, number))
        person = dress_figure(load_body(), sample_figure(load_body(), rng))
        write_obj(path, bake(person.surfaces), f'tex/{name}_dif.jpg', unit=100)


def train(root: Path, side: str, seed: int, iterations: int) -> float:
    """Mean angle after a training, in degrees."""
    out = root / f'runs/{side}_{seed}'
    result = out / 'result.json'
    if not result.is_file():
        warm = max(min(200, iterations // 4), 2)
        steps = [
            f'train_cfg.max_iters={iterations}', f'train_cfg.val_interval={iterations}', f'randomness.seed={seed}',
            f'param_scheduler.0.end={warm}', f'param_scheduler.1.begin={warm}', f'param_scheduler.1.end={iterations}',
        ]  # fmt: skip
        sapiens('train', CONFIG, '--work-dir', out, '--cfg-options', *steps, DATA_ROOT=root / side)
        sapiens(
            'test',
            CONFIG,
            out / f'iter_{iterations}.pth',
            '--work-dir',
            out / 'test',
            '--out',
            result,
            DATA_ROOT=root / side,
        )
    return float(json.loads(result.read_text())[METRIC])


def sapiens(*arguments, **environment) -> None:
    command = [sys.executable, '-m', 'sapiens.commands', *map(str, arguments)]
    result = subprocess.run(command, env=dict(os.environ, **{key: str(value) for key, value in environment.items()}))
    if result.returncode:  # The command has said why.
        sys.exit(result.returncode)


if __name__ == '__main__':
    main()
