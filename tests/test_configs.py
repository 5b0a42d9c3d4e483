"""Every config loads, builds and matches its name."""

import copy
import functools
import re
import shlex
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmengine.registry import LOG_PROCESSORS, DefaultScope
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample

from sapiens.checkpoints import ZOO
from sapiens.engine.optim.param_groups import make_param_groups
from sapiens.metainfo import get_skeleton
from sapiens.models.backbones.archs import SAPIENS2_ARCHS, SAPIENS_ARCHS, resolve_arch
from sapiens.registry import (
    HOOKS,
    LOOPS,
    METRICS,
    MODELS,
    OPTIM_WRAPPER_CONSTRUCTORS,
    OPTIM_WRAPPERS,
    PARAM_SCHEDULERS,
    TRANSFORMS,
)
from sapiens.structures import DenseDataSample
from sapiens.utils.config import load_config

CONFIGS = Path(__file__).parents[1] / 'configs'
STUDIES = CONFIGS / 'ablations'
# Studies and curations are no models: tests/studies and tests/curation read them.
OTHERS = ('ablations', 'curation')
LEAVES = sorted(
    p for p in CONFIGS.rglob('*.py') if '_base_' not in p.parts and p.relative_to(CONFIGS).parts[0] not in OTHERS
)
TINY = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
NAME = re.compile(
    r'(?P<model>sapiens2?|(timm|mmpretrain)-[a-z]+)_(?P<size>[^_]+)_(?P<data>[^-_]+)-(?P<h>\d+)x(?P<w>\d+)(_(?P<what>.+))?'
)
# Encoders of other libraries: their class, and what the name of the network contains.
LIBRARIES = dict(timm='TimmBackbone', mmpretrain='MMPretrainBackbone')
NETWORKS = dict(vit='vit|VisionTransformer', swin='swin|SwinTransformer', convnext='convnext|ConvNeXt')


def task_of(path):
    return path.relative_to(CONFIGS).parts[0]


# The sizes of one recipe differ by a name and a few numbers: one of them, the smallest, is built and trained.
ONE_OF_EACH = [
    path
    for path in LEAVES
    if not re.match(r'sapiens_(0\.6b|1b|2b)_|sapiens2_(0\.1b|0\.8b|1b|5b)_', path.name) or 'ablations' in path.parts
]
ONE_OF_EACH += [
    path
    for path in LEAVES
    if path.name in ('sapiens_1b_face-1024x768.py', 'sapiens_1b_general-1024x768.py')
    or (path.name.startswith('sapiens_1b_') and task_of(path) in ('pointmap', 'matting', 'albedo'))
]


@functools.cache
def _read(path):
    return load_config(path)


def read(path):
    """A config, read once; a copy, for tests that change it."""
    return copy.deepcopy(_read(path))


leaves = pytest.mark.parametrize('path', LEAVES, ids=lambda path: str(path.relative_to(CONFIGS)))


def chain(path, depth=0):
    """(file, depth) of a config and everything it inherits from."""
    yield path, depth
    for base in Config._get_base_files(str(path)):
        yield from chain((path.parent / base).resolve(), depth + 1)


def flat(pipeline):
    """Transforms, and the steps inside them."""
    for step in pipeline:
        yield step
        yield from flat(step.get('steps', ()))
        yield from flat(step.get('otherwise', ()))


def pipelines(cfg, split):
    """The pipeline of a split; of several tasks that of each."""
    if f'{split}_pipeline' in cfg:
        return [cfg[f'{split}_pipeline']]
    return [part.pipeline for part in cfg[f'{split}_dataloader'].dataset.datasets.values()]


@leaves
def test_name_tells_the_truth(path):
    cfg = read(path)
    match = NAME.fullmatch(path.stem)
    assert match, f'{path.name} is not <model>_<size>_<data>-<h>x<w>[_<what>].py'
    size = (int(match['h']), int(match['w']))
    library, _, network = match['model'].partition('-')
    if network:
        assert cfg.model.backbone.type == LIBRARIES[library] and re.match(NETWORKS[network], cfg.model.backbone.name)
        assert f'../_base_/backbones/{match["model"]}_{match["size"]}.py' in path.read_text()
    else:
        assert cfg.model.backbone.arch == match['size']
    assert tuple(cfg.model.backbone.img_size) == size
    for pipeline in pipelines(cfg, 'train'):
        if 'tasks' in cfg.model and pipeline[-1].type == 'PackBoxes':
            continue  # whole images are an input of their own
        sizes = [tuple(step['size']) for step in flat(pipeline) if step.get('size') and step['type'] != 'RandomResize']
        assert sizes and set(sizes) == {size[::-1]}
    assert (match['what'] is not None) == ('ablations' in path.parts)


@leaves
def test_everything_it_names_exists(path):
    cfg = read(path)
    for registry, config in [
        (LOOPS, cfg.train_cfg),
        (OPTIM_WRAPPERS, cfg.optim_wrapper),
        *((METRICS, metric) for metric in evaluators(cfg)),
        *((TRANSFORMS, step) for split in ('train', 'val') for one in pipelines(cfg, split) for step in flat(one)),
        *((HOOKS, hook) for hook in [*cfg.default_hooks.values(), *cfg.get('custom_hooks', [])] if hook),
    ]:
        assert registry.get(config['type']) is not None, config
    assert OPTIM_WRAPPER_CONSTRUCTORS.get(cfg.optim_wrapper.constructor) is not None


