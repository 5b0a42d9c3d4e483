"""Labels in bulk: tables, COCO files and shards of many images, and students that train on them."""

import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from mmengine.logging import MMLogger
from PIL import Image

from sapiens.apis import build_model, load_model
from sapiens.apis.bulk import arguments as bulk_arguments
from sapiens.apis.bulk import run as bulk_run
from sapiens.apis.bulk import worker as bulk_worker
from sapiens.bulk import LocalEngine, RayEngine
from sapiens.datasets.checks import Findings
from sapiens.datasets.transforms.loading import read_file
from sapiens.engine import Runner
from sapiens.registry import DATASETS
from sapiens.utils.config import load_config

from ..apis.test_bulk_units import photos
from ..apis.tiny import lively, write_pictures
from ..scripts import ROOT
from . import status_of

CONFIGS = {task: str(ROOT / f'configs/{task}/sapiens_tiny_synthetic{"17" * (task == "pose")}-128x96.py')
           for task in ('pose', 'seg', 'depth')}  # fmt: skip
CONFIGS |= {task: str(ROOT / f'configs/{task}/sapiens2_tiny_synthetic-128x96.py')
            for task in ('pointmap', 'albedo', 'matting')}  # fmt: skip
SMALL = ['model.backbone.arch=dict(embed_dims=32,num_layers=2,num_heads=2,feedforward_channels=64)']


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    """Files with configs and weights of tiny models whose outputs differ between images."""
    folder = tmp_path_factory.mktemp('weights')
    for task, config in CONFIGS.items():
        cfg = load_config(config, SMALL)
        cfg.dump(folder / f'{task}.py')  # in one file: reading the parts takes a second
        model = lively(build_model(cfg, device='cpu'))
        if task == 'pose':  # of flat heatmaps no keypoint has a score above 0.2
            model.head.final_layer.weight.data *= 40
        if task == 'pointmap':  # in front of the camera, with a focal length
            model.head.conv_pointmap.bias.data[2] += 2
            model.head.scale_final_layer[3].weight.data *= 0.02
            model.head.scale_final_layer[3].bias.data.fill_(1)
        if task == 'albedo':  # not nearly black
            model.head.conv_albedo.bias.data += 0.5
        torch.save(dict(state_dict=model.state_dict(), meta={}), folder / f'{task}.pth')
    return folder


@pytest.fixture
def infer(capsys, weights):
    """Run the command; returns its exit code, output and errors."""

    def call(task, *arguments):
        options = ['--model', weights / f'{task}.py', '--checkpoint', weights / f'{task}.pth']
        options += ['--detector', 'whole-image'] * (task == 'pose')
        torch.set_num_threads(1)
        code = status_of('infer', task, *arguments, *options, *['--device', 'cpu'])
        return (code, *capsys.readouterr())

    return call


def contents(folder, pattern='*'):
    """The files of results by their path; the record of settings and those of units are none."""
    found = {str(path.relative_to(folder)): path for path in sorted(folder.rglob(pattern)) if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not name.startswith(('.', 'records'))}


# ---------------------------------------------------------------------- formats


