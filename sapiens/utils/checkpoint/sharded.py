"""Checkpoints that are folders: of ``torch.distributed.checkpoint``, or of safetensors as on model hubs.

They are read in one process without ``torch.distributed``, whose own reader executes what ``.metadata`` asks for.
"""

import io
import json
import pickle
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from .restricted import UnsafeGlobal, load_restricted

__all__ = ['STATE', 'check_description', 'is_checkpoint_folder', 'read_folder']

# File of a training checkpoint with everything that is not a tensor of its weights or of the optimizer.
STATE = 'state.pt'
INDEX, SINGLE = 'model.safetensors.index.json', 'model.safetensors'
# Classes of the pickle that describes the shards. Each becomes a holder of its attributes.
DESCRIPTIONS = {
    ('torch.distributed.checkpoint.metadata', name)
    for name in ('Metadata', 'TensorStorageMetadata', 'BytesStorageMetadata', 'ChunkStorageMetadata', 'MetadataIndex',
                 'TensorProperties', 'StorageMeta')
} | {('torch.distributed.checkpoint.filesystem', '_StorageInfo'), ('pathlib', 'PosixPath'),
     ('pathlib', 'WindowsPath'), ('pathlib._local', 'PosixPath'), ('pathlib._local', 'WindowsPath'),
     ('torch.serialization', '_get_layout'),
     ('torch.distributed.checkpoint.metadata', '_MEM_FORMAT_ENCODING')}  # fmt: skip
DTYPES = ('float64', 'float32', 'float16', 'bfloat16', 'int64', 'int32', 'int16', 'int8', 'uint8', 'bool')


def is_checkpoint_folder(path: Path) -> bool:
    return any((path / name).is_file() for name in ('.metadata', INDEX, SINGLE))


def read_folder(path: Path, map_location: str | torch.device = 'cpu', wanted: tuple[str, ...] = ()) -> dict:
    """Content of a folder as nested dicts of tensors.

    Args:
        wanted: top-level keys. Only the first existing one is read (of a training checkpoint the weights, without the
            optimizer), or everything where none exists.

    Raises:
        UnsafeGlobal: ``.metadata`` asks for anything but descriptions.
        ValueError: shards are missing, do not cover a tensor, or name files outside the folder.
    """
    if (path / '.metadata').is_file():
        content = _read_distributed(path, map_location, wanted)
        if (path / STATE).is_file():
            content['meta'] = load_restricted(path / STATE).get('meta')
        return content
    from safetensors.torch import load_file

    # A folder may keep the parts of an earlier model; transformers prefers the single file too.
    names = [SINGLE] if (path / SINGLE).is_file() else _parts(path / INDEX)
    content = {}
    for name in names:
        content.update(load_file(_inside(path, name), device=str(map_location)))
    return content


def check_description(folder: Path, content: bytes) -> None:
    """Check what ``.metadata`` of a folder holds, before torch's own reader opens it.

    Raises:
        UnsafeGlobal: it asks for anything but descriptions.
        ValueError: it names objects, which torch would unpickle, or files that are missing or outside of the folder.
    """
    about = _DescriptionUnpickler(io.BytesIO(content)).load().attributes
    for name, entry in about['state_dict_metadata'].items():
        if 'size' not in entry.attributes:
            raise ValueError(f'its entry {name} is not a tensor')
    sizes: dict[str, int] = {}
    for info in about['storage_data'].values():
        name = str(info.attributes['relative_path'])
        if name not in sizes:
            sizes[name] = _inside(folder, name).stat().st_size
        if sizes[name] < info.attributes['offset'] + info.attributes['length']:
            raise ValueError(f'its part {name} is truncated: copy the whole folder again')


def _parts(index: Path) -> list[str]:
    """The files that an index names."""
    try:
        content = json.loads(index.read_text())
    except ValueError as error:
        raise ValueError(f'its {index.name} is not JSON: {error}') from error
    names = content.get('weight_map') if isinstance(content, dict) else None
    if not isinstance(names, dict) or not names or not all(isinstance(name, str) for name in names.values()):
        raise ValueError(f'its {index.name} has no weight_map, which names a file for each tensor')
    return sorted(set(names.values()))