def evaluators(cfg):
    if 'tasks' in cfg.model:
        return [metric for metrics in cfg.val_evaluator.values() for metric in metrics]
    return cfg.val_evaluator if isinstance(cfg.val_evaluator, list) else [cfg.val_evaluator]


def shrink(cfg):
    """The same model with few channels."""
    cfg.model.backbone.arch = TINY
    cfg.model.backbone.pop('init_cfg', None)
    if cfg.model.type == 'MAE':
        cfg.model.decoder.update(embed_dims=16, num_heads=2)
        return
    for part in cfg.model.get('tasks', dict(all=cfg.model)).values():
        if part.type == 'DenseEstimator':
            for layers in {'deconv_channels', 'upsample_channels', 'conv_channels'} & set(part.head):
                part.head[layers] = [8] * len(part.head[layers])
            if 'scale' in part.head:
                part.head.scale.update(conv_channels=[8] * len(part.head.scale.conv_channels), hidden=(8,))
        else:
            part.head.update(deconv_channels=(8, 8), conv_channels=(8,))


def labeled_sample(model):
    if type(model).__name__ == 'MultiTaskEstimator':
        sample = labeled_sample(model.tasks['pose'])
        sample.set_metainfo(dict(task='pose'))
        return sample
    if type(model).__name__ == 'MAE':
        return None
    if type(model).__name__ == 'DenseEstimator':
        height, width = model.backbone.img_size
        sample = DenseDataSample(valid_mask=torch.ones(height, width, dtype=torch.bool))
        for field in model.task.spec.fields:
            values = torch.rand(*field.leading, height, width) + 0.1
            if field.kind == 'labels':
                values = torch.randint(0, 19, (height, width))
            sample.set_field(values, f'gt_{field.name}')
            if field.own_validity:
                sample.set_field(sample.valid_mask, f'valid_{field.name}')
        sample.set_metainfo(dict(intrinsics=np.array([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1.0]])))
        return sample
    if type(model).__name__ == 'BoxEstimator':
        sample, kinds = DenseDataSample(), torch.tensor([[1, 2, 0]], dtype=torch.uint8)
        boxes = torch.tensor([[[10.0, 10, 60, 90], [0, 80, 40, 128], [0, 0, 0, 0]]])
        sample.gt_instance_labels = InstanceData(boxes=boxes, box_kinds=kinds)
        return sample
    sample = PoseDataSample()
    count = len(model.skeleton)
    points = torch.rand(1, count, 2) * torch.tensor(model.backbone.img_size[::-1])
    sample.gt_instance_labels = InstanceData(keypoints=points, keypoint_weights=torch.ones(1, count))
    return sample


@pytest.mark.parametrize('path', dict.fromkeys(ONE_OF_EACH), ids=lambda path: str(path.relative_to(CONFIGS)))
def test_builds_and_trains_with_a_tiny_encoder(path):
    cfg = read(path)
    if cfg.model.backbone.type not in LIBRARIES.values():
        archs = SAPIENS2_ARCHS if 'Sapiens2' in cfg.model.backbone.type else SAPIENS_ARCHS
        resolve_arch(cfg.model.backbone.arch, archs)
        shrink(cfg)
    model = MODELS.build(cfg.model).train()
    model.init_weights()
    height, width = cfg.model.backbone.img_size
    images = torch.randint(0, 256, (1, 3, height, width), dtype=torch.uint8)
    data = model.data_preprocessor(dict(inputs=images, data_samples=[labeled_sample(model)]), training=True)
    losses = model(**data, mode='loss')
    loss = sum(value for key, value in losses.items() if 'loss' in key)
    loss.backward()
    assert loss.isfinite()


@leaves
def test_leaves_are_thin(path):
    assert len(path.read_text().splitlines()) <= 15
    # Ablations, and the recipes of the package's weights, begin from another recipe.
    limit = 4 if 'ablations' in path.parts or '_free' in path.stem else 3
    assert max(depth for _, depth in chain(path)) <= limit


@leaves
def test_pipelines_in_the_loaders_are_the_ones_declared(path):
    """Overriding a pipeline in a child does not change a loader by itself: the child must wire it again."""
    cfg = read(path)
    if 'tasks' in cfg.model:
        trained = '+'.join(cfg.train_dataloader.dataset.datasets).split('+')  # some steps are for several
        assert set(cfg.model.tasks) == set(trained) == set(cfg.val_evaluator) and len(trained) == len(set(trained))
        assert cfg.test_dataloader == cfg.val_dataloader
        return
    assert cfg.train_dataloader.dataset.pipeline == cfg.train_pipeline
    assert cfg.val_dataloader.dataset.pipeline == cfg.val_pipeline
    if 'test_dataset' in cfg:
        assert differences(cfg.test_dataloader.dataset, cfg.test_dataset) == {'pipeline': cfg.val_pipeline}
        assert cfg.test_evaluator == [cfg.test_metric]
    else:
        assert cfg.test_dataloader == cfg.val_dataloader


def test_a_model_of_several_tasks_is_that_of_the_recipes_it_joins():
    cfg = read(CONFIGS / 'multi' / 'sapiens2_tiny_synthetic-128x96.py')
    leaves = dict(pose='sapiens2_tiny_synthetic308-128x96', seg='sapiens2_tiny_synthetic-128x96')
    for task, leaf in dict(leaves, normal=leaves['seg']).items():
        own = read(CONFIGS / task / f'{leaf}.py')
        assert dict(cfg.model.tasks[task], backbone=cfg.model.backbone) == own.model
        assert cfg.train_dataloader.dataset.datasets[task] == own.train_dataloader.dataset
        assert cfg.val_dataloader.dataset.datasets[task] == own.val_dataloader.dataset
        assert cfg.val_evaluator[task] == own.val_evaluator
    assert cfg.train_dataloader.sampler == dict(type='TaskSampler')


