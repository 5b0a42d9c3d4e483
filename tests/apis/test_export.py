import importlib
import json

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample
from safetensors import safe_open

from sapiens.apis import build_model
from sapiens.apis.export import ExportError, ExportOptions, export_model, graph, load_export, options, run_graph_in
from sapiens.apis.export.images import load_images
from sapiens.apis.export.outputs import outputs_of
from sapiens.models import UDPHeatmap
from sapiens.structures import DenseDataSample
from sapiens.utils.checkpoint import read_checkpoint

from .export_models import ARCH, CLASSES, MODELS_OF, SIZE, SKELETON, checkpoint, config

TASKS = ['features', 'pose', 'sem_seg', 'depth', 'normal']
OUTPUTS = dict(
    features=('features',), pose=('heatmaps',), sem_seg=('logits',), depth=('raw_depth',), normal=('raw_normals',)
)
DECODED = dict(pose=('keypoints', 'scores'), sem_seg=('labels',), depth=('depth',), normal=('normals',))


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp('weights')
    return {task: checkpoint(task, folder) for task in TASKS}


@pytest.fixture(scope='module')
def photographs(tmp_path_factory):
    """The photograph of scikit-image, and two parts of it."""
    from PIL import Image
    from skimage.data import astronaut

    folder = tmp_path_factory.mktemp('photographs')
    for index, part in enumerate((astronaut(), astronaut()[:300, 100:400], astronaut()[50:250, ::-1])):
        Image.fromarray(np.ascontiguousarray(part)).save(folder / f'{index}.png')
    return sorted(folder.iterdir())


def export(task, weights, folder, format, photographs=(), cfg=None, **kwargs):
    chosen = ExportOptions(format, **kwargs)
    return export_model(cfg or config(task), weights[task], chosen, folder / chosen.file_name(task), photographs)


def slow_unless(condition, *values):
    return pytest.param(*values, marks=() if condition else pytest.mark.slow)


CASES = [
    slow_unless(format == 'torchscript' or (task, decode) == ('pose', True), task, format, decode)
    for task in TASKS
    for format in ('torchscript', 'export', 'onnx')
    for decode in (False, True)
    if task in DECODED or not decode
]


