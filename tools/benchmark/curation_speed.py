"""Images per second and core of the cheap stages of a curation, and of loops that others write.

One process, one thread, CPU time. The pipelines take turns over the same files, several times, so that other work on the machine
counts alike. All of them read a file and write what is kept to a tar file.

- this package: what the stage of scores does of an image, then the shard
- the same work in a plain loop: Pillow decodes the whole image, then the same functions
- img2dataset's steps: decode by OpenCV, resize to 256, encode as JPEG (no scores)

The search for duplicates is in duplicates.py.

Example:
    python tools/benchmark/curation_speed.py photographs
"""

import argparse
import io
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from harness import find_photographs, use_one_thread
from PIL import Image, ImageOps

from sapiens.curation import load_settings
from sapiens.curation.filters.natural import natural_score
from sapiens.curation.hashes import content_hash, perceptual_hash
from sapiens.curation.photo import SMALL
from sapiens.curation.reading import Content
from sapiens.curation.scoring import ScoreWorker


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('photographs', help='folder of photographs')
    parser.add_argument('--num', type=int, default=100, help='number of files; default: %(default)s')
    parser.add_argument('--rounds', type=int, default=5, help='default: %(default)s')
    args = parser.parse_args()
    use_one_thread()
    paths = find_photographs(args.photographs)[: args.num]
    settings = load_settings('curation/humans300m.py', ['filters.people=None'])
    with tempfile.TemporaryDirectory() as folder:
        worker = ScoreWorker(settings.filters, settings.max_megapixels, folder)
        loops = {
            'this package': lambda path: ours(worker, path),
            'the same work, plain loop with Pillow': plain,
            "img2dataset's steps: decode, resize, encode": resized,
        }
        rates = {name: [] for name in loops}
        for path in paths[:3]:
            for loop in loops.values():
                loop(path)
        for number in range(args.rounds):
            for name in list(loops)[:: 1 if number % 2 else -1]:
                rates[name].append(len(paths) / cpu_time(loops[name], paths, Path(folder) / 'out.tar'))
    print(f'{sizes(paths)}, {args.rounds} rounds\n')
    print('| | images per second and core | times as fast, this package |\n| --- | --- | --- |')
    own = rates['this package']
    for name, values in rates.items():
        ratios = [one / other for one, other in zip(own, values, strict=True)]
        ratio = f'{np.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})' if values is not own else ''
        print(f'| {name} | {np.median(values):.0f} ({min(values):.0f}-{max(values):.0f}) | {ratio} |')


def sizes(paths: list[str]) -> str:
    """Number of files and range of their sizes."""
    found = []
    for path in paths:
        with Image.open(path) as image:
            found.append(image.width * image.height / 1e6)
    least, median, most = (f'{value:.2g}' for value in (min(found), np.median(found), max(found)))
    return f'{len(paths)} files of {least} to {most} megapixels (median {median})'


def cpu_time(loop: Callable[[str], bytes], paths: list[str], target: Path) -> float:
    begin = time.process_time()
    with tarfile.open(target, 'w', format=tarfile.USTAR_FORMAT) as tar:
        for number, path in enumerate(paths):
            data = loop(path)
            info = tarfile.TarInfo(f'{number:06d}.jpg')
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return time.process_time() - begin


def ours(worker: ScoreWorker, path: str) -> bytes:
    data = Path(path).read_bytes()
    worker.describe(Content(path, data))
    return data


def plain(path: str) -> bytes:
    data = Path(path).read_bytes()
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert('RGB')
    scale = SMALL / max(image.size)
    small = np.asarray(image.resize([max(1, round(scale * side)) for side in image.size], Image.Resampling.BOX))
    natural_score(small), content_hash(data), perceptual_hash(small)
    return data


def resized(path: str) -> bytes:
    pixels = cv2.imdecode(np.frombuffer(Path(path).read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    scale = SMALL / min(pixels.shape[:2])
    pixels = cv2.resize(
        pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LANCZOS4
    )
    return cv2.imencode('.jpg', pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


if __name__ == '__main__':
    main()
