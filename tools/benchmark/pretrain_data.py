"""Speed of the pretraining loader on one core, beside mmpretrain's, on the same JPEG files and random boxes.

    python tools/benchmark/pretrain_data.py [--images FOLDER]

Both read, decode, crop (area 0.2-1, aspect 3/4-4/3), resize to 1024 x 1024 (bicubic), flip and pack, with one thread. They
alternate file by file. Times are CPU times of the process. The difference compares our crop with a full decode and Pillow's
bicubic resize of the same box.
"""

import os
import statistics
import tempfile

import numpy as np
from harness import cpu_seconds, find_photographs, use_one_thread
from mmengine.dataset import Compose
from PIL import Image

from sapiens.datasets.transforms import LoadRandomResizedCrop, PackImage
from sapiens.utils.cli import tool_parser

SIZES = {'2K': (2048, 1365), '4K': (3840, 2160)}
OUTPUT = 1024
AREA, ASPECT = (0.2, 1.0), (3 / 4, 4 / 3)


def parse_args():
    parser = tool_parser(__doc__)
    parser.add_argument('--images', help='folder with JPEG photographs; default: those that scikit-image ships')
    parser.add_argument('--files', type=int, default=8, help='JPEG files of each kind')
    parser.add_argument('--repeats', type=int, default=8, help='random crops of each file')
    return parser.parse_args()


def photographs(folder: str | None) -> list:
    """Paths of photographs, or arrays of scikit-image's."""
    if folder is None:
        from skimage import data

        return [data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]
    return find_photographs(folder)


def open_rgb(photograph) -> Image.Image:
    image = Image.fromarray(photograph) if isinstance(photograph, np.ndarray) else Image.open(photograph)
    return image.convert('RGB')


def upsample(photograph, size) -> Image.Image:
    """A photograph scaled to cover ``size`` and cut: natural content, soft at the pixel level."""
    image = open_rgb(photograph)
    scale = max(size[0] / image.width, size[1] / image.height)
    image = image.resize((round(image.width * scale) + 1, round(image.height * scale) + 1), Image.BICUBIC)
    return image.crop((0, 0, *size))


def mosaic(photos, size, seed) -> Image.Image:
    """Tile photographs at their own resolution: the mosaic has their sharpness at the pixel level."""
    order = np.random.default_rng(seed)
    canvas, y = Image.new('RGB', size), 0
    while y < size[1]:
        x = 0
        while x < size[0]:
            tile = open_rgb(photos[order.integers(len(photos))])
            canvas.paste(tile.crop((0, 0, tile.width, 400)), (x, y))
            x += tile.width
        y += 400
    return canvas


def make_sets(args, folder: str) -> dict:
    """Title -> JPEG files. Large photographs are used unchanged, small ones are upsampled or tiled."""
    photos = photographs(args.images)
    source = args.images or 'scikit-image'
    sizes = {path: Image.open(path).size for path in photos if isinstance(path, str)}
    sets = {}
    for name, (width, height) in SIZES.items():
        pixels = width * height
        real = [path for path, (w, h) in sizes.items() if 0.8 * pixels <= w * h <= 1.5 * pixels][: args.files]
        if real:
            sets[f'{name}, photographs unchanged'] = real
        makers = dict(
            upsampled=lambda i, size=(width, height): upsample(photos[i % len(photos)], size),
            mosaic=lambda i, size=(width, height): mosaic(photos, size, i),
        )
        for kind, make in makers.items():
            paths = [os.path.join(folder, f'{name}-{kind}-{i}.jpg') for i in range(args.files)]
            for i, path in enumerate(paths):
                make(i).save(path, quality=90, subsampling='4:2:0')
            sets[f'{name} ({width} x {height}, quality 90, 4:2:0), {kind} from {source}'] = paths
    return sets


def build_theirs() -> Compose:
    from mmpretrain.registry import TRANSFORMS
    from mmpretrain.utils import register_all_modules

    register_all_modules()
    bicubic = dict(backend='pillow', interpolation='bicubic')
    steps = [
        dict(type='LoadImageFromFile'),
        dict(type='RandomResizedCrop', scale=OUTPUT, crop_ratio_range=AREA, aspect_ratio_range=ASPECT, **bicubic),
        dict(type='RandomFlip', prob=0.5),
        dict(type='PackInputs'),
    ]
    return Compose([TRANSFORMS.build(step) for step in steps])


def run(pipeline, path: str, seed: int) -> tuple[float, dict]:
    np.random.seed(seed)
    return cpu_seconds(pipeline, dict(img_path=path, sample_idx=0))


def difference(results, path: str) -> float:
    """Mean absolute difference, in gray levels, to the plain route through Pillow."""
    meta = results['data_samples']
    x, y, w, h = meta.crop
    plain = open_rgb(path).crop((x, y, x + w, y + h)).resize((OUTPUT, OUTPUT), Image.BICUBIC)
    ours = results['inputs'].flip(-1) if meta.flip else results['inputs']
    return float(np.abs(ours.permute(1, 2, 0).numpy().astype(int) - np.asarray(plain)).mean())


def main():
    args = parse_args()
    use_one_thread()
    theirs = build_theirs()
    ours = Compose([LoadRandomResizedCrop(OUTPUT, area=AREA, aspect=ASPECT), PackImage()])
    with tempfile.TemporaryDirectory() as folder:
        for title, paths in make_sets(args, folder).items():
            times, differences = {'mmpretrain': [], 'sapiens': []}, []
            for seed in range(args.repeats + 1):
                for i, path in enumerate(paths):
                    theirs_time, _ = run(theirs, path, seed * len(paths) + i)
                    ours_time, results = run(ours, path, seed * len(paths) + i)
                    if seed == 0:  # warm-up, and the time to look at the pixels
                        differences.append(difference(results, path))
                        continue
                    times['mmpretrain'].append(theirs_time)
                    times['sapiens'].append(ours_time)
            report(title, paths, times, differences)


def report(title, paths, times, differences):
    megapixels = sum(w * h for w, h in (Image.open(path).size for path in paths)) / 1e6
    bits = sum(os.path.getsize(path) for path in paths) * 8 / 1e6 / megapixels
    print(f'{title}: {len(paths)} files, {bits:.2f} bits a pixel, {len(times["sapiens"])} crops each')
    for name, values in times.items():
        print(
            f'  {name:11s} {len(values) / sum(values):6.1f} img/s per core '
            f'(median {1e3 * statistics.median(values):.1f} ms, mean {1e3 * statistics.mean(values):.1f} ms)'
        )
    ratios = [a / b for a, b in zip(times['mmpretrain'], times['sapiens'], strict=True)]
    throughput = sum(times['mmpretrain']) / sum(times['sapiens'])
    print(f'  ratio       {throughput:.2f} of the throughput, median over crops {statistics.median(ratios):.2f}')
    print(f'  difference  {statistics.mean(differences):.2f} gray levels on average, {max(differences):.2f} at most')


if __name__ == '__main__':
    main()
