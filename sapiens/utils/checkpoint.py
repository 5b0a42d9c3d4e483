"""Reading weights from any file, and putting them into a model with an account of every tensor.

Nothing but tensors and plain values is unpickled: a file cannot execute anything.
"""

import pickle
import re
import zipfile
from collections import OrderedDict
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
    part: str = 'backbone'
    source: str = ''

    def __str__(self) -> str:
        explain = {
            'loaded': 'taken as they are',
            'resized': 'fitted to this model',
            'reinitialised': 'of another shape in the file: kept as initialised',
            'missing': 'not in the file: kept as initialised',
            'unused': 'in the file only',
        }
        origin = f' from {self.source}' if self.source else ''
        lines = [f'{self.share:.1%} of the {self.part} loaded{origin}']
        for name, why in explain.items():
            entries = getattr(self, name)
            if entries:
                first = ', '.join(entries[:4]) + (', ...' if len(entries) > 4 else '')
                lines.append(f'  {name:<13} {len(entries):>5}  {why}: {first}')
        return '\n'.join(lines)


def read_checkpoint(path: str | Path, map_location: str | torch.device = 'cpu') -> Checkpoint:
    """Read ``{state_dict, meta}``, ``{model}``, a flat dict of tensors, or safetensors; wrapper prefixes are stripped.

    Raises:
        FileNotFoundError: naming files that are alike.
        ValueError: for a file that is truncated, foreign or would execute code (it says what the file looks like), and
            for names that are no longer distinct without the prefixes of wrappers.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        raise FileNotFoundError(f'{path} is a folder, expected the file of a checkpoint')
    if not path.is_file():
        names = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        near = get_close_matches(path.name, names, n=3, cutoff=0.5)
        where = f'in {path.parent} there is {", ".join(near)}' if near else f'{path.parent} has nothing like it'
        raise FileNotFoundError(f'no checkpoint {path}; {where}')
    with open(path, 'rb') as file:
        head = file.read(10)
    # The content decides too: safetensors are often renamed. Eight bytes of length, then JSON.
    read = _read_safetensors if path.suffix == '.safetensors' or head[8:] == b'{"' else _read_torch
    try:
        content = read(path, map_location)
    except Exception as error:  # pickle, zip, torch and safetensors raise a dozen types for what is not a checkpoint
        raise ValueError(f'{path} ({path.stat().st_size} bytes) cannot be read: {_diagnose(path, error)}') from error
    if not isinstance(content, dict):
        raise ValueError(f'{path} holds a {type(content).__name__}, expected a dict of weights')
    meta = content.get('meta') if isinstance(content.get('meta'), dict) else {}
    state_dict = next((content[key] for key in ('state_dict', 'model') if isinstance(content.get(key), dict)), content)
    named = {key: value for key, value in state_dict.items() if isinstance(key, str) and isinstance(value, Tensor)}
    if not named:
        raise ValueError(f'{path} holds no weights: its keys are {", ".join(map(str, list(content)[:8])) or "none"}')
    tensors, written = {}, {}
    for key, value in named.items():
        name = WRAPPERS.sub('', key)
        if name in tensors:
            raise ValueError(f'{path} holds both {written[name]!r} and {key!r}, which are one name without wrappers')
        tensors[name], written[name] = value, key
    return Checkpoint(tensors, meta, str(path))


# A reader takes a path and a device and returns what the file holds; whatever it raises is explained by `_diagnose`.


def _read_safetensors(path: Path, map_location: str | torch.device) -> dict:
    from safetensors.torch import load_file

    return load_file(path, device=str(map_location))


def _read_torch(path: Path, map_location: str | torch.device) -> dict:
    options = dict(map_location=map_location, mmap=zipfile.is_zipfile(path), weights_only=True)
    allowed = _plain_values()
    while True:
        try:
            with torch.serialization.safe_globals(allowed):
                return torch.load(path, **options)
        except pickle.UnpicklingError as error:
            # Training checkpoints hold objects besides weights. The ones of known libraries are replaced, name by name.
            name = _refused_name(error)
            if not name.startswith(REPLACED) or (_Inert, name) in allowed:
                raise
            allowed.append((_Inert, name))


# Libraries whose objects training checkpoints hold besides weights.
REPLACED = (
    'argparse.', 'pathlib.', 'sapiens.',
    'mmcv.', 'mmdet.', 'mmengine.', 'mmpose.', 'mmpretrain.', 'mmseg.',
)  # fmt: skip


class _Inert:
    """Stands for an object that is not needed; being made or filled does nothing."""

    def __init__(self, *args, **kwargs) -> None:
        pass

    def __setstate__(self, state) -> None:
        pass


def _plain_dict(*factory) -> dict:
    """For defaultdict, which torch calls but does not fill."""
    return {}


def _plain_values() -> list:
    """What torch may call besides its own: rebuilding numpy values, under the names of numpy 1 and 2, and containers."""
    multiarray = getattr(np, '_core', None) or np.core
    rebuild = [
        (getattr(multiarray.multiarray, name), f'numpy.{package}.multiarray.{name}')
        for package in ('core', '_core')
        for name in ('_reconstruct', 'scalar')
    ]
    dtypes = {type(np.dtype(code)) for code in np.typecodes['All']}
    # HistoryBuffer asks for its own methods with getattr, which could reach anything: it gets nothing.
    return [np.ndarray, np.dtype, *dtypes, *rebuild, OrderedDict, dict, int, float, complex, list, frozenset, slice,
            (_plain_dict, 'collections.defaultdict'), (_Inert, 'builtins.getattr')]  # fmt: skip


def _refused_name(error: Exception) -> str:
    found = re.search(r'GLOBAL (\S+) (?:was not an allowed|whose module)', str(error))
    return found[1] if found else ''


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
            return 'it is a TorchScript archive: not supported yet'
    name = _refused_name(error)
    if name:
        return (
            f'it asks to run code ({name}), which a file of weights never needs; nothing was run. If you trust where it '
            'comes from, save its state_dict alone, with torch.save, where it was written'
        )
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or ['no reason given']
    if 'EOF' in str(error) or 'incomplete metadata' in lines[0] or isinstance(error, EOFError):
        return f'it is truncated: copy or download it again ({lines[0]})'
    # Around the reason torch advises to load the file without this safety, which nobody should read here.
    reason = re.search(r'WeightsUnpickler error:\s*([^\n]*)', str(error))
    return f'it is no file of weights ({type(error).__name__}: {reason[1] if reason else lines[0]})'


@torch.no_grad()
def load_state(
    model: nn.Module, state_dict: dict[str, Tensor], min_share: float = 0.5, source: str = ''
) -> LoadReport:
    """Copy weights into a model by name.

    An encoder's flat weights go into ``model.backbone``, and the ``backbone.`` part of a whole model's into a bare encoder.
    Position embeddings are fitted by the backbone's ``resize_pos_embed``. Tensors of another shape are left as the model
    initialised them. Persistent buffers count like parameters. ``source`` names the weights in the report.

    Raises:
        ValueError: with the report, where less than ``min_share`` of the backbone would be loaded; nothing is changed.
    """
    own = {name: value for name, value in model.state_dict().items() if isinstance(value, Tensor)}
    weights, unused = _adapt_names(own, state_dict)
    backbone = getattr(model, 'backbone', None)
    prefix = 'backbone.' if backbone is not None else ''
    resize = getattr(backbone if backbone is not None else model, 'resize_pos_embed', None)
    report, chosen = LoadReport(part='backbone' if prefix else 'model', source=source), {}
    for name, target in own.items():
        if name not in weights:
            report.missing.append(name)
            continue
        value = given = weights[name]
        is_position = resize is not None and name.startswith(prefix) and name.endswith('pos_embed')
        if is_position and value.shape != target.shape and value.shape[-1:] == target.shape[-1:]:
            value = resize(value, name)
        if value.shape != target.shape:
            report.reinitialised.append(f'{name} {_shape(given)} in the file, {_shape(target)} here')
            continue
        if value is given:
            report.loaded.append(name)
        else:
            report.resized.append(f'{name} {_shape(given)} -> {_shape(value)}')
        chosen[name] = value
    report.unused = unused + [name for name in weights if name not in own]
    counted = {name: value.numel() for name, value in own.items() if name.startswith(prefix)}
    report.share = sum(counted[name] for name in chosen if name in counted) / max(1, sum(counted.values()))
    if report.share < min_share:
        raise ValueError(
            f'only {report.share:.1%} of the {report.part} would be loaded, at least {min_share:.0%} are needed: these '
            f'weights are of another architecture, or their names differ. Nothing was changed.\n{report}'
        )
    for name, value in chosen.items():
        own[name].copy_(value)
    return report


def _adapt_names(own: Iterable[str], state_dict: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """The weights under the model's names, and the names that are outside the part that was taken."""
    has_prefix = any(name.startswith('backbone.') for name in state_dict)
    wants_prefix = any(name.startswith('backbone.') for name in own)
    if wants_prefix and not has_prefix:
        return {f'backbone.{name}': value for name, value in state_dict.items()}, []
    if has_prefix and not wants_prefix:
        # The sub-tree only: a head may have names of its own that an encoder has too.
        inside = {name: value for name, value in state_dict.items() if name.startswith('backbone.')}
        outside = [name for name in state_dict if name not in inside]
        return {name.removeprefix('backbone.'): value for name, value in inside.items()}, outside
    return dict(state_dict), []


def _shape(tensor: Tensor) -> str:
    return 'x'.join(map(str, tensor.shape)) or 'scalar'
