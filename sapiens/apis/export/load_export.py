"""Loading an exported graph: one interface for all formats."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sapiens.utils.device import pick_device
from sapiens.utils.optional import require

from .write import META_FILE

__all__ = ['Exported', 'load_export']


class Exported:
    """An exported graph. ``exported(inputs)`` gives its outputs by name, on the device of the inputs.

    Attributes:
        meta: description in the file (docs/export.md); empty for other files, such as the published ones.
        format: ``'torchscript'``, ``'export'`` or ``'onnx'``.
        names: of the outputs, in order; ``output0``, ``output1``, ... where the file has no names.
    """

    def __init__(self, run: Callable, format: str, meta: dict) -> None:
        self._run, self.format, self.meta = run, format, meta
        self.names = [output['name'] for output in meta.get('outputs', ())]

    def __call__(self, inputs: Tensor) -> dict[str, Tensor]:
        """(B, 3, H, W), as ``meta['input']`` says -> tensors by name."""
        with torch.no_grad():
            outputs = self._run(inputs)
        outputs = outputs if isinstance(outputs, tuple | list) else (outputs,)
        names = self.names or [f'output{index}' for index in range(len(outputs))]
        return dict(zip(names, outputs, strict=True))


def load_export(path: str | Path, device: str = 'cpu') -> Exported:
    """Load a file of TorchScript, torch.export or ONNX, by content. A graph is a program: load only files that you trust.

    Args:
        path: the file.
        device: to run on. A decoding graph of TorchScript or torch.export runs on the kind of device that it was exported on.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file that holds no graph.
        ImportError: ONNX without onnxruntime.
    """
    path, target = Path(path).expanduser(), pick_device(device)
    if not path.is_file():
        raise FileNotFoundError(f'no exported file {path}')
    if path.suffix == '.onnx':
        return _load_onnx(path, target)
    names = []
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = [name.partition('/')[2] for name in archive.namelist()]
    extra = {META_FILE: ''}
    if any(name.startswith('code/') for name in names):
        module = torch.jit.load(str(path), map_location=target, _extra_files=extra)
        return Exported(module, 'torchscript', _parsed(extra))
    if any(name.startswith(('models/', 'serialized_exported_program')) for name in names):
        module = torch.export.load(str(path), extra_files=extra).module().to(target)
        return Exported(module, 'export', _parsed(extra))
    raise ValueError(
        f'{path} holds no graph: expected a file of TorchScript or torch.export (tools/export.py --format torchscript, export), '
        'or one that ends in .onnx. Files of weights belong to a config: sapiens.apis.build_model(CONFIG, FILE)'
    )


def _load_onnx(path: Path, device: torch.device) -> Exported:
    onnxruntime = require('onnxruntime', 'running an .onnx file')
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    wanted = ['CUDAExecutionProvider'] if device.type == 'cuda' else []
    providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
    if wanted and not providers:
        raise ValueError(
            f'device={str(device)!r}: this onnxruntime has no {wanted[0]}: install onnxruntime-gpu, or use cpu'
        )
    session = onnxruntime.InferenceSession(str(path), options, [*providers, 'CPUExecutionProvider'])
    meta = _parsed(session.get_modelmeta().custom_metadata_map)
    name = session.get_inputs()[0].name

    def run(inputs: Tensor) -> list[Tensor]:
        outputs = session.run(None, {name: np.ascontiguousarray(inputs.cpu().numpy())})
        return [torch.from_numpy(output).to(inputs.device) for output in outputs]

    return Exported(run, 'onnx', meta or dict(outputs=[dict(name=output.name) for output in session.get_outputs()]))


def _parsed(extra: dict) -> dict:
    return json.loads(extra.get(META_FILE) or '{}')
