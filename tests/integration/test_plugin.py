"""A task outside the package (tests/plugins/shading.py) does everything that a task of the package does."""

import json
import os
import sys

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger
from PIL import Image

from sapiens import tasks
from sapiens.checkpoints.recognition import describe, recognise
from sapiens.commands import export, render, test, train
from sapiens.utils.checkpoint import read_checkpoint

from .. import scripts
from ..scripts import ROOT

PLUGINS = ROOT / 'tests' / 'plugins'
CONFIG = str(PLUGINS / 'shading_64x48.py')
FAKE = ['--generator', 'tests.synthetic.fake:FakeGenerator', '--size', '48x64', '--workers', '0', '--people', '1-2']


@pytest.fixture(scope='module')
def plugin():
    """The folder of plug-ins can be imported from, and what they register is forgotten afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PLUGINS))
        patch.setattr(tasks.lookup, '_TASKS', dict(tasks.lookup._TASKS))
        yield patch
        sys.modules.pop('shading', None)


@pytest.fixture(scope='module')
def trained(plugin, tmp_path_factory):
    """Folder with data and a trained model: ``work/iter_40.pth``."""
    root = tmp_path_factory.mktemp('shading')
    for name, count, seed in (('train', 8, 0), ('val', 3, 1)):
        render.main(['--out', str(root / 'synthetic' / name), '--num', str(count), '--seed', str(seed), *FAKE])
    plugin.setenv('DATA_ROOT', str(root))
    run(train, CONFIG, '--work-dir', str(root / 'work'))
    return root


def run(command, *arguments):
    command.main(list(arguments))
    MMLogger._instance_dict.clear()


def scalars(work_dir):
    rows = []
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        rows += [json.loads(line) for line in path.read_text().splitlines()]
    return rows


def test_trains_evaluates_and_draws(trained):
    rows = scalars(trained / 'work')
    errors = [row['shading/MAE'] for row in rows if 'shading/MAE' in row]
    assert (
        len(errors) == 2
        and errors[1] < errors[0] < 1
        and all('val_loss' in row for row in rows if 'shading/MAE' in row)
    )
    figures = sorted((trained / 'work').glob('*/vis_data/shading_*.png'))
    assert [path.stem for path in figures] == ['shading_0000020', 'shading_0000040']
    assert np.asarray(Image.open(figures[-1])).std() > 10


def test_a_resumed_run_equals_an_uninterrupted_one(trained, tmp_path):
    run(train, CONFIG, '--work-dir', str(tmp_path), '--cfg-options', 'train_cfg.max_iters=20')
    run(train, CONFIG, '--work-dir', str(tmp_path), '--resume')
    one, other = (torch.load(path / 'iter_40.pth', weights_only=True) for path in (trained / 'work', tmp_path))
    assert all(torch.equal(one['state_dict'][key], other['state_dict'][key]) for key in one['state_dict'])


def test_is_tested_with_figures(trained, tmp_path):
    figures = tmp_path / 'figures'
    # The config names no test_evaluator: the default metric of the task measures.
    extra = '--show-dir', str(figures), '--out', str(tmp_path / 'metrics.json')
    run(test, CONFIG, str(trained / 'work/iter_40.pth'), '--work-dir', str(tmp_path), *extra)
    last = [row['shading/MAE'] for row in scalars(trained / 'work') if 'shading/MAE' in row][-1]
    assert json.loads((tmp_path / 'metrics.json').read_text())['shading/MAE'] == pytest.approx(last, rel=1e-4)
    assert len(list(figures.glob('*.jpg'))) == 3


def test_its_checkpoint_is_recognized_as_its_own(trained):
    checkpoint = read_checkpoint(trained / 'work/iter_40.pth')
    assert checkpoint.meta['task'] == 'shading'
    found = recognise(checkpoint.state_dict, checkpoint.meta)
    assert found['task'] == 'shading' and 'shading' in describe(found)
    # Without the entry nothing is claimed: a head with one channel is not called depth.
    assert recognise(checkpoint.state_dict)['task'] is None


def infer(*arguments):
    scripts.run('tools/infer.py', *arguments, '--device', 'cpu', PYTHONPATH=os.pathsep.join([str(PLUGINS), str(ROOT)]))


def test_infers_from_the_command_line(trained, tmp_path):
    images = trained / 'synthetic/val/rgb'
    weights = trained / 'work/iter_40.pth'
    infer('shading', images, '--out', tmp_path / 'out', '--model', CONFIG, '--checkpoint', weights)
    first = sorted(images.iterdir())[0]
    shading = np.load(tmp_path / 'out' / f'{first.stem}.npy')
    assert shading.shape == (64, 48) and 0 < shading.min() < shading.max() < 1
    assert np.asarray(Image.open(tmp_path / 'out' / f'{first.stem}.jpg')).shape[1] == 48


def test_infers_together_with_a_task_of_the_package(trained, tmp_path):
    image = sorted((trained / 'synthetic/val/rgb').iterdir())[0]
    models = 'sapiens_tiny_synthetic17-128x96', CONFIG
    infer('all', image, '--out', tmp_path, '--model', *models, '--save', 'json', 'shading')
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.glob('*/*') if path.stem == image.stem}
    assert written == {f'pose/{image.stem}.json', f'shading/{image.stem}.npy'}


@pytest.mark.parametrize('decode', [False, True])
def test_exports_to_onnx(trained, tmp_path, decode):
    onnxruntime = pytest.importorskip('onnxruntime')
    path = tmp_path / 'shading.onnx'
    extra = ['--with-decode'] if decode else []
    run(export, CONFIG, str(trained / 'work/iter_40.pth'), '--format', 'onnx', '--out', str(path), *extra)
    session = onnxruntime.InferenceSession(str(path))
    (output,) = session.get_outputs()
    assert output.name == ('shading' if decode else 'logits')
    (values,) = session.run(None, {session.get_inputs()[0].name: np.zeros((1, 3, 64, 48), np.float32)})
    assert values.shape == ((1, 1, 64, 48) if decode else (1, 1, 16, 12))
    assert not decode or (values.min() > 0 and values.max() < 1)
