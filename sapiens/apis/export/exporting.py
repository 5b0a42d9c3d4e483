"""From config and checkpoint to a file that was loaded again and compared with the eager model."""

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
from sapiens.models.backbones import require_members
from sapiens.utils.device import pick_device

from ..loading.build import build_model, read_config
from .comparing import Difference, compare, make_reference, prepare
from .graph import ExportGraph, image_size, outputs_of
from .loading import load_export
from .options import ExportOptions, require
from .pictures import load_pictures
from .writing import describe, write_graph, write_weights

__all__ = ['ExportError', 'ExportReport', 'export_model']


class ExportError(ValueError):
    """An export that differs too much from the eager model. Its text has the differences; no file was left."""


@dataclass
class ExportReport:
    """What was written and how it compares.

    Attributes:
        path: of the file.
        files: all files of the export: those of large ONNX models have their weights beside them.
        differences: from the eager float32 model, one for each output.
        meta: what the file says of itself.
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

    Each picture runs by itself and, with a dynamic batch, all of them together besides. The file takes its name only when
    the comparison has passed.

    Args:
        config, checkpoint, cfg_options: see :func:`sapiens.apis.build_model`.
        options: what to write.
        path: of the file to write.
        images: photographs to compare on; without any, one that scikit-image brings along.
        device: to trace and to compare on.
        overwrite: whether a file that is there may be replaced; it is removed first, so that a failure leaves none.
        say: told what is being done.

    Raises:
        ExportError: the comparison failed.
        FileExistsError: ``path`` is there.
        ValueError: ``path`` does not end as files of the format do.
        FileNotFoundError, ValueError, ImportError: see the parts.
    """
    path, target = Path(path).expanduser(), pick_device(device)
    if options.format == 'onnx':
        for package in ('onnx', 'onnxscript', 'onnxruntime'):
            require(package, 'the format onnx')
    ending = Path(options.file_name('x')).suffix
    if path.suffix != ending and options.format != 'torchscript':
        raise ValueError(f'{path}: files of the format {options.format} are known by their ending, {ending}')
    existing = [file for file in (path, path.with_name(f'{path.name}.data')) if file.exists()]
    if existing and not overwrite:
        raise FileExistsError(f'{existing[0]} exists; remove it, choose another name, or allow to overwrite it')
    cfg = read_config(config, cfg_options)
    model = build_model(cfg, checkpoint, str(target))
    size = _size(model, options)
    outputs_of(model, options.decode)
    pictures = [picture.to(target) for picture in load_pictures(images, size)]
    inputs = prepare(model, pictures, options.preprocess)
    say(f'running the eager model on {len(pictures)} picture(s) of {size[0]}x{size[1]}')
    references = [make_reference(model, picture, options.decode) for picture in _progress(pictures)]
    if size != image_size(model):
        model.backbone.set_image_size(size)
    for file in existing:
        file.unlink()
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f'.{path.name}.', dir=path.parent))
    try:
        written = folder / path.name
        meta = describe(model, options, str(checkpoint) if checkpoint else 'random')
        begin = time.monotonic()
        say(f'writing {options.format}')
        if options.is_graph:
            write_graph(ExportGraph(model, options), options, meta, written)
        else:
            write_weights(model, options, meta, written)
        say(f'written in {time.monotonic() - begin:.0f} s; loading it again and running it')
        # Its methods are still needed. Its weights would lie in memory beside those of the file.
        model.to_empty(device='meta')
        if options.is_graph:
            outputs = _run_graph(written, inputs, options.dynamic_batch, target)
        else:
            cfg.model.backbone.img_size = size
            outputs = _run_weights(written, cfg, pictures, target)
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


def _progress(items: list) -> tqdm:
    """A bar on terminals, for more than one."""
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


def _run_graph(path: Path, inputs: list[Tensor], dynamic_batch: bool, device: torch.device) -> list[dict[str, Tensor]]:
    """Outputs for each input by itself; then, with a dynamic batch, for each as part of all together."""
    exported = load_export(path, str(device))
    outputs = [exported(one) for one in _progress(inputs)]
    if dynamic_batch and len(inputs) > 1:
        batch = exported(torch.cat(inputs))
        outputs += [{name: value[index : index + 1] for name, value in batch.items()} for index in range(len(inputs))]
    return outputs


def _run_weights(path: Path, cfg: Config, pictures: list[Tensor], device: torch.device) -> list[dict[str, Tensor]]:
    """Undecoded outputs of a model that was built anew with the weights of the file."""
    model = build_model(cfg, path, str(device))
    (output,) = outputs_of(model, decode=False)
    return [{output.name: make_reference(model, picture, decode=False).raw} for picture in pictures]
