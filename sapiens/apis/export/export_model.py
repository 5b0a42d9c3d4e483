"""Export: write a model to a file, load the file and compare it with the eager model."""

import itertools
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor, nn
from tqdm import tqdm

from sapiens.models import MAE
from sapiens.models.backbones.interface import require_members
from sapiens.tasks import members_of
from sapiens.utils.device import pick_device
from sapiens.utils.optional import require

from ..loading.build import build_model, input_pipeline, read_config
from ..loading.load_model import weights_of
from .compare import Difference, compare, make_reference, measure_heatmaps, name_raw, prepare
from .graph import ExportGraph, image_size
from .images import load_images
from .load_export import load_export
from .options import ExportOptions
from .outputs import outputs_of
from .write import describe, write_graph, write_weights

__all__ = ['ExportError', 'ExportReport', 'export_model']


class ExportError(ValueError):
    """The export differs too much from the eager model. The message has the differences; no file is left."""


@dataclass
class ExportReport:
    """An export that passed the comparison.

    Attributes:
        path: of the file.
        files: all files of the export; large ONNX models have their weights in a second file.
        differences: from the eager float32 model, one for each output.
        meta: the description in the file.
    """

    path: Path
    files: list[Path]
    differences: list[Difference]
    meta: dict

    def __str__(self) -> str:
        size = sum(file.stat().st_size for file in self.files)
        return '\n'.join([*(str(row) for row in self.differences), f'wrote {self.path} ({size / 1e6:.1f} MB)'])


def export_model(
    config: str | Path | Config,
    checkpoint: str | Path | None,
    options: ExportOptions,
    path: str | Path,
    images: Sequence[str | Path] = (),
    device: str = 'cpu',
    cfg_options: list[str] | dict[str, Any] | None = None,
    overwrite: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> ExportReport:
    """Export a model, load the file again, and compare it with the eager float32 model.

    Each image runs by itself and, with a dynamic batch, also all of them together; with a dynamic size, also all of them at a
    second size. The file gets its name when the comparison has passed.

    Args:
        config, checkpoint, cfg_options: see :func:`sapiens.apis.load_model`, which takes them as ``model``, ``checkpoint`` and
            ``cfg_options``.
        options: what to write.
        path: of the file to write.
        images: photographs to compare on. The default is a photograph in scikit-image.
        device: to trace and to compare on.
        overwrite: replace an existing file. It is removed first, so that a failure leaves none.
        say: function that is given a line of text for each step.

    Raises:
        ExportError: the comparison failed.
        FileExistsError: ``path`` exists.
        ValueError: ``path`` has another ending than files of the format.
        FileNotFoundError, ValueError, ImportError: config, checkpoint, image or package.
    """
    path, target = Path(path).expanduser(), pick_device(device)
    if options.format == 'onnx':
        for package in ('onnx', 'onnxscript', 'onnxruntime'):
            require(package, 'the format onnx')
    ending = Path(options.file_name('x')).suffix
    if path.suffix != ending and (options.format != 'torchscript' or not path.suffix):
        raise ValueError(f'{path}: files of the format {options.format} are known by their ending, {ending}')
    existing = [file for file in (path, path.with_name(f'{path.name}.data')) if file.exists()]
    if existing and not overwrite:
        raise FileExistsError(f'{existing[0]} exists; remove it, choose another name, or overwrite it (--overwrite)')
    cfg, checkpoint = read_config(config, cfg_options), weights_of(config, checkpoint)
    model = build_model(cfg, checkpoint, str(target))
    size = _size(model, options)
    outputs_of(model, options.decode)
    sizes = [size, *([_other_size(model, size)] if options.dynamic_size else [])]
    photographs = [image.to(target) for one in sizes for image in load_images(images, one)]
    inputs = prepare(model, photographs, options.preprocess)
    shown = ' and '.join(f'{height}x{width}' for height, width in sizes)
    say(f'running the eager model on {len(photographs)} image(s) of {shown}')
    references = [make_reference(model, image, options.decode) for image in _progress(photographs)]
    if size != image_size(model):
        model.backbone.set_image_size(size)
    for file in existing:
        file.unlink()
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f'.{path.name}.', dir=path.parent))
    try:
        written = folder / path.name
        geometries = {name: _geometry(cfg, name) for name in members_of(cfg.model)}
        if len({geometry for geometry in geometries.values() if geometry != 'crop'}) > 1:
            shown = ', '.join(f'{name}: {geometry}' for name, geometry in geometries.items())
            say(f'the tasks see an image in different ways ({shown}): run the graph once for each')
        meta = describe(model, options, str(checkpoint) if checkpoint else 'random', _geometry(cfg), geometries)
        begin = time.monotonic()
        say(f'writing {options.format}')
        if options.is_graph:
            graph = ExportGraph(model, options)
            write_graph(graph, options, meta, written)
            # Onnxruntime quantizes the file, not the model.
            if options.is_lossy and not (options.int8 and options.format == 'onnx'):
                measure_heatmaps(graph, references, inputs)
            del graph
        else:
            write_weights(model, options, meta, written)
        say(f'written in {time.monotonic() - begin:.0f} s; loading it again and running it')
        # Its methods are still needed, but not its weights beside those of the file.
        model.to_empty(device='meta')
        if options.is_graph:
            outputs = _run_graph(written, inputs, options.dynamic_batch, target)
        else:
            cfg.model.backbone.img_size = size
            outputs = _run_weights(written, cfg, photographs, target)
        repeats = len(outputs) // len(references)
        differences = compare(model, references * repeats, outputs, options.tolerance, options.decode)
        if not all(row.passed for row in differences):
            rows = '\n'.join(f'  {row}' for row in differences)
            raise ExportError(
                'the export differs from the eager model by more than the tolerance of '
                f'{"int8" if options.int8 else options.dtype} (TOLERANCES in sapiens/apis/export/options.py); '
                f'no file was left\n{rows}'
            )
        files = [file.replace(path.parent / file.name) for file in sorted(folder.iterdir())]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return ExportReport(path, files, differences, meta)


