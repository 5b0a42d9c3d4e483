"""A skeleton of five points, as a user would add it: trained, stopped and resumed, evaluated, drawn and scored again."""

import json

import cv2
import numpy as np
import pytest
import torch

from ..scripts import ROOT, run

SKELETON = """
skeleton = dict(
    name='hands_and_feet',
    keypoints=['nose', 'left_hand', 'right_hand', 'left_foot', 'right_foot'],
    links=[('nose', 'left_hand'), ('nose', 'right_hand'), ('left_hand', 'left_foot'), ('right_hand', 'right_foot')],
    sigmas=[0.05, 0.08, 0.08, 0.09, 0.09],
)
"""
CONFIG = """
_base_ = ['{root}/configs/_base_/schedules/tiny-finetune.py', '{root}/configs/pose/_base_/pose-128x96.py']
skeleton = '{folder}/skeleton.py'
model = dict(
    skeleton=skeleton,
    backbone=dict(img_size=(64, 48), arch=dict(embed_dims=48, num_layers=2, num_heads=2, feedforward_channels=96)),
    head=dict(deconv_channels=(32, 24), conv_channels=(24,)),
)
train_pipeline = [
    dict(step, size=(48, 64)) if step['type'] == 'LoadPerson' else step for step in _base_.train_pipeline
    if step['type'] != 'PhotometricDistortion'  # the colors of the dots say which point it is
]
val_pipeline = [dict(step, size=(48, 64)) if step['type'] == 'LoadPerson' else step for step in _base_.val_pipeline]
_dataset = dict(type='KeypointDataset', skeleton=skeleton, data_root='{folder}', img_prefix='images')
train_dataloader = dict(
    batch_size=16, num_workers=0, sampler=dict(repeat=10),
    dataset=dict(_dataset, ann_file='train.json', pipeline=train_pipeline),
)
val_dataloader = dict(num_workers=0, dataset=dict(_dataset, ann_file='val.json', pipeline=val_pipeline, test_mode=True))
test_dataloader = val_dataloader
val_evaluator = [
    dict(type='KeypointMetric', skeleton=skeleton, ann_file='{folder}/val.json'), dict(type='ValLoss')
]
test_evaluator = val_evaluator
optim_wrapper = dict(optimizer=dict(lr=3e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=20),
    dict(type='PolyLR', power=1.0, by_epoch=False, begin=20, end=160),
]
train_cfg = dict(max_iters=160, val_interval=160)
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=80, save_best='hands-and-feet/AP', rule='greater'), logger=dict(interval=20),
    ema=dict(momentum=0.1),
)
custom_hooks = [
    dict(type='VisibleKeypointsHook'),
    dict(type='PosePictureHook', interval=160, num_images=4),
]
"""
COLORS = [(240, 240, 240), (240, 40, 40), (40, 240, 40), (60, 60, 255), (240, 240, 20)]


def draw_people(folder, name, count, seed):
    """Images of 128 x 96 pixels with one figure of five colored dots each, and their annotation file."""
    rng = np.random.default_rng(seed)
    (folder / 'images').mkdir(exist_ok=True)
    images, annotations = [], []
    for index in range(1, count + 1):
        center, size = rng.uniform((50, 38), (78, 58)), rng.uniform(20, 30)
        shape = np.array([[0, -1], [0.7, 0], [-0.7, 0], [0.4, 1], [-0.4, 1]]) + rng.uniform(-0.25, 0.25, (5, 2))
        points = center + size * shape
        picture = np.full((96, 128, 3), rng.integers(70, 120), np.uint8)
        for point, color in zip(points, COLORS, strict=True):
            cv2.circle(picture, np.round(point).astype(int).tolist(), 4, color[::-1], -1)
        file = f'{name}{index}.png'
        cv2.imwrite(str(folder / 'images' / file), picture)
        low, high = points.min(0) - 5, points.max(0) + 5
        images.append(dict(id=index, file_name=file, width=128, height=96))
        annotations.append(
            dict(
                id=index,
                image_id=index,
                category_id=1,
                iscrowd=0,
                bbox=[*low.tolist(), *(high - low).tolist()],
                area=float(np.prod(high - low)),
                num_keypoints=5,
                keypoints=np.column_stack([points, np.full(5, 2)]).ravel().tolist(),
            )
        )
    content = dict(images=images, annotations=annotations, categories=[dict(id=1, name='person')])
    (folder / f'{name}.json').write_text(json.dumps(content))
    return annotations


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp('five_points')
    (folder / 'skeleton.py').write_text(SKELETON)
    (folder / 'config.py').write_text(CONFIG.format(root=ROOT, folder=folder))
    draw_people(folder, 'train', 48, seed=0)
    people = draw_people(folder, 'val', 12, seed=1)
    rng = np.random.default_rng(2)
    found = [
        dict(
            image_id=p['image_id'], category_id=1, bbox=(np.array(p['bbox']) + rng.normal(0, 1, 4)).tolist(), score=0.9
        )
        for p in people[1:]  # the first person is missed
    ]
    (folder / 'detected.json').write_text(json.dumps(found))
    return folder


@pytest.fixture(scope='module')
def trained(data):
    run('tools/train.py', data / 'config.py', '--work-dir', data / 'whole', OMP_NUM_THREADS='1')
    return data / 'whole'


