"""sapiens demo: functions of the page without a browser, and the page itself if gradio is installed."""

import importlib
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sapiens.apis import load_model
from sapiens.apis.loading.load_model import with_checkpoints
from sapiens.apis.web.texts import summary
from sapiens.checkpoints import save_huggingface
from sapiens.datasets.transforms import BadImage
from sapiens.models import DenseEstimator

from ..apis.tiny import write_pictures
from . import status_of

ROOT = Path(__file__).parents[2]
POSE = str(ROOT / 'configs/pose/sapiens_tiny_synthetic17-128x96.py')
DEPTH = str(ROOT / 'configs/depth/sapiens_tiny_synthetic-128x96.py')
LABELS = [f'{name} (random weights: no checkpoint)' for name in
          ('pose/sapiens_tiny_synthetic17-128x96', 'depth/sapiens_tiny_synthetic-128x96')]  # fmt: skip


@pytest.fixture(scope='module')
def tool():
    return importlib.import_module('sapiens.commands.demo')


@pytest.fixture
def demo(tool):
    return tool.Demo([(POSE, None), (DEPTH, None)], device='cpu')


def test_models_are_offered_for_their_tasks(tool, demo):
    assert {task: demo.labels(task) for task in demo.choices} == {
        'pose': LABELS[:1], 'depth': LABELS[1:], 'features': LABELS, 'all': ['pose + depth'],
    }  # fmt: skip
    assert demo.detectors[0] == 'auto'
    named = tool.Demo([('sapiens-seg-1b', None), (POSE, 'runs/a/best.pth'), (POSE, 'runs/b/best.pth')])
    assert named.labels('seg') == ['sapiens-seg-1b'] and named.labels('pose')[1].endswith('(b/best.pth)')
    assert named.choices['features']['sapiens-seg-1b'] == dict(
        model='sapiens-seg-1b', checkpoint=None, task='features'
    )
    with pytest.raises(ValueError, match='twice'):
        tool.Demo([(POSE, None), (POSE, None)])
    with pytest.raises(ValueError, match='sapiens download'):
        tool.Demo([])


def test_the_page_returns_the_prediction_of_the_model(demo, tool, tmp_path):
    (path,) = write_pictures(tmp_path, [(64, 48)])
    result = demo.predict(path, 'features', LABELS[1])
    expected = load_model(DEPTH, task='features', device='cpu')
    expected.network.load_state_dict(demo.predictors['features', LABELS[1]].network.state_dict())
    np.testing.assert_array_equal(result.features, expected(path).features)
    assert result.path == str(path) and summary(result, 0.5).endswith('48 x 64 pixels · 0.50 s')
    people = demo.predict(path, 'pose', LABELS[0])
    assert len(people) == 1 and summary(people, 0).startswith('1 person, 17 keypoints')
    assert list(demo.predictors) == [('features', LABELS[1]), ('pose', LABELS[0])]
    demo.predict(path, 'depth', LABELS[1])
    assert list(demo.predictors) == [('pose', LABELS[0]), ('depth', LABELS[1])], 'no more than two are kept'


def test_all_tasks_side_by_side(tool, demo, tmp_path, monkeypatch):
    """The first model of each task, on one reading of the image and one search for people."""
    (path,) = write_pictures(tmp_path, [(64, 48)])
    asked = []

    def find(images):
        asked.append(len(images))
        return [(np.array([[1, 2, 30, 40]], np.float32), np.ones(1, np.float32)) for _ in images]

    monkeypatch.setattr('sapiens.apis.demo.build_detector', lambda *_: find)
    results = demo.predict(path, 'all', 'pose + depth', demo.detectors[-1])
    assert list(results) == ['pose', 'depth'] and asked == [1] and results['depth'].path == str(path)
    assert results['pose'].boxes.tolist() == [[1, 2, 30, 40]]
    alone = demo.predict(path, 'depth', LABELS[1])
    np.testing.assert_allclose(results['depth'].depth, alone.depth, atol=1e-5)
    assert list(demo.predictors) == [('pose', LABELS[0]), ('depth', LABELS[1])] and demo.takes_detector('all')
    assert 'all' not in tool.Demo([(POSE, None)], device='cpu').choices, 'one task needs no figure of all'


def test_a_model_of_several_tasks_runs_once_for_all(tool, tmp_path):
    (path,) = write_pictures(tmp_path, [(64, 48)])
    demo = tool.Demo(
        [(str(ROOT / 'configs/multi/sapiens2_tiny_synthetic-128x96.py'), None), (DEPTH, None)], device='cpu'
    )
    (label,) = demo.labels('all')
    results = demo.predict(path, 'all', label)
    assert set(results) == {'pose', 'seg', 'normal', 'depth'}
    assert len(demo.predictors) == 2, 'one for each model, not for each task'
    assert demo.predict(path, 'seg', demo.labels('seg')[0]).labels.shape == (64, 48)


def test_impossible_requests_are_explained(demo, tmp_path):
    (path,) = write_pictures(tmp_path, [(64, 48)])
    with pytest.raises(ValueError, match="no model 'x' for 'pose'"):
        demo.predict(path, 'pose', 'x')
    with pytest.raises(ValueError, match="no model .* for 'seg'"):
        demo.predict(path, 'seg', LABELS[0])
    with pytest.raises(ValueError, match="no detector 'torchvision:x'"):
        demo.predict(path, 'pose', LABELS[0], 'torchvision:x')
    path.write_bytes(b'')
    with pytest.raises(BadImage):
        demo.predict(path, 'pose', LABELS[0])


