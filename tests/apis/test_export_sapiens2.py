"""Exports of the second family: every task in every format, open sizes, lower precision."""

import functools

import numpy as np
import pytest
import torch
from onnx import TensorProto, load, numpy_helper
from onnx.reference import ReferenceEvaluator

from sapiens.apis import build_model
from sapiens.apis.export import ExportError, ExportOptions, export_model, load_export, run_graph_in
from sapiens.apis.export.export_model import _geometry
from sapiens.apis.loading.build import read_config
from sapiens.models.backbones import sapiens_v2
from sapiens.models.layers.rotary import RotaryPositions
from sapiens.structures import DenseDataSample
from sapiens.utils.device import DTYPES

from .export_models import MODELS_OF, checkpoint, config
from .test_export import slow_unless

TASKS = ['features2', 'features_4k', 'pose2', 'parts2', 'normal2', 'normal_4k', 'pointmap2', 'matting2', 'albedo2']
FORMATS = ['torchscript', 'export', 'onnx']
CASES = [
    slow_unless(format == 'torchscript' or (task, decode) in (('pose2', True), ('features_4k', False), ('pointmap2', True)),
                task, format, decode)
    for task in TASKS for format in FORMATS for decode in (False, True) if not (decode and 'features' in task)
]  # fmt: skip


@pytest.fixture(autouse=True)
def grouped_queries(monkeypatch):
    """In the middle block of three."""
    monkeypatch.setattr(sapiens_v2, 'NUM_FULL_BLOCKS', 1)


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp('weights')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sapiens_v2, 'NUM_FULL_BLOCKS', 1)
        return {task: checkpoint(task, folder) for task in TASKS}


def export(task, weights, folder, format, **options):
    chosen = ExportOptions(format, **options)
    return export_model(config(task), weights[task], chosen, folder / chosen.file_name(task))


@pytest.fixture(scope='module')
def exported_once(weights, tmp_path_factory):
    """exported_once(task, format, dtype) -> report; tests look at the same graph."""
    folder = tmp_path_factory.mktemp('exports')
    return functools.cache(lambda task, format, dtype: export(task, weights, folder, format, dtype=dtype))


def inputs_of(task, batch, size=None):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, 3, *(size or MODELS_OF[task]['backbone']['img_size']), generator=generator)


def eager(task, weights, inputs, dtype='fp32'):
    """Undecoded output of the model itself; of several outputs a dict."""
    model = build_model(config(task), weights[task], 'cpu').to(DTYPES[dtype])
    network = model.backbone.feature_map if 'features' in task else model
    # With gradients a layer runs as in a graph; without them inference works in place and in bands, which round elsewhere.
    with torch.enable_grad():
        output = network(inputs.to(DTYPES[dtype]))
    if isinstance(output, dict):
        return {f'raw_{name}': value.float().detach() for name, value in output.items()}
    return output.float().detach()


def decoded(task, weights, raw, size):
    model = build_model(config(task), weights[task], 'cpu')
    if task == 'pose2':
        return dict(zip(('keypoints', 'scores'), model.codec.decode(raw, size[::-1]), strict=True))
    raw = {name.removeprefix('raw_'): value for name, value in raw.items()} if isinstance(raw, dict) else raw
    names = dict(sem_seg='labels', normal='normals')
    return {names.get(name, name): value for name, value in model.task.decode(raw, size).items()}


def by_name(exported, raw):
    """Undecoded output of the model under the names of the graph."""
    return raw if isinstance(raw, dict) else {exported.names[0]: raw}


def nodes_of(path):
    return list(load(str(path)).graph.node)