def test_a_coco_file_has_every_person_once_with_scores(tmp_path, infer):
    write_pictures(tmp_path / 'photos', [(40, 30)] * 5)
    (tmp_path / 'photos/2.png').write_bytes(b'nothing')
    options = ['--out-format', 'coco', '--images-per-unit', 2, '--label-threshold', 0.0]
    code, text, _ = infer('pose', tmp_path / 'photos', '--out', tmp_path / 'out', *options)
    assert code == 1 and '4 images, 4 people in 3 units' in text and '1 image and 0 units failed' in text
    assert (tmp_path / 'out/failures.txt').read_text().startswith(f'{tmp_path}/photos/2.png\tnot an image')
    found = json.loads((tmp_path / 'out/annotations.json').read_bytes())
    assert [image['file_name'] for image in found['images']] == ['0.png', '1.png', '3.png', '4.png']
    assert (
        [image['id'] for image in found['images']] == [1, 2, 3, 4] == [one['image_id'] for one in found['annotations']]
    )
    assert len(found['categories'][0]['keypoints']) == 17
    # The same numbers as in the file of one image.
    infer('pose', tmp_path / 'photos/3.png', '--out', tmp_path / 'one', '--save', 'json')
    (person,) = json.loads((tmp_path / 'one/3.json').read_bytes())['instance_info']
    (entry,) = json.loads((tmp_path / 'one/keypoints.coco.json').read_bytes())
    label = found['annotations'][2]
    assert label['bbox'] == [0, 0, 30, 40] and label['score'] == pytest.approx(entry['score'], abs=1e-5)
    assert label['keypoint_scores'] == pytest.approx(person['keypoint_scores'], abs=1e-3)
    points = np.reshape(label['keypoints'], (17, 3))
    np.testing.assert_allclose(points[:, :2], person['keypoints'], atol=0.05)
    assert (points[:, 2] == 2).all() and label['num_keypoints'] == 17


def test_the_threshold_of_labels(tmp_path, infer):
    write_pictures(tmp_path / 'photos', [(40, 30)])
    path = tmp_path / 'out/annotations.json'
    options = ['--out-format', 'coco', '--out', tmp_path / 'out']
    infer('pose', tmp_path / 'photos', *options, '--label-threshold', 0.0)
    scores = np.array(json.loads(path.read_bytes())['annotations'][0]['keypoint_scores'])
    limit = float(np.median(scores))
    code, _, errors = infer('pose', tmp_path / 'photos', *options, '--label-threshold', limit)
    assert code == 2 and 'label_threshold was 0' in errors and 'choose another --out, or --overwrite' in errors
    assert infer('pose', tmp_path / 'photos', *options, '--label-threshold', limit, '--overwrite')[0] == 0
    (label,) = json.loads(path.read_bytes())['annotations']
    labeled = np.reshape(label['keypoints'], (17, 3))
    assert (labeled[:, 2] == np.where(scores >= limit, 2, 0)).all() and not labeled[scores < limit].any()
    assert label['num_keypoints'] == (scores >= limit).sum() < 17


def test_tables_have_a_row_for_each_image(tmp_path, infer):
    write_pictures(tmp_path / 'photos', [(40, 30)] * 3)
    (tmp_path / 'photos/1.png').write_bytes(b'')
    options = ['--out-format', 'parquet', '--images-per-unit', 2, '--map-format', 'png']
    assert infer('seg', tmp_path / 'photos', '--out', tmp_path / 'seg', *options)[0] == 1
    rows = pq.read_table(tmp_path / 'seg/labels').to_pylist()
    assert [row['image'] for row in rows] == ['0.png', '1.png', '2.png']
    assert rows[1]['error'] == 'empty file' and rows[1]['seg.png'] is None and rows[0]['error'] is None
    assert 0 < rows[0]['score'] <= 1 and (rows[0]['width'], rows[0]['height']) == (30, 40)
    infer('seg', tmp_path / 'photos/0.png', '--out', tmp_path / 'one', '--map-format', 'png', '--save', 'labels')
    assert rows[0]['seg.png'] == (tmp_path / 'one/0_seg.png').read_bytes()
    infer('pose', tmp_path / 'photos/0.png', '--out', tmp_path / 'pose', '--out-format', 'parquet')
    (row,) = pq.read_table(tmp_path / 'pose/labels').to_pylist()
    (person,) = row['people']
    assert len(person['keypoints']) == 34 and len(person['keypoint_scores']) == 17 and person['bbox'] == [0, 0, 30, 40]


