"""Measure what gives rendered people away: statistics of folders of images, next to each other, and of rooms.

Of images: white pixels, blocks without texture, and fine detail that repeats; larger images are resized to one area first. Of
folders that `sapiens render` wrote: feet that do not suit the ground. Of rooms: wall pictures that overlap in one plane.

Examples:
    python tools/benchmark/synthetic_realism.py data/synthetic/look/rgb data/coco/val2017
    python tools/benchmark/synthetic_realism.py --rooms 400
"""

import json
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np

from sapiens.utils.cli import tool_parser

SUFFIXES = ('.jpg', '.jpeg', '.png')
WHITE = 253  # gray levels of all three channels
BLOCK, FLAT = 8, 3.0  # pixels, and the standard deviation in gray levels below which a block is flat
FAR = 64  # pixels between a detail and its repetition
STREETS = ('asphalt', 'paving')


def white_pixels(image: np.ndarray) -> float:
    return float((image.min(-1) >= WHITE).mean())


def flat_blocks(image: np.ndarray) -> float:
    gray = image.mean(-1)
    height, width = (side // BLOCK * BLOCK for side in gray.shape)
    blocks = gray[:height, :width].reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    return float((blocks.std((1, 3)) < FLAT).mean())


def repeated_detail(image: np.ndarray) -> float:
    """Largest correlation of the fine detail with itself, moved by ``FAR`` pixels or more along x or y."""
    gray = image.mean(-1).astype(np.float32)
    fine = gray - cv2.medianBlur(gray, 3)
    fine = np.clip(fine - fine.mean(), -6, 6)
    size = [2 * side for side in fine.shape]
    correlate = lambda values: np.fft.irfft2(np.abs(np.fft.rfft2(values, size)) ** 2, size)  # noqa: E731
    found, pairs = correlate(fine), correlate(np.ones_like(fine))
    shifts = [np.minimum(np.arange(side), side - np.arange(side)) for side in size]
    far = (np.maximum.outer(*shifts) >= FAR) & (pairs > 0.15 * fine.size)
    return float((found[far] / pairs[far]).max() / max(fine.var(), 1e-6))


STATISTICS = {'white pixels': white_pixels, 'flat blocks': flat_blocks, 'repeated fine detail': repeated_detail}


def measure_images(folder: Path, most: int, area: int) -> dict:
    """Means over the first images of a folder."""
    paths = sorted(path for path in folder.glob('*') if path.suffix.lower() in SUFFIXES)[:most]
    if not paths:
        raise ValueError(f'{folder}: expected a folder with images that end in {", ".join(SUFFIXES)}')
    rows = []
    for path in paths:
        image = cv2.imread(str(path))
        scale = min(np.sqrt(area / image[..., 0].size), 1)
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image
        rows.append([statistic(image) for statistic in STATISTICS.values()])
    return dict(zip(STATISTICS, np.mean(rows, 0), strict=True), images=len(paths))


def measure_feet(folder: Path) -> dict:
    """Fractions of people without shoes, from the labels that `sapiens render` wrote next to the images."""
    feet: dict = {'on streets': [], 'outdoors': [], 'in rooms': []}
    for path in sorted((folder.parent / 'labels').glob('*.json')):
        for person in json.loads(path.read_text())['people']:
            about = person['attributes']
            bare = 'shoes' not in about['worn']
            feet['in rooms' if about['place'] == 'room' else 'outdoors'].append(bare)
            if about.get('ground') in STREETS:
                feet['on streets'].append(bare)
    return {name: f'{np.mean(values):.1%} of {len(values)}' for name, values in feet.items() if values}


def has_overlapping_pictures(things: list) -> bool:
    """Whether two frames on a wall share a part of their plane."""
    boxes = [(thing.vertices.min(0), thing.vertices.max(0)) for thing in things if thing.name == 'frame']
    return any((np.minimum(a[1], b[1]) > np.maximum(a[0], b[0])).all() for a, b in combinations(boxes, 2))


def draw_rooms(count: int) -> list[list]:
    """Return the things in rooms around one person, from the seeds 0, 1, ..."""
    from sapiens.synthetic.rooms import sample_place

    rooms, seed = [], 0
    while len(rooms) < count:
        rng = np.random.default_rng(seed)
        place = sample_place(rng, rng.uniform(0.4, 1.5), (0.0, -rng.uniform(2, 6), 1.5))
        rooms += [place.things] if place.kind == 'room' else []
        seed += 1
    return rooms


def main() -> None:
    parser = tool_parser(__doc__)
    parser.add_argument('folders', nargs='*', type=Path, help='folders of images')
    parser.add_argument('--num', type=int, default=250, help='most images of a folder; default: %(default)s')
    parser.add_argument('--area', type=int, default=192 * 256, help='pixels of larger images; default: %(default)s')
    parser.add_argument('--rooms', type=int, default=0, help='rooms to draw; default: none')
    args = parser.parse_args()
    if args.folders:
        print('| folder | images | ' + ' | '.join(STATISTICS) + ' |\n|---|' + '--:|' * (1 + len(STATISTICS)))
    for folder in args.folders:
        row = measure_images(folder, args.num, args.area)
        print(f'| {folder} | {row["images"]} | ' + ' | '.join(f'{row[name]:.1%}' for name in STATISTICS) + ' |')
    for folder in args.folders:
        for where, text in measure_feet(folder).items():
            print(f'{folder}: without shoes {where}: {text} people')
    if args.rooms:
        found = sum(map(has_overlapping_pictures, draw_rooms(args.rooms)))
        print(f'rooms with wall pictures that overlap: {found} of {args.rooms}')


if __name__ == '__main__':
    main()