def _geometry(cfg: Config, task: str | None = None) -> str:
    """How an image becomes the input in the config's pipeline; whole images are stretched by default.

    Args:
        task: one of several, by name. By default the first of them that takes the whole image.
    """
    members = members_of(cfg.model)
    if members and task is None:
        task = next((name for name, part in members.items() if 'skeleton' not in part), next(iter(members)))
    pipeline = input_pipeline(cfg, *[task] * bool(members)) if cfg.get('val_dataloader') or not members else ()
    steps = {step['type'].split('.')[-1]: step for step in pipeline if 'type' in step}
    model = members[task] if members else cfg.model
    if model.type.split('.')[-1] == 'PoseEstimator' or 'LoadPerson' in steps:
        return 'crop'
    keeps = 'LoadLetterbox' in steps or steps.get('LoadResize', {}).get('keep_ratio')
    return 'letterbox' if keeps else 'stretch'


def _progress(items: list) -> tqdm:
    """A progress bar on terminals, for more than one item."""
    return tqdm(items, unit='img', leave=False, disable=len(items) < 2 or None)


def _size(model: nn.Module, options: ExportOptions) -> tuple[int, int]:
    """(h, w) of the export. ValueError for one that the patches do not tile, or that the weights cannot be given for."""
    require_members(model.backbone, 'img_size', 'grid_of', 'set_image_size', what='export')
    size = tuple(options.size or image_size(model))
    model.backbone.grid_of(*size)
    if size != image_size(model) and not options.is_graph and isinstance(model, MAE):
        raise ValueError(
            f'size={size}: the weights of a pretrained encoder are kept for the size it was trained at, {image_size(model)}; '
            'they are resized when they are loaded'
        )
    return size


def _other_size(model: nn.Module, size: tuple[int, int]) -> tuple[int, int]:
    """A size to compare a graph of open size at. ValueError if the model itself takes one size only."""
    step = model.backbone.patch_size
    other = size[0] + step, size[1] + 2 * step
    image = torch.zeros(3, *other, dtype=torch.uint8, device=model.data_preprocessor.mean.device)
    try:
        make_reference(model, image, decode=False)
    except RuntimeError as error:
        raise ValueError(
            f'dynamic_size: a part of the model does not take {other[0]}x{other[1]} pixels ({error}); '
            'write one file for each size'
        ) from error
    return other


def _run_graph(path: Path, inputs: list[Tensor], dynamic_batch: bool, device: torch.device) -> list[dict[str, Tensor]]:
    """Outputs for each input by itself; then, with a dynamic batch, for each as part of all together."""
    exported = load_export(path, str(device))
    outputs = [exported(one) for one in _progress(inputs)]
    if dynamic_batch and len(inputs) > 1:
        for _, group in itertools.groupby(inputs, lambda one: one.shape):
            batch = torch.cat(list(group))
            together = exported(batch)
            outputs += [{name: value[i : i + 1] for name, value in together.items()} for i in range(len(batch))]
    return outputs


def _run_weights(path: Path, cfg: Config, images: list[Tensor], device: torch.device) -> list[dict[str, Tensor]]:
    """Undecoded outputs of a new model with the weights of the file."""
    model = build_model(cfg, path, str(device))
    return [name_raw(model, make_reference(model, image, decode=False)) for image in images]
