"""Reading weights from any file. Nothing but tensors and plain values is unpickled: a file cannot execute anything."""

import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sapiens.utils.zoo import how_to_get, published_as, resolve_checkpoint

from .archive import is_export, is_torchscript, read_export, read_torchscript
from .names import canonical, layout_of, strip_wrappers
from .sharded import is_checkpoint_folder, read_folder

__all__ = ['Checkpoint', 'read_checkpoint']

# Under which key of a file its weights stand, if not at the top.
WEIGHT_KEYS = ('state_dict', 'model', 'model_state_dict', 'module')


@dataclass
class Checkpoint:
    """Weights by name, and what the file says about them.

    Attributes:
        state_dict: under our names, without those of wrappers; mapped from the file where its form allows it.
        meta: what stands beside the weights under ``meta``.
        path: the file or folder.
        form: ``'PyTorch file'``, ``'safetensors'``, ``'TorchScript archive'``, ``'torch.export archive'`` or ``'folder'``.
        key: under which the weights stand in it, ``''`` for a flat one.
        layout: whose names the file has: ``'sapiens'`` (mmpretrain's), ``'timm'`` (facebookresearch/mae too), ``'huggingface'``.
    """

    state_dict: dict[str, Tensor]
    meta: dict
    path: str
    form: str = 'PyTorch file'
    key: str = ''
    layout: str = 'sapiens'


def read_checkpoint(path: str | Path, map_location: str | torch.device = 'cpu') -> Checkpoint:
    """Read weights of any form and bring their names into ours.

    Forms: ``{state_dict, meta}`` and ``{model}`` of training, a flat dict of tensors, safetensors, TorchScript, torch.export, a
    folder of ``torch.distributed.checkpoint``, a folder of safetensors. Names: ours, timm's, facebookresearch/mae's, Hugging
    Face's (see :mod:`sapiens.utils.checkpoint.names`); prefixes of wrappers are stripped.

    Args:
        path: a file or folder, or the name of a published model (see :mod:`sapiens.utils.zoo`).

    Raises:
        FileNotFoundError: naming files that are alike, or how to get a published one.
        ValueError: for a file that is truncated, foreign or would execute code (it says what the file looks like), for
            names that are no longer distinct without the prefixes of wrappers, and for another project's encoder with parts
            that ours does not have.
    """
    path = resolve_checkpoint(path)
    if not path.exists():
        raise FileNotFoundError(_missing(path))
    form, read = _reader_of(path)
    try:
        content = read(path, map_location)
    except Exception as error:  # pickle, zip, torch and safetensors raise a dozen types for what is not a checkpoint
        size = '' if path.is_dir() else f' ({path.stat().st_size} bytes)'
        raise ValueError(f'{path}{size} cannot be read: {_diagnose(path, error)}') from error
    if not isinstance(content, dict):
        raise ValueError(f'{path} holds a {type(content).__name__}, expected a dict of weights')
    meta = content.get('meta') if isinstance(content.get('meta'), dict) else {}
    key = next((key for key in WEIGHT_KEYS if isinstance(content.get(key), dict)), '')
    weights = content[key] if key else content
    named = {name: value for name, value in weights.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if not named:
        raise ValueError(f'{path} holds no weights: its keys are {", ".join(map(str, list(content)[:8])) or "none"}')
    tensors = strip_wrappers(named, str(path))
    layout = layout_of(tensors)
    return Checkpoint(canonical(tensors, layout, str(path)), meta, str(path), form, key, layout)


def _missing(path: Path) -> str:
    published = published_as(path)
    if published:
        return f'no checkpoint {path}; it is published: {how_to_get(*published, path)}'
    names = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    near = get_close_matches(path.name, names, n=3, cutoff=0.5)
    where = f'in {path.parent} there is {", ".join(near)}' if near else f'{path.parent} has nothing like it'
    return f'no checkpoint {path}; {where}'


def _reader_of(path: Path) -> tuple[str, Callable]:
    """The form of what is there, and its reader. The content decides, not only the ending: files are often renamed."""
    if path.is_dir():
        if not is_checkpoint_folder(path):
            raise FileNotFoundError(
                f'{path} is a folder, expected the file of a checkpoint (or a folder with .metadata of '
                'torch.distributed.checkpoint, or with model.safetensors)'
            )
        return 'folder', partial(read_folder, wanted=WEIGHT_KEYS)
    with open(path, 'rb') as file:
        head = file.read(10)
    if path.suffix == '.safetensors' or head[8:] == b'{"':  # eight bytes of length, then JSON
        return 'safetensors', _read_safetensors
    if head.startswith(b'PK') and is_torchscript(path):
        return 'TorchScript archive', read_torchscript
    if head.startswith(b'PK') and is_export(path):
        return 'torch.export archive', read_export
    return 'PyTorch file', _read_torch


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
    name = _refused_name(error)
    if name:
        return (
            f'it asks to run code ({name}), which a file of weights never needs; nothing was run. If you trust where it '
            'comes from, save its state_dict alone, with torch.save, where it was written'
        )
    if path.is_dir():
        return f'{error}' if str(error) else f'it is no checkpoint ({type(error).__name__})'
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
            zipfile.ZipFile(path).close()
        except zipfile.BadZipFile:
            return 'it is truncated (the end of the archive is missing): copy or download it again'
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or ['no reason given']
    if 'EOF' in str(error) or 'incomplete metadata' in lines[0] or isinstance(error, EOFError):
        return f'it is truncated: copy or download it again ({lines[0]})'
    # Around the reason torch advises to load the file without this safety, which nobody should read here.
    reason = re.search(r'WeightsUnpickler error:\s*([^\n]*)', str(error))
    return f'it is no file of weights ({type(error).__name__}: {reason[1] if reason else lines[0]})'