def test_the_shared_encoder_of_the_packages_weights_has_their_heads():
    """Heads, losses and evaluation are those of the single recipes, so that each loads its part of a checkpoint."""
    cfg = read(CONFIGS / 'multi' / 'sapiens_tiny_free-128x96.py')
    names = dict(person='person', pose='pose133', seg='seg28', depth='depth', normal='normal')
    for task, name in names.items():
        own = read(CONFIGS / ZOO[f'sapiens-tiny-{name}'].config)
        assert dict(cfg.model.tasks[task], backbone=own.model.backbone) == own.model
        assert {**cfg.model.backbone, **own.model.backbone, 'img_size': (128, 96)} == cfg.model.backbone
        if task != 'person':  # which has a folder of its own
            assert cfg.val_dataloader.dataset.datasets[task] == own.val_dataloader.dataset
            assert cfg.val_evaluator[task] == own.val_evaluator
    crops, boxes = cfg.train_dataloader.dataset.datasets.values()
    assert crops.labels.keys() == {'depth', 'normal', 'seg'} and boxes.data_root == 'data/several/synthetic/train'


@pytest.mark.parametrize('size', ['0.4b', '1b'])
def test_recipes_of_several_tasks_at_full_size(size):
    """Each task has the head, the losses and as many iterations as alone; all see one letterboxed input."""
    cfg = read(CONFIGS / 'multi' / f'sapiens2_{size}_goliath-1024x768.py')
    alone = {task: read(CONFIGS / ZOO[f'sapiens2-{task}-{size}'].config) for task in cfg.model.tasks}
    turns = cfg.train_dataloader.sampler.turns
    rounds = cfg.train_cfg.max_iters / sum(turns.get(task, 1) for task in alone)
    for task, own in alone.items():
        assert dict(cfg.model.tasks[task], backbone=cfg.model.backbone) == own.model
        assert rounds * turns.get(task, 1) == own.train_cfg.max_iters
        assert cfg.optim_wrapper == own.optim_wrapper and cfg.param_scheduler == own.param_scheduler
    assert cfg.train_dataloader.batch_size == min(own.train_dataloader.batch_size for own in alone.values())
    loading = dict(type='LoadLetterbox', size=(768, 1024), interpolation='published')
    for task in ('seg', 'normal'):
        assert loading in cfg.val_dataloader.dataset.datasets[task].pipeline
        steps = [step.type for step in flat(cfg.train_dataloader.dataset.datasets[task].pipeline)]
        assert 'Letterbox' in steps and 'Resize' not in steps
    with DefaultScope.overwrite_default_scope('sapiens'), torch.device('meta'):
        model = MODELS.build(cfg.model).eval()
        maps = model(torch.empty(1, 3, 1024, 768))
    shapes = dict(pose=(1, 308, 256, 192), seg=(1, 29, 1024, 768), normal=(1, 3, 1024, 768))
    assert {task: tuple(value.shape) for task, value in maps.items()} == shapes


def test_every_base_file_is_used_by_a_leaf():
    studies = [path for path in STUDIES.rglob('*.py') if '_base_' not in path.parts]
    used = {file for leaf in [*LEAVES, *studies] for file, depth in chain(leaf) if depth}
    bases = {path for path in CONFIGS.rglob('*.py') if '_base_' in path.parts}
    assert bases == {file for file in used if '_base_' in file.parts}


def test_published_evaluation_of_depth_and_normals():
    """docs/tasks/depth.md, "The published tables"."""
    for task, extra in (('depth', dict(alignment='scale-shift', target='metric')), ('normal', {})):
        for data in ('hi4d', 'thuman2'):
            paths = sorted((CONFIGS / task).glob(f'sapiens_*_{data}-1024x768.py'))
            assert [path.name.split('_')[1] for path in paths] == ['0.3b', '0.6b', '1b', '2b']
            cfg = read(paths[-1])
            (metric,) = cfg.test_evaluator
            metric = dict(metric)
            METRICS.build(dict(metric))
            assert metric.pop('type') == f'{task.capitalize()}Metric' and metric.pop('prefix').startswith(data)
            assert metric == dict(average='image', **extra)
            assert cfg.test_dataloader.dataset.data_root.endswith(data) and cfg.test_dataloader.dataset.test_mode
            assert cfg.test_dataloader.dataset.fields == [task]


def test_published_schedule():
    cfg = read(CONFIGS / 'mae' / 'sapiens_2b_humans300m-1024x1024.py')
    assert cfg.optim_wrapper.optimizer.lr == 1.5e-4 and cfg.auto_scale_lr == dict(enable=True, base_batch_size=256)
    assert cfg.optim_wrapper.optimizer.betas == (0.9, 0.95) and cfg.optim_wrapper.optimizer.weight_decay == 0.05
    assert cfg.optim_wrapper.clip_grad.max_norm == 1.0
    assert cfg.train_cfg.max_epochs == 1600 and cfg.param_scheduler[1].T_max == 1560
    assert cfg.model.mask_ratio == 0.95 and cfg.model.norm_pix and cfg.model.decode_share == 1.0
    assert cfg.model.decoder == dict(num_layers=8, embed_dims=512, num_heads=16)


