"""Inference of a dense task that is declared outside the package, without a result class of its own."""

import json
import sys

import numpy as np
import pytest
import torch

from sapiens.apis import load_model
from sapiens.apis.batch_job import Plan, run_plan
from sapiens.apis.inputs import find_inputs
from sapiens.apis.results import Saving
from sapiens.apis.results.by_task import get_result_class
from sapiens.apis.results.maps import make_maps_result
from sapiens.tasks import MapField, TaskSpec
from sapiens.visualization.maps import draw_map

from .tiny import ROOT, SIZES, picture, write_pictures

MODULE = """
from sapiens.models import DepthTask
from sapiens.registry import MODELS
from sapiens.tasks import MapField, TaskSpec, register_task

register_task(TaskSpec('glow', 'glow', (MapField('glow', 1, about='float32 in [0, 1]'),), masked_by_people=True))


@MODELS.register_module(force=True)
class GlowTask(DepthTask):
    task_name = kind = 'glow'
"""
CONFIG = """
_base_ = {base!r}
custom_imports = dict(imports=['glow_plugin'])
model = dict(task=dict(type='GlowTask'))
"""


@pytest.fixture
def config(tmp_path, monkeypatch):
    (tmp_path / 'glow_plugin.py').write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr('sapiens.tasks.lookup._TASKS', dict(sys.modules['sapiens.tasks'].lookup._TASKS))
    path = tmp_path / 'glow.py'
    path.write_text(CONFIG.format(base=str(ROOT / 'configs/depth/sapiens_tiny_synthetic-128x96.py')))
    yield path
    sys.modules.pop('glow_plugin', None)


def test_a_task_outside_the_package_is_predicted_drawn_and_saved(config, tmp_path):
    write_pictures(tmp_path / 'in', SIZES[:2])
    model = load_model(str(config), device='cpu')
    result = model(tmp_path / 'in/0.png')
    assert result.task == model.task == 'glow' and result.maps['glow'].shape == SIZES[0]
    assert result.draw().shape == (*SIZES[0], 3) and result.summary() == 'glow 120x90'
    result.mask = np.zeros(SIZES[0], bool)
    assert (result.draw() == 100).all()
    with pytest.raises(ValueError, match='num_keypoints: for pose only'):
        load_model(str(config), device='cpu', num_keypoints=17)

    plan = Plan(dict(glow=dict(model=str(config), task='glow')), tmp_path / 'out', Saving())
    (tmp_path / 'masks').mkdir()
    np.save(tmp_path / 'masks/0.npy', np.zeros(SIZES[0], bool))
    items = find_inputs(tmp_path / 'in')
    assert not plan.is_done('0')
    assert not [one.error for one in run_plan(plan, items, ['cpu']) if one.error]
    assert {path.name for path in plan.out.iterdir()} == {'0.npy', '0.jpg', '1.npy', '1.jpg'} and plan.is_done('0')
    assert np.load(plan.out / '1.npy').shape == SIZES[1]


def test_results_of_several_maps_and_a_scalar(tmp_path):
    fields = (MapField('points', 3, 'vectors'), MapField('part', kind='labels'))
    kind = make_maps_result(TaskSpec('scene', 'a scene', fields))
    predicted = dict(
        points=torch.rand(3, 12, 9) * 5, part=torch.randint(3, (12, 9)), scale=torch.tensor(2.5, dtype=torch.bfloat16)
    )
    result = kind(image=picture((12, 9)), path='a.jpg', **kind.read_fields(predicted, None))
    assert result.maps['points'].shape == (12, 9, 3) and result.maps['part'].dtype == np.int64
    names = {path.name for path in result.save(tmp_path)}
    assert names == {'a.npy', 'a_part.npy', 'a.jpg', 'a.json'}
    assert json.loads((tmp_path / 'a.json').read_text()) == dict(scale=2.5) == result.frame_record(Saving())
    np.testing.assert_array_equal(np.load(tmp_path / 'a.npy'), predicted['points'].permute(1, 2, 0))
    assert {path.name for path in result.save(tmp_path / 'part', kinds=('part',))} == {'a_part.npy'}
    with pytest.raises(ValueError, match="'mesh' is not a kind"):
        result.save(tmp_path, kinds=('mesh',))
    result.cut_out()
    assert np.isfinite(result.maps['points']).all(), 'without a mask'
    result.mask = np.arange(108).reshape(12, 9) % 2 == 0
    labels = result.maps['part'].copy()
    result.cut_out()
    np.testing.assert_array_equal(np.isfinite(result.maps['points']).all(-1), result.mask)
    np.testing.assert_array_equal(result.maps['part'], labels)  # labels have no such value
    assert (result.picture(Saving(background='black'))[~result.mask] == 0).all()


def test_maps_of_every_kind_are_drawn():
    values = np.linspace(0, 1, 48, dtype=np.float32).reshape(6, 8)
    gray = draw_map(values, 'values')
    assert gray.dtype == np.uint8 and gray[0, 0].sum() < gray[-1, -1].sum()
    assert (draw_map(values, 'values', values > 0.5)[0, 0] == 100).all()
    values[0, 0] = np.nan
    assert (draw_map(values, 'values')[0, 0] == 100).all()
    colors = np.full((6, 8, 3), [0.0, 0.5, 1.0], np.float32)
    assert draw_map(colors, 'values')[0, 0].tolist() == [0, 128, 255]
    facing = np.zeros((6, 8, 3), np.float32)
    facing[..., 2] = -1
    assert draw_map(facing, 'unit_vectors')[0, 0].tolist() == [128, 128, 255]
    labels = np.arange(48).reshape(6, 8)
    assert len(np.unique(draw_map(labels, 'labels').reshape(-1, 3), axis=0)) == 48


def test_the_task_decides_the_result_class():
    assert [get_result_class(name).task for name in ('features', 'pose', 'seg', 'depth', 'normal')] == [
        'features', 'pose', 'seg', 'depth', 'normal'
    ]  # fmt: skip
