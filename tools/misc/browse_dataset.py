"""Draw what the model is trained on: augmented samples of a config's data loader, as one picture.

Examples:
    python tools/misc/browse_dataset.py configs/mae/sapiens_tiny_folder-256x256.py --out batch.png
    python tools/misc/browse_dataset.py CONFIG --phase val --num-samples 32 --cfg-options train_dataset.data_root=photos
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from sapiens.datasets import Draw
from sapiens.datasets.draw import hash63
from sapiens.registry import DATASETS
from sapiens.utils.config import add_options_argument, load_config

TILE = 256


def tile(sample: dict) -> Image.Image:
    """One sample with its file name, crop and flip written under it."""
    data = sample['data_samples']
    pixels = sample['inputs'].permute(1, 2, 0).numpy()
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((TILE, TILE))
    canvas = Image.new('RGB', (TILE, TILE + 28), 'white')
    canvas.paste(image, ((TILE - image.width) // 2, 0))
    pen = ImageDraw.Draw(canvas)
    name = Path(str(data.get('img_path', ''))).name
    pen.text((2, TILE), name[-40:], fill='black')
    height, width = data.get('ori_shape', (0, 0))
    flip = ' flipped' if data.get('flip') else ''
    pen.text((2, TILE + 13), f'{tuple(data.get("crop", ()))} of {width}x{height}{flip}', fill='black')
    return canvas


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/browse.png'), help='default: %(default)s')
    parser.add_argument('--phase', choices=['train', 'val', 'test'], default='train', help='default: %(default)s')
    parser.add_argument('--num-samples', type=int, default=24, help='default: %(default)s')
    parser.add_argument('--seed', type=int, default=0, help='of the augmentation; default: %(default)s')
    add_options_argument(parser)
    args = parser.parse_args()

    cfg = load_config(args.config, args.cfg_options)
    dataset = DATASETS.build(cfg[f'{args.phase}_dataloader'].dataset)
    if hasattr(dataset, '__getitem__'):
        draws = (Draw(i % len(dataset), hash63(args.seed, i)) for i in range(args.num_samples))
        samples = (dataset[draw] for draw in draws)
    else:
        samples = (sample for _, sample in zip(range(args.num_samples), dataset, strict=False))
    tiles, bad = [], []
    for sample in samples:
        tiles.append(tile(sample))
        bad += sample.get('bad', [])
    columns = min(len(tiles), 6)
    rows = -(-len(tiles) // columns)
    picture = Image.new('RGB', (columns * (TILE + 4), rows * (TILE + 32)), 'white')
    for index, image in enumerate(tiles):
        picture.paste(image, (index % columns * (TILE + 4), index // columns * (TILE + 32)))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    picture.save(args.out)
    for path, reason in bad:
        print(f'bad file {path}: {reason}')
    print(f'{dataset}: {len(tiles)} samples drawn to {args.out}')


if __name__ == '__main__':
    main()