# What the released pose configs set: learning rate, layer decay, hard keypoints, fewest visible points in a crop.
PUBLISHED_POSE = {
    ('0.3b', 'coco'): (5e-4, 0.85, None, 4),
    ('0.6b', 'coco'): (5e-4, 0.85, None, 4),
    ('1b', 'coco'): (5e-4, 0.85, None, 4),
    ('2b', 'coco'): (5e-4, 0.85, None, 4),
    ('0.3b', 'wholebody'): (5e-4, 0.75, None, 0),
    ('0.6b', 'wholebody'): (5e-4, 0.75, None, 0),
    ('1b', 'wholebody'): (5e-4, 0.85, None, 0),
    ('2b', 'wholebody'): (5e-4, 0.85, None, 0),
    ('0.3b', 'goliath'): (5e-5, 0.85, 128, 8),
    ('0.6b', 'goliath'): (5e-5, 0.85, None, 8),
    ('1b', 'goliath'): (5e-5, 0.95, 128, 8),
    ('2b', 'goliath'): (5e-5, 0.85, None, 8),
}
BEST = dict(coco='coco/AP', wholebody='coco-wholebody/AP', goliath='goliath/AP')
KEYPOINTS = dict(coco=17, wholebody=133, goliath=308)


@pytest.mark.parametrize(('size', 'data'), PUBLISHED_POSE)
def test_published_pose_recipes(size, data):
    cfg = read(CONFIGS / 'pose' / f'sapiens_{size}_{data}-1024x768.py')
    groups, load = cfg.optim_wrapper.paramwise_cfg, next(step for step in cfg.train_pipeline if 'min_visible' in step)
    found = cfg.optim_wrapper.optimizer.lr, groups.layer_decay_rate, cfg.model.losses.top_k, load.min_visible
    assert found == PUBLISHED_POSE[size, data]
    assert cfg.optim_wrapper.optimizer.betas == (0.9, 0.999) and cfg.optim_wrapper.optimizer.weight_decay == 0.1
    assert cfg.optim_wrapper.clip_grad.max_norm == 1.0
    assert groups.no_decay == ['pos_embed'] and groups.no_decay_1d
    assert cfg.model.losses.type == 'HeatmapMSELoss' and cfg.model.backbone.patch_padding == 2
    assert cfg.model.codec == dict(type='UDPHeatmap', sigma=6.0, refine='newton', blur_kernel_size=11)
    assert (
        cfg.model.test_cfg.flip_test and cfg.train_dataloader.batch_size == 64 and cfg.val_dataloader.batch_size == 32
    )
    assert cfg.auto_scale_lr == dict(enable=(size, data) == ('1b', 'wholebody'), base_batch_size=512)
    warm_up, steps = cfg.param_scheduler
    assert (warm_up.start_factor, warm_up.end, warm_up.by_epoch) == (0.001, 500, False)
    assert (steps.type, steps.milestones, steps.gamma) == ('MultiStepLR', [170, 200], 0.1)
    assert cfg.train_cfg.max_epochs == 210
    assert cfg.default_hooks.checkpoint.save_best == BEST[data]
    assert len(get_skeleton(cfg.model.skeleton)) == KEYPOINTS[data]
    start = ZOO[cfg.model.backbone.init_cfg.checkpoint]
    assert (start.task, start.size) == ('pretrain', size) and start.files()[0].endswith('_clean.pth')


# What the published Sapiens2 recipes set, by task and size: iterations, images per GPU, learning rate.
SAPIENS2 = {
    'pose': {'0.4b': (10000, 6, 5e-4), '0.8b': (10000, 12, 5e-4), '1b': (20000, 7, 5e-4), '5b': (20000, 2, 1e-4)},
    'seg': {'0.4b': (20000, 12, 5e-4), '0.8b': (30000, 5, 5e-4), '1b': (20000, 8, 5e-4), '5b': (50000, 2, 5e-4)},
    'normal': {'0.4b': (20000, 20, 5e-4), '0.8b': (10000, 12, 5e-4), '1b': (40000, 7, 5e-4), '5b': (40000, 3, 1e-4)},
    'pointmap': {'0.4b': (20000, 8, 5e-4), '0.8b': (20000, 6, 5e-4), '1b': (40000, 3, 5e-4), '5b': (40000, 1, 1e-4)},
    'albedo': {'0.4b': (20000, 20, 5e-4), '0.8b': (20000, 12, 5e-4), '1b': (40000, 7, 5e-4), '5b': (40000, 3, 5e-4)},
    'matting': {'1b': (14550, 8, 5e-4)},
}
# By size: layer decay and largest norm of the gradients.
SAPIENS2_DECAY = {'0.4b': (0.8, 2.0), '0.8b': (0.85, 4.0), '1b': (0.9, 4.0), '5b': (0.94, 4.0)}
SAPIENS2_LOSSES = {
    'seg': [('SegCrossEntropyLoss', 1.0), ('SegDiceLoss', 1.0)],
    'normal': [('NormalCosineLoss', 10.0), ('NormalL1Loss', 1.0), ('NormalGradientLoss', 10.0)],
    'pointmap': [
        ('PointmapL1Loss', 2.0), ('PointmapMultiscaleL1Loss', 1.0), ('PointmapShiftInvariantLoss', 1.0),
        ('PointmapSiLogLoss', 1.0), ('PointmapIntrinsicsLoss', 1.0), ('PointmapNormalLoss', 2.0), ('PointmapScaleLoss', 4.0),
    ],
    'albedo': [('AlbedoL1Loss', 2.0), ('AlbedoGradientLoss', 2.0), ('AlbedoChromaticityLoss', 1.0)],
    'matting': [('MattingL1Loss', 1.0), ('MattingGradientLoss', 1.0), ('MattingLaplacianLoss', 1.0)],
}  # fmt: skip
# Iterations from one evaluation to the next, and from one checkpoint to the next, where these are not 1000.
SAPIENS2_INTERVALS = {
    ('seg', '5b'): (10000, 2000), ('albedo', '0.8b'): (10000, 1000), ('albedo', '5b'): (40000, 1000),
}  # fmt: skip


