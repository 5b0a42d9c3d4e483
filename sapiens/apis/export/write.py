"""Writing a model or a graph to a file, one function per format."""

import json
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from sapiens.models import MAE
from sapiens.tasks import MULTI, members_of
from sapiens.utils.checkpoint import save_weights
from sapiens.utils.loggers import quiet_loggers
from sapiens.utils.optional import require
from sapiens.version import __version__

from .graph import ExportGraph, image_size
from .options import ExportOptions
from .outputs import outputs_of, task_spec

__all__ = ['META_FILE', 'describe', 'write_graph', 'write_weights']

# Name of the description: of the file inside archives of TorchScript and torch.export, of the entry in ONNX and safetensors.
META_FILE = 'sapiens.json'
# A protobuf message holds less than 2 GiB; larger weights lie in a file beside it.
LARGEST_PROTOBUF = 1_900_000_000
ONNX_OPSET = 18
# Names of the numbers of patches where the size is open.
PATCHES = ('rows', 'columns')


def describe(
    model: nn.Module, options: ExportOptions, source: str, geometry: str, geometries: Mapping[str, str] | None = None
) -> dict:
    """What a program needs to know to use the file, as plain values for JSON.

    Args:
        model: of the wanted size.
        options: of the export.
        source: of the weights.
        geometry: how an image becomes the input, ``'crop'`` of a person, ``'stretch'`` or ``'letterbox'``.
        geometries: the same for each task of a model of several.
    """
    normalizer, members = model.data_preprocessor, members_of(model)
    constants = {name: getattr(normalizer, name).flatten().tolist() for name in ('mean', 'std')}
    meta = dict(
        task=MULTI if members else _task_facts(model)['task'],
        geometry=geometry,
        weights=source,
        dtype=options.dtype,
        sapiens=__version__,
        torch=str(torch.__version__),
        normalisation=dict(constants, inside=options.preprocess is not None),
    )
    if members:
        meta['tasks'] = {
            name: dict(_task_facts(part), geometry=(geometries or {}).get(name, geometry))
            for name, part in members.items()
        }
    else:
        meta |= _task_facts(model)
    if options.is_graph:
        kind = {'uint8': 'uint8 RGB', 'float': 'float32 RGB of 0-255', None: 'float32 RGB, normalized'}
        meta['int8'] = options.int8
        meta['input'] = dict(
            name='inputs', shape=['batch' if options.dynamic_batch else 1, 3, *_sides(model, options)],
            dtype='uint8' if options.preprocess == 'uint8' else 'float32', meaning=kind[options.preprocess],
        )  # fmt: skip
        meta['outputs'] = [
            dict(name=output.name, meaning=output.meaning) for output in outputs_of(model, options.decode)
        ]
    else:
        meta['size'] = list(image_size(model))
    return meta


def _task_facts(model: nn.Module) -> dict:
    """What a program needs to know of a task: its name, keypoints and links, classes and their colors."""
    spec = task_spec(model)
    facts = dict(task=spec.field.name if spec.fields else spec.inference_name)
    if hasattr(model, 'skeleton'):
        facts.update(keypoints=list(model.skeleton.keypoints), links=model.skeleton.links.tolist())
    classes = getattr(getattr(model, 'task', None), 'classes', None)
    if classes is not None:
        facts.update(classes=list(classes.classes), palette=classes.palette.tolist())
    return facts


def _sides(model: nn.Module, options: ExportOptions) -> tuple:
    """Height and width of the input: numbers, or what they are multiples of."""
    if not options.dynamic_size:
        return image_size(model)
    return tuple(f'{model.backbone.patch_size} * {name}' for name in PATCHES)


