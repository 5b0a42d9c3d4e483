"""Reading weights from any file, and putting them into a model with an account of every tensor.

Nothing but tensors and plain values is unpickled: a file cannot execute anything.
"""

import codecs
import collections
import pickle
import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ['Checkpoint', 'LoadReport', 'load_state', 'read_checkpoint']

# Names that wrappers put around those of the model: DistributedDataParallel, torch.compile, FSDP.
WRAPPERS = re.compile(r'(?:^|(?<=\.))(?:module|_orig_mod|_fsdp_wrapped_module)\.')


@dataclass
class Checkpoint:
    """Weights by name, and what the file says about them."""

    state_dict: dict[str, Tensor]
    meta: dict
    path: str


@dataclass
class LoadReport:
    """What became of each tensor. ``share``: of the backbone's elements (of the model's, without one) that were loaded."""

    loaded: list[str] = field(default_factory=list)
    resized: list[str] = field(default_factory=list)
    reinitialised: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    share: float = 0.0

    def __str__(self) -> str:
        explain = {
            'loaded': 'taken as they are',
            'resized': 'fitted to this model',
            'reinitialised': 'of another shape in the file: kept as initialised',
            'missing': 'not in the file: kept as initialised',
            'unused': 'in the file only',
        }
        lines = [f'{self.share:.1%} of the backbone loaded']
        for name, why in explain.items():
            entries = getattr(self, name)
            if entries:
                first = (
                    '' if name == 'loaded' else ': ' + ', '.join(entries[:4]) + (', ...' if len(entries) > 4 else '')
                )
                lines.append(f'  {name:<13} {len(entries):>5}  {why}{first}')
        return '\n'.join(lines)


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read ``{state_dict, meta}``, ``{model}``, a flat dict of tensors, or safetensors; wrapper prefixes are stripped.

    Raises:
        FileNotFoundError: naming files that are alike.
        ValueError: for a file that is truncated, foreign or would execute code; it says what the file looks like.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        names = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        near = get_close_matches(path.name, names, n=3, cutoff=0.5)
        where = f'in {path.parent} there is {", ".join(near)}' if near else f'{path.parent} has nothing like it'
        raise FileNotFoundError(f'no checkpoint {path}; {where}')
    content = _read_safetensors(path) if path.suffix == '.safetensors' else _read_torch(path)
    meta = content.get('meta') if isinstance(content.get('meta'), dict) else {}
    state_dict = next((content[key] for key in ('state_dict', 'model') if isinstance(content.get(key), dict)), content)
    tensors = {WRAPPERS.sub('', key): value for key, value in state_dict.items() if isinstance(value, Tensor)}
    if not tensors:
        raise ValueError(f'{path} holds no weights: its keys are {", ".join(map(str, list(content)[:8])) or "none"}')
    return Checkpoint(tensors, meta, str(path))


def _read_safetensors(path: Path) -> dict:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f'{path} ({path.stat().st_size} bytes) is no readable safetensors file: {error}') from error


def _read_torch(path: Path) -> dict:
    options = dict(map_location='cpu', mmap=zipfile.is_zipfile(path))
    try:
        try:
            content = torch.load(path, weights_only=True, **options)
        except pickle.UnpicklingError:
            # Files of MMEngine and its relatives hold more than weights: read those parts as inert placeholders.
            content = torch.load(path, weights_only=False, pickle_module=_Restricted, **options)
    except Exception as error:  # pickle, zip and torch raise a dozen types for what is not a checkpoint
        raise ValueError(f'{path} ({path.stat().st_size} bytes) cannot be read: {_diagnose(path, error)}') from error
    if not isinstance(content, dict):
        raise ValueError(f'{path} holds a {type(content).__name__}, expected a dict of weights')
    return content


class _Inert:
    """Stands for an object that is not needed; being made, called or filled does nothing."""

    def __init__(self, *args, **kwargs) -> None:
        pass

    def __call__(self, *args, **kwargs) -> '_Inert':
        return self

    def __setstate__(self, state) -> None:
        pass