@pytest.mark.parametrize(('task', 'size'), [(task, size) for task in SAPIENS2 for size in SAPIENS2[task]])
def test_published_sapiens2_recipes(task, size):
    (path,) = (CONFIGS / task).glob(f'sapiens2_{size}_*-1024x768.py')
    if task != 'albedo':  # whose weights are not published
        assert ZOO[f'sapiens2-{task}-{size}'].config == path.relative_to(CONFIGS).as_posix()
    cfg = read(path)
    found = cfg.train_cfg.max_iters, cfg.train_dataloader.batch_size, cfg.optim_wrapper.optimizer.lr
    assert found == SAPIENS2[task][size]
    groups = cfg.optim_wrapper.paramwise_cfg
    decay, norm = SAPIENS2_DECAY[size]
    norm = 2.0 if (task, size) == ('pointmap', '0.8b') else norm
    assert (groups.layer_decay_rate, cfg.optim_wrapper.clip_grad.max_norm) == (decay, norm)
    full = task == 'pointmap' or (task, size) == ('seg', '0.8b')
    assert cfg.optim_wrapper.precision == ('fp32' if full else 'auto')
    assert groups.no_decay_1d and set(groups.no_decay) == {'pos_embed', 'cls_token', 'storage_tokens', 'w_cls'}
    assert cfg.optim_wrapper.optimizer.betas == (0.9, 0.999) and cfg.optim_wrapper.optimizer.weight_decay == 0.1
    assert not cfg.default_hooks.checkpoint.by_epoch and not cfg.log_processor.by_epoch
    intervals = cfg.train_cfg.val_interval, cfg.default_hooks.checkpoint.interval
    assert intervals == SAPIENS2_INTERVALS.get((task, size), (1000, 1000))
    start = ZOO[cfg.model.backbone.init_cfg.checkpoint]
    assert (start.task, start.size, start.family.name) == ('pretrain', size, 'sapiens2')
    assert cfg.model.backbone.type == 'Sapiens2ViT' and cfg.model.backbone.rope_dtype == 'fp32'
    if task == 'pose':
        assert cfg.model.losses == dict(type='HeatmapMSELoss', top_k=None, loss_weight=10.0)
        assert cfg.model.codec.sigma == 6.0 and cfg.model.test_cfg.flip_test and cfg.model.skeleton == 'goliath308'
        steps = {step['type']: step for step in cfg.train_pipeline}
        assert steps['PhotometricDistortion'].prob == 0.8 and steps['LoadPerson'].min_visible == 8
    else:
        losses = [(loss.type, loss.get('loss_weight', 1.0)) for loss in cfg.model.losses]
        assert losses == SAPIENS2_LOSSES[task]
    if task == 'seg':
        data = cfg.train_dataloader.dataset
        assert cfg.model.task.classes == data.classes == cfg.val_evaluator[0].classes == 'goliath29'


@pytest.mark.parametrize('task', [task for task in SAPIENS2 if task != 'matting'])
def test_unpublished_sapiens2_sizes_have_the_recipe_of_another(task):
    small, other = (read(next((CONFIGS / task).glob(f'sapiens2_{size}_*-1024x768.py'))) for size in ('0.1b', '0.4b'))
    for cfg in (small, other):
        cfg.model.pop('backbone')
    for key in ('model', 'optim_wrapper', 'param_scheduler', 'train_cfg', 'train_dataloader', 'train_pipeline'):
        assert small[key] == other[key], key


def published_faults():
    """{config: options} of the commands in docs/differences.md."""
    text = (
        (CONFIGS.parent / 'docs/differences.md')
        .read_text()
        .partition('The faults of the published recipes by name')[2]
    )
    commands = text.split('```')[1].replace('\\\n', ' ').splitlines()
    words = [shlex.split(line) for line in commands if line.startswith('sapiens train')]
    return {line[2]: line[line.index('--cfg-options') + 1 :] for line in words}