def write_graph(graph: ExportGraph, options: ExportOptions, meta: dict, path: Path) -> None:
    """Write a graph with its description. ONNX files of more than 2 GB have their weights beside them, in ``<name>.data``."""
    device = graph.mean.device
    example = torch.zeros(2 if options.dynamic_batch else 1, 3, *graph.size, device=device)
    if options.preprocess == 'uint8':
        example = example.to(torch.uint8)
    loggers = [logging.getLogger(name) for name in ('torch.onnx', 'onnxscript', 'onnx_ir', None)]
    with torch.no_grad(), quiet_loggers(*loggers, level=logging.ERROR), warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of intended behavior: sizes become constants
        WRITERS[options.format](graph.eval(), options, example, json.dumps(meta), path)


def _write_torchscript(graph: ExportGraph, options: ExportOptions, example: Tensor, meta: str, path: Path) -> None:
    if options.int8:
        from torch.ao.quantization import quantize_dynamic

        quantize_dynamic(graph, {nn.Linear}, dtype=torch.qint8, inplace=True)
    # The check of torch would run the trace again on the same zeros; the comparison with the eager model follows.
    traced = torch.jit.trace(graph, example, check_trace=False)
    torch.jit.save(traced, str(path), _extra_files={META_FILE: meta})


def _write_export(graph: ExportGraph, options: ExportOptions, example: Tensor, meta: str, path: Path) -> None:
    program = torch.export.export(graph, (example,), dynamic_shapes=_dynamic_shapes(options, graph))
    torch.export.save(program, str(path), extra_files={META_FILE: meta})


def _write_onnx(graph: ExportGraph, options: ExportOptions, example: Tensor, meta: str, path: Path) -> None:
    names = [output['name'] for output in json.loads(meta)['outputs']]
    program = torch.onnx.export(
        graph,
        (example,),
        dynamo=True,
        input_names=['inputs'],
        output_names=names,
        dynamic_shapes=_dynamic_shapes(options, graph),
        opset_version=ONNX_OPSET,
        verbose=False,
    )
    program.model.metadata_props[META_FILE] = meta
    size = sum(value.numel() * value.element_size() for value in graph.state_dict().values())
    is_large = size > LARGEST_PROTOBUF
    if not options.int8:
        program.save(str(path), external_data=is_large)
        return
    quantization = require('onnxruntime.quantization', 'int8 of the format onnx')
    plain = path.with_name(f'plain-{path.name}')
    program.save(str(plain), external_data=is_large)
    quantization.quantize_dynamic(
        str(plain),
        str(path),
        op_types_to_quantize=['MatMul', 'Gemm'],
        weight_type=quantization.QuantType.QInt8,
        per_channel=True,
        reduce_range=True,  # 7 bits: products of 8 overflow the sums of CPUs without VNNI, which costs ten times the accuracy
        use_external_data_format=is_large,
    )
    for file in path.parent.glob(f'{plain.name}*'):
        file.unlink()


WRITERS = {'torchscript': _write_torchscript, 'export': _write_export, 'onnx': _write_onnx}


def write_weights(model: nn.Module, options: ExportOptions, meta: dict, path: Path) -> None:
    """Write the weights alone, as contiguous tensors of the dtype on the CPU.

    ``safetensors``: all of them. ``clean``: the encoder of a pretrained model, flat, to finetune from; other models as
    ``{'state_dict', 'meta'}``. Both are the published forms.
    """
    is_encoder = options.format == 'clean' and isinstance(model, MAE)
    part = model.backbone if is_encoder else model
    weights = {name: value.to(options.torch_dtype) for name, value in part.state_dict().items()}
    if options.format == 'safetensors':
        meta = {META_FILE: json.dumps(meta), 'task': MULTI if members_of(model) else task_spec(model).name}
    save_weights(weights, path, meta, flat=is_encoder)


def _dynamic_shapes(options: ExportOptions, graph: ExportGraph) -> dict | None:
    dims = {0: torch.export.Dim('batch', min=1)} if options.dynamic_batch else {}
    if options.dynamic_size:
        dims |= {
            axis: graph.patch_size * torch.export.Dim(name, min=graph.min_grid)
            for axis, name in zip((2, 3), PATCHES, strict=True)
        }
    return dict(inputs=dims) if dims else None
