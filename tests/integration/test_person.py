"""Detection of people as a user runs it: trained on drawn people until it finds them, resumed, tested, and used for pose."""

import json
import os
import subprocess

import numpy as np
import pytest
from PIL import Image

from sapiens.utils.config import load_config

from ..scripts import ROOT
from . import status_of

pytestmark = pytest.mark.slow

SIZE = (96, 64)  # (w, h) of the images
CONFIG = """
_base_ = ['{root}/configs/_base_/schedules/tiny-finetune.py', '{root}/configs/person/_base_/person-256x256.py']
model = dict(backbone=dict(img_size=(64, 64), arch=dict(embed_dims=48, num_layers=2, num_heads=2, feedforward_channels=96)))
train_pipeline = [
    dict(type='LoadDense', steps=[dict(type='ScaleJitter', size=(64, 64), ratio=(0.8, 1.4)), dict(type='RandomFlip')]),
    dict(type='PackBoxes', min_size=4),
]
val_pipeline = [dict(type='LoadLetterbox', size=(64, 64)), dict(type='PackBoxes', min_size=4)]
_dataset = dict(type='PersonBoxDataset', data_root='{folder}', img_prefix='images')
train_dataloader = dict(
    batch_size=16, num_workers=0, persistent_workers=False, sampler=dict(repeat=10),
    dataset=dict(
        type='MosaicDataset', share=0.3, size=(96, 96), dataset=dict(_dataset, ann_file='train.json'), pipeline=train_pipeline
    ),
)
val_dataloader = dict(
    num_workers=0, persistent_workers=False,
    dataset=dict(_dataset, ann_file='val.json', pipeline=val_pipeline, test_mode=True),
)
test_dataloader = val_dataloader
val_evaluator = [dict(type='BoxMetric', ann_file='{folder}/val.json'), dict(type='ValLoss')]
test_evaluator = val_evaluator
optim_wrapper = dict(optimizer=dict(lr=3e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=20),
    dict(type='PolyLR', power=1.0, by_epoch=False, begin=20, end=160),
]
train_cfg = dict(max_iters=160, val_interval=80)
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=80, save_best='person/AP'), logger=dict(interval=20), ema=dict(momentum=0.1)
)
custom_hooks = [dict(type='BoxFigureHook', interval=80, num_images=4)]
"""


def draw(folder, name, count, seed):
    """Images of red ellipses on noise, none in every fifth."""
    random, images, annotations = np.random.default_rng(seed), [], []
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    for index in range(count):
        pixels = random.integers(60, 160, (SIZE[1], SIZE[0], 3), dtype=np.uint8)
        for _ in range(0 if index % 5 == 4 else random.integers(1, 4)):
            w, h = random.uniform(10, 24), random.uniform(20, 44)
            left, top = random.uniform(0, SIZE[0] - w), random.uniform(0, SIZE[1] - h)
            inside = ((x + 0.5 - left - w / 2) / (w / 2)) ** 2 + ((y + 0.5 - top - h / 2) / (h / 2)) ** 2 < 1
            pixels[inside] = (230, 30, 30)
            box = [left, top, w, h]
            annotations.append(
                dict(id=len(annotations), image_id=index, category_id=1, bbox=box, area=w * h, iscrowd=0)
            )
        (folder / 'images').mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / 'images' / f'{name}{index}.png')
        images.append(dict(id=index, file_name=f'{name}{index}.png', width=SIZE[0], height=SIZE[1]))
    content = dict(images=images, annotations=annotations, categories=[dict(id=1, name='person')])
    (folder / f'{name}.json').write_text(json.dumps(content))


def test_it_learns_and_is_used(tmp_path, capsys):
    draw(tmp_path, 'train', 60, 0)
    draw(tmp_path, 'val', 20, 1)
    config = tmp_path / 'drawn.py'
    config.write_text(CONFIG.format(root=ROOT, folder=tmp_path))
    work = tmp_path / 'work'
    assert load_config(str(config)).model.type == 'BoxEstimator'
    assert status_of('check', config) in (0, None)
    assert 'people on average' in capsys.readouterr().out
    assert status_of('train', config, '--work-dir', work) in (0, None)
    (figure,) = work.rglob('person_0000160.png')
    assert Image.open(figure).size[0] > 100
    best = next(work.glob('best_person_AP*.pth'))
    out = tmp_path / 'metrics.json'
    assert status_of(
        'test', config, best, '--work-dir', tmp_path / 'test', '--out', out, '--show-dir', tmp_path / 'figures'
    ) in (0, None)
    metrics = json.loads(out.read_text())
    assert metrics['person/AP .5'] > 0.5 and 0 < metrics['val_loss'] < 5
    assert len(list((tmp_path / 'figures').glob('*.jpg'))) == 20
    assert status_of('browse', config, '--out', tmp_path / 'browse.png', '--samples', '4') in (0, None)
    # A resumed run continues where the checkpoint was written.
    assert status_of('train', config, '--work-dir', work, '--resume', '--cfg-options', 'train_cfg.max_iters=170') in (
        0,
        None,
    )
    assert (work / 'iter_170.pth').exists()
    # The boxes for pose.
    (best,) = work.glob('best_person_AP*.pth')
    pose = 'pose/sapiens_tiny_synthetic17-128x96'
    options = ('--detector', f'sapiens:{config},{best}', '--device', 'cpu', '--out', tmp_path / 'pose')
    assert status_of('infer', 'pose', tmp_path / 'images' / 'val0.png', '--model', pose, *options) == 0
    people = json.loads((tmp_path / 'pose' / 'val0.json').read_text())['instance_info']
    assert len(people) >= 1


@pytest.mark.parametrize('wrapper', ['DDP', 'FSDP2'])
def test_several_processes(tmp_path, wrapper):

    draw(tmp_path, 'train', 16, 0)
    draw(tmp_path, 'val', 5, 1)
    config = tmp_path / 'drawn.py'
    config.write_text(CONFIG.format(root=ROOT, folder=tmp_path))
    options = [
        *(
            'train_cfg.max_iters=3',
            'train_cfg.val_interval=3',
            'train_dataloader.batch_size=4',
            f'parallel.type={wrapper}',
        ),
        *('+model.losses.0.reduce=global', '+model.losses.1.reduce=global'),
    ]
    command = [
        'bash',
        ROOT / 'tools/dist_train.sh',
        config,
        '2',
        '--work-dir',
        tmp_path / 'work',
        '--cfg-options',
        *options,
    ]
    environment = dict(os.environ, OMP_NUM_THREADS='1', MAX_RESTARTS='0', CUDA_VISIBLE_DEVICES='')
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert list((tmp_path / 'work').glob('iter_3*'))