def test_faults_of_the_published_sapiens2_recipes_by_name():
    """Each option has its effect; the recipes are without them."""
    faults = published_faults()
    assert [path.split('/')[1] for path in faults] == ['normal', 'seg', 'pointmap', 'albedo', 'matting']
    for path, options in faults.items():
        cfg, ours = load_config(CONFIGS.parent / path, options), read(CONFIGS.parent / path)
        shrink(cfg)
        shrink(ours)
        models = [MODELS.build(one.model) for one in (cfg, ours)]
        images = dict(inputs=torch.full((1, 3, 2, 2), 100, dtype=torch.uint8))
        theirs, own = (
            model.data_preprocessor(images, training=True)['inputs'][0, :, 0, 0].tolist() for model in models
        )
        assert own == pytest.approx([(100 - 123.675) / 58.395, (100 - 116.28) / 57.12, (100 - 103.53) / 57.375])
        rounded = [(100 - 123.5) / 58.5, (100 - 116.5) / 57, (100 - 103.5) / 57.5]
        assert theirs == pytest.approx(own if '/pointmap/' in path else rounded), 'pointmaps are trained in float32'
        decayed = []
        for model, one in zip(models, (cfg, ours), strict=True):
            groups = make_param_groups(model, 1.0, 0.1, **one.optim_wrapper.paramwise_cfg)
            decays = {id(parameter): group['weight_decay'] for group in groups for parameter in group['params']}
            decayed.append([decays[id(getattr(model.backbone, name))] for name in ('cls_token', 'storage_tokens')])
        assert decayed == [[0.1, 0.1], [0, 0]]
        assert [model.backbone.rope_embed.dtype for model in models] == [torch.bfloat16, torch.float32]
        if '/seg/' not in path and '/matting/' not in path:
            assert [model.test_cfg['padding'] for model in models] == ['keep', 'remove']
        changed = {name for name, loss in models[0].loss_modules.items() if getattr(loss, 'published', False)}
        faulty = {'pointmap': {'l1_2', 'silog', 'normal'}, 'matting': {'grad', 'laplacian'}}
        assert changed == faulty.get(path.split('/')[1], set())
        assert not any(getattr(loss, 'published', False) for loss in models[1].loss_modules.values())
        if '/seg/' in path:
            means = []
            for one in (cfg, ours):
                metric = METRICS.build(dict(one.val_evaluator[0]))
                labels = torch.zeros(4, 4, dtype=torch.uint8)
                labels[:2] = 1
                metric.process({}, [dict(pred_sem_seg=labels, gt_sem_seg=labels, sample_idx=0)])
                means.append(metric.evaluate(1)['seg/mIoU'])
            assert means == pytest.approx([2 / 29, 1]), '27 absent classes count 0, or not at all'
            assert cfg.test_evaluator[0].average_over == 'all'


FOUR_K = {'seg': 'sapiens2_1b_goliath-4096x3072.py', 'normal': 'sapiens2_1b_renderpeople-4096x3072.py'}


@pytest.mark.parametrize('task', FOUR_K)
def test_recipes_of_the_4k_encoder(task):
    """The released encoder fits, and the head gives maps of half the size of the image."""
    cfg, usual = read(CONFIGS / task / FOUR_K[task]), read(CONFIGS / ZOO[f'sapiens2-{task}-1b'].config)
    with DefaultScope.overwrite_default_scope('sapiens'), torch.device('meta'):
        model = MODELS.build(cfg.model).eval()
        features = model.backbone(torch.empty(1, 3, 4096, 3072))[-1]
        maps = model.head(features)
    entry = ZOO[cfg.model.backbone.init_cfg.checkpoint]
    assert (entry.size, entry.tokenizer) == ('1b', True)
    assert {name: tuple(value.shape) for name, value in model.backbone.state_dict().items()} == entry.shapes()
    channels = dict(seg=29, normal=3)[task]
    assert features.shape == (1, 1536, 64, 48) and maps.shape == (1, channels, 2048, 1536)
    for key in ('losses', 'task', 'type'):
        assert cfg.model[key] == usual.model[key]
    assert cfg.param_scheduler == usual.param_scheduler and cfg.train_cfg == usual.train_cfg
    images = cfg.train_dataloader.batch_size * cfg.optim_wrapper.accumulative_counts
    assert images == usual.train_dataloader.batch_size
    assert cfg.optim_wrapper.paramwise_cfg == usual.optim_wrapper.paramwise_cfg
    assert [step['type'] for step in flat(cfg.train_pipeline)] == [step['type'] for step in flat(usual.train_pipeline)]
    text = next(CONFIGS.glob(f'{task}/_base_/*4096x3072.py')).read_text()
    assert 'Not a published recipe' in text and 'Our choices' in text


@pytest.mark.parametrize('task', FOUR_K)
def test_recipes_of_the_4k_encoder_train(task):
    """With few channels, on an image of 4x3 windows."""
    cfg = read(CONFIGS / task / FOUR_K[task])
    shrink(cfg)
    cfg.model.backbone.img_size = (256, 192)
    model = MODELS.build(cfg.model).train()
    model.init_weights()
    images = torch.randint(0, 256, (1, 3, 256, 192), dtype=torch.uint8)
    data = model.data_preprocessor(dict(inputs=images, data_samples=[labeled_sample(model)]), training=True)
    loss = sum(value for key, value in model(**data, mode='loss').items() if 'loss' in key)
    loss.backward()
    assert loss.isfinite() and model.backbone.tokenizer.w_cls.grad.abs().sum() > 0
    groups = make_param_groups(model, 1.0, 0.1, **cfg.optim_wrapper.paramwise_cfg)
    rates = {id(parameter): group['lr'] for group in groups for parameter in group['params']}
    lowest = rates[id(model.backbone.patch_embed.projection.weight)]
    assert lowest == min(rates.values())
    assert {rates[id(parameter)] for parameter in model.backbone.tokenizer.parameters()} == {lowest}