def test_shards_of_shards_keep_images_and_keys(tmp_path, infer):
    for number in range(2):
        photos(tmp_path, number)
    source = f'{tmp_path}/photos-{{0..1}}.tar'
    assert infer('depth', source, '--out', tmp_path / 'out', '--out-format', 'shards')[0] == 0
    for number in range(2):
        with (
            tarfile.open(tmp_path / f'photos-{number}.tar') as given,
            tarfile.open(tmp_path / f'out/labels/00000{number}.tar') as made,
        ):
            names = made.getnames()
            keys = [f'a/{number}{i}' for i in range(3)]
            assert names == [f'{key}{end}' for key in keys for end in ('.png', '.json', '.depth.npy')]
            for key in keys:
                image = given.extractfile(f'{key}.png').read()
                assert made.extractfile(f'{key}.png').read() == image
                facts = json.loads(made.extractfile(f'{key}.json').read())
                assert facts == dict(source=f'{key}.png', width=16, height=20)
    # A file for each image has the same inputs.
    assert infer('depth', source, '--out', tmp_path / 'files', '--save', 'depth')[0] == 0
    with tarfile.open(tmp_path / 'out/labels/000001.tar') as made:
        made.extractall(tmp_path / 'unpacked', filter='data')
    np.testing.assert_allclose(
        np.load(tmp_path / 'unpacked/a/12.depth.npy'), np.load(tmp_path / 'files/a/12.npy'), atol=1e-5
    )


# ---------------------------------------------------------------------- resuming


@pytest.mark.parametrize('form', ['coco', 'parquet', 'shards'])
def test_an_interrupted_run_goes_on_and_ends_with_the_same_files(tmp_path, infer, monkeypatch, form):
    write_pictures(tmp_path / 'photos', [(40, 30)] * 7)
    options = ['--out-format', form, '--images-per-unit', 2]
    infer('pose', tmp_path / 'photos', '--out', tmp_path / 'whole', *options)
    call, called = bulk_worker.Labeler.__call__, []

    def stopped(self, unit, folder):
        called.append(unit.name)
        if len(called) == 3:
            raise KeyboardInterrupt
        return call(self, unit, folder)

    monkeypatch.setattr(bulk_worker.Labeler, '__call__', stopped)
    assert infer('pose', tmp_path / 'photos', '--out', tmp_path / 'out', *options)[0] == 130
    text = infer('pose', tmp_path / 'photos', '--out', tmp_path / 'out', *options)[1]
    assert called == ['000000', '000001', '000002', '000002', '000003'] and '2 of them done before' in text
    assert contents(tmp_path / 'out') == contents(tmp_path / 'whole')
    # Fewer images: what a longer list has left is removed. More: only the new ones.
    (tmp_path / 'photos/6.png').unlink()
    infer('pose', tmp_path / 'photos', '--out', tmp_path / 'out', *options)
    assert len(called) == 5 and not [name for name in contents(tmp_path / 'out') if '000003' in name]
    write_pictures(tmp_path / 'photos', [(40, 30)] * 7)
    infer('pose', tmp_path / 'photos', '--out', tmp_path / 'out', *options)
    assert called[5:] == ['000003'] and contents(tmp_path / 'out') == contents(tmp_path / 'whole')


def test_failed_images_are_tried_again_where_it_is_asked_for(tmp_path, infer):
    write_pictures(tmp_path / 'photos', [(40, 30)] * 3)
    good = (tmp_path / 'photos/2.png').read_bytes()
    (tmp_path / 'photos/2.png').write_bytes(b'')
    options = [tmp_path / 'photos', '--out', tmp_path / 'out', '--out-format', 'coco', '--images-per-unit', 2]
    assert infer('pose', *options)[0] == 1
    (tmp_path / 'photos/2.png').write_bytes(good)
    assert infer('pose', *options)[0] == 1
    code, text, _ = infer('pose', *options, '--retry-failed')
    assert code == 0 and '1 of them done before' in text and not (tmp_path / 'out/failures.txt').exists()
    assert len(json.loads((tmp_path / 'out/annotations.json').read_bytes())['images']) == 3


