"""Exports of tasks that are declared outside the package."""

import pytest
import torch
from mmengine.config import Config
from torch import nn

from sapiens import tasks
from sapiens.apis.export import ExportOptions, export_model, load_export, run_graph_in
from sapiens.apis.loading.build import build_model
from sapiens.checkpoints import describe, recognise
from sapiens.models import DenseTask
from sapiens.registry import MODELS
from sapiens.tasks import MapField, TaskSpec
from sapiens.utils.checkpoint import read_checkpoint

from .export_models import BACKBONE, HEAD, SIZE


class AlbedoTask(DenseTask):
    """One map, decoded by its own method. The head of normals has as many channels."""

    task_name = 'albedo_for_tests'
    channels = 3
    default_losses = (dict(type='NormalL1Loss'),)

    def decode(self, output, size):
        return {name: value.sigmoid() for name, value in super().decode(output, size).items()}


class PointsTask(DenseTask):
    """Two maps and a scalar."""

    task_name = 'points_for_tests'
    scalars = ('scale',)
    default_losses = (dict(type='NormalL1Loss'),)

    @property
    def maps(self):
        return dict(rays=3, trust=1)


class Head(nn.Module):
    def __init__(self, in_channels, out_channels, scalars):
        super().__init__()
        self.maps = nn.ModuleDict({name: nn.Conv2d(in_channels, count, 1) for name, count in out_channels.items()})
        self.scalars = nn.ModuleDict({name: nn.Linear(in_channels, 1) for name in scalars})

    def forward(self, features):
        pooled = features.mean((2, 3))
        outputs = {name: layer(features) for name, layer in self.maps.items()}
        return outputs | {name: layer(pooled)[:, 0] for name, layer in self.scalars.items()}


@pytest.fixture
def plugins(monkeypatch):
    monkeypatch.setattr(tasks.lookup, '_TASKS', dict(tasks.lookup._TASKS))
    for name, part in dict(AlbedoTask=AlbedoTask, PointsTask=PointsTask, HeadOfPoints=Head).items():
        monkeypatch.setitem(MODELS.module_dict, f'{name}ForTests', part)
    albedo = MapField('albedo_map', 3, about='linear RGB in [0, 1]')
    tasks.register_task(TaskSpec('albedo_for_tests', 'albedo', fields=(albedo,)))
    points = MapField('rays', 3, 'unit_vectors'), MapField('trust', 1)
    tasks.register_task(TaskSpec('points_for_tests', 'points', fields=points))


def config(task, head=HEAD, **changes):
    return Config(
        dict(model=dict(type='DenseEstimator', backbone=BACKBONE, head=head, task=dict(type=task)), **changes)
    )


@pytest.mark.parametrize('format', ['torchscript', 'onnx'])
def test_a_single_map(plugins, tmp_path, format):
    cfg = config('AlbedoTaskForTests', val_pipeline=[dict(type='LoadResize', keep_ratio=True)])
    report = export_model(
        cfg, None, ExportOptions(format, decode=True), tmp_path / ('x.onnx' if format == 'onnx' else 'x.pt2')
    )
    (output,) = report.meta['outputs']
    assert output == dict(name='albedo_map', meaning='(B, 3, H, W) float32, linear RGB in [0, 1]')
    assert report.meta['task'] == 'albedo_map' and report.meta['geometry'] == 'letterbox'
    albedo = load_export(report.path)(torch.randn(1, 3, *SIZE))['albedo_map']
    assert albedo.shape == (1, 3, *SIZE) and albedo.min() > 0 and albedo.max() < 1


def test_several_maps_and_a_scalar(plugins, tmp_path):
    cfg = config('PointsTaskForTests', dict(type='HeadOfPointsForTests'))
    torch.manual_seed(0)
    raw = export_model(cfg, None, ExportOptions('torchscript', dynamic_batch=True), tmp_path / 'raw.pt2')
    assert [row.name for row in raw.differences] == ['raw_rays', 'raw_trust', 'raw_scale']
    decoded = export_model(cfg, None, ExportOptions('onnx', decode=True), tmp_path / 'x.onnx')
    assert [row.name for row in decoded.differences] == ['rays', 'trust', 'scale']
    shapes = {name: value.shape for name, value in load_export(decoded.path)(torch.randn(1, 3, *SIZE)).items()}
    assert shapes == dict(rays=(1, 3, *SIZE), trust=(1, 1, *SIZE), scale=(1,))
    # The graph as the network of a model gives the outputs by name.
    model = build_model(cfg, None, 'cpu')
    run_graph_in(model, load_export(raw.path))
    outputs = model(torch.randn(2, 3, *SIZE))
    assert list(outputs) == ['rays', 'trust', 'scale'] and outputs['scale'].shape == (2,)


@pytest.mark.parametrize('format', ['safetensors', 'clean'])
def test_exported_weights_keep_their_task(plugins, tmp_path, format):
    head = dict(type='DenseHead', deconv_channels=(768,) * 3, conv_channels=(768,) * 3)
    options = ExportOptions(format)
    report = export_model(config('AlbedoTaskForTests', head), None, options, tmp_path / options.file_name('x'))
    read = read_checkpoint(report.path)
    assert recognise(read.state_dict)['task'] == 'normal'  # the layers alone are those of the published normals
    found = recognise(read.state_dict, read.meta)
    assert found['task'] == 'albedo_for_tests' and describe(found).startswith('albedo, ')


def test_a_declaration_with_other_outputs_is_refused(plugins, tmp_path):
    spec = tasks.get_task('albedo_for_tests')
    tasks.lookup._TASKS['albedo_for_tests'] = tasks.TaskSpec(
        spec.name, spec.description, spec.fields, decoded_outputs=(tasks.Output('a', ''), tasks.Output('b', ''))
    )
    with pytest.raises(ValueError, match="task 'albedo_for_tests' declares decoded_outputs a, b, but has albedo_map"):
        export_model(config('AlbedoTaskForTests'), None, ExportOptions('torchscript', decode=True), tmp_path / 'x.pt2')
