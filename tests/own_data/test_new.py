"""``sapiens new``: from what annotation tools write to a config that trains."""

import itertools
import json
import re
import runpy

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from sapiens.checkpoints import ZOO
from sapiens.commands import flops
from sapiens.commands import new as command
from sapiens.own_data.model import SIZES, choose_model
from sapiens.own_data.plan import OwnData, Plan
from sapiens.own_data.recipe import Schedule, leaf_text, price
from sapiens.own_data.write import data_text
from sapiens.registry import DATASETS, MODELS
from sapiens.tasks import TaskSpec, lookup, register_task
from sapiens.utils.config import load_config

from ..datasets.folders import write_array, write_png
from ..datasets.helpers import smooth_image
from ..integration import status_of
from .exports import (
    POINTS,
    SIZE,
    THREE,
    cvat_instances,
    cvat_keypoints,
    cvat_masks,
    label_studio,
    labelme,
    labelme_people,
    picture,
    roboflow,
    roboflow_masks,
    shape,
)

SHORT = [
    'train_cfg.max_iters=2', 'train_cfg.val_interval=2', 'train_dataloader.num_workers=0', 'val_dataloader.num_workers=0',
    'train_dataloader.batch_size=2', 'default_hooks.logger.interval=1', 'default_hooks.checkpoint.interval=2',
    'custom_hooks=[]',
]  # fmt: skip


def new(task, data, folder, *options, size='tiny'):
    return status_of('new', data, '--task', task, '--name', 'own', '--size', size, '--out', folder / 'out', *options)


def written(folder) -> dict:
    """The variables of the data set file."""
    return runpy.run_path(str(folder / 'out/own.py'))


def dataset(folder, split='train'):
    cfg = Config.fromfile(str(folder / 'out/own.py'))
    return DATASETS.build(cfg[f'{split}_dataset'])


def trains(folder, family='sapiens', pixels='128x96', options=()) -> dict:
    """Train some steps with the written config; returns the evaluation."""
    leaf = folder / f'out/{family}_tiny_own-{pixels}.py'
    assert status_of('train', leaf, '--work-dir', folder / 'work', '--cfg-options', *SHORT, *options) is None
    assert (folder / 'work/iter_2.pth').is_file() and list((folder / 'work').glob('best_*.pth'))
    (log,) = (folder / 'work').glob('*/vis_data/scalars.json')
    return {key: value for line in log.read_text().splitlines() for key, value in json.loads(line).items()}


POSE = {
    'cvat': (cvat_keypoints, ()),
    'roboflow': (roboflow, ()),
    'label studio': (label_studio, ('--keypoints', ','.join(THREE))),
    'labelme': (labelme_people, ()),
}


@pytest.mark.parametrize('tool', POSE)
def test_three_points_of_every_tool(tool, tmp_path, capsys):
    write, options = POSE[tool]
    write(tmp_path / 'data')
    assert new('pose', tmp_path / 'data', tmp_path, *options) == 0, capsys.readouterr().out
    shown = capsys.readouterr().out
    assert 'mirror pairs, by name: left_hand / right_hand' in shown and 'Train:\n  sapiens train' in shown
    assert (tmp_path / 'out/batch.png').is_file()
    skeleton = written(tmp_path)['skeleton']
    assert skeleton['name'] == 'own' and set(skeleton['keypoints']) == set(THREE)
    for split in ('train', 'val'):
        data = dataset(tmp_path, split)
        assert len(data) == {'roboflow': 4}.get(tool, {'train': 3, 'val': 1}[split])
        points = dict(zip(skeleton['keypoints'], data.load(0)['keypoints'][0].tolist(), strict=True))
        assert points == {name: list(point) for name, point in POINTS.items()}
    # The comment says what was inferred.
    comment = (tmp_path / 'out/own.py').read_text()
    assert '# - 3 keypoints, in the order of the file' in comment and 'sigmas' in comment


def test_it_trains_and_the_best_checkpoint_has_its_metric(tmp_path):
    cvat_keypoints(tmp_path / 'data')
    assert new('pose', tmp_path / 'data', tmp_path) == 0
    assert 0 <= trains(tmp_path)['own/AP'] <= 1


