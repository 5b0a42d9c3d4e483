"""One graph with all tasks of a model."""

import json

import pytest
import torch
from mmengine.config import Config
from safetensors import safe_open

from sapiens.apis import build_model
from sapiens.apis.export import ExportError, ExportOptions, export_model, load_export, run_graph_in
from sapiens.apis.export.graph import ExportGraph
from sapiens.apis.export.images import load_images

from ..models.multi_task import BACKBONES, CLASSES, SIZE, SKELETON, build, config

RAW = ['normal.raw_normals', 'pose.heatmaps', 'seg.logits']
DECODED = ['normal.normals', 'pose.keypoints', 'pose.scores', 'seg.labels']


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp('weights')
    paths = {}
    for family in BACKBONES:
        model = build(family)
        torch.nn.init.normal_(
            model.tasks['pose'].head.conv_pose.weight, std=0.5
        )  # peaks above the clip of the logarithm
        paths[family] = folder / f'{family}.pth'
        torch.save(dict(state_dict=model.state_dict()), paths[family])
    return paths


def export(weights, folder, format, family='sapiens2', **kwargs):
    options = ExportOptions(format, **kwargs)
    cfg = Config(dict(model=config(family)))
    return export_model(cfg, weights[family], options, folder / options.file_name('all'))


@pytest.mark.parametrize(
    ('format', 'family', 'options'),
    [
        ('torchscript', 'sapiens', {}),
        ('torchscript', 'sapiens2', dict(decode=True, preprocess='uint8')),
        ('export', 'sapiens2', {}),
        ('export', 'sapiens2', dict(decode=True, dynamic_batch=True)),
        ('onnx', 'sapiens2', dict(decode=True)),
        pytest.param('onnx', 'sapiens', dict(dynamic_batch=True), marks=pytest.mark.slow),
    ],
)
def test_all_outputs_come_from_one_graph_and_equal_the_model(weights, tmp_path, format, family, options):
    report = export(weights, tmp_path, format, family, **options)
    names = DECODED if options.get('decode') else RAW
    assert [row.name for row in report.differences] == names and all(row.passed for row in report.differences)
    exported = load_export(report.path)
    assert exported.names == names and exported.meta['task'] == 'multi'
    assert exported.meta['tasks']['pose']['keypoints'] == SKELETON['keypoints']
    assert exported.meta['tasks']['seg']['classes'] == CLASSES['classes']
    assert exported.meta['tasks']['normal'] == dict(task='normal', geometry='stretch')
    assert exported.meta['tasks']['pose']['geometry'] == 'crop'
    if options.get('decode'):
        return
    model = build_model(Config(dict(model=config(family))), weights[family], 'cpu')
    (image,) = load_images([], SIZE)
    inputs = model.data_preprocessor.normalize(image)[None]
    with torch.no_grad():
        wanted = model(inputs)
    got = exported(inputs)
    torch.testing.assert_close(got['seg.logits'], wanted['seg'], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(got['normal.raw_normals'], wanted['normal'], rtol=1e-4, atol=1e-4)


def test_the_encoder_runs_once_in_the_graph(weights):
    model = build_model(Config(dict(model=config())), weights['sapiens2'], 'cpu')
    calls = []
    model.backbone.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        values = ExportGraph(model, ExportOptions('torchscript', decode=True))(torch.zeros(1, 3, *SIZE))
    assert len(calls) == 1 and len(values) == len(DECODED)


def test_a_wrong_head_is_found(weights, tmp_path, monkeypatch):
    original = ExportGraph._values

    def spoiled(self, head, part, output, size):
        return [value * (1.01 if head == 'seg' else 1) for value in original(self, head, part, output, size)]

    monkeypatch.setattr(ExportGraph, '_values', spoiled)
    with pytest.raises(ExportError, match=r'(?s)normal.raw_normals: .*: ok.*seg.logits: .*: FAILED'):
        export(weights, tmp_path, 'torchscript')


def test_weights_alone(weights, tmp_path):
    report = export(weights, tmp_path, 'safetensors')
    with safe_open(report.path, 'pt') as file:
        assert file.metadata()['task'] == 'multi'
        assert set(json.loads(file.metadata()['sapiens.json'])['tasks']) == {'normal', 'pose', 'seg'}
    model = build_model(Config(dict(model=config())), report.path, 'cpu')
    assert torch.equal(
        model.backbone.cls_token,
        build_model(Config(dict(model=config())), weights['sapiens2'], 'cpu').backbone.cls_token,
    )


def test_a_graph_takes_the_place_of_no_head(weights, tmp_path):
    model = build_model(Config(dict(model=config())), weights['sapiens2'], 'cpu')
    exported = load_export(export(weights, tmp_path, 'torchscript').path)
    with pytest.raises(
        ValueError, match='MultiTaskEstimator has no head whose output an exported graph could replace'
    ):
        run_graph_in(model, exported)
