"""Transforms give what they gave when unchanged_transforms.json was written, from the same seeds of NumPy's generator.

A run that is resumed with another version continues with the same augmentation. After a wanted change:
``python -m tests.datasets.test_unchanged_transforms`` writes the file again.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from sapiens.datasets.base import build_pipeline
from sapiens.metainfo import get_classes

from .helpers import encode, smooth_image
from .scenes import render

FILE = Path(__file__).with_name('unchanged_transforms.json')
SEEDS = 10
GEOMETRY = [
    dict(type='RandomResize', size=(48, 64), ratio=(0.5, 2)), dict(type='RandomCrop', size=(48, 64), cat_max_ratio=0.75),
    dict(type='Resize', size=(48, 64)), dict(type='RandomRotate', degree=45), dict(type='RandomFlip'),
]  # fmt: skip
PERSON = [dict(type='mmpose.GetBBoxCenterScale', padding=1.25), dict(type='mmpose.RandomBBoxTransform')]
PIPELINES = {
    'colors': [dict(type='PhotometricDistortion')],
    'published colors': [dict(type='PhotometricDistortion', published=True)],
    'blur': [dict(type='RandomBlur', mean_prob=0.5, median_prob=0.5)],
    'dropout': [dict(type='CoarseDropout', prob=0.8, fill=7)],
    'resized crop': [dict(type='LoadRandomResizedCrop', size=(40, 32))],
    'resized': [dict(type='LoadResize', size=(40, 48))],
    'letterbox': [dict(type='LoadResize', size=(40, 48), keep_ratio=True)],
    'person': [*PERSON, dict(type='LoadPerson', size=(32, 48), flip_prob=0.3)],
    'dense': [dict(type='LoadDense', steps=GEOMETRY, decode='exact')],
    'dense single samples': [dict(type='LoadDense', steps=GEOMETRY, decode='exact', antialias=False)],
    'colors before': [dict(type='PhotometricDistortion'), dict(type='LoadDense', steps=GEOMETRY, decode='exact')],
    'background': [dict(type='RandomBackground', root='ROOT', prob=0.8, color_transfer=0.7)],
}


def sample(name: str, path: Path) -> dict:
    image = smooth_image(96, 72, seed=3)
    path.write_bytes(encode(image, 'PNG'))
    if name in ('colors', 'published colors', 'blur', 'dropout'):
        return dict(img=image.copy())
    if name == 'person':
        points = np.random.default_rng(0).uniform(20, 60, (1, 17, 2)).astype(np.float32)
        flip = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]
        return dict(img_path=str(path), bbox=np.float32([[15, 10, 70, 65]]), keypoints=points, flip_indices=flip,
                    keypoints_visible=np.ones((1, 17), np.float32), img_shape=(72, 96))  # fmt: skip
    scene = render((96, 72))
    scene |= dict(img_path=str(path), flip_table=get_classes('goliath28').flip_table)
    del scene['img']
    return scene


def measure(results: dict) -> list[float]:
    """Means of nine parts of the image and of the labels."""
    found = []
    for key in (
        'img',
        'gt_sem_seg',
        'gt_depth',
        'gt_normal',
        'valid_mask',
        'transformed_keypoints',
        'warp_matrix',
        'intrinsics',
    ):
        if key not in results:
            continue
        values = np.asarray(results[key], np.float64)
        if key in ('img', 'gt_sem_seg', 'gt_depth', 'gt_normal', 'valid_mask'):
            rows, columns = (
                np.array_split(np.arange(values.shape[0]), 3),
                np.array_split(np.arange(values.shape[1]), 3),
            )
            values = np.stack([values[r][:, c].mean((0, 1)) for r in rows for c in columns])
        found += values.ravel().tolist()
    return [round(float(value), 3) for value in found]


def outcome(name: str, folder: Path) -> list:
    """Measures of a pipeline for some seeds, and the number that is drawn next."""
    folder.mkdir(exist_ok=True)
    for index in range(3):
        (folder / f'{index}.png').write_bytes(encode(smooth_image(80 + 20 * index, 60, seed=20 + index), 'PNG'))
    steps = [
        {key: str(folder) if value == 'ROOT' else value for key, value in step.items()} for step in PIPELINES[name]
    ]
    pipeline, found = build_pipeline(steps), []
    for seed in range(SEEDS):
        np.random.seed(seed)
        found.append([*measure(pipeline(sample(name, folder.parent / 'image.png'))), round(np.random.random(), 6)])
    return found


@pytest.mark.parametrize('name', PIPELINES)
def test_transforms_of_a_seed(name, tmp_path):
    before = json.loads(FILE.read_text())[name]
    for now, then in zip(outcome(name, tmp_path / 'photos'), before, strict=True):
        assert now[-1] == then[-1], 'another number of draws'
        np.testing.assert_allclose(now, then, atol=0.05, rtol=1e-3)


if __name__ == '__main__':
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        made = {name: outcome(name, Path(place, 'photos')) for name in PIPELINES}
    lines = (f'{json.dumps(name)}: [\n' + ',\n'.join(map(json.dumps, rows)) + '\n]' for name, rows in made.items())
    FILE.write_text('{\n' + ',\n'.join(lines) + '\n}\n')