def _inside(folder: Path, name: str) -> Path:
    file = folder / name
    if Path(name).is_absolute() or '..' in Path(name).parts:
        raise ValueError(f'it refers to the file {name!r} outside the folder')
    if not file.is_file():
        raise ValueError(f'its part {name} is missing: copy or download the whole folder')
    return file


@dataclass(frozen=True)
class _Place:
    """Location of the bytes of a piece."""

    file: str
    offset: int
    length: int


def _read_distributed(path: Path, map_location: str | torch.device, wanted: tuple[str, ...]) -> dict:
    about = _DescriptionUnpickler(io.BytesIO((path / '.metadata').read_bytes())).load().attributes
    places: dict[str, list[tuple[tuple, _Place]]] = {}
    for index, info in about['storage_data'].items():
        index, info = index.attributes, info.attributes
        if info.get('transform_descriptors'):
            raise ValueError('its pieces are compressed or encrypted: not supported')
        place = _Place(str(info['relative_path']), int(info['offset']), int(info['length']))
        places.setdefault(index['fqn'], []).append((tuple(index.get('offset') or ()), place))
    paths = about.get('planner_data') or {}  # keys of nested dicts for the name of each tensor
    tensors = {
        tuple(paths.get(name) or (name,)): (name, tensor.attributes)
        for name, tensor in about['state_dict_metadata'].items()
        if 'size' in tensor.attributes  # objects are never read
    }
    top = next((key for key in wanted if any(keys[0] == key and len(keys) > 1 for keys in tensors)), None)
    content: dict = {}
    for keys, (name, values) in tensors.items():
        if top in (None, keys[0]):
            node = content
            for key in keys[:-1]:
                node = node.setdefault(key, {})
            node[keys[-1]] = _assemble(path, name, values, places.get(name, [])).to(map_location)
    return content


def _assemble(path: Path, name: str, values: dict, places: list[tuple[tuple, _Place]]) -> Tensor:
    """One tensor from its pieces."""
    chunks = [chunk.attributes for chunk in values['chunks']]
    sizes = {tuple(chunk['offsets']): tuple(chunk['sizes']) for chunk in chunks}
    whole, covered = None, 0
    for offset, place in places:
        offset = offset or (0,) * len(values['size'])
        with open(_inside(path, place.file), 'rb') as file:
            file.seek(place.offset)
            piece = load_restricted(file.read(place.length))
        if tuple(piece.shape) != sizes.get(offset):
            found = f'the piece of {name} at {offset} has shape {tuple(piece.shape)}'
            raise ValueError(f'{found}, not {sizes.get(offset)}')
        if tuple(piece.shape) == tuple(values['size']):
            return piece
        if whole is None:
            whole = torch.empty(tuple(values['size']), dtype=piece.dtype)
        whole[tuple(slice(start, start + size) for start, size in zip(offset, piece.shape, strict=True))] = piece
        covered += piece.numel()
    if whole is None or covered != whole.numel():
        raise ValueError(f'the pieces of {name} cover {covered} of {torch.Size(values["size"]).numel()} elements')
    return whole


class _DescriptionUnpickler(pickle.Unpickler):
    """Reads ``.metadata``: names, sizes, files and offsets. Classes become holders, defined for each file."""

    def __init__(self, file) -> None:
        super().__init__(file)

        class Holder:
            def __new__(cls, *args):
                made = object.__new__(cls)
                made.attributes, made.args = {}, args
                return made

            def __str__(self):
                return '/'.join(map(str, self.args))  # of a path

            def __setstate__(self, state):
                if isinstance(state, dict):
                    self.attributes = dict(state)

        self.holder = Holder

    def find_class(self, module: str, name: str):
        if (module, name) in DESCRIPTIONS:
            return self.holder
        if (module, name) == ('torch', 'Size'):
            return tuple
        if module == 'torch' and name in DTYPES:
            return name
        if (module, name) == ('collections', 'OrderedDict'):
            return dict
        raise UnsafeGlobal(f'{module}.{name}')
