"""Cosines of a model's embeddings: of photographs and their copies, and of different photographs.

The filter `Similar` of a curation embeds them. A row for each kind of copy has the cosine with its photograph, and the part of
the copies that each threshold finds. The last row has the largest cosine with another photograph, and the part of the photographs
that each threshold removes where there is no copy at all. Near duplicates among the photographs count as different ones.

Examples:
    python tools/benchmark/similar.py photographs --model sapiens-tiny-pose17
    python tools/benchmark/similar.py photographs --model CONFIG,CHECKPOINT --thresholds 0.98 0.99
    python tools/benchmark/similar.py photographs --function package.module:name
"""

import argparse
import io
from collections.abc import Callable

import numpy as np
import pyarrow as pa
from harness import find_photographs, use_one_thread
from PIL import Image, ImageOps

from sapiens.curation.filters.similar import Similar, unpack
from sapiens.curation.near import decide_pairs
from sapiens.curation.photo import Photo
from sapiens.curation.similar import similar_pairs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('photographs', help='folder of photographs')
    parser.add_argument('--num', type=int, default=100, help='number of files; default: %(default)s')
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument('--model', help="as of the filter: a published name, 'CONFIG', or 'CONFIG,CHECKPOINT'")
    source.add_argument('--function', help="as of the filter: 'package.module:name'")
    thresholds = [0.8, 0.9, 0.95, 0.98, 0.99]
    parser.add_argument('--thresholds', nargs='+', type=float, default=thresholds, help='default: %(default)s')
    args = parser.parse_args()
    use_one_thread()
    similar = Similar(model=args.model, function=args.function)
    similar.setup('cpu')
    images = []
    for path in find_photographs(args.photographs)[: args.num]:
        with Image.open(path) as image:
            images.append(ImageOps.exif_transpose(image).convert('RGB'))
    originals = embed(similar, images)
    print(f'{len(images)} photographs, {similar.model or similar.function}\n')
    print(f'| | cosine: median (5 to 95 %) | {" | ".join(f"{value:g}" for value in args.thresholds)} |')
    print(f'| --- | --- |{" --: |" * len(args.thresholds)}')
    for name, change in COPIES.items():
        cosines = (originals * embed(similar, [change(image) for image in images])).sum(1)
        row(name, cosines, [np.mean(cosines >= value) for value in args.thresholds])
    cosines = originals @ originals.T
    np.fill_diagonal(cosines, -1)
    row('another photograph', cosines.max(1), [removed(originals, value) for value in args.thresholds])


def embed(similar: Similar, images: list[Image.Image]) -> np.ndarray:
    """Embeddings (N, D) float32 of length 1, as the filter keeps them."""
    found = []
    for begin in range(0, len(images), similar.batch):
        photos = [Photo(encode(image)) for image in images[begin : begin + similar.batch]]
        found += [values['embedding'] for values in similar.measure(photos)]
    return unpack(pa.chunked_array([pa.array(found, pa.binary())])).astype(np.float32)


def removed(embeddings: np.ndarray, threshold: float) -> float:
    """Part of the images that the filter removes."""
    one, two, cosines = similar_pairs(embeddings, threshold)
    return len(decide_pairs(one, two, -cosines, np.arange(len(embeddings)))[0]) / len(embeddings)


def row(name: str, cosines: np.ndarray, parts: list[float]) -> None:
    median, least, most = (f'{value:.3f}' for value in np.percentile(cosines, (50, 5, 95)))
    print(
        f'| {name} | {median} ({least}-{most}) | {" | ".join(f"{100 * part:.0f} %" for part in parts)} |', flush=True
    )


# ------------------------------------------------------------------ copies


def encode(image: Image.Image, kind: str = 'PNG', **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def poor(image: Image.Image) -> Image.Image:
    return Image.open(io.BytesIO(encode(image, 'JPEG', quality=30))).convert('RGB')


def scaled(image: Image.Image) -> Image.Image:
    return image.resize([max(1, side // 2) for side in image.size])


def cut(part: float) -> Callable[[Image.Image], Image.Image]:
    """Without this part of each side at the left and at the top."""

    def change(image: Image.Image) -> Image.Image:
        width, height = image.size
        return image.crop((round(part * width), round(part * height), width, height))

    return change


COPIES = {
    'JPEG of quality 30': poor,
    'half of the size': scaled,
    'mirrored': ImageOps.mirror,
    'cut by 5 %': cut(0.05),
    'cut by 10 %': cut(0.1),
    'cut by 25 %': cut(0.25),
}


if __name__ == '__main__':
    main()