@pytest.mark.parametrize(('task', 'format', 'decode'), CASES)
def test_every_task_in_every_graph(tmp_path, weights, task, format, decode):
    """Batches of another size than the one that was traced, against the model itself."""
    report = export(task, weights, tmp_path, format, decode=decode, dynamic_batch=True)
    assert all(row.passed for row in report.differences)
    size = tuple(MODELS_OF[task]['backbone']['img_size'])
    assert report.meta['input']['shape'] == ['batch', 3, *size]
    exported = load_export(report.path)
    for batch in (1, 3):
        inputs = inputs_of(task, batch)
        want = eager(task, weights, inputs)
        want = decoded(task, weights, want, size) if decode else by_name(exported, want)
        got = exported(inputs)
        assert list(got) == list(want) == [row.name for row in report.differences]
        for name, value in got.items():
            atol = 0.02 if name == 'keypoints' else 2e-4
            torch.testing.assert_close(value, want[name], rtol=1e-4, atol=atol)
    if format == 'onnx':
        assert not {'Sin', 'Cos', 'Loop', 'If'} & {node.op_type for node in nodes_of(report.path)}


@pytest.mark.parametrize(
    ('task', 'format'),
    [
        ('normal2', 'torchscript'),
        ('normal2', 'onnx'),
        ('pointmap2', 'torchscript'),
        slow_unless(False, 'pointmap2', 'onnx'),
    ],
)
def test_sines_and_cosines_are_constants(tmp_path, weights, task, format):
    """The parser of TensorRT refuses both operators, in graphs of a position that depends on the input. So are the cells that a
    scale is pooled to."""
    path = export(task, weights, tmp_path, format, size=(80, 64)).path
    inputs, exported = inputs_of(task, 1, (80, 64)), load_export(path)
    for name, want in by_name(exported, eager(task, weights, inputs)).items():
        torch.testing.assert_close(exported(inputs)[name], want, rtol=1e-4, atol=2e-4)
    if format == 'onnx':
        assert not {'Sin', 'Cos', 'Range'} & {node.op_type for node in nodes_of(path)}
    else:
        code = str(torch.jit.load(str(path)).inlined_graph)
        assert 'aten::sin(' not in code and 'aten::cos(' not in code and 'aten::arange' not in code


@pytest.mark.parametrize(
    ('task', 'decode'),
    [slow_unless(False, 'normal2', False), slow_unless(False, 'pose2', True), slow_unless(False, 'parts2', True),
     slow_unless(False, 'features_4k', False), slow_unless(False, 'features', False), slow_unless(False, 'depth', False),
     ('pointmap2', False), slow_unless(False, 'pointmap2', True), slow_unless(False, 'matting2', True),
     slow_unless(False, 'albedo2', True)],
)  # fmt: skip
def test_one_program_for_several_sizes(tmp_path, weights, task, decode):
    """Rotary angles, or the resized positions of the first family, are computed in the graph. Of pointmaps so are the cells that
    the scale is pooled to."""
    files = dict(weights) if task in weights else {task: checkpoint(task, tmp_path)}
    report = export(task, files, tmp_path, 'export', decode=decode, dynamic_batch=True, dynamic_size=True)
    assert report.path.name == f'{task}_any-size{"_decoded" * decode}_float32.pt2'
    step = 64 if '4k' in task else 16
    assert report.meta['input']['shape'] == ['batch', 3, f'{step} * rows', f'{step} * columns']
    exported = load_export(report.path)
    if task in TASKS:
        graph = str(torch.export.load(str(report.path)).graph)
        assert 'aten.sin' in graph and 'aten.cos' in graph
    least = 3 if task == 'pointmap2' else 2  # the scale halves the map once
    for size in ((least * step, least * step), (4 * step, 3 * step), (7 * step, 5 * step)):
        inputs = inputs_of(task, 2, size)
        want = eager(task, files, inputs)
        want = decoded(task, files, want, size) if decode else by_name(exported, want)
        for name, value in exported(inputs).items():
            atol = 0.5 if name == 'keypoints' else 1e-3  # 0.5: pixels
            torch.testing.assert_close(value, want[name], rtol=1e-4, atol=atol)
    for size in ((4 * step + 8, 3 * step), ((least - 1) * step, 3 * step)):
        with pytest.raises(Exception, match=r'(?i)guard|shape|Expected|to be >='):
            exported(inputs_of(task, 2, size))


