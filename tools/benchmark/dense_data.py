"""Speed of the loader of the dense tasks on one core, compared with mmseg's, on the same files.

    python tools/benchmark/dense_data.py --images FOLDER [--backgrounds FOLDER]

Both read an image and its label map, resize at random, crop, stretch to 1024 x 768, rotate, mirror, change colors and pack,
with the published parameters. FOLDER has photographs (.jpg); their label maps are generated: blobs of classes on half of the
image. Rows: the files, and copies of 1024 x 768 as JPEG and PNG, each with the range of sizes of the Goliath and of the CIHP
recipe. Then what mmseg does not have: depth, normals, and random backgrounds with color transfer. Samples alternate. Times are
CPU times of the process.
"""

import os
import tempfile

import cv2
import numpy as np
from harness import find_photographs, samples_per_second, use_one_thread
from mmengine.dataset import Compose
from PIL import Image

from sapiens.datasets.base import build_pipeline
from sapiens.metainfo import get_classes
from sapiens.utils.cli import tool_parser

SIZE = (768, 1024)
CLASSES = get_classes('goliath28')
RECIPES = {'goliath': dict(ratio=(0.2, 2.0), seg_padding=0), 'cihp': dict(ratio=(0.75, 1.25), seg_padding=255)}


def parse_args():
    parser = tool_parser(__doc__)
    parser.add_argument('--images', required=True, help='folder of photographs')
    parser.add_argument('--backgrounds', help='folder of photographs to put behind')
    parser.add_argument('--num', type=int, default=12, help='photographs that are used; default: %(default)s')
    parser.add_argument('--repeats', type=int, default=3, help='random views of each; default: %(default)s')
    parser.add_argument('--decode', choices=['fast', 'exact'], default='fast', help='of ours; default: %(default)s')
    return parser.parse_args()


def our_pipeline(ratio: tuple, seg_padding: int, decode: str, first=(), degree=45, mixed=0.75) -> Compose:
    steps = [
        dict(type='RandomResize', size=SIZE, ratio=ratio),
        dict(type='RandomCrop', size=SIZE, cat_max_ratio=mixed),
        dict(type='Resize', size=SIZE),
        dict(type='RandomRotate', degree=degree, prob=0.5, seg_padding=seg_padding),
        dict(type='RandomFlip', prob=0.5),
    ]
    before = [dict(type='PhotometricDistortion', permute=False), dict(type='LoadLabels'), *first]
    return build_pipeline([*before, dict(type='LoadDense', steps=steps, decode=decode), dict(type='PackDense')])


def mmseg_pipeline(ratio: tuple, seg_padding: int) -> Compose:
    return build_pipeline(
        [
            dict(type='mmseg.LoadImageFromFile'),
            dict(type='mmseg.LoadAnnotations'),
            dict(type='mmseg.RandomResize', scale=SIZE, ratio_range=ratio, keep_ratio=True),
            dict(type='mmseg.RandomCrop', crop_size=SIZE[::-1], cat_max_ratio=0.75),
            dict(type='mmseg.Resize', scale=SIZE, keep_ratio=False),
            dict(type='mmseg.RandomRotate', prob=0.5, degree=45, pad_val=0, seg_pad_val=seg_padding),
            dict(type='mmseg.RandomFlip', prob=0.5, swap_seg_labels=CLASSES.flip_pairs),
            dict(type='mmseg.PhotoMetricDistortion'),
            dict(type='mmseg.PackSegInputs'),
        ]
    )


