"""Reading weights from any file. Nothing but tensors and plain values is unpickled: a file cannot execute anything."""

import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from .adapters import merge_adapters
from .archive import is_export, is_torchscript, read_export, read_torchscript
from .limits import check_tensors, limited_memory
from .names import canonical, layout_of, strip_wrappers
from .restricted import UnsafeGlobal, load_restricted
from .sharded import is_checkpoint_folder, read_folder

__all__ = ['Checkpoint', 'diagnose', 'read_checkpoint', 'require_checkpoint']

# Keys that hold the weights of a file, if they are not at the top. Averages, as timm and DeiT write them, come last.
WEIGHT_KEYS = ('state_dict', 'model', 'model_state_dict', 'module', 'teacher', 'state_dict_ema', 'model_ema')


@dataclass
class Checkpoint:
    """Weights by name, and what the file says about them.

    Attributes:
        state_dict: under our names; memory-mapped where the form of the file allows it.
        meta: the file's ``meta``; of safetensors its metadata, as text.
        path: the file or folder.
        form: ``'PyTorch file'``, ``'safetensors'``, ``'TorchScript archive'``, ``'torch.export archive'`` or ``'folder'``.
        key: of the weights in the file, ``''`` for flat weights.
        layout: project whose names the file has: ``'sapiens'`` (mmpretrain's), ``'timm'`` (facebookresearch/mae too), or
            ``'huggingface'``.
    """

    state_dict: dict[str, Tensor]
    meta: dict
    path: str
    form: str = 'PyTorch file'
    key: str = ''
    layout: str = 'sapiens'


