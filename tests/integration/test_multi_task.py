"""Several tasks on one encoder with their recipe: training, resuming, evaluation, figures, several processes."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from PIL import Image

from sapiens.commands import browse, check
from sapiens.datasets.draw import Draw
from sapiens.datasets.transforms import LoadLetterbox
from sapiens.engine import Runner
from sapiens.registry import DATASETS
from sapiens.utils.config import load_config
from sapiens.visualization.layout import contact_sheet

from ..ranks import on_ranks
from ..scripts import run
from . import status_of
from .multi_task import RECIPE, Stop, make_config, render_people, train_on_rank
from .test_resume import differences

TASKS = ('normal', 'pose', 'seg')  # in their order


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('people')
    render_people(root)
    return root


def train(cfg):
    try:
        Runner.from_cfg(cfg).train()
    finally:
        MMLogger._instance_dict.clear()


@pytest.fixture(scope='module')
def straight(data, tmp_path_factory):
    """Work dir of a run of six iterations, two for each task."""
    work_dir = tmp_path_factory.mktemp('straight')
    train(make_config(work_dir, data))
    return work_dir


def scalars(work_dir):
    (log,) = work_dir.glob('*/vis_data/scalars.json')
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_tasks_take_turns_and_their_losses_are_logged_by_name(straight):
    lines = [line for line in scalars(straight) if 'loss' in line]
    order = [[task for task in TASKS if f'{task}_loss' in ' '.join(line)] for line in lines]
    assert order == [['normal'], ['normal', 'pose'], *[list(TASKS)] * 4]  # means over ten steps
    assert all(np.isfinite(line['loss']) for line in lines)


def test_each_task_is_evaluated_on_its_data_under_names_that_differ(straight):
    (last,) = [line for line in scalars(straight) if 'seg/mIoU' in line]
    assert {'goliath/AP', 'seg/mIoU', 'normal/mean', *(f'{task}/val_loss' for task in TASKS)} <= set(last)
    assert 'val_loss' not in last and 0 < last['normal/mean'] < 180
    assert len(list(straight.glob('best_seg_mIoU_*.pth'))) == 1


def test_a_figure_of_each_task(straight):
    names = {path.name for path in straight.glob('*/vis_data/*.png')}
    assert names == {f'{task}_0000006.png' for task in TASKS}
    for path in straight.glob('*/vis_data/*.png'):
        assert np.asarray(Image.open(path)).std() > 10


def weights_at(work_dir, step):
    """Weights of a checkpoint as they are trained, without the average of which evaluation takes."""
    state = torch.load(work_dir / f'iter_{step}.pth', weights_only=True)['ema_state_dict']
    return {name.removeprefix('module.'): value for name, value in state.items() if name.startswith('module.')}


def test_every_head_was_trained_and_each_only_in_its_turns(straight):
    # Iterations 3 and 4 are for parts and normals, 5 and 6 for pose and parts.
    for before, after, still in ((2, 4, 'pose'), (4, 6, 'normal')):
        one, two = weights_at(straight, before), weights_at(straight, after)
        changed = {name for name in one if not torch.equal(one[name], two[name])}
        assert {name.split('.')[1] for name in changed if name.startswith('tasks.')} == set(TASKS) - {still}
        assert any(name.startswith('backbone.blocks.0.') for name in changed)


def test_a_resumed_run_equals_an_uninterrupted_one(straight, data, tmp_path):
    cfg = make_config(tmp_path, data, workers=1)
    cfg.custom_hooks = [*cfg.custom_hooks, dict(type='CrashHook', after=3)]
    with pytest.raises(Stop):
        train(cfg)
    assert (tmp_path / 'iter_2.pth').exists() and not (tmp_path / 'iter_4.pth').exists()
    train(make_config(tmp_path, data, workers=1, resume=True))
    one, two = (torch.load(folder / 'iter_6.pth', weights_only=True) for folder in (straight, tmp_path))
    for part in ('state_dict', 'optimizer', 'param_schedulers', 'hooks', 'rng', 'data', 'panels', 'ema_state_dict'):
        assert differences(one[part], two[part], part) == []
    for key in [key for key in one['message_hub']['curves'] if 'loss' in key]:
        assert differences(one['message_hub']['curves'][key], two['message_hub']['curves'][key], key) == []


def test_several_processes_train_the_same_weights_also_with_accumulation_over_tasks(data, tmp_path):
    on_ranks(2, train_on_rank, tmp_path, tmp_path, data, seconds=300, joined=False)
    for accumulate in ('1', '2'):
        one, two = weights_at(tmp_path / accumulate, 2), weights_at(tmp_path / accumulate, 6)
        heads = {name.split('.')[1] for name in one if not torch.equal(one[name], two[name]) and 'tasks.' in name}
        assert heads == set(TASKS)


def test_the_models_of_single_tasks_take_their_parts_and_score_the_same(straight, data, tmp_path):
    whole = make_config(tmp_path, data)
    (last,) = [line for line in scalars(straight) if 'seg/mIoU' in line]
    for task, name in dict(normal='normal/mean', pose='goliath/AR', seg='seg/aAcc').items():
        cfg = make_config(tmp_path / task, data)
        cfg.model = dict(whole.model.tasks[task], backbone=whole.model.backbone)
        loader = whole.test_dataloader
        cfg.test_dataloader = dict(loader, dataset=loader.dataset.datasets[task])
        cfg.test_evaluator, cfg.custom_hooks = whole.test_evaluator[task], []
        for key in ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler'):
            cfg[key] = None
        for key in ('val_dataloader', 'val_cfg', 'val_evaluator'):
            cfg[key] = None
        del cfg.default_hooks['ema']
        cfg.load_from = str(straight / 'iter_6.pth')
        metrics = Runner.from_cfg(cfg).test()
        MMLogger._instance_dict.clear()
        assert metrics[name] == pytest.approx(last[name], rel=1e-4)
        assert metrics['val_loss'] == pytest.approx(last[f'{task}/val_loss'], rel=1e-4)


def test_the_tool_evaluates_and_draws_each_task(straight, data, tmp_path):
    run('tools/test.py', next(straight.glob('*.py')), straight / 'iter_6.pth', '--work-dir', tmp_path / 'test',
        '--out', tmp_path / 'out.json', '--show-dir', tmp_path / 'shown', '--show-limit', 2, '--dump', tmp_path / 'people.json',
        DATA_ROOT=str(data), OMP_NUM_THREADS='1')  # fmt: skip
    metrics = json.loads((tmp_path / 'out.json').read_text())
    (last,) = [line for line in scalars(straight) if 'seg/mIoU' in line]
    for name in ('seg/mIoU', 'normal/mean', 'pose/val_loss', 'normal/val_loss'):
        assert metrics[name] == pytest.approx(last[name], rel=1e-4)
    for task in TASKS:
        assert len(list((tmp_path / 'shown' / task).glob('*.jpg'))) == 2
    assert (tmp_path / 'people.json').exists()


@pytest.mark.parametrize('size', ['0.4b', '1b'])
def test_the_pipelines_of_the_recipes_at_full_size(data, size):
    """On the data of this test: what all tasks of the whole image see is letterboxed, and their labels with it."""
    full = load_config(f'multi/sapiens2_{size}_goliath-1024x768')
    small = make_config('unused', data)
    for split in ('train', 'val'):
        parts = {
            task: dict(part, pipeline=full[f'{split}_dataloader'].dataset.datasets[task].pipeline)
            for task, part in small[f'{split}_dataloader'].dataset.datasets.items()
        }
        for step in parts['seg']['pipeline']:
            if step.type == 'RandomBackground':
                step.update(root=str(data / 'synthetic' / 'val' / 'rgb'), ann_file=None)
        with DefaultScope.overwrite_default_scope('sapiens'):
            dataset = DATASETS.build(dict(type='MultiTaskDataset', datasets=parts))
        for task in TASKS:
            sample = dataset[Draw(dataset.first(task), 0)] if split == 'train' else dataset[dataset.first(task)]
            found = sample['data_samples']
            assert sample['inputs'].shape == (3, 1024, 768) and found.metainfo['task'] == task
            if task == 'pose':
                continue
            labels = found.get('gt_sem_seg' if task == 'seg' else 'gt_normal')
            if split == 'train':
                assert labels.shape[-2:] == (1024, 768) and len(dataset.tasks[task]) == 6
                continue
            (left, top, width, height), matrix = letterbox_of(found.ori_shape)
            np.testing.assert_allclose(found.warp_matrix, matrix)
            outside = sample['inputs'].clone()
            outside[:, top : top + height, left : left + width] = 0
            assert labels.shape[-2:] == found.ori_shape and not outside.any() and sample['inputs'].any()


def letterbox_of(shape):
    return LoadLetterbox(size=(768, 1024)).place(shape[::-1])


def test_the_data_of_each_task_are_checked_and_drawn(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv('DATA_ROOT', str(data))
    status = status_of('check', RECIPE, '--samples', 4)
    text = capsys.readouterr().out
    for task, kind in (('pose', 'KeypointDataset'), ('seg', 'SegmentationDataset'), ('normal', 'GeometryDataset')):
        assert f'\n{task}: {kind}(' in text
    # The people of these tests are flat, which only the normals show.
    assert status == 1 and 'WRONG' not in text.partition('\nnormal: ')[0] and 'the same normal on all pixels' in text
    with pytest.raises(ValueError, match='the train data are for normal, pose, seg, the model is for pose'):
        check.main([RECIPE, '--cfg-options', 'model.tasks={"pose": {"type": "PoseEstimator"}}'])
    few = tmp_path / 'few.py'
    few.write_text(
        f'_base_ = {str(Path(RECIPE).resolve())!r}\n'
        'val_dataloader = dict(dataset=dict(datasets=dict(\n'
        '    _delete_=True, pose=_base_.val_dataloader.dataset.datasets.pose)))\n'
    )
    with pytest.raises(ValueError, match='the val data are for pose, the model is for normal, pose, seg'):
        check.main([str(few)])
    browse.main([RECIPE, '--samples', '6', '--out', str(tmp_path / 'a.png')])
    assert 'MultiTaskDataset' in capsys.readouterr().out and np.asarray(Image.open(tmp_path / 'a.png')).std() > 10


def test_the_tiles_of_each_task_fill_their_rows():
    """Tiles with labels beside the image are twice as wide as those with keypoints over it."""
    tiles = dict(normal=[np.zeros((300, 380, 3), np.uint8)] * 8, pose=[np.zeros((310, 190, 3), np.uint8)] * 16)
    drawn = browse.sheet(tiles)
    white = (drawn == 255).all(-1)
    assert white.mean() < 0.1 and 4 * 380 < drawn.shape[1] < 1.02 * browse.WIDTH
    single = browse.sheet({None: tiles['pose']})
    assert np.array_equal(single, contact_sheet(tiles['pose'], columns=browse.WIDTH // 190)), 'one task needs no name'