def test_published_sapiens2_augmentation():
    seg, normal = (
        {step['type']: step for step in flat(read(CONFIGS / ZOO[f'sapiens2-{task}-1b'].config).train_pipeline)}
        for task in ('seg', 'normal')
    )
    assert seg['RandomBackground'].prob == 0.8 and seg['RandomResize'].ratio == (0.4, 2.0)
    assert (seg['RandomCrop'].prob, seg['RandomCrop'].cat_max_ratio) == (0.3, 0.75)
    assert (seg['RandomRotate'].degree, seg['RandomRotate'].prob, seg['RandomRotate'].seg_padding) == (60, 0.5, 0)
    assert (normal['RandomResize'].ratio, normal['RandomResize'].prob, normal['RandomResize'].size) == (
        (0.5, 2),
        0.3,
        None,
    )
    area = normal['RandomAreaCrop']
    assert (area.area, area.aspect, area.prob) == ((0.4, 1.0), (0.5, 2.0), 0.3)
    assert normal['RandomFlip'].prob == normal['Solarize'].prob == 0.3 and normal['LowerResolution'].prob == 0.2
    for steps in (seg, normal):
        assert steps['GaussianBlur'].prob == steps['GaussianNoise'].prob == 0.3
    pointmap, albedo = (
        {
            step['type']: step
            for step in flat(read(CONFIGS / task / 'sapiens2_1b_renderpeople-1024x768.py').train_pipeline)
        }
        for task in ('pointmap', 'albedo')
    )
    for steps in (pointmap, albedo):
        for step in ('RandomResize', 'RandomAreaCrop', 'RandomFlip', 'Letterbox'):
            assert steps[step] == normal[step]
        assert (steps['RejectLabels'].min_pixels, steps['RejectLabels'].max_fraction) == (16, 0.96)
        assert not {'GaussianBlur', 'LowerResolution', 'Solarize'} & steps.keys()
    assert 'PhotometricDistortion' in pointmap and 'GaussianNoise' not in pointmap
    assert 'PhotometricDistortion' not in albedo and albedo['GaussianNoise'].prob == 0.2
    assert (pointmap['RejectLabels'].min_canonical_depth, albedo['RejectLabels'].min_albedo_std) == (0.04, 0.02)
    steps = flat(read(CONFIGS / 'matting/sapiens2_1b_general-1024x768.py').train_pipeline)
    matting = {step['type']: step for step in steps}
    compression = matting['JPEGCompression']
    assert (compression.prob, compression.quality) == (0.5, (30, 60)) and matting['PhotometricDistortion'].prob == 0.5
    assert matting['CropToAlpha'].prob == 0.5
    assert (
        matting['RandomResize'].ratio == (0.4, 2.0) and matting['RandomCrop'].prob == matting['RandomFlip'].prob == 0.5
    )
    turn = matting['RandomRotate']
    assert (turn.degree, turn.prob, turn.fill) == (60, 0.5, 255) and matting['Resize'].size == (768, 1024)


@pytest.mark.parametrize('path', [path for path in LEAVES if task_of(path) == 'pose'], ids=lambda path: path.stem)
def test_model_data_and_metric_speak_of_one_skeleton(path):
    cfg = read(path)
    train = cfg.train_dataloader.dataset
    parts = train.datasets if train.type == 'CombinedDataset' else [train]
    names = {cfg.model.skeleton, cfg.val_dataloader.dataset.skeleton, *(part.skeleton for part in parts)}
    names |= {metric.skeleton for metric in evaluators(cfg) if 'skeleton' in metric}
    assert names == {cfg.model.skeleton}


# What the released dense configs set: patch padding, epochs, schedule, deconvolutions, chance of another background.
PUBLISHED_DENSE = {
    ('seg', 'goliath'): (0, 200, 'PolyLR', 3, 0.8),
    ('seg', 'face'): (0, 200, 'PolyLR', 3, None),
    ('seg', 'cihp'): (2, 400, 'PolyLR', 3, None),
    ('seg', 'lip'): (2, 400, 'CosineAnnealingLR', 3, None),
    ('depth', 'renderpeople'): (0, 200, 'PolyLR', 4, 0.5),
    ('depth', 'general'): (0, 200, 'PolyLR', 4, None),
    ('normal', 'renderpeople'): (2, 200, 'PolyLR', 3, 0.5),
    ('normal', 'general'): (2, 200, 'PolyLR', 3, None),
}
SIZES = {('seg', 'face'): ['1b'], ('depth', 'general'): ['1b']}
ROTATION = dict(seg=(45, 0.5), depth=(60, 0.5), normal=None)


@pytest.mark.parametrize(('task', 'data'), PUBLISHED_DENSE)
def test_published_dense_recipes(task, data):
    sizes = SIZES.get((task, data), ['0.3b', '0.6b', '1b', '2b'])
    paths = sorted((CONFIGS / task).glob(f'sapiens_[0-9]*_{data}-1024x768.py'))
    assert [path.name.split('_')[1] for path in paths] == sizes
    for path in paths:
        cfg = read(path)
        warm_up, decay = cfg.param_scheduler
        steps = {step['type']: step for step in flat(cfg.train_pipeline)}
        background = steps['RandomBackground'].prob if 'RandomBackground' in steps else None
        found = cfg.model.backbone.patch_padding, cfg.train_cfg.max_epochs, decay.type
        found += len(cfg.model.head.deconv_channels), background
        assert found == PUBLISHED_DENSE[task, data]
        assert (warm_up.start_factor, warm_up.end, warm_up.by_epoch) == (0.001, 400, False)
        assert decay.end == cfg.train_cfg.max_epochs and decay.by_epoch
        assert cfg.optim_wrapper.optimizer.lr == 5e-4 and cfg.optim_wrapper.optimizer.weight_decay == 0.1
        assert cfg.optim_wrapper.paramwise_cfg.layer_decay_rate == 0.85
        rotation = steps.get('RandomRotate')
        assert (rotation and (rotation.degree, rotation.prob)) == ROTATION[task]
        ratio = (0.75, 1.25) if data in ('cihp', 'lip') else (0.2, 2.0)
        assert steps['RandomResize'].ratio == ratio and steps['RandomFlip'].prob == 0.5
        if task == 'seg':
            assert rotation.seg_padding == (255 if data in ('cihp', 'lip') else 0)
            assert steps['RandomCrop'].cat_max_ratio == 0.75
            assert cfg.model.task.classes == cfg.train_dataloader.dataset.classes == cfg.val_evaluator[0].classes