@pytest.mark.slow
def test_processes_and_ray_write_the_same_bytes(tmp_path, infer, monkeypatch):
    pytest.importorskip('ray', reason='requirements/distributed.txt')
    write_pictures(tmp_path / 'photos', [(40, 30)] * 6)
    options = ['--out-format', 'shards', '--images-per-unit', 2]
    infer('pose', tmp_path / 'photos', '--out', tmp_path / 'here', *options)
    make = bulk_run.make_engine
    monkeypatch.setattr(
        bulk_arguments,
        'make_engine',
        lambda name, *given: RayEngine(None, num_cpus=2) if name == 'ray' else make(name, *given),
    )
    code, text, errors = infer('pose', tmp_path / 'photos', '--out', tmp_path / 'ray', *options, '--engine', 'ray')
    assert code == 0, text + errors
    monkeypatch.setattr('os.cpu_count', lambda: 2)
    assert infer('pose', tmp_path / 'photos', '--out', tmp_path / 'two', *options, '--jobs-per-device', 2)[0] == 0
    assert contents(tmp_path / 'ray') == contents(tmp_path / 'here') == contents(tmp_path / 'two')


# ---------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ('task', 'options', 'message'),
    [
        (
            'seg',
            ['--out-format', 'coco'],
            '--out-format coco holds the people of pose, not seg: take shards or parquet',
        ),
        ('pose', ['--images-per-unit', 5], '--images-per-unit goes with --out-format coco, parquet, shards'),
        ('pose', ['--engine', 'ray'], '--engine goes with --out-format'),
        ('pose', ['--column', 'file'], '--column file is that of a .parquet input, and no input is one'),
        ('pose', ['--out-format', 'coco', '--csv'], '--csv is for a file for each image'),
        ('pose', ['--out-format', 'coco', '--no-coco'], '--no-coco is for a file for each image'),
        (
            'pose',
            ['--out-format', 'coco', '--address', 'auto'],
            '--address auto is that of a Ray cluster: add --engine ray',
        ),
        (
            'pose',
            ['--out-format', 'parquet', '--label-threshold', '0.1'],
            '--label-threshold is for --out-format coco',
        ),
        (
            'pose',
            ['--out-format', 'coco', '--engine', 'ray', '--devices', '0,1'],
            '--devices 0,1: Ray gives out the GPUs itself; leave it out',
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(tmp_path, infer, task, options, message):
    write_pictures(tmp_path / 'photos', [(40, 30)])
    code, _, errors = infer(task, tmp_path / 'photos', '--out', tmp_path / 'out', *options)
    assert code == 2 and message in errors and not (tmp_path / 'out').exists()


def test_formats_do_not_share_a_folder(tmp_path, infer):
    write_pictures(tmp_path / 'photos', [(40, 30)])
    out = ['--out', tmp_path / 'out']
    infer('pose', tmp_path / 'photos', *out, '--save', 'json')
    for options in (['--out-format', 'coco'], ['--out-format', 'parquet']):
        code, _, errors = infer('pose', tmp_path / 'photos', *out, *options)
        assert code == 2 and 'form was' in errors
    infer('pose', tmp_path / 'photos', '--out', tmp_path / 'coco', '--out-format', 'coco')
    code, _, errors = infer('pose', tmp_path / 'photos', '--out', tmp_path / 'coco', '--save', 'json')
    assert code == 2 and 'form was' in errors


def test_the_engine_of_devices():
    assert isinstance(bulk_run.make_engine('local', None, ['auto'], 1), LocalEngine)
    assert bulk_run.make_engine('local', None, ['auto'], 1).workers == 0
    two = bulk_run.make_engine('local', None, ['cuda:0', 'cuda:3'], 2)
    assert (two.workers, two.devices) == (4, ('0', '3'))
    assert bulk_run.make_engine('local', None, ['cuda:1'], 1).workers == 1


# ---------------------------------------------------------------------- students


def train(task, dataset, work_dir, monkeypatch, **changes):
    """Train a tiny student for two steps; returns the weights that its losses got."""
    cfg = load_config(CONFIGS[task], SMALL)
    pipeline = cfg.train_dataloader.pop('dataset').pipeline
    cfg.train_dataloader.update(
        dataset=dict(dataset, pipeline=pipeline), num_workers=0, persistent_workers=False, batch_size=2
    )
    cfg.train_cfg = (
        dict(type=cfg.train_cfg.get('type', 'IterLoop'), max_iters=4)
        if 'type' in cfg.train_cfg
        else dict(cfg.train_cfg, max_iters=4, val_interval=100)
    )
    for key in ('val_dataloader', 'val_evaluator', 'val_cfg', 'test_dataloader', 'test_evaluator', 'test_cfg'):
        cfg[key] = None
    cfg.optim_wrapper.accumulative_counts = 2
    cfg.work_dir, cfg.experiment_name = str(work_dir), work_dir.name
    cfg.default_hooks.checkpoint.save_best = None
    cfg.custom_hooks = []
    seen = []
    from sapiens.engine.optim.optim_wrapper import OptimWrapper

    enter = OptimWrapper.enter_batch

    def noted(self, index, end, weights=None):
        seen.append(weights)
        enter(self, index, end, weights)

    monkeypatch.setattr(OptimWrapper, 'enter_batch', noted)
    runner = Runner.from_cfg(cfg)
    runner.train()
    MMLogger._instance_dict.clear()
    assert all(parameter.isfinite().all() for parameter in runner.model.parameters())
    return torch.cat(seen).tolist() if seen[0] is not None else []


def test_people_of_a_teacher_train_a_student(tmp_path, infer, monkeypatch):
    write_pictures(tmp_path / 'photos', [(64, 48)] * 4)
    options = ['--out-format', 'coco', '--label-threshold', 0.0]
    assert infer('pose', tmp_path / 'photos', '--out', tmp_path / 'labels', *options)[0] == 0
    scores = [one['score'] for one in json.loads((tmp_path / 'labels/annotations.json').read_bytes())['annotations']]
    dataset = dict(
        type='KeypointDataset', skeleton='coco17', ann_file=str(tmp_path / 'labels/annotations.json'),
        img_prefix=str(tmp_path / 'photos'), weight='score',
    )  # fmt: skip
    found = train('pose', dataset, tmp_path / 'run', monkeypatch)
    assert len(found) == 8 and set(np.round(found, 5)) <= set(np.round(scores, 5)) and len(set(found)) > 1


def test_parts_of_a_teacher_train_a_student(tmp_path, infer, monkeypatch):
    write_pictures(tmp_path / 'photos', [(64, 48)] * 4)
    options = ['--out-format', 'shards', '--map-format', 'png', '--save', 'labels', '--images-per-unit', 3]
    assert infer('seg', tmp_path / 'photos', '--out', tmp_path / 'labels', *options)[0] == 0
    lines = (tmp_path / 'labels/weights.csv').read_text().splitlines()
    assert lines[0] == 'image,weight,shard'
    assert [line.split(',')[::2] for line in lines[1:]] == [[f'{i}.png', f'00000{i // 3}.tar'] for i in range(4)]
    weights = [float(line.split(',')[1]) for line in lines[1:]]
    dataset = dict(
        type='SegmentationDataset', classes='goliath28', data_root=str(tmp_path / 'labels'), shards='labels/*.tar',
        images='images', labels='seg', weights='weights.csv',
    )  # fmt: skip
    # The same samples as those of the unpacked shards.
    for shard in sorted((tmp_path / 'labels/labels').glob('*.tar')):
        with tarfile.open(shard) as tar:
            tar.extractall(tmp_path / 'student', filter='data')
    shutil.copy(tmp_path / 'labels/weights.csv', tmp_path / 'student')
    unpacked = dict(dataset, data_root=str(tmp_path / 'student'), images='.', labels='.', label_ending='.seg')
    del unpacked['shards']
    pipeline = [dict(type='LoadLabels'), dict(type='Resize', size=(24, 32)), dict(type='PackDense')]
    for mine, other in zip(
        *(DATASETS.build(dict(one, pipeline=pipeline)) for one in (dataset, unpacked)), strict=True
    ):
        assert (mine['inputs'] == other['inputs']).all()
        assert (mine['data_samples'].gt_sem_seg.data == other['data_samples'].gt_sem_seg.data).all()
        assert mine['data_samples'].metainfo['weight'] == other['data_samples'].metainfo['weight']
    found = train('seg', dataset, tmp_path / 'run', monkeypatch)
    assert len(found) == 8 and set(np.round(found, 4)) <= set(np.round(weights, 4))
    labels = np.array(Image.open(Path(tmp_path / 'student/0.seg.png')))
    assert labels.shape == (64, 48) and labels.max() < 28


def labels_and_results(dataset, task, photos, weights):
    """Samples of a data set after LoadLabels, with what the teacher predicts for their images."""
    data = DATASETS.build(dict(dataset, pipeline=[dict(type='LoadLabels')]))
    findings = Findings()
    data.check(findings, read=True)
    assert len(data) == 4 and not findings.wrong, findings
    teacher = load_model(weights / f'{task}.py', weights / f'{task}.pth', device='cpu')
    return [(data[index], teacher(str(photos / f'{index}.png'))) for index in (0, 3)]


@pytest.mark.parametrize('form', ['shards', 'files'])
def test_points_of_a_teacher_train_a_student(tmp_path, infer, weights, monkeypatch, form):
    photos, out = tmp_path / 'photos', tmp_path / 'labels'
    write_pictures(photos, [(64, 48)] * 4)
    options = ['--out-format', 'shards', '--images-per-unit', 3] * (form == 'shards')
    assert infer('pointmap', photos, '--out', out, '--save', 'points', 'camera', *options)[0] == 0
    places = dict(data_root=str(tmp_path), images='photos', pointmap='labels', camera='labels')
    if form == 'shards':
        places = dict(data_root=str(out), shards='labels/*.tar', pointmap='pointmap', camera='pointmap_camera')
    dataset = dict(type='GeometryDataset', fields=['pointmap'], mask='', **places)
    for sample, result in labels_and_results(dataset, 'pointmap', photos, weights):
        np.testing.assert_allclose(sample['intrinsics'], result.intrinsics, atol=1e-3)
        known = sample['valid_mask']
        assert (known == result.valid).all() and known.mean() > 0.1
        # On the rays of the pixels, where points of a network are not exactly.
        points = result.on_rays().points[known]
        np.testing.assert_allclose(sample['gt_pointmap'][known], points, rtol=1e-3, atol=1e-4)
        assert not np.allclose(result.points[known], points, atol=0.01)
    train('pointmap', dataset, tmp_path / 'run', monkeypatch)


def test_points_without_a_camera_are_failures(tmp_path, infer, weights):
    """Of an image for which the network predicts no scale there is no label."""
    write_pictures(tmp_path / 'photos', [(64, 48)])
    state = torch.load(weights / 'pointmap.pth')
    state['state_dict']['decode_head.scale_final_layer.3.bias'].fill_(-1)
    torch.save(state, tmp_path / 'no_scale.pth')
    out, source = tmp_path / 'out', tmp_path / 'photos'
    options = ['--model', weights / 'pointmap.py', '--checkpoint', tmp_path / 'no_scale.pth', '--device', 'cpu']
    assert status_of('infer', 'pointmap', source, '--out', out, '--out-format', 'shards', *options) == 1
    assert 'the predicted scale is not above 0' in (out / 'failures.txt').read_text()
    with tarfile.open(out / 'labels/000000.tar') as made:
        assert made.getnames() == []


def test_albedo_in_shards_trains_a_student(tmp_path, infer, weights, monkeypatch):
    write_pictures(tmp_path / 'photos', [(64, 48)] * 4)
    out = tmp_path / 'labels'
    assert infer('albedo', tmp_path / 'photos', '--out', out, '--out-format', 'shards')[0] == 0
    dataset = dict(type='GeometryDataset', fields=['albedo'], albedo_coding='linear', mask='',
                   data_root=str(out), shards='labels/*.tar')  # fmt: skip
    for sample, result in labels_and_results(dataset, 'albedo', tmp_path / 'photos', weights):
        np.testing.assert_allclose(sample['gt_albedo'], result.linear, atol=1e-5)
    train('albedo', dataset, tmp_path / 'run', monkeypatch)


def test_mattes_in_shards_train_a_student(tmp_path, infer, weights, monkeypatch):
    write_pictures(tmp_path / 'photos', [(64, 48)] * 4)
    out = tmp_path / 'labels'
    assert infer('matting', tmp_path / 'photos', '--out', out, '--out-format', 'shards')[0] == 0
    dataset = dict(type='MattingDataset', alpha='matting', foreground='matting_cutout',
                   data_root=str(out), shards='labels/*.tar')  # fmt: skip
    for sample, result in labels_and_results(dataset, 'matting', tmp_path / 'photos', weights):
        np.testing.assert_allclose(sample['gt_alpha'], result.alpha, atol=1e-5)
        np.testing.assert_allclose(
            sample['gt_foreground'], np.minimum(result.foreground, result.alpha[..., None]), atol=0.01
        )
        assert (sample['valid_foreground'] == 1).all()
    train('matting', dataset, tmp_path / 'run', monkeypatch)


def test_people_and_depth_in_shards_train_students(tmp_path, infer, monkeypatch):
    write_pictures(tmp_path / 'photos', [(64, 48)] * 4)
    options = ['--out-format', 'shards', '--images-per-unit', 3]
    shards, coco = tmp_path / 'labels', tmp_path / 'coco'
    infer('pose', tmp_path / 'photos', '--out', shards, *options, '--label-threshold', 0.0)
    infer(
        'pose',
        tmp_path / 'photos',
        '--out',
        coco,
        '--out-format',
        'coco',
        '--images-per-unit',
        3,
        '--label-threshold',
        0.0,
    )
    found, wanted = (json.loads((folder / 'annotations.json').read_bytes()) for folder in (shards, coco))
    names = [image.pop('file_name') for image in found['images']]
    assert [image.pop('file_name') for image in wanted['images']] == [f'{i}.png' for i in range(4)]
    assert found == wanted
    for i, name in enumerate(names):
        assert name.startswith(f'labels/00000{i // 3}.tar@')
        assert read_file(str(shards / name)) == (tmp_path / f'photos/{i}.png').read_bytes()
    dataset = dict(
        type='KeypointDataset', skeleton='coco17', data_root=str(shards), ann_file='annotations.json', weight='score'
    )
    assert len(train('pose', dataset, tmp_path / 'run', monkeypatch)) == 8
    code, _, errors = infer(
        'depth', tmp_path / 'photos', '--out', tmp_path / 'depth', *options, '--label-threshold', 0.1
    )
    assert code == 2 and '--label-threshold 0.1 is for the people of pose, not depth' in errors
    infer('depth', tmp_path / 'photos', '--out', tmp_path / 'depth', *options)
    dataset = dict(
        type='GeometryDataset', data_root=str(tmp_path / 'depth'), shards='labels/*.tar', fields=['depth'], mask=''
    )
    assert train('depth', dataset, tmp_path / 'depth-run', monkeypatch) == []
