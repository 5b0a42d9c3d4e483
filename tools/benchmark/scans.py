"""Time the rendering of scans beside that of synthetic people: images per second and core, in one run.

Scans are rendered people that are written as OBJ with an image of 4096 x 4096 pixels and read again. Both sides draw one person
with all labels, alternately; nothing else is written. One process, one thread, CPU time. A range is that of the repeats.

Examples:
    python tools/benchmark/scans.py
    python tools/benchmark/scans.py --size 192x256 --num 6 --repeats 3 --scans 2
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from sapiens.utils.cli import positive, tool_parser


def main() -> None:
    parser = tool_parser(__doc__)
    parser.add_argument('--size', nargs='+', default=['768x1024', '192x256'], help='WxH; default: %(default)s')
    parser.add_argument('--scans', type=positive, default=2, help='files; default: %(default)s')
    parser.add_argument(
        '--num', type=positive, default=8, help='images of each side in a repeat; default: %(default)s'
    )
    parser.add_argument('--repeats', type=positive, default=5, help='default: %(default)s')
    args = parser.parse_args()
    torch.set_num_threads(1)

    from sapiens.synthetic import HumanGenerator
    from sapiens.synthetic.body import load_body
    from sapiens.synthetic.person import dress_figure, sample_figure
    from sapiens.synthetic.scans.baking import bake, write_obj
    from sapiens.synthetic.scans.files import find_scans
    from sapiens.synthetic.scans.generator import ScanGenerator

    with tempfile.TemporaryDirectory() as folder:
        triangles = []
        for number in range(args.scans):
            rng = np.random.default_rng(number)
            baked = bake(dress_figure(load_body(), sample_figure(load_body(), rng, 'stand')).surfaces, 4096)
            write_obj(Path(folder, f'{number:04d}', f'{number:04d}.obj'), baked)
            triangles.append(len(baked.faces))
        paths = find_scans(folder)
        print(f'{len(paths)} scans of {min(triangles)} to {max(triangles)} triangles')
        print(
            '| size (W x H) | scans, images/s per core | synthetic people, images/s per core | ratio | reading a scan, CPU s |'
        )
        print('|---|--:|--:|--:|--:|')
        for text in args.size:
            size = tuple(int(number) for number in text.split('x'))
            people = HumanGenerator(size, people=(1, 1))
            reading, rates = [], []
            for repeat in range(args.repeats + 1):
                scans = ScanGenerator(paths[:1], size=size)
                start = time.process_time()
                scans.scan(0)
                reading.append(time.process_time() - start)
                seeds = range(repeat * args.num, (repeat + 1) * args.num)
                rates.append([rate(lambda seed: scans(seed, 0), seeds), rate(people, seeds)])  # noqa: B023 (called at once)
            ours, theirs = np.array(rates[1:]).T  # the first repeat compiles
            cells = [spread(ours), spread(theirs), spread(ours / theirs), spread(np.array(reading[1:]))]
            print(f'| {text} | {" | ".join(cells)} |', flush=True)


def rate(render, seeds: range) -> float:
    """Images per second of CPU time."""
    start = time.process_time()
    for seed in seeds:
        render(seed)
    return len(seeds) / (time.process_time() - start)


def spread(values: np.ndarray) -> str:
    return f'{np.median(values):.2f} ({values.min():.2f}-{values.max():.2f})'


if __name__ == '__main__':
    main()