def test_the_second_family_trains_on_keypoints(tmp_path):
    cvat_keypoints(tmp_path / 'data')
    assert new('pose', tmp_path / 'data', tmp_path, '--family', 'sapiens2') == 0
    cfg = load_config(tmp_path / 'out/sapiens2_tiny_own-128x96.py')
    assert (cfg.model.backbone.type, cfg.model.backbone.arch, cfg.model.head.type) == (
        'Sapiens2ViT',
        'tiny',
        'DeconvHead',
    )
    assert '--family sapiens2 --size tiny' in (tmp_path / 'out/own.py').read_text()
    assert 0 <= trains(tmp_path, 'sapiens2')['own/AP'] <= 1


def test_labelme_folders_of_both_splits_have_one_skeleton(tmp_path, capsys):
    labelme_people(tmp_path / 'data/train', count=2)
    shapes = [shape('person', [[12, 6], [48, 40]], 'rectangle', group=1), shape('nose', [[30, 12]], 'point', group=1)]
    labelme(tmp_path / 'data/val', count=2, shapes=shapes)
    for i in range(2):
        picture(tmp_path / f'data/val/{i}.jpg', seed=i + 9)
    assert new('pose', tmp_path / 'data', tmp_path) == 0, capsys.readouterr().out
    val = dataset(tmp_path, 'val')
    assert len(val) == 2 and val.load(0)['keypoints_visible'].tolist() == [[0, 1, 0]]  # left_hand, nose, right_hand


SEG = {
    'cvat': (cvat_instances, ()),
    'cvat masks': (cvat_masks, ()),
    'roboflow': (lambda root: roboflow(root, kind='segments'), ()),
    'roboflow masks': (roboflow_masks, ()),
    'label studio': (lambda root: label_studio(root, kind='segments'), ()),
    'labelme': (labelme, ()),
}


@pytest.mark.parametrize('tool', SEG)
def test_segments_and_masks_of_every_tool(tool, tmp_path, capsys):
    write, options = SEG[tool]
    write(tmp_path / 'data')
    assert new('seg', tmp_path / 'data', tmp_path, *options) == 0, capsys.readouterr().out
    assert written(tmp_path)['classes']['classes'] == ['background', 'coat', 'hat']
    pipeline = [dict(type='LoadLabels'), dict(type='LoadResize', size=SIZE), dict(type='PackDense')]
    cfg = Config.fromfile(str(tmp_path / 'out/own.py'))
    for split in ('train', 'val'):
        data = DATASETS.build(dict(cfg[f'{split}_dataset'], pipeline=pipeline))
        ids = data[0]['data_samples'].gt_sem_seg.numpy()
        expected = np.zeros(SIZE[::-1], int)
        expected[10:40, 8:40], expected[4:12, 12:24] = 1, 2
        assert np.array_equal(ids, expected)
    overlap = set(dataset(tmp_path).image_paths()) & set(dataset(tmp_path, 'val').image_paths())
    assert not overlap
    if tool in ('cvat', 'roboflow masks'):
        assert 0 <= trains(tmp_path)['seg/mIoU'] <= 1


def test_the_second_family_trains_on_masks_of_another_size(tmp_path):
    roboflow_masks(tmp_path / 'data')
    assert new('seg', tmp_path / 'data', tmp_path, '--family', 'sapiens2', '--shape', 160, 96) == 0
    assert '--shape 160 96' in (tmp_path / 'out/own.py').read_text()
    assert 0 <= trains(tmp_path, 'sapiens2', '160x96')['seg/mIoU'] <= 1


def test_a_frozen_encoder_with_the_head_of_another_task(tmp_path):
    """The layers before the last are of equal names and shapes in the tiny models: what fits is loaded, and the log tells."""
    cfg = load_config('pose/sapiens2_tiny_synthetic308-128x96.py')
    torch.manual_seed(1)
    with DefaultScope.overwrite_default_scope('sapiens'):
        pose = MODELS.build(cfg.model)
        pose.init_weights()
    torch.save(dict(state_dict=pose.state_dict(), meta=dict(task='pose')), tmp_path / 'pose.pth')
    roboflow_masks(tmp_path / 'data')
    assert new('seg', tmp_path / 'data', tmp_path, '--family', 'sapiens2') == 0
    options = [f'load_from={tmp_path / "pose.pth"}', 'model.backbone.frozen_stages=6']
    trains(tmp_path, 'sapiens2', options=options)
    trained = torch.load(tmp_path / 'work/iter_2.pth', weights_only=False)['state_dict']
    for name, value in pose.state_dict().items():
        if name.startswith('backbone.'):
            assert torch.equal(trained[name], value), f'{name} is frozen'
    head = 'decode_head.deconv_layers.0.weight'
    assert not torch.equal(trained[head], pose.state_dict()[head])
    assert (trained[head] - pose.state_dict()[head]).abs().max() < 0.01, 'two small steps from where it was'
    (log,) = (tmp_path / 'work').glob('*/*.log')
    text = log.read_text()
    assert '100.0% of the backbone loaded from' in text
    assert 'not in the file: initial values kept: decode_head.conv_seg.weight' in text
    assert 'in the file only: decode_head.conv_layers.3.weight' in text