@pytest.mark.parametrize(
    ('name', 'geometry'),
    [
        ('pose/sapiens2_0.4b_goliath', 'crop'),
        ('seg/sapiens2_0.4b_goliath', 'stretch'),
        ('normal/sapiens2_0.4b_renderpeople', 'letterbox'),
    ],
)
def test_the_description_says_how_an_image_becomes_the_input(name, geometry):
    assert _geometry(read_config(f'{name}-1024x768')) == geometry


@pytest.mark.parametrize('task', ['normal2', 'parts2', 'pointmap2', 'matting2', 'albedo2'])
def test_a_graph_in_the_place_of_the_network_predicts_the_same(tmp_path, weights, task):
    """With the flip test and at the size of the image, which stay those of the model."""
    path = export(task, weights, tmp_path, 'torchscript', dynamic_batch=True).path
    plain, other = (build_model(config(task), weights[task], 'cpu') for _ in range(2))
    run_graph_in(other, load_export(path))
    meta = dict(img_path='a.jpg', ori_shape=(90, 70))
    fields = [
        model.predict(inputs_of(task, 2), [DenseDataSample(metainfo=meta) for _ in range(2)], flip_test=True)
        for model in (plain, other)
    ]
    for one, two in zip(*fields, strict=True):
        names = one.keys()
        assert names == two.keys() != []
        for name in names:
            torch.testing.assert_close(one.get(name), two.get(name), rtol=1e-4, atol=1e-4)


def test_open_sizes_belong_to_torch_export(tmp_path):
    for format in ('torchscript', 'onnx'):
        with pytest.raises(ValueError, match=f"dynamic_size is an option of 'export': graphs of '{format}'"):
            ExportOptions(format, dynamic_size=True)
    with pytest.raises(ValueError, match="dynamic_size has no place in 'clean'"):
        ExportOptions('clean', dynamic_size=True)


def test_a_scale_needs_a_map_that_it_can_halve(tmp_path, weights):
    with pytest.raises(
        ValueError, match=r'dynamic_size: the graph needs 3 patches .* of \(32, 48\) has \(2, 3\); set a larger'
    ):
        export('pointmap2', weights, tmp_path, 'export', dynamic_size=True, size=(32, 48))


def test_parts_of_one_size_are_named(tmp_path, weights, monkeypatch):
    """A linear layer over the whole map."""
    cfg = config('normal2')
    model = build_model(cfg, weights['normal2'], 'cpu')
    forward = type(model.head).forward

    def fixed(self, features):
        torch.nn.functional.linear(features.flatten(1), torch.zeros(1, 32 * 12))
        return forward(self, features)

    monkeypatch.setattr(type(model.head), 'forward', fixed)
    with pytest.raises(
        ValueError, match='dynamic_size: a part of the model does not take 80x80 pixels .*mat1 and mat2'
    ):
        export('normal2', weights, tmp_path, 'export', dynamic_size=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ('task', 'format', 'dtype'),
    [(task, format, dtype) if (format, task) != ('onnx', 'features2') else slow_unless(False, task, format, dtype)
     for task in ('features2', 'pose2', 'parts2', 'normal2') for format, dtype in
     (('torchscript', 'fp16'), ('torchscript', 'bf16'))]
    + [('normal2', 'export', 'bf16'), ('normal2', 'onnx', 'fp16'), slow_unless(False, 'pose2', 'onnx', 'fp16'),
       slow_unless(False, 'features_4k', 'onnx', 'fp16'), slow_unless(False, 'pose2', 'export', 'fp16')]
    + [(task, 'torchscript', dtype) for task in ('pointmap2', 'matting2', 'albedo2') for dtype in ('fp16', 'bf16')]
    + [('pointmap2', 'onnx', 'fp16'), slow_unless(False, 'pointmap2', 'export', 'bf16'),
       slow_unless(False, 'matting2', 'onnx', 'fp16'), slow_unless(False, 'albedo2', 'onnx', 'fp16')],
)  # fmt: skip
def test_lower_precision_equals_the_eager_model_of_that_precision(weights, exported_once, task, format, dtype):
    """PyTorch's formats run the same kernels. ONNX rounds elsewhere, and is as close to full precision."""
    report = exported_once(task, format, dtype)
    assert all(row.passed for row in report.differences)
    inputs, exported = inputs_of(task, 1), load_export(report.path)
    wanted = by_name(exported, eager(task, weights, inputs, dtype))
    exact = by_name(exported, eager(task, weights, inputs, 'fp32'))
    for name, got in exported(inputs).items():
        assert got.dtype == torch.float32
        if format == 'onnx':
            error, rounding = (float((one - exact[name]).abs().max()) for one in (got, wanted[name]))
            assert 0 < error <= 2 * rounding
        else:
            assert torch.equal(got, wanted[name])