def differences(value, base, path=''):
    """{dotted key: value} of the differences from the base, without what configs only take from, such as ``_losses``."""
    if isinstance(value, dict) and isinstance(base, dict):
        found = {}
        for key in {*value, *base}:
            if key.startswith('_'):
                continue
            found |= differences(value.get(key), base.get(key), f'{path}.{key}' if path else key)
        return found
    return {} if value == base else {path: value}


ABLATIONS = {
    'mae': {
        'mask-0.75': {'model.mask_ratio': 0.75},
        'block-mask': {'model.mask_block_size': 4},
        'decoder-depth-4': {'model.decoder.num_layers': 4},
        'no-norm-pix': {'model.norm_pix': False},
        'decode-0.25': {'model.decode_share': 0.25},
    },
    'pose': {
        'hard-keypoints': {'model.losses.top_k': 8},
        'cross-entropy': {
            'model.losses.type': 'HeatmapCrossEntropyLoss',
            'model.codec.sigma': 2.0,
            'model.codec.refine': 'expectation',
        },
    },
}


@pytest.mark.parametrize('task', ABLATIONS)
def test_ablations_change_what_they_state(task):
    for what, expected in ABLATIONS[task].items():
        (path,) = (CONFIGS / task / 'ablations').glob(f'*_{what}.py')
        base = CONFIGS / task / path.name.replace(f'_{what}', '')
        assert differences(read(path).to_dict(), read(base).to_dict()) == expected


@pytest.mark.parametrize('task', ['seg', 'depth', 'normal'])
def test_dense_ablations_change_losses_or_backgrounds_only(task):
    for path in (CONFIGS / task / 'ablations').glob('*.py'):
        base = CONFIGS / task / f'{path.stem.rsplit("_", 1)[0]}.py'
        changed = set(differences(read(path).to_dict(), read(base).to_dict()))
        if 'background' in path.stem:
            # Shares of foreground are read where backgrounds change; the recipes at full size name none.
            shares = {'train_dataloader.dataset.alpha'} if 'tiny' in path.stem else set()
            assert changed == {'train_pipeline', 'train_dataloader.dataset.pipeline', *shares}
        else:
            assert changed == {'model.losses'}


def test_linear_decay_instead_of_steps():
    cfg = read(CONFIGS / 'pose' / 'ablations' / 'sapiens_1b_coco-1024x768_linear-decay.py')
    base = read(CONFIGS / 'pose' / 'sapiens_1b_coco-1024x768.py')
    assert set(differences(cfg.to_dict(), base.to_dict())) == {'param_scheduler'}
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    schedules = [dict(schedule) for schedule in cfg.param_scheduler]
    epoch_length = 40
    built = []
    for schedule in schedules:
        convert = schedule.pop('convert_to_iter_based', False)
        kind = PARAM_SCHEDULERS.get(schedule.pop('type'))
        if convert:
            built.append(kind.build_iter_from_epoch(optimizer, **schedule, epoch_length=epoch_length))
        else:
            built.append(kind(optimizer, **schedule))
    rates = []
    for _ in range(210 * epoch_length):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        for schedule in built:
            schedule.step()
    total = 210 * epoch_length
    assert rates[0] == pytest.approx(0.001)
    for iteration in (600, 4000, 8000):
        assert rates[iteration] == pytest.approx(1 - iteration / total, abs=1e-3)
    assert np.argmax(rates) < 510 and rates[-1] < 1e-3


def test_published_faults_of_the_augmentation_by_name():
    cfg = read(CONFIGS / 'pose' / 'ablations' / 'sapiens_1b_coco-1024x768_published-augmentation.py')
    steps = [step for step in cfg.train_dataloader.dataset.pipeline if step['type'] == 'PhotometricDistortion']
    assert [step.published for step in steps] == [True]
    (load,) = (step for step in cfg.train_dataloader.dataset.pipeline if step['type'] == 'LoadPerson')
    codec = read(CONFIGS / 'pose' / 'sapiens_1b_coco-1024x768.py').model.codec
    assert load.touching == dict(sigma=codec.sigma, heatmap_size=(load.size[0] // 4, load.size[1] // 4))


@pytest.mark.parametrize(
    ('name', 'is_averaged'),
    [('loss', True), ('loss_cosine', True), ('time', True), ('data_time', True), ('grad_norm', True)]
    + [(name, False) for name in ('val_loss', 'mae/loss', 'coco/AP', 'acc_pose', 'images_per_s')],
)
def test_evaluations_are_logged_as_they_are(name, is_averaged):
    """An average over the last evaluations would hide overfitting."""
    processor = LOG_PROCESSORS.build(read(CONFIGS / '_base_' / 'default_runtime.py').log_processor)
    hub = SimpleNamespace(log_scalars={f'val/{name}': HistoryBuffer([4.0, 2.0], [1, 1])})
    logged = processor._collect_scalars([], SimpleNamespace(message_hub=hub), 'val')
    assert logged == {name: 3.0 if is_averaged else 2.0}