@pytest.mark.parametrize('family', ['sapiens', 'sapiens2'])
@pytest.mark.parametrize('task', ['depth', 'normal'])
def test_depth_and_normals(task, family, tmp_path, capsys):
    options = ('--family', family)
    rng = np.random.default_rng(0)
    for split, count in (('train', 4), ('val', 2)):
        for i in range(count):
            write_png(tmp_path / f'data/{split}/images/{i}.png', smooth_image(*SIZE, seed=i + 10 * count))
            mask = np.zeros(SIZE[::-1], np.uint8)
            mask[5:40, 10:50] = 255
            write_png(tmp_path / f'data/{split}/masks/{i}.png', mask)
            depth = np.where(mask > 0, 1500 + 40 * np.arange(SIZE[0]) + rng.integers(0, 9, SIZE[::-1]), 0)
            normal = np.zeros((*SIZE[::-1], 3), np.float32)
            side = np.linspace(-0.6, 0.6, SIZE[0])[None] * np.ones((SIZE[1], 1))
            normal[mask > 0] = np.stack([side, 0 * side, np.sqrt(1 - side**2)], -1)[mask > 0]
            if task == 'depth':
                write_png(tmp_path / f'data/{split}/depth/{i}.png', depth.astype(np.uint16))
            else:
                write_array(tmp_path / f'data/{split}/normal/{i}.npy', normal)
    if task == 'depth':
        assert new(task, tmp_path / 'data', tmp_path) == 2
        refused = capsys.readouterr().err
        assert 'stored as integers' in refused and '--depth-scale 0.001 for millimeters' in refused
        assert new(task, tmp_path / 'data', tmp_path, '--depth-scale', 'mm') == 2
        assert '--depth-scale mm: expected the meters' in capsys.readouterr().err
        assert new(task, tmp_path / 'data', tmp_path, '--depth-scale', 0.001, *options) == 0
        assert written(tmp_path)['train_dataset']['depth_scale'] == 0.001
        assert 'depth_scale-shift/RMSE' in trains(tmp_path, family)
    else:
        assert new(task, tmp_path / 'data', tmp_path, *options) == 0, capsys.readouterr().out
        assert written(tmp_path)['train_dataset']['normal_frame'] == 'published'
        assert 'so the axes are taken as x right, y up' in ' '.join(
            (tmp_path / 'out/own.py').read_text().split('\n#  ')
        )
        assert 'normal/mean' in trains(tmp_path, family)