def large(task, folder, names, factor):
    """Weights of which some layers are multiplied."""
    content = torch.load(checkpoint(task, folder), weights_only=True)
    chosen = [
        name for name in content['state_dict'] if name.endswith('weight') and any(part in name for part in names)
    ]
    assert chosen
    for name in chosen:
        content['state_dict'][name] *= factor
    torch.save(content, folder / 'large.pth')
    return {task: folder / 'large.pth'}


@pytest.mark.parametrize(
    ('task', 'names', 'factor', 'format'),
    [
        slow_unless(format == 'torchscript' or (task, format) in (('normal2', 'onnx'), ('features2', 'export')),
                    task, names, factor, format) for format in FORMATS for task, names, factor in (
        ('features2', ['patch_embed.projection'], 5000.0),  # values of 1000 and more in the first RMS norms
        ('normal2', ['input_conv.0', 'upsample_blocks.0.0'], 200.0),  # and in the instance norms
        ('pointmap2', ['scale_conv_layers.0'], 300.0),  # also in those of the scale
        ('albedo2', ['input_conv.0', 'upsample_blocks.0.0'], 200.0),
        )
    ],
)  # fmt: skip
def test_squares_that_overflow_float16(tmp_path, task, names, factor, format):
    """Norms are computed in float32: the sum of squares of their inputs is above 65504."""
    files = large(task, tmp_path, names, factor)
    model = build_model(config(task), files[task], 'cpu')
    seen = []
    for module in model.modules():
        if isinstance(module, torch.nn.RMSNorm | torch.nn.InstanceNorm2d):
            module.register_forward_pre_hook(lambda module, args: seen.append(float(args[0].abs().max())))
    inputs = inputs_of(task, 1)
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.jit, 'is_tracing', lambda: True)  # calls every module of a head
        want = model.backbone.feature_map(inputs) if task == 'features2' else model(inputs)
    assert 300 < max(seen) < 60000
    exported = load_export(export(task, files, tmp_path, format, dtype='fp16').path)
    outputs = [list(exported(inputs).values())]
    if format == 'onnx':
        # onnxruntime computes some operators of float16 in float32 on a CPU. This one takes the types of the graph.
        (path,) = tmp_path.glob('*.onnx')
        found = ReferenceEvaluator(load(str(path))).run(None, dict(inputs=inputs.numpy()))
        outputs.append([torch.from_numpy(np.asarray(one)) for one in found])
    wanted = list(want.values()) if isinstance(want, dict) else [want]
    for got, want in ((got, want) for found in outputs for got, want in zip(found, wanted, strict=True)):
        assert got.isfinite().all()
        extent = float(want.max() - want.min()) if want.numel() > 1 else float(want.abs())
        assert float((got - want).abs().max()) < 1e-2 * extent