def make_files(folder: str, paths: list[str]) -> dict[str, list[dict]]:
    """Label maps, and copies of one size; {kind: [img_path, label files]}."""
    kinds = {'photographs': [], 'JPEG 1024x768': [], 'PNG 1024x768': []}
    for number, path in enumerate(paths):
        image = cv2.imread(path)
        labels = blobs(image.shape[1::-1], number)
        small, small_labels = cv2.resize(image, SIZE, interpolation=cv2.INTER_AREA), blobs(SIZE, number)
        stem = os.path.join(folder, f'{number:03d}')
        Image.fromarray(labels).save(f'{stem}.png')
        Image.fromarray(small_labels).save(f'{stem}_small_seg.png')
        cv2.imwrite(f'{stem}_small.jpg', small, [cv2.IMWRITE_JPEG_QUALITY, 92])
        cv2.imwrite(f'{stem}_small.png', small)
        people = small_labels > 0
        Image.fromarray(people.astype(np.uint8) * 255).save(f'{stem}_mask.png')
        np.save(f'{stem}_depth.npy', np.where(people, np.float32(2), np.float32(0)))
        np.save(f'{stem}_normal.npy', np.where(people[..., None], np.float32([0.6, 0, 0.8]), np.float32(0)))
        for kind, picture, seg in (
            ('photographs', path, f'{stem}.png'),
            ('JPEG 1024x768', f'{stem}_small.jpg', f'{stem}_small_seg.png'),
            ('PNG 1024x768', f'{stem}_small.png', f'{stem}_small_seg.png'),
        ):
            files = dict(sem_seg=seg) | {name: f'{stem}_{name}.{end}' for name, end in _GEOMETRY if 'small' in seg}
            kinds[kind].append(dict(img_path=picture, files=files))
    return kinds


_GEOMETRY = (('mask', 'png'), ('depth', 'npy'), ('normal', 'npy'))


def blobs(size: tuple, seed: int) -> np.ndarray:
    """A label map (H, W) uint8 of about half background and half random classes, with smooth outlines."""
    coarse = np.random.default_rng(seed).normal(size=(4, 12, 9)).astype(np.float32)
    body, *parts = (cv2.resize(layer, size, interpolation=cv2.INTER_CUBIC) for layer in coarse)
    parts = 1 + 7 * (parts[0] > 0) + 9 * (parts[1] > 0) + 4 * (parts[2] > 0)
    return np.where(body > 0, parts, 0).astype(np.uint8)


def ours_of(sample: dict, kinds=('sem_seg',)) -> dict:
    return dict(
        img_path=sample['img_path'],
        sample_idx=0,
        label_files={kind: sample['files'][kind] for kind in kinds},
        num_classes=len(CLASSES),
        flip_table=np.asarray(CLASSES.flip_table),
        normal_frame='published',
    )


def theirs_of(sample: dict) -> dict:
    paths = dict(img_path=sample['img_path'], seg_map_path=sample['files']['sem_seg'])
    return dict(paths, label_map=None, reduce_zero_label=False, seg_fields=[])


def main() -> None:
    args = parse_args()
    use_one_thread()
    paths = find_photographs(args.images)[: args.num]
    with tempfile.TemporaryDirectory() as folder:
        kinds = make_files(folder, paths)
        print('files          recipe   samples  ours/s  mmseg/s  ratio')
        for kind, files in kinds.items():
            for recipe, options in RECIPES.items():
                pair = [our_pipeline(**options, decode=args.decode), mmseg_pipeline(**options)]
                samples = [(ours_of(file), theirs_of(file)) for file in files]
                fast, slow = samples_per_second(pair, samples * args.repeats)
                count = len(files) * args.repeats
                print(f'{kind:14s} {recipe:8s} {count:7d}  {fast:6.1f}  {slow:7.1f}  {fast / slow:5.2f}')
        print('\nours, 1024x768 JPEG, sizes of goliath   ours/s')
        files = kinds['JPEG 1024x768']
        for title, labels, background in (
            ('depth', ('depth', 'mask'), False),
            ('normals', ('normal', 'mask'), False),
            ('labels, with a background', ('sem_seg',), True),
            ('depth, with a background', ('depth', 'mask'), True),
            ('normals, with a background', ('normal', 'mask'), True),
        ):
            if background and not args.backgrounds:
                continue
            first = [dict(type='RandomBackground', root=args.backgrounds, prob=1.0)] if background else []
            mixed = 0.75 if 'sem_seg' in labels else 1.0
            pipeline = our_pipeline(**RECIPES['goliath'], decode=args.decode, first=first, mixed=mixed)
            [rate] = samples_per_second([pipeline], [[ours_of(file, labels)] for file in files] * args.repeats)
            print(f'{title:38s} {rate:8.1f}')


if __name__ == '__main__':
    main()