@pytest.mark.parametrize(
    ('family', 'size'),
    [('sapiens', '0.3b'), ('sapiens', '1b'), ('sapiens2', '0.4b'), ('sapiens2', '1b'), ('sapiens2', '5b')],
)
@pytest.mark.parametrize('task', ['pose', 'seg', 'depth', 'normal'])
def test_configs_of_real_sizes_are_the_recipe_of_the_task(task, family, size, tmp_path):
    variables = dict(
        pose=dict(skeleton=dict(name='own', keypoints=THREE)),
        seg=dict(classes=dict(name='own', classes=['background', 'coat'])),
    ).get(task, {})
    data = dict(type='ImageFolder', data_root=str(tmp_path))
    plan = Plan(
        task, dict(variables, train_dataset=data, val_dataset=data, metric=dict(type='ValLoss')), 'val_loss', ['found']
    )
    plan.min_visible = 1
    (tmp_path / 'own.py').write_text(data_text(plan, 'sapiens new'))
    schedule = Schedule.of(1000, size)
    model = choose_model(task, family, size)
    path = tmp_path / model.leaf_name('own')
    path.write_text(leaf_text(plan, 'own', model, schedule, 1000, tmp_path))
    cfg = load_config(path)
    assert cfg.train_cfg == dict(
        type='TrainLoop', max_iters=60_000 // schedule.batch, val_interval=3000 // schedule.batch
    )
    assert cfg.model.backbone.arch == size and cfg.model.backbone.init_cfg.checkpoint == f'{family}-pretrain-{size}'
    assert cfg.model.backbone.type == dict(sapiens='SapiensViT', sapiens2='Sapiens2ViT')[family]
    published = ZOO.get(f'{family}-{task}-{size}')
    if published:  # its weights load: all layers but the last are equal
        assert cfg.model.head == load_config(published.config).model.head
        assert f"load_from = '{published.name}'" in ' '.join(path.read_text().split('\n#  '))
    else:
        assert (family, task) == ('sapiens2', 'depth') and 'load_from' not in path.read_text()
        assert "has no published head for depth: this one is the first family's" in path.read_text()
    groups = cfg.optim_wrapper.paramwise_cfg
    if family == 'sapiens2':
        assert groups.layer_decay_rate == {'0.4b': 0.8, '1b': 0.9, '5b': 0.94}[size]
        assert 'storage_tokens' in groups.no_decay and cfg.optim_wrapper.clip_grad.max_norm == (
            2 if size == '0.4b' else 4
        )
    else:
        assert groups == dict(layer_decay_rate=0.85, no_decay=['pos_embed'], no_decay_1d=True)
    assert cfg.optim_wrapper.optimizer.lr == 1e-4 and cfg.optim_wrapper.optimizer.weight_decay == 0.1
    assert cfg.optim_wrapper.accumulative_counts * schedule.batch == 8
    assert cfg.param_scheduler[-1].end == cfg.train_cfg.max_iters and cfg.default_hooks.checkpoint.by_epoch is False
    steps = [step['type'] for step in cfg.train_dataloader.dataset.pipeline]
    assert 'RandomBackground' not in steps and steps[-1] in ('PackPose', 'PackDense')
    text = ' '.join(price(*flops.of_config(path), schedule))
    trillions = float(text.split(' images of ')[1].split()[0])
    # Forward and backward of a transformer: 6 operations for each parameter and each of 3072 tokens, the head comes on top.
    parameters = float(text.split(' M parameters')[0].rsplit(' ', 1)[1].replace(',', '')) * 1e6
    assert 0.8 < trillions * 1e12 / (6 * 3072 * parameters) < 2.5


@pytest.mark.parametrize('family', SIZES)
@pytest.mark.parametrize('task', ['pose', 'seg', 'depth', 'normal'])
def test_options_of_the_page_exist_in_every_config(task, family, tmp_path):
    """docs/finetune.md, "What it starts from" and "What it costs"."""
    data = dict(type='ImageFolder', data_root=str(tmp_path))
    variables = dict(skeleton='coco17', classes='goliath28', train_dataset=data, val_dataset=data, metric={})
    (tmp_path / 'own.py').write_text(data_text(Plan(task, variables, 'val_loss'), 'sapiens new'))
    for size in ('tiny', '1b'):
        model = choose_model(task, family, size)
        path = tmp_path / model.leaf_name('own')
        plan = Plan(task, {}, 'val_loss', min_visible=2)
        path.write_text(leaf_text(plan, 'own', model, Schedule.of(1000, size), 1000, tmp_path))
        options = ['load_from=x.pth', 'model.backbone.frozen_stages=24', 'model.backbone.activation_checkpointing=all']
        options += ['model.backbone.init_cfg=None'] * (size != 'tiny')
        cfg = load_config(path, options)
        assert (
            cfg.model.backbone.frozen_stages == 24
            and not cfg.model.backbone.get('init_cfg')
            and cfg.load_from == 'x.pth'
        )