def read_checkpoint(path: str | Path, map_location: str | torch.device = 'cpu', rename: bool = True) -> Checkpoint:
    """Read weights of any form, under our names.

    Forms: ``{state_dict, meta}`` and ``{model}`` of training, a flat dict of tensors, safetensors, TorchScript, torch.export, a
    folder of ``torch.distributed.checkpoint``, a folder of safetensors. Names: ours, timm's, facebookresearch/mae's, Hugging
    Face's (see :mod:`sapiens.utils.checkpoint.names`). Prefixes of wrappers are removed. Adapters (LoRA) are merged into the
    weights.

    Args:
        rename: False keeps the names of the other project.

    Raises:
        FileNotFoundError: naming similar files.
        ValueError: a file that is truncated, foreign or would execute code (the message says what the file looks like), names
            that are equal without the prefixes of wrappers, adapters without what merging them needs, or another project's
            encoder with parts that ours does not have.
    """
    path = require_checkpoint(path)
    form, read = _reader_of(path)
    try:
        with limited_memory(path, torch.device(map_location)):
            content = read(path, map_location)
    except Exception as error:  # pickle, zip, torch and safetensors raise a dozen types for what is not a checkpoint
        size = '' if path.is_dir() else f' ({path.stat().st_size} bytes)'
        raise ValueError(f'{path}{size} cannot be read: {diagnose(path, error)}') from error
    if not isinstance(content, dict):
        raise ValueError(f'{path} holds a {type(content).__name__}, expected a dict of weights')
    meta = content.get('meta') if isinstance(content.get('meta'), dict) else {}
    key = next((key for key in WEIGHT_KEYS if isinstance(content.get(key), dict)), '')
    weights = content[key] if key else content
    named = {name: value for name, value in weights.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if not named:
        raise ValueError(f'{path} holds no weights: its keys are {", ".join(map(str, list(content)[:8])) or "none"}')
    try:
        check_tensors(named)
    except ValueError as error:
        raise ValueError(f'{path} cannot be used: {error}') from None
    tensors = merge_adapters(strip_wrappers(named, str(path)), meta, str(path))
    layout = layout_of(tensors)
    renamed = canonical(tensors, layout, str(path)) if rename else tensors
    return Checkpoint(renamed, meta, str(path), form, key, layout)


def require_checkpoint(path: str | Path) -> Path:
    """The path of a checkpoint. Raises FileNotFoundError, naming similar files, if nothing is there."""
    path = Path(path).expanduser()
    if path.exists():
        return path
    names = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    near = get_close_matches(path.name, names, n=3, cutoff=0.5)
    where = f'in {path.parent} there is {", ".join(near)}' if near else f'{path.parent} has nothing like it'
    raise FileNotFoundError(f'no checkpoint {path}; {where}')


def _reader_of(path: Path) -> tuple[str, Callable]:
    """The form of what is there, and its reader. The content decides, not only the ending: files are often renamed."""
    if path.is_dir():
        if not is_checkpoint_folder(path):
            if (path / 'config.json').is_file():
                raise FileNotFoundError(
                    f'{path} has config.json, but no weights (model.safetensors, or model.safetensors.index.json and its '
                    'parts): copy or download the whole folder'
                )
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
    return 'PyTorch file', load_restricted


# A reader takes a path and a device and returns the content of the file. `diagnose` explains its errors.


def _read_safetensors(path: Path, map_location: str | torch.device) -> dict:
    tensors, meta = _tensors_and_meta(path, map_location)
    # What is returned is whole: files that are written from it must not name the second file.
    name = meta.pop('encoder_file', None)
    encoder = {} if name is None else _encoder_beside(path, name, map_location)
    return {**encoder, **tensors, 'meta': meta}


def _tensors_and_meta(path: Path, map_location: str | torch.device) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import safe_open

    with safe_open(path, 'pt', device=str(map_location)) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
        meta = {key: value for key, value in (file.metadata() or {}).items() if key != 'format'}
    return tensors, meta


def _encoder_beside(path: Path, name: str, map_location: str | torch.device) -> dict[str, Tensor]:
    """The encoder that files of several tasks share: the file beside them that their ``encoder_file`` names, under the names of
    whole models."""
    shared = path.with_name(Path(name).name)
    if Path(name).name != name or not shared.is_file():
        raise ValueError(f'its encoder is in a second file, {name!r}, which is not beside it')
    encoder, meta = _tensors_and_meta(shared, map_location)
    if 'encoder_file' in meta:
        raise ValueError(f'its encoder, {name!r}, names another file')
    return {f'backbone.{key}': value for key, value in encoder.items()}


def diagnose(path: Path, error: Exception) -> str:
    """Say why a file cannot be read, in one line for users.

    Args:
        error: what reading it raised. Its text may quote the file.
    """
    text = ' '.join(_reason(path, error).split())
    return ''.join(letter if letter.isprintable() else '?' for letter in text)[:600]


def _reason(path: Path, error: Exception) -> str:
    if isinstance(error, MemoryError) or 'DefaultCPUAllocator' in str(error):
        return 'it unpacks to many times its size, as no file of weights does'
    # torch advises to load such a file without its safety, which is not advice for users.
    asked = re.search(r'GLOBAL (\S+)|unrecognized function', str(error))
    if isinstance(error, UnsafeGlobal) or asked:
        what = (asked[1] or 'a method') if asked else error
        return (
            f'it asks to run code ({what}), which a file of weights never needs; nothing was run. If you trust its source, save '
            'its state_dict alone, with torch.save, where it was written'
        )
    if path.is_dir():
        return f'{error}' if str(error) else f'it is not a checkpoint ({type(error).__name__})'
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
        except Exception as damage:  # a damaged directory of a zip file raises any error
            if 'not a zip file' in str(damage):
                return 'it is truncated (the end of the archive is missing): copy or download it again'
            return f'it is damaged: copy or download it again ({type(damage).__name__}: {damage})'
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or ['no reason given']
    if 'EOF' in str(error) or 'incomplete metadata' in lines[0] or isinstance(error, EOFError):
        return f'it is truncated: copy or download it again ({lines[0]})'
    if isinstance(error, ValueError) and re.match('its? ', lines[0]):  # a reason of these modules
        return lines[0]
    reason = re.search(r'WeightsUnpickler error:\s*([^\n]*)', str(error))
    return f'it is not a file of weights ({type(error).__name__}: {reason[1] if reason else lines[0]})'
