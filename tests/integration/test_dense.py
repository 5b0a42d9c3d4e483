"""The three dense tasks with their own recipes on small data: training, evaluation, figures, the test tool."""

import json
import re

import numpy as np
import pytest
from mmengine.logging import MMLogger
from PIL import Image

from sapiens.commands import render
from sapiens.engine import Runner
from sapiens.utils.config import load_config

from ..scripts import ROOT, run

FAKE = ['--generator', 'tests.synthetic.fake:FakeGenerator', '--size', '48x64', '--workers', '0', '--people', '1-2']
# The recipe as it is, but for a narrow model, few and small images, and a short run of few processes.
OPTIONS = [
    'model.backbone.img_size=(64,48)', 'model.head.deconv_channels=(24,24,24)', 'model.head.conv_channels=(24,)',
    'train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False', 'val_dataloader.num_workers=0',
    'test_dataloader.num_workers=0', 'train_dataloader.batch_size=8', '+train_dataloader.sampler.repeat=20',
    'train_cfg.max_iters=40', 'train_cfg.val_interval=40', 'optim_wrapper.optimizer.lr=3e-3',
    'param_scheduler.0.end=5', 'param_scheduler.1.begin=5', 'param_scheduler.1.end=40',
]  # fmt: skip
# Task: a number, and what a model that has learned nothing does not reach: 28 classes; labels alike in all pictures, whose
# normals lie 37 degrees to the left or the right, since training mirrors half of them.
METRICS = {'seg': ('seg/aAcc', 0.1), 'depth': ('depth_scale-shift/delta1', 0.5), 'normal': ('normal/mean', 45)}


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('people')
    for name, count, seed in (('train', 8, 0), ('val', 3, 1)):
        out = root / 'synthetic' / name
        render.main(['--out', str(out), '--num', str(count), '--seed', str(seed), *FAKE])
    return root


@pytest.fixture(params=METRICS)
def trained(request, data, tmp_path, monkeypatch):
    """Task and work dir of a run of its recipe in this process."""
    monkeypatch.setenv('DATA_ROOT', str(data))
    cfg = load_config(
        ROOT / f'configs/{request.param}/sapiens_tiny_synthetic-128x96.py', [*OPTIONS, *sized(request.param)]
    )
    cfg.model.backbone.arch = dict(embed_dims=48, num_layers=2, num_heads=2, feedforward_channels=96)
    cfg.work_dir = str(tmp_path)
    cfg.experiment_name = tmp_path.name
    Runner.from_cfg(cfg).train()
    yield request.param, tmp_path
    MMLogger._instance_dict.clear()


def sized(task):
    """Options that set the sizes of the pipelines, which lie in lists."""
    pipeline, options = 'train_dataloader.dataset.pipeline', []
    cfg = load_config(ROOT / f'configs/{task}/sapiens_tiny_synthetic-128x96.py')
    for index, step in enumerate(cfg.train_dataloader.dataset.pipeline):
        for number, part in enumerate(step.get('steps', [])):
            if 'size' in part:
                options.append(f'{pipeline}.{index}.steps.{number}.size=(48,64)')
    for loader in ('val_dataloader', 'test_dataloader'):
        for index, step in enumerate(cfg[loader].dataset.pipeline):
            if 'size' in step:
                options.append(f'{loader}.dataset.pipeline.{index}.size=(48,64)')
    return options


def test_recipe_trains_evaluates_draws_and_is_tested_by_the_tool(trained, data):
    task, work_dir = trained
    (log,) = work_dir.glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    losses = [line['loss'] for line in lines if 'loss' in line]
    name, bound = METRICS[task]
    (last,) = [line for line in lines if name in line]
    assert losses[-1] < 0.8 * losses[0] and 0 < last['val_loss'] < losses[0]
    assert (last[name] < bound) == (task == 'normal')
    if task == 'depth':
        assert last['depth_scale-shift/flat_RMSE'] < 1e-6, 'these people are flat, each by itself'
    assert len(list(work_dir.glob(f'*/vis_data/{task}*_*.png'))) == 1

    run('tools/test.py', work_dir / next(work_dir.glob('*.py')).name, work_dir / 'iter_40.pth', '--work-dir', work_dir / 'test',
        '--out', work_dir / 'out.json', '--show-dir', work_dir / 'shown', '--show-limit', 2,
        DATA_ROOT=str(data), OMP_NUM_THREADS='1')  # fmt: skip
    metrics = json.loads((work_dir / 'out.json').read_text())
    assert metrics[name] == pytest.approx(last[name], rel=1e-4)
    assert metrics['val_loss'] == pytest.approx(last['val_loss'], rel=1e-4)
    shown = sorted((work_dir / 'shown').iterdir())
    assert [path.stem for path in shown] == ['000000', '000001']
    assert np.asarray(Image.open(shown[0])).std() > 10


@pytest.mark.parametrize('task', METRICS)
def test_browse_dataset_draws_dense_labels(task, data, tmp_path):
    config = f'configs/{task}/sapiens_tiny_synthetic-128x96.py'
    result = run(
        'tools/misc/browse_dataset.py', config, '--num-samples', 2, '--out', tmp_path / 'a.png', DATA_ROOT=str(data)
    )
    assert re.search(r'a\.png', result.stdout + result.stderr)
    picture = np.asarray(Image.open(tmp_path / 'a.png'))
    assert picture.shape[2] == 3 and picture.std() > 10