@pytest.mark.parametrize('family', SIZES)
@pytest.mark.parametrize('task', ['pose', 'seg', 'depth', 'normal'])
def test_another_size_of_the_input_changes_every_step(task, family, tmp_path):
    data = dict(type='ImageFolder', data_root=str(tmp_path))
    variables = dict(skeleton='coco17', classes='goliath28', train_dataset=data, val_dataset=data, metric={})
    (tmp_path / 'own.py').write_text(data_text(Plan(task, variables, 'val_loss'), 'sapiens new'))
    for size, pixels, sigma in (('1b', (512, 384), 3.0), ('tiny', (256, 192), 2.0)):
        model = choose_model(task, family, size, pixels)
        path = tmp_path / model.leaf_name('own')
        plan = Plan(task, {}, 'val_loss', min_visible=2)
        path.write_text(leaf_text(plan, 'own', model, Schedule.of(1000, size), 1000, tmp_path))
        cfg, usual = load_config(path), load_config(model.recipe)
        assert cfg.model.backbone.img_size == pixels and path.name == f'{family}_{size}_own-{pixels[0]}x{pixels[1]}.py'
        for split in ('train', 'val'):
            steps = cfg[f'{split}_dataloader'].dataset.pipeline
            before = [step for step in usual[f'{split}_pipeline'] if step['type'] != 'RandomBackground']
            assert [step['type'] for step in steps] == [step['type'] for step in before]
            flat = [one for step in steps for one in [step, *step.get('steps', ())]]
            assert {tuple(one['size']) for one in flat if one.get('size')} == {pixels[::-1]}
        if task == 'pose':
            assert cfg.model.codec.sigma == sigma
            assert next(step for step in steps if step['type'] == 'LoadPerson').get('min_visible') is None
            assert [step.min_visible for step in cfg.train_pipeline if step['type'] == 'LoadPerson'] == [2]


@pytest.mark.parametrize(('family', 'size', 'shared'), [('sapiens', '0.3b', 9), ('sapiens2', '0.4b', 1)])
def test_published_heads_share_what_the_page_says(family, size, shared):
    """docs/finetune.md: what loads into a model of another task."""
    heads = {
        task: {
            name: shape
            for name, shape in ZOO[f'{family}-{task}-{size}'].shapes().items()
            if not name.startswith('backbone.')
        }
        for task in ('pose', 'seg', 'normal', 'depth')
        if f'{family}-{task}-{size}' in ZOO
    }
    common = {(a, b): {*heads[a].items()} & {*heads[b].items()} for a, b in itertools.combinations(heads, 2)}
    assert len(common.pop(('seg', 'normal'))) == shared and not any(common.values())


def test_shapes_that_the_patches_do_not_tile_are_refused(tmp_path, capsys):
    assert new('pose', tmp_path, tmp_path, '--shape', 500, 384) == 2
    assert '--shape 500 384: patches of 16 pixels do not tile it. Near: 496 384' in capsys.readouterr().err


def test_families_and_sizes(tmp_path, capsys):
    for family, size, chosen in (
        (None, None, ('sapiens', '0.3b')),
        ('sapiens2', None, ('sapiens2', '0.4b')),
        (None, '1b', ('sapiens', '1b')),
        ('sapiens2', '1b', ('sapiens2', '1b')),
        (None, '5b', ('sapiens2', '5b')),  # the only family that has it
    ):
        model = choose_model('pose', family, size)
        assert (model.family, model.size) == chosen and model.shape == (1024, 768)
    assert all(Schedule.of(1000, size).batch for sizes in SIZES.values() for size in sizes)
    with pytest.raises(
        ValueError, match='--size 2b does not exist. Sizes of sapiens2: tiny, 0.1b, 0.4b, 0.8b, 1b, 5b$'
    ):
        choose_model('pose', 'sapiens2', '2b')
    assert new('pose', tmp_path, tmp_path, size='3b') == 2
    shown = ' '.join(capsys.readouterr().err.split())
    assert '--size 3b does not exist. Sizes of sapiens: tiny, 0.3b, 0.6b, 1b, 2b; sapiens2: tiny, 0.1b' in shown


