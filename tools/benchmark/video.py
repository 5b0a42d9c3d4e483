"""What jitters in video, before and after the filters of ``sapiens infer --smooth`` and ``--rays project``.

    python tools/benchmark/video.py configs/pointmap/sapiens2_tiny_synthetic-128x96.py --checkpoint FILE --scenes 8
    python tools/benchmark/video.py configs/matting/sapiens2_tiny_synthetic-128x96.py --checkpoint FILE --size 192 256

A camera sways by a few centimeters before rendered people who do not move, so the truth of every image is known.

pointmap, on the pixels of people
  swaps    fraction of neighboring pixels of a row whose points are seen in the other order by the predicted camera: x / z of the
           right one is not above that of the left one
  L2       mean distance to the true point in meters
  jitter   mean distance in meters between the points that two images in a row predict for one point of the world, both in the
           world's frame by the true cameras
matting, on pixels around edges
  MAD      mean absolute error of alpha
  flicker  mean absolute change of the error of alpha from image to image

Without --checkpoint the weights are random.
"""

import argparse
from collections.abc import Callable, Iterator

import numpy as np
from prettytable import PrettyTable
from tqdm import tqdm

from sapiens.apis import load_model
from sapiens.apis.results import MattingResult, PointmapResult, Result
from sapiens.apis.video.filters import build_filters
from sapiens.synthetic import HumanGenerator, SyntheticSample
from sapiens.utils.cli import positive, tool_parser

RATE = 30  # images per second
BEHIND = 0.05  # meters between points of one surface


def parse_args() -> argparse.Namespace:
    parser = tool_parser(__doc__)
    parser.add_argument('config', help='of a model of pointmaps or of matting')
    parser.add_argument('--checkpoint', help='weights, a path or a name; random ones without')
    parser.add_argument('--scenes', type=positive, default=4, help='default: %(default)s')
    parser.add_argument('--frames', type=positive, default=16, help='images of a scene; default: %(default)s')
    parser.add_argument('--sway', type=float, default=0.03, help='of the camera in meters; default: %(default)s')
    parser.add_argument('--seed', type=int, default=1000, help='of the first scene; default: %(default)s')
    size = dict(type=int, nargs=2, metavar=('W', 'H'), default=(192, 256))
    parser.add_argument('--size', **size, help='of the images; default: %(default)s')
    return parser.parse_args()


def same_points(before: SyntheticSample, after: SyntheticSample) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (N, 2) of people of one image, and of the next one where it shows the same points; x, y as integers."""
    rows, columns = np.nonzero(before.mask)
    points = before.camera.unproject(before.depth)[rows, columns]
    world = (points - before.camera.translation) @ before.camera.rotation
    seen = after.camera.project(world)
    x, y = np.rint(seen[:, :2]).astype(int).T
    inside = (x >= 0) & (x < after.camera.width) & (y >= 0) & (y < after.camera.height)
    x, y = x.clip(0, after.camera.width - 1), y.clip(0, after.camera.height - 1)
    shown = inside & after.mask[y, x] & (np.abs(after.depth[y, x] - seen[:, 2]) < BEHIND)
    return np.stack([columns, rows], 1)[shown], np.stack([x, y], 1)[shown]


def in_world(points: np.ndarray, sample: SyntheticSample) -> np.ndarray:
    return (points - sample.camera.translation) @ sample.camera.rotation


def measure_points(samples: list[SyntheticSample], results: list[PointmapResult]) -> dict[str, np.ndarray]:
    """Sums and counts of each number, (2,)."""
    found = {name: np.zeros(2) for name in ('swaps', 'L2', 'jitter')}
    for sample, result in zip(samples, results, strict=True):
        truth, mask = sample.camera.unproject(sample.depth), sample.mask
        pair = mask[:, 1:] & mask[:, :-1] & (np.abs(np.diff(sample.depth, axis=1)) < BEHIND)
        seen = result.points[..., 0] / result.depth
        found['swaps'] += (np.diff(seen, axis=1) <= 0)[pair].sum(), pair.sum()
        found['L2'] += np.linalg.norm(result.points - truth, axis=-1)[mask].sum(), mask.sum()
    for one, other, first, second in zip(samples, samples[1:], results, results[1:], strict=False):
        (x, y), (u, v) = (pixels.T for pixels in same_points(one, other))
        moved = in_world(second.points[v, u], other) - in_world(first.points[y, x], one)
        # What two pixels that are not exactly the same point differ by is no jitter.
        moved -= in_world(other.camera.unproject(other.depth)[v, u], other)
        moved += in_world(one.camera.unproject(one.depth)[y, x], one)
        found['jitter'] += np.linalg.norm(moved, axis=-1).sum(), len(moved)
    return found


def measure_mattes(samples: list[SyntheticSample], results: list[MattingResult]) -> dict[str, np.ndarray]:
    """Sums and counts of each number, (2,)."""
    found = {name: np.zeros(2) for name in ('MAD', 'flicker')}
    errors = [result.alpha - sample.alpha for sample, result in zip(samples, results, strict=True)]
    bands = [(sample.alpha > 0.02) & (sample.alpha < 0.98) for sample in samples]
    for error, band in zip(errors, bands, strict=True):
        found['MAD'] += np.abs(error)[band].sum(), band.sum()
    for before, after, band in zip(errors, errors[1:], bands, strict=False):
        found['flicker'] += np.abs(after - before)[band].sum(), band.sum()
    return found


def variants(task: str) -> Iterator[tuple[str, Callable[[list[Result]], list[Result]]]]:
    """Names of what is compared, and functions of the results of a sequence."""

    def smooth(results: list[Result]) -> list[Result]:
        apply = build_filters({task: type(results[0])}, smooth=True)[task]
        return [apply(result, number / RATE) for number, result in enumerate(results)]

    yield 'as predicted', list
    if task == 'pointmap':
        yield 'rays=project', lambda results: [result.on_rays() for result in results]
        yield 'rays=project, --smooth', lambda results: smooth([result.on_rays() for result in results])
    else:
        yield '--smooth', smooth


def main() -> None:
    args = parse_args()
    model = load_model(args.config, args.checkpoint, device='cpu')
    (task,) = model.tasks
    measures = dict(pointmap=measure_points, matting=measure_mattes)
    if task not in measures:
        raise SystemExit(f'{args.config} is a model for {task!r}, expected one for {" or ".join(measures)}')
    generator = HumanGenerator(size=tuple(args.size), people=(1, 1))
    sums: dict[str, dict[str, np.ndarray]] = {}
    for scene in tqdm(range(args.scenes), unit='scene'):
        samples = list(generator.sequence(args.seed + scene, args.frames, args.sway))
        for name, change in variants(task):
            results = change([model(sample.image) for sample in samples])
            for key, pair in measures[task](samples, results).items():
                sums.setdefault(name, {}).setdefault(key, np.zeros(2))
                sums[name][key] += pair
    table = PrettyTable(['', *next(iter(sums.values()))])
    table.align = 'r'
    for name, row in sums.items():
        table.add_row([name, *(f'{total / max(count, 1):.4f}' for total, count in row.values())])
    print(f'{args.scenes} scenes of {args.frames} images, sway {args.sway} m')
    print(table)


if __name__ == '__main__':
    main()