def test_it_learns(trained):
    (log,) = trained.glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    losses = [line['loss'] for line in lines if 'loss' in line]
    assert losses[-1] < 0.75 * losses[0]
    (last,) = [line for line in lines if 'hands-and-feet/AP' in line]
    assert last['hands-and-feet/AP'] > 0.8
    assert 0 < last['val_loss'] < losses[0]
    assert len(list(trained.glob('*/vis_data/pose_*.png'))) == 1
    assert list(trained.glob('best_*AP*_iter_160.pth'))


def test_an_exported_graph_has_the_scores_of_the_model(trained, data):
    """With the weight average of the config, which a graph cannot use."""
    config, checkpoint, graph = data / 'config.py', trained / 'iter_160.pth', data / 'graph.pt2'
    run('tools/export.py', config, checkpoint, '--format', 'torchscript', '--out', graph, OMP_NUM_THREADS='1')
    run(
        'tools/test.py',
        config,
        graph,
        '--graph',
        '--work-dir',
        data / 'graph',
        '--out',
        data / 'graph.json',
        OMP_NUM_THREADS='1',
    )
    (log,) = trained.glob('*/vis_data/scalars.json')
    (last,) = [line for line in map(json.loads, log.read_text().splitlines()) if 'hands-and-feet/AP' in line]
    metrics = json.loads((data / 'graph.json').read_text())
    assert metrics['hands-and-feet/AP'] == pytest.approx(last['hands-and-feet/AP'], abs=1e-6)
    assert metrics['val_loss'] == pytest.approx(last['val_loss'], rel=1e-4)


def test_evaluation_by_the_tool_is_that_of_training_and_a_dump_scores_the_same(trained, data):
    run('tools/test.py', data / 'config.py', trained / 'iter_160.pth', '--work-dir', data / 'test', '--out', data / 'out.json',
        '--dump', data / 'found.json', '--show-dir', data / 'shown', '--show-limit', '3', OMP_NUM_THREADS='1')  # fmt: skip
    metrics = json.loads((data / 'out.json').read_text())
    (log,) = trained.glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    (last,) = [line for line in lines if 'hands-and-feet/AP' in line]
    assert metrics['hands-and-feet/AP'] == pytest.approx(last['hands-and-feet/AP'], abs=1e-6)
    assert metrics['val_loss'] == pytest.approx(last['val_loss'], rel=1e-5)
    shown = sorted((data / 'shown').iterdir())
    assert len(shown) == 3 and cv2.imread(str(shown[0])) is not None
    again = run('tools/misc/score_keypoints.py', data / 'found.json', '--ann-file', data / 'val.json', '--skeleton',
                data / 'skeleton.py', '--out', data / 'again.json')  # fmt: skip
    assert 'AP' in again.stdout + again.stderr
    scored = json.loads((data / 'again.json').read_text())
    assert {key: metrics[key] for key in scored} == scored


def test_detected_boxes(trained, data):
    run('tools/test.py', data / 'config.py', trained / 'iter_160.pth', '--work-dir', data / 'test', '--out', data / 'out2.json',
        '--cfg-options', '+test_dataloader.dataset.boxes=detected.json', OMP_NUM_THREADS='1')  # fmt: skip
    metrics = json.loads((data / 'out2.json').read_text())
    assert metrics['hands-and-feet/AR'] == pytest.approx(11 / 12, abs=0.15)
    assert metrics['hands-and-feet/AR'] < 11 / 12 + 1e-6  # nobody was predicted where nobody was detected
    assert 'val_loss' not in metrics


def test_a_resumed_run_is_the_uninterrupted_one(trained, data):
    """Weights, their average, the optimizer and the random state: bit for bit."""
    folder = data / 'resumed'
    folder.mkdir()
    (folder / 'iter_80.pth').write_bytes((trained / 'iter_80.pth').read_bytes())
    run('tools/train.py', data / 'config.py', '--work-dir', folder, '--resume', OMP_NUM_THREADS='1')
    one, other = (torch.load(path / 'iter_160.pth', weights_only=True) for path in (trained, folder))
    assert one['state_dict'].keys() == other['state_dict'].keys() and 'ema_state_dict' in one
    for part in ('state_dict', 'ema_state_dict'):
        for key, value in one[part].items():
            assert torch.equal(value, other[part][key]), f'{part}.{key}'
    moved = [
        key
        for key, value in one['state_dict'].items()
        if not torch.equal(value, one['ema_state_dict'][f'module.{key}'])
    ]
    assert moved  # the average is not the last weights
    for one_state, other_state in zip(
        one['optimizer']['state'].values(), other['optimizer']['state'].values(), strict=True
    ):
        assert torch.equal(one_state['exp_avg'], other_state['exp_avg'])


def test_boxes_without_people_are_refused(data):
    content = json.loads((data / 'train.json').read_text())
    for person in content['annotations']:
        person['bbox'] = [110, 84, 10, 8]  # a corner of the image, far from every point
    (data / 'elsewhere.json').write_text(json.dumps(content))
    options = ['--work-dir', data / 'none', '--cfg-options', 'train_dataloader.dataset.ann_file=elsewhere.json']
    failed = run('tools/train.py', data / 'config.py', *options, check=False)
    assert failed.returncode != 0 and 'min_visible=4' in failed.stderr
    failed = run(
        'tools/train.py',
        data / 'config.py',
        *options,
        'train_dataloader.dataset.pipeline.2.min_visible=0',
        check=False,
    )
    assert failed.returncode != 0 and 'keypoint' in failed.stderr.splitlines()[-1]
    assert not list((data / 'none').glob('*.pth'))