def test_checkpoints_go_to_models_or_to_the_configs_among_them():
    assert with_checkpoints([POSE, 'sapiens-seg-1b'], []) == [(POSE, None), ('sapiens-seg-1b', None)]
    assert with_checkpoints(['sapiens-seg-1b', POSE], ['a.pth']) == [('sapiens-seg-1b', None), (POSE, 'a.pth')]
    assert with_checkpoints(['sapiens-seg-1b', POSE], ['a', 'b']) == [('sapiens-seg-1b', 'a'), (POSE, 'b')]
    with pytest.raises(ValueError, match='3 files for 2 models'):
        with_checkpoints(['sapiens-seg-1b', POSE], ['a', 'b', 'c'])
    name = 'sapiens_tiny_synthetic17-128x96'
    assert with_checkpoints(['sapiens-seg-1b', name], ['a.pth']) == [('sapiens-seg-1b', None), (name, 'a.pth')]


def test_hub_ids_and_names_of_configs_are_labelled(tool):
    named = tool.Demo([('facebook/sapiens-pose-0.3b', None), ('sapiens_tiny_synthetic17-128x96', None)], device='cpu')
    assert named.labels('pose') == [
        'sapiens-pose-0.3b',
        'sapiens_tiny_synthetic17-128x96 (random weights: no checkpoint)',
    ]


def test_models_of_both_families_and_folders_of_transformers(tool, tmp_path):
    """Names of Sapiens2, its configs, and a folder that transformers saved, side by side."""
    network = DenseEstimator(
        dict(
            type='Sapiens2ViT',
            arch=dict(embed_dims=64, num_layers=18, num_heads=4, feedforward_channels=128),
            img_size=(64, 48),
        ),
        dict(type='DeconvHead', deconv_channels=(16, 8), conv_channels=(8,), predictor='conv_seg'),
        dict(type='SegTask', classes='goliath29'),
    )
    save_huggingface(network, tmp_path / 'runs/parts')
    sapiens2 = 'normal/sapiens2_tiny_synthetic-128x96'
    names = (str(tmp_path / 'runs/parts'), 'sapiens-seg-1b', 'sapiens2-pose-1b', sapiens2)
    made = tool.Demo([(name, None) for name in names], device='cpu')
    assert made.labels('seg') == ['runs/parts', 'sapiens-seg-1b'] and made.labels('pose') == ['sapiens2-pose-1b']
    assert (
        made.labels('normal') == [f'{sapiens2} (random weights: no checkpoint)'] and len(made.labels('features')) == 4
    )
    (path,) = write_pictures(tmp_path / 'in', [(64, 48)])
    for task in ('seg', 'features'):
        result = made.predict(path, task, 'runs/parts')
        assert (result.labels if task == 'seg' else result.features).shape[-2:] == (
            (64, 48) if task == 'seg' else (4, 3)
        )
    assert made.predict(path, 'normal', made.labels('normal')[0]).normals.shape == (64, 48, 3)


def test_old_results_are_deleted(tool, tmp_path):
    for name, age in (('old', 7200), ('new', 60)):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    tool.delete_old(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ['new']


def test_without_gradio_the_error_has_the_command(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'gradio', None)
    assert status_of('demo', '--model', POSE) == 2 and 'pip install gradio' in capsys.readouterr().err


def test_the_page_computes(tool, demo, tmp_path, monkeypatch):
    """Send an image through gradio's client and receive the files."""
    gr = pytest.importorskip('gradio', reason='the page needs gradio: pip install gradio')
    from gradio_client import Client, handle_file

    monkeypatch.setenv('GRADIO_TEMP_DIR', str(tmp_path / 'served'))
    monkeypatch.setenv('GRADIO_ANALYTICS_ENABLED', 'False')
    (tmp_path / 'served').mkdir()
    (path,) = write_pictures(tmp_path / 'in', [(64, 48)])
    page = tool.make_page(gr, demo, tmp_path / 'served')
    _, address, _ = page.launch(prevent_thread_lock=True, quiet=True)
    try:
        client = Client(address, verbose=False, download_files=str(tmp_path / 'got'))

        def compute(task, label, threshold=0.3):
            return client.predict(
                handle_file(str(path)), task, label, 'whole-image', 'default', threshold, True, api_name='/run'
            )

        picture, text, files = compute('pose', LABELS[0])
        assert Path(picture).suffix == '.jpg' and text.startswith('1 person, 17 keypoints each · 48 x 64 pixels')
        assert sorted(Path(file).name for file in files) == ['0.jpg', '0.json']
        people = json.loads(next(Path(file) for file in files if file.endswith('.json')).read_text())
        expected = demo.predict(path, 'pose', LABELS[0]).keypoints[0]
        np.testing.assert_allclose(people['instance_info'][0]['keypoints'], expected, atol=1e-3)
        _, text, files = compute('depth', LABELS[1])
        assert text.startswith('depth ') and {Path(file).suffix for file in files} == {'.npy', '.jpg', '.png', '.ply'}
        figure, text, files = compute('all', 'pose + depth')
        assert text.startswith('1 person, 17 keypoints each; depth ') and len(files) == 7
        with Image.open(figure) as shown:
            assert shown.size[0] == 3 * 52 - 4
        with pytest.raises(Exception, match="for 'depth'"):
            compute('depth', LABELS[0])
    finally:
        page.close()