def test_the_price_of_a_training():
    """1000 steps of 4 images; a step costs three times the operations of the image forward."""
    schedule = Schedule(batch=4, accumulate=2, repeat=1, iterations=1000, warmup=10, interval=50, workers=1)
    small, memory = price(2_500_000, 300_000_000, schedule)  # 0.0009 TFLOP, 3.6 in all
    assert small.startswith('4,000 images of 0.0009 TFLOP (forward and backward), 0.0036 PFLOP: about ')
    assert '36 s on a CPU that reaches 0.1 TFLOP/s, 1 s on a small GPU that reaches 5 TFLOP/s; evaluations' in small
    assert memory.startswith('2.5 M parameters: weights, gradients and optimizer take 38 MiB, and ')
    large, memory = price(1_169_000_000, 4_716_000_000_000, schedule)  # 14.148 TFLOP, 56592 in all
    assert large.startswith('4,000 images of 14.1 TFLOP (forward and backward), 56.6 PFLOP: about ')
    assert '24 minutes on a GPU that reaches 40 TFLOP/s, 4 minutes on a large GPU that reaches 250 TFLOP/s' in large
    assert memory.startswith('1,169.0 M parameters: weights, gradients and optimizer take 17.4 GiB, and ')
    edge = price(2**26, int(1e12 / 3) + 1, schedule)
    assert 'a GPU' in edge[0] and 'a CPU' not in edge[0] and 'take 1.0 GiB' in edge[1]
    for iterations, text in ((100, '10 s on a GPU'), (1200, '2 minutes'), (72_000, '2 hours'), (1_728_000, '2 days')):
        schedule.iterations = iterations
        assert f'about {text}' in price(1, 334_000_000_000, schedule)[0], text


@pytest.mark.parametrize(
    ('samples', 'size', 'batch', 'passes'),
    [(3, 'tiny', 3, 300), (100, '0.3b', 8, 200), (1000, '1b', 2, 60), (100_000, '0.3b', 8, 3.2), (1, '2b', 1, 300)],
)
def test_schedules_follow_the_number_of_samples(samples, size, batch, passes):
    schedule = Schedule.of(samples, size)
    assert schedule.batch == batch and schedule.iterations * batch / samples == pytest.approx(passes, rel=0.05)
    assert schedule.repeat * samples >= 100 * batch or schedule.repeat == 1
    assert 0 < schedule.warmup < schedule.iterations and 0 < schedule.interval <= schedule.iterations


@pytest.mark.parametrize(
    ('samples', 'size', 'numbers'),
    [  # batch, accumulate, repeat, iterations, warmup, interval
        (3, 'tiny', (3, 1, 100, 300, 30, 15)),
        (210, 'tiny', (16, 1, 8, 1000, 100, 50)),
        (2000, 'tiny', (16, 1, 1, 5000, 500, 250)),
        (100, '0.3b', (8, 1, 8, 2500, 250, 125)),
        (10_000, '0.6b', (4, 2, 1, 80_000, 500, 4000)),
        (1000, '1b', (2, 4, 1, 30_000, 500, 1500)),
        (1, '2b', (1, 8, 100, 300, 30, 15)),
    ],
)
def test_numbers_of_a_schedule(monkeypatch, samples, size, numbers):
    """60 passes; 300 of few samples, until 16,000 images (tiny) or 20,000 are seen; at most 80,000 or 320,000 images."""
    for cores, workers in ((4, 4), (64, 8), (None, 1)):
        monkeypatch.setattr('os.cpu_count', lambda cores=cores: cores)
        assert Schedule.of(samples, size) == Schedule(*numbers, workers=workers)
    text = Schedule.of(samples, size).describe(samples)
    seen = round(numbers[3] * numbers[0] / samples)
    assert text == f'{samples} samples, each seen {seen} times: {numbers[3]} steps of {numbers[0]} images'


def test_a_task_outside_of_the_package_is_offered(monkeypatch, tmp_path, capsys):
    """Its declaration is all that ``sapiens new`` needs to know."""

    def look(data, name, out, doubts):
        raise ValueError(f'looked at {data} for {name} in {out}')

    monkeypatch.setattr(lookup, '_TASKS', dict(lookup._TASKS))
    register_task(TaskSpec('shade', 'shading', own_data=OwnData(look, 'DenseFigureHook')))
    options = ['--name', 'mine', '--size', 'tiny', '--out', str(tmp_path / 'out')]
    with pytest.raises(ValueError, match=f'^looked at photos for mine in {tmp_path}/out$'):
        command.main(['photos', '--task', 'shade', *options])
    with pytest.raises(SystemExit):
        command.main(['photos', '--task', 'pointmap', *options])
    assert re.search(r"invalid choice: 'pointmap' \(choose from '?pose'?, .*shade", capsys.readouterr().err)