class _Restricted:
    """A pickle module for :func:`torch.load` that looks up what rebuilds tensors and arrays and nothing else.

    Objects of the libraries that write training checkpoints become :class:`_Inert`. Any other name is refused, since only
    a file that wants to run something asks for one.
    """

    rebuilt = {
        ('collections', 'OrderedDict'): collections.OrderedDict,
        ('collections', 'defaultdict'): collections.defaultdict,
        ('builtins', 'set'): set,
        ('builtins', 'dict'): dict,
        ('builtins', 'int'): int,
        ('_codecs', 'encode'): codecs.encode,
        ('numpy', 'ndarray'): np.ndarray,
        ('numpy', 'dtype'): np.dtype,
    }
    ignored = ('mmengine.', 'mmcv.', 'mmpretrain.', 'mmpose.', 'mmdet.', 'mmseg.', 'sapiens.', 'pathlib')

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str):
            module = 'builtins' if module == '__builtin__' else module  # the name of Python 2, which protocol 2 keeps
            if (module, name) in _Restricted.rebuilt:
                return _Restricted.rebuilt[module, name]
            if module in ('numpy.core.multiarray', 'numpy._core.multiarray') and name in ('_reconstruct', 'scalar'):
                return getattr(np.core.multiarray if not hasattr(np, '_core') else np._core.multiarray, name)
            if module == 'torch._utils' and name in ('_rebuild_tensor', '_rebuild_tensor_v2', '_rebuild_parameter'):
                return getattr(torch._utils, name)
            if module in ('torch', 'torch.storage') and name.endswith(('Storage', 'Size', 'device')):
                return super().find_class(module, name)
            if module.startswith(_Restricted.ignored) or (module, name) == ('builtins', 'getattr'):
                return _Inert
            raise pickle.UnpicklingError(f'Unsupported: GLOBAL {module}.{name} is not allowed')

    @staticmethod
    def load(file, **kwargs):
        return _Restricted.Unpickler(file, **kwargs).load()


def _diagnose(path: Path, error: Exception) -> str:
    """What the file looks like, for an error message."""
    with open(path, 'rb') as file:
        head = file.read(512)
    if not head:
        return 'it is empty'
    if head.startswith(b'version https://git-lfs'):
        return 'it is a git-lfs pointer: fetch the file itself with `git lfs pull`'
    if head.lstrip().lower().startswith((b'<!doctype', b'<html')):
        return 'it is an HTML page: the download gave an error page instead of the file'
    if head.startswith(b'PK'):
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except zipfile.BadZipFile:
            return 'it is truncated (the end of the archive is missing): copy or download it again'
        if any('constants.pkl' in name for name in names):
            return 'it is a TorchScript archive, not a checkpoint'
    if 'weights_only' in str(error).lower() or 'unsupported' in str(error).lower():
        what = re.search(r'GLOBAL (\S+)', str(error))
        return f'it asks to run code ({what[1] if what else "unknown"}), which a file of weights never needs; nothing was run'
    return f'{type(error).__name__}: {str(error).splitlines()[0] if str(error) else "no reason given"}'


@torch.no_grad()
def load_state(model: nn.Module, state_dict: dict[str, Tensor], min_share: float = 0.5) -> LoadReport:
    """Copy weights into a model by name.

    An encoder's flat weights go into ``model.backbone``, and the ``backbone.`` part of a whole model's into a bare encoder.
    Position embeddings are fitted by the backbone's ``resize_pos_embed``. Tensors of another shape are left as the model
    initialised them.

    Raises:
        ValueError: with the report, where less than ``min_share`` of the backbone would be loaded; nothing is changed.
    """
    own = model.state_dict()
    source = _adapt_names(own, state_dict)
    backbone = getattr(model, 'backbone', None)
    prefix = 'backbone.' if backbone is not None else ''
    resize = getattr(backbone if backbone is not None else model, 'resize_pos_embed', None)
    report, chosen = LoadReport(), {}
    for name, target in own.items():
        if name not in source:
            report.missing.append(name)
            continue
        value = source[name]
        if value.shape == target.shape:
            report.loaded.append(name)
        elif resize is not None and name == f'{prefix}pos_embed' and value.shape[-1] == target.shape[-1]:
            value = resize(value, name)
            report.resized.append(f'{name} {_shape(source[name])} -> {_shape(value)}')
        else:
            report.reinitialised.append(f'{name} {_shape(value)} in the file, {_shape(target)} here')
            continue
        chosen[name] = value
    report.unused = [name for name in source if name not in own]
    counted = {name: value.numel() for name, value in own.items() if name.startswith(prefix)}
    report.share = sum(counted[name] for name in chosen if name in counted) / max(1, sum(counted.values()))
    if report.share < min_share:
        raise ValueError(
            f'only {report.share:.1%} of the backbone would be loaded, at least {min_share:.0%} are needed: these weights '
            f'are of another architecture, or their names differ.\n{report}'
        )
    for name, value in chosen.items():
        own[name].copy_(value)
    return report


def _adapt_names(own: Iterable[str], state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    own = set(own)
    has_prefix = any(name.startswith('backbone.') for name in state_dict)
    wants_prefix = any(name.startswith('backbone.') for name in own)
    if wants_prefix and not has_prefix:
        return {f'backbone.{name}': value for name, value in state_dict.items()}
    if has_prefix and not wants_prefix:
        return {name.removeprefix('backbone.'): value for name, value in state_dict.items()}
    return dict(state_dict)


def _shape(tensor: Tensor) -> str:
    return 'x'.join(map(str, tensor.shape)) or 'scalar'