@pytest.mark.parametrize(('task', 'count'), [('normal2', 6), ('pointmap2', 7)])  # the scale has one of its own
def test_norms_of_an_onnx_graph_take_float32(exported_once, task, count):
    """Each instance norm stands between two casts. RMS norms are products and sums, of float32 too."""
    model = load(str(exported_once(task, 'onnx', 'fp16').path))
    made_by = {name: node for node in model.graph.node for name in node.output}
    users = {}
    for node in model.graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)

    def target(node):
        return next(attribute.i for attribute in node.attribute if attribute.name == 'to')

    norms = [node for node in model.graph.node if node.op_type == 'InstanceNormalization']
    assert len(norms) == count
    for node in norms:
        before = made_by[node.input[0]]
        assert before.op_type == 'Cast' and target(before) == TensorProto.FLOAT
        assert {user.op_type for user in users[node.output[0]]} == {'Cast'}
    squares = [node for node in model.graph.node if node.op_type in ('ReduceMean', 'Pow')]
    assert squares and all(made_by[node.input[0]].op_type in ('Cast', 'Pow', 'Mul') for node in squares)
    halves = {tensor.name for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT16}
    assert sum(np.prod(numpy_helper.to_array(tensor).shape) for tensor in model.graph.initializer
               if tensor.name in halves) > 10000, 'weights are float16'  # fmt: skip


@pytest.mark.slow
def test_norms_of_the_first_family_take_float32(tmp_path):
    """Its instance norms by casts, its layer norms by the type that the operator computes in."""
    files = {'normal': checkpoint('normal', tmp_path)}
    graph = load(str(export('normal', files, tmp_path, 'onnx', dtype='fp16').path)).graph
    made_by = {name: node for node in graph.node for name in node.output}
    norms = [node for node in graph.node if node.op_type == 'InstanceNormalization']
    assert len(norms) == 3 and all(made_by[node.input[0]].op_type == 'Cast' for node in norms)
    layers = [node for node in graph.node if node.op_type == 'LayerNormalization']
    assert len(layers) == 5
    for node in layers:
        types = [attribute.i for attribute in node.attribute if attribute.name == 'stash_type']
        assert types in ([], [TensorProto.FLOAT])  # the default is float32


@pytest.mark.parametrize('format', ['torchscript', slow_unless(False, 'onnx')])
def test_quantized_linear_layers(tmp_path, weights, format):
    report = export('parts2', weights, tmp_path, format, int8=True)
    (row,) = report.differences
    assert row.passed and row.mean > 1e-4


@pytest.mark.parametrize('format', ['safetensors', 'clean'])
@pytest.mark.parametrize('task', TASKS)
def test_weights_alone(tmp_path, weights, task, format):
    assert all(row.passed for row in export(task, weights, tmp_path, format, dtype='bf16').differences)


def test_windows_of_a_batch_in_chunks(tmp_path, weights):
    """The 4K encoder: 12 windows in chunks of 5, for any number of images."""
    cfg = config('features_4k')
    cfg.model.backbone.window_chunk = 5
    chosen = ExportOptions('torchscript', dynamic_batch=True)
    path = export_model(cfg, weights['features_4k'], chosen, tmp_path / 'x.pt2').path
    inputs = inputs_of('features_4k', 3)
    got = load_export(path)(inputs)['features']
    assert got.shape == (3, 32, 4, 3)
    torch.testing.assert_close(got, eager('features_4k', weights, inputs), rtol=1e-4, atol=1e-4)


def test_the_comparison_sees_a_graph_without_positions(tmp_path, weights, monkeypatch):
    compute = RotaryPositions.compute

    def forgotten(self, grid, seeds=None):
        return tuple(value * (0.0 if torch.jit.is_tracing() else 1.0) for value in compute(self, grid))

    monkeypatch.setattr(RotaryPositions, 'forward', forgotten)
    with pytest.raises(ExportError, match='raw_normals: largest difference .*FAILED'):
        export('normal2', weights, tmp_path, 'torchscript')
    assert not list(tmp_path.iterdir())


def test_the_description_has_the_geometry_of_each_of_several_tasks(tmp_path):
    cfg = read_config('multi/sapiens2_tiny_synthetic-128x96')
    cfg.val_dataloader.dataset.datasets.normal.pipeline[1] = dict(type='LoadLetterbox', size=(96, 128))
    said = []
    report = export_model(cfg, None, ExportOptions('torchscript'), tmp_path / 'all.pt2', say=said.append)
    found = {name: facts['geometry'] for name, facts in report.meta['tasks'].items()}
    assert found == dict(normal='letterbox', pose='crop', seg='stretch')
    assert any('normal: letterbox, pose: crop, seg: stretch' in line for line in said)