@pytest.mark.parametrize('task, format, decode', CASES)
def test_every_task_in_every_graph(tmp_path, weights, photographs, task, format, decode):
    """Names, shapes, any batch size, and values of a batch that the export did not compare."""
    report = export(
        task, weights, tmp_path, format, photographs, decode=decode, preprocess='uint8', dynamic_batch=True
    )
    assert [row.name for row in report.differences] == list((DECODED if decode else OUTPUTS)[task])
    assert all(row.passed for row in report.differences)
    assert [file.name for file in tmp_path.iterdir()] == [report.path.name]
    exported = load_export(report.path)
    assert exported.format == format and exported.meta == json.loads(json.dumps(report.meta))
    assert exported.meta['input'] == dict(name='inputs', shape=['batch', 3, *SIZE], dtype='uint8', meaning='uint8 RGB')
    assert exported.meta['geometry'] == ('crop' if task == 'pose' else 'stretch')
    batch = torch.stack(load_images(photographs, SIZE))
    together = exported(batch)
    assert list(together) == list((DECODED if decode else OUTPUTS)[task])
    alone = exported(batch[1:2])
    for name, value in together.items():
        assert value.dtype == (torch.uint8 if name == 'labels' else torch.float32)
        torch.testing.assert_close(value[1:2], alone[name], rtol=1e-3, atol=1e-4)
    if not decode:
        model = build_model(config(task), weights[task], 'cpu')
        normal = model.data_preprocessor.normalize(batch)
        want = model.backbone(normal)[-1][:, 1:].mT.unflatten(2, (4, 3)) if task == 'features' else model(normal)
        torch.testing.assert_close(next(iter(together.values())), want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('format', ['torchscript', slow_unless(False, 'export'), slow_unless(False, 'onnx')])
def test_decoded_pose_equals_the_prediction_of_the_model(tmp_path, weights, photographs, format):
    path = export('pose', weights, tmp_path, format, photographs[:1], preprocess='float', decode=True).path
    picture = load_images(photographs[:1], SIZE)[0]
    got = load_export(path)(picture[None].float())
    model = build_model(config('pose', test_cfg=dict(flip_test=False)), weights['pose'], 'cpu')
    left, top, width, height = 100.0, 40.0, 90.0, 120.0
    sample = PoseDataSample(
        metainfo=dict(
            input_center=np.float32([left + width / 2, top + height / 2]), input_scale=np.float32([width, height])
        )
    )
    sample.gt_instances = InstanceData(bboxes=np.zeros((1, 4), np.float32), bbox_scores=np.ones(1, np.float32))
    (sample,) = model.predict(model.data_preprocessor.normalize(picture)[None], [sample])
    # The mapping that the file's description and docs/export.md give.
    points = got['keypoints'][0].numpy() / [SIZE[1], SIZE[0]] * [width, height] + [left, top]
    np.testing.assert_allclose(points, sample.pred_instances.keypoints[0], atol=1e-2)
    np.testing.assert_allclose(got['scores'][0], sample.pred_instances.keypoint_scores[0], rtol=1e-4)


@pytest.mark.parametrize('task', ['sem_seg', 'depth', 'normal'])
def test_decoded_maps_equal_the_prediction_of_the_model(tmp_path, weights, photographs, task):
    path = export(task, weights, tmp_path, 'torchscript', photographs[:1], preprocess='uint8', decode=True).path
    picture = load_images(photographs[:1], SIZE)[0]
    ((name, got),) = load_export(path)(picture[None]).items()
    model = build_model(config(task), weights[task], 'cpu')
    (sample,) = model.predict(model.data_preprocessor.normalize(picture)[None], [DenseDataSample()])
    want = sample.get(f'pred_{task}')
    assert name == DECODED[task][0] and got[0].shape == want.shape
    torch.testing.assert_close(got[0].to(want.dtype), want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('refine', ['newton', 'expectation', 'none'])
def test_traceable_decoding_is_the_codec(refine):
    """Points inside, on the border and beyond it; faint maps, of which some values are clipped; an empty one."""
    codec = UDPHeatmap(sigma=2.0, refine=refine)
    points = torch.tensor([[[20.3, 30.6], [0, 0], [47, 63], [46.6, 1.2], [30, 62.9], [10, 10], [5, 5.0]]])
    maps, _ = codec.encode(points, torch.ones(1, 7), (48, 64), (24, 32))
    maps = maps * torch.tensor([1, 1, 1, 0.5, 0.02, 0.004, 0])[:, None, None]
    maps = maps + 1e-4 * torch.rand(maps.shape, generator=torch.Generator().manual_seed(0)) * (
        maps.amax((2, 3), True) > 0
    )
    got, want = (one.decode(maps, (48, 64)) for one in (graph.traceable(codec), codec))
    torch.testing.assert_close(got[0], want[0], rtol=1e-4, atol=1e-3)
    assert torch.equal(got[1], want[1])
    assert (want[0][0, -1] < 0).all()


def test_another_size(tmp_path, weights, photographs):
    """The position embedding is resized as in the forward pass, once."""
    cfg = config('pose')
    report = export('pose', weights, tmp_path, 'torchscript', photographs[:1], size=(80, 64))
    assert '80x64' in report.path.name and report.meta['input']['shape'] == [1, 3, 80, 64]
    normal = build_model(cfg, weights['pose'], 'cpu').data_preprocessor.normalize(
        load_images(photographs[:1], (80, 64))[0]
    )
    want = build_model(cfg, weights['pose'], 'cpu')(normal[None])
    torch.testing.assert_close(load_export(report.path)(normal[None])['heatmaps'], want, rtol=1e-4, atol=1e-5)
    code = str(torch.jit.load(str(report.path)).inlined_graph)
    assert 'upsample_bicubic' not in code
    with pytest.raises(ValueError, match=r'\(h=65, w=48\).*nearest sizes.*\(64, 48\)'):
        export('pose', weights, tmp_path, 'torchscript', size=(65, 48))


def test_one_image_only_without_dynamic_batch(tmp_path, weights):
    path = export('features', weights, tmp_path, 'export').path
    exported = load_export(path)
    assert exported.meta['input']['shape'][0] == 1
    with pytest.raises(Exception, match=r'(?i)shape|guard'):
        exported(torch.zeros(2, 3, *SIZE))


def test_published_forms_of_graphs(tmp_path, weights):
    """Feature maps are a tuple of one, as in the published files. Other single outputs are tensors."""
    features = export('features', weights, tmp_path, 'torchscript').path
    heatmaps = export('pose', weights, tmp_path, 'torchscript').path
    assert features.name == 'features_torchscript.pt2'
    inputs = torch.zeros(1, 3, *SIZE)
    module = torch.jit.load(str(features))
    (value,) = module(inputs)
    assert not any('neck' in name for name in module.state_dict()), 'the decoder of pretraining is not a part of it'
    assert value.shape == (1, ARCH['embed_dims'], 4, 3)
    assert torch.jit.load(str(heatmaps))(inputs).shape == (1, 5, 16, 12)
    assert ExportOptions('export', 'bf16').file_name('x') == 'x_bfloat16.pt2'


@pytest.mark.parametrize('dtype', ['bf16', 'fp16'])
def test_lower_precision(tmp_path, weights, photographs, dtype):
    report = export('pose', weights, tmp_path, 'torchscript', photographs, dtype=dtype)
    (row,) = report.differences
    assert row.passed and row.mean > 1e-5, 'computed in the dtype, not in float32'
    module = torch.jit.load(str(report.path))
    assert {value.dtype for value in module.model.parameters()} == {options.DTYPES[dtype]}
    assert module(torch.zeros(1, 3, *SIZE)).dtype == torch.float32


@pytest.mark.parametrize('format', ['torchscript', slow_unless(False, 'onnx')])
def test_int8_is_smaller_and_its_cost_is_measured(tmp_path, weights, photographs, format):
    wide = dict(MODELS_OF['pose']['backbone'], arch=dict(ARCH, embed_dims=128, feedforward_channels=512))
    cfg = config('pose', backbone=wide)
    path = {'pose': checkpoint('pose', tmp_path, cfg)}
    plain = export('pose', path, tmp_path, format, photographs, cfg)
    small = export('pose', path, tmp_path, format, photographs, cfg, int8=True)
    assert small.path.stat().st_size < 0.6 * plain.path.stat().st_size
    assert 1e-4 < small.differences[0].mean < 0.02 > 100 * plain.differences[0].mean
    assert load_export(small.path).meta['int8']


@pytest.mark.slow
def test_large_onnx_has_its_weights_in_a_second_file(tmp_path, weights, monkeypatch):
    from sapiens.apis.export import write

    monkeypatch.setattr(write, 'LARGEST_PROTOBUF', 0)
    report = export('depth', weights, tmp_path, 'onnx')
    assert [file.name for file in report.files] == ['depth.onnx', 'depth.onnx.data']
    assert sorted(tmp_path.iterdir()) == report.files and report.files[1].stat().st_size > 1e5
    again = export_model(config('depth'), weights['depth'], ExportOptions('onnx'), report.path, overwrite=True)
    assert again.differences[0].passed


@pytest.mark.parametrize('task', TASKS)
@pytest.mark.parametrize('format', ['safetensors', 'clean'])
def test_weights_alone(tmp_path, weights, task, format):
    report = export(task, weights, tmp_path, format, dtype='bf16')
    assert all(row.passed for row in report.differences)
    saved = torch.load(weights[task], weights_only=True)['state_dict']
    if format == 'clean' and task == 'features':
        content = torch.load(report.path, weights_only=True)
        saved = {
            name.removeprefix('backbone.'): value for name, value in saved.items() if name.startswith('backbone.')
        }
        assert set(content) == set(saved), 'a flat encoder, as published'
    elif format == 'clean':
        content = torch.load(report.path, weights_only=True)
        assert set(content) == {'state_dict', 'meta'} and content['meta'] == report.meta
    else:
        with safe_open(report.path, 'pt') as file:
            assert json.loads(file.metadata()['sapiens.json']) == report.meta
    read = read_checkpoint(report.path).state_dict
    assert set(read) == set(saved)
    assert all(torch.equal(value, saved[name].bfloat16()) for name, value in read.items())


def test_weights_at_another_size(tmp_path, weights):
    report = export('normal', weights, tmp_path, 'safetensors', size=(96, 64))
    assert read_checkpoint(report.path).state_dict['backbone.pos_embed'].shape == (1, 24, 32)
    with pytest.raises(ValueError, match='resized when they are loaded'):
        export('features', weights, tmp_path, 'safetensors', size=(96, 64))


# ---------------------------------------------------------------------- failing


def test_a_wrong_constant_fails_and_leaves_no_file(tmp_path, weights, photographs, monkeypatch):
    """The rounded means of other code: a difference of 0.2 gray levels is detected."""
    forward = graph.ExportGraph.forward

    def wrong(self, inputs):
        self.mean.copy_(torch.tensor([123.5, 116.5, 103.5]).view(3, 1, 1))
        return forward(self, inputs)

    monkeypatch.setattr(graph.ExportGraph, 'forward', wrong)
    with pytest.raises(ExportError, match=r'(?s)no file was left.*heatmaps: largest difference .*FAILED'):
        export('pose', weights, tmp_path, 'torchscript', photographs, preprocess='uint8')
    assert not list(tmp_path.iterdir())


def test_a_failed_replacement_leaves_nothing_either(tmp_path, weights, monkeypatch):
    chosen = ExportOptions('torchscript', dtype='bf16')
    path = tmp_path / 'x.pt2'
    path.write_text('of yesterday')
    with pytest.raises(FileExistsError, match='overwrite'):
        export_model(config('pose'), weights['pose'], chosen, path)
    assert path.read_text() == 'of yesterday'
    monkeypatch.setitem(options.TOLERANCES, 'bf16', options.Tolerance(1e-6, 1e-7))
    with pytest.raises(ExportError, match='tolerance of bf16'):
        export_model(config('pose'), weights['pose'], chosen, path, overwrite=True)
    assert not list(tmp_path.iterdir())


def test_a_broken_writer_leaves_nothing(tmp_path, weights, monkeypatch):
    from sapiens.apis.export import write

    def broken(graph, options, example, meta, path):
        path.write_bytes(b'half')
        raise RuntimeError('the disk is full')

    monkeypatch.setitem(write.WRITERS, 'torchscript', broken)
    with pytest.raises(RuntimeError, match='disk is full'):
        export('pose', weights, tmp_path, 'torchscript')
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    'wrong, message',
    [
        (dict(format='tflite'), "format='tflite' is not one of torchscript"),
        (dict(format='onnx', dtype='fp8'), "dtype='fp8' is not one of fp32"),
        (dict(format='safetensors', decode=True), "decode has no place in 'safetensors'"),
        (dict(format='clean', dynamic_batch=True), "dynamic_batch has no place in 'clean'"),
        (dict(format='torchscript', int8=True, dtype='bf16'), "leave dtype='bf16' out"),
        (dict(format='export', int8=True), "'torchscript' or 'onnx'"),
        (dict(format='onnx', dtype='bf16'), 'use fp16 or fp32 for onnx'),
    ],
)
def test_contradictions_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        ExportOptions(**wrong)


def test_an_encoder_of_another_library_is_refused_by_name(tmp_path):
    backbone = dict(type='mmpretrain.VisionTransformer', arch='deit-t', img_size=SIZE, out_type='featmap')
    with pytest.raises(ValueError, match=r'export needs grid_of, set_image_size of the encoder.*VisionTransformer'):
        export_model(config('pose', backbone=backbone), None, ExportOptions('torchscript'), tmp_path / 'x.pt')
    assert not list(tmp_path.iterdir())


def test_the_ending_of_a_file_is_that_of_its_format(tmp_path, weights):
    for format, ending in (('onnx', '.onnx'), ('export', '.pt2'), ('safetensors', '.safetensors'), ('clean', '.pth')):
        with pytest.raises(ValueError, match=f'x.bin: .*{ending}'):
            export_model(config('pose'), weights['pose'], ExportOptions(format), tmp_path / 'x.bin')
    with pytest.raises(ValueError, match='x: files of the format torchscript'):
        export_model(config('pose'), weights['pose'], ExportOptions('torchscript'), tmp_path / 'x')
    assert not list(tmp_path.iterdir())


def test_torchscript_may_end_in_anything(tmp_path, weights):
    path = tmp_path / 'x.bin'
    export_model(config('features'), weights['features'], ExportOptions('torchscript'), path)
    assert load_export(path).format == 'torchscript'


def test_a_model_without_an_export_is_named():
    for decode in (False, True):
        with pytest.raises(
            ValueError, match='^Linear cannot be exported: supported are MAE, PoseEstimator, BoxEstimator and DenseEst'
        ):
            outputs_of(torch.nn.Linear(1, 1), decode)


def test_features_have_nothing_to_decode(tmp_path, weights):
    with pytest.raises(ValueError, match='nothing to decode'):
        export('features', weights, tmp_path, 'torchscript', decode=True)


def test_a_missing_package_is_named_with_the_command(tmp_path, weights, monkeypatch):
    real = importlib.import_module

    def without(name, *args):
        if name.startswith('onnxruntime'):
            raise ImportError('No module named onnxruntime')
        return real(name, *args)

    monkeypatch.setattr(importlib, 'import_module', without)
    with pytest.raises(ImportError, match='python -m pip install onnxruntime'):
        export('pose', weights, tmp_path, 'onnx')
    assert not list(tmp_path.iterdir())


def test_files_without_a_graph_are_explained(tmp_path, weights):
    with pytest.raises(ValueError, match='holds no graph'):
        load_export(weights['pose'])
    with pytest.raises(FileNotFoundError, match=r'nothing\.onnx'):
        load_export(tmp_path / 'nothing.onnx')


def test_pictures(tmp_path, photographs):
    for picture, file in zip(load_images(photographs, (80, 64)), photographs, strict=True):
        assert picture.shape == (3, 80, 64) and picture.dtype == torch.uint8, file
    (portrait,) = load_images([], (512, 384))
    from skimage.data import astronaut

    assert torch.equal(portrait, torch.from_numpy(astronaut()[:, 64:448]).permute(2, 0, 1))
    (tmp_path / 'x.jpg').write_text('no image')
    with pytest.raises(ValueError, match=r'x\.jpg: not an image'):
        load_images([tmp_path / 'x.jpg'], (80, 64))


def test_the_description_names_everything(tmp_path, weights):
    pose = export('pose', weights, tmp_path, 'torchscript').meta
    seg = export('sem_seg', weights, tmp_path, 'torchscript').meta
    assert pose['keypoints'] == SKELETON['keypoints'] and pose['links'] == [[1, 0]]
    assert seg['classes'] == CLASSES['classes'] and len(seg['palette']) == 4
    assert (
        pose['normalisation']['mean'] == pytest.approx([123.675, 116.28, 103.53])
        and not pose['normalisation']['inside']
    )


@pytest.mark.parametrize(('format', 'dynamic_batch'), [('torchscript', False), ('onnx', True)])
@pytest.mark.parametrize(
    ('task', 'changes'),
    [('pose', {}), ('pose', dict(losses=dict(type='HeatmapCrossEntropyLoss'))), ('sem_seg', {})],
    ids=['squared', 'crossed', 'sem_seg'],
)
def test_a_graph_in_the_place_of_the_network_predicts_the_same(
    tmp_path, weights, task, changes, format, dynamic_batch
):
    cfg = config(task, **changes)
    report = export(task, weights, tmp_path, format, cfg=cfg, dynamic_batch=dynamic_batch)
    eager, other = (build_model(cfg, weights[task], 'cpu') for _ in range(2))
    run_graph_in(other, load_export(report.path))
    inputs = torch.rand(3, 3, *SIZE)
    if task == 'pose':
        channels = torch.tensor([0, 3])
        expected, found = (
            model._heatmaps(inputs, [PoseDataSample()], channels, dict(model.test_cfg, flip_test=True))[0]
            for model in (eager, other)
        )
        assert found.shape == (3, 2, 16, 12)
        target, points = torch.rand(3, 5, 16, 12), torch.ones(3, 5)
        losses = [model.loss_module(model(inputs), target, points) for model in (eager, other)]
        torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-5)
    else:
        expected, found = eager(inputs), other(inputs)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_graphs_that_do_not_fit_are_refused(tmp_path, weights):
    pose = build_model(config('pose'), weights['pose'], 'cpu')
    for task, chosen, message in (
        ('pose', dict(decode=True), 'has the outputs keypoints, scores, this model needs heatmaps'),
        ('depth', {}, 'has the outputs raw_depth, this model needs heatmaps'),
        ('pose', dict(preprocess='uint8'), 'normalizes images'),
    ):
        graph = load_export(export(task, weights, tmp_path, 'torchscript', **chosen).path)
        with pytest.raises(ValueError, match=message):
            run_graph_in(pose, graph)
    with pytest.raises(ValueError, match='MAE has no head'):
        run_graph_in(build_model(config('features'), weights['features'], 'cpu'), graph)
