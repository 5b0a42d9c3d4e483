"""Weights from archives of ``torch.jit.save`` and ``torch.export.save``. Nothing in an archive is run.

Both are zip files with uncompressed tensors, which are memory-mapped. Their index is a pickle (TorchScript) or JSON (export). The
pickle is read by an unpickler that knows tensors and containers only.
"""

import io
import json
import pickle
import re
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .limits import check_parts
from .restricted import UnsafeGlobal, load_restricted

__all__ = ['is_export', 'is_torchscript', 'patch_padding_of', 'read_export', 'read_torchscript']

# Data type by the name of a storage class, and by the number that torch.export writes.
STORAGES = {
    'FloatStorage': torch.float32, 'DoubleStorage': torch.float64, 'HalfStorage': torch.float16,
    'BFloat16Storage': torch.bfloat16, 'LongStorage': torch.int64, 'IntStorage': torch.int32,
    'ShortStorage': torch.int16, 'CharStorage': torch.int8, 'ByteStorage': torch.uint8, 'BoolStorage': torch.bool,
}  # fmt: skip
EXPORTED = {
    1: torch.uint8, 2: torch.int8, 3: torch.int16, 4: torch.int32, 5: torch.int64, 6: torch.float16, 7: torch.float32,
    8: torch.float64, 12: torch.bool, 13: torch.bfloat16,
}  # fmt: skip
# Weights in an archive of torch.export: PyTorch 2.9 and later, 2.8, and earlier (the published files).
WEIGHTS = ('data/weights/model_weights_config.json', 'data/weights/model.pt', 'serialized_state_dict.pt')


def is_torchscript(path: Path) -> bool:
    """Whether a zip file is an archive of TorchScript, which has code beside its pickle."""
    names = _names(path)
    return any(name.endswith('/data.pkl') for name in names) and any('/constants.pkl' in name for name in names)


def is_export(path: Path) -> bool:
    """Whether a zip file is an archive of torch.export."""
    return any(name.endswith(WEIGHTS) for name in _names(path))


def _names(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except Exception:  # a damaged directory of a zip file raises any error
        return []


def patch_padding_of(path: Path) -> int | None:
    """Padding in pixels of the patch convolution (stride equal to the kernel size), from the code of a TorchScript archive.

    The code is searched as text. None where there is no such convolution.
    """
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if '/code/' in name and name.endswith('.py'):
                found = re.search(r'_convolution\([^()]*, \[(\d\d), \1\], \[(\d+), \2\]', archive.read(name).decode())
                if found:
                    return int(found[2])
    return None


def read_torchscript(path: Path, map_location: str | torch.device = 'cpu') -> dict[str, Tensor]:
    """Parameters and buffers of a TorchScript archive by their dotted names.

    Raises:
        UnsafeGlobal: the archive asks for anything but tensors and containers.
        ValueError: its parts contradict each other, or it is quantized.
    """
    with zipfile.ZipFile(path) as archive:
        (entry,) = (name for name in archive.namelist() if name.count('/') == 1 and name.endswith('/data.pkl'))
        _refuse_foreign(archive)
        folder = entry.removesuffix('data.pkl') + 'data/'
        root = _TensorUnpickler(archive.read(entry), lambda key: _stored(path, archive, folder + key)).load()
    found: dict[str, Tensor] = {}
    pending, seen = [('', root)], set()
    while pending:
        prefix, module = pending.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        for name, value in getattr(module, 'attributes', {}).items():
            if isinstance(value, Tensor):
                found[prefix + name] = value.to(map_location)
            elif hasattr(value, 'attributes'):
                pending.append((f'{prefix}{name}.', value))
    return found


def read_export(path: Path, map_location: str | torch.device = 'cpu') -> dict[str, Tensor]:
    """Parameters and buffers of an archive of ``torch.export.save``, of PyTorch 2.3 (the published files) or later.

    Raises:
        UnsafeGlobal: the archive asks for anything but tensors and containers.
        ValueError: a data type that weights do not have.
    """
    with zipfile.ZipFile(path) as archive:
        _refuse_foreign(archive)
        entry = next(name for ending in WEIGHTS for name in archive.namelist() if name.endswith(ending))
        if not entry.endswith('.json'):
            return load_restricted(archive.read(entry), map_location)
        found, storages = {}, {}
        for name, about in json.loads(archive.read(entry))['config'].items():
            file = entry.rpartition('/')[0] + '/' + about['path_name']
            if about['use_pickle']:
                value = load_restricted(archive.read(file))
            else:
                meta = about['tensor_meta']
                if meta['dtype'] not in EXPORTED:
                    raise ValueError(f'{name} has the unknown data type {meta["dtype"]} of torch.export')
                if file not in storages:
                    storages[file] = _stored(path, archive, file)
                sizes, strides = ([each['as_int'] for each in meta[key]] for key in ('sizes', 'strides'))
                elements = storages[file].view(EXPORTED[meta['dtype']])
                value = elements.as_strided(sizes, strides, meta['storage_offset']['as_int'])
            found[name] = value.to(map_location)
    return found


def _refuse_foreign(archive: zipfile.ZipFile) -> None:
    check_parts(archive)
    for name in archive.namelist():
        if name.endswith('byteorder') and archive.read(name) != b'little':
            raise ValueError('its numbers are big-endian: not supported')


def _stored(path: Path, archive: zipfile.ZipFile, entry: str) -> Tensor:
    """The bytes of an uncompressed part of a zip file as a memory-mapped uint8 tensor. Changes stay in memory."""
    info = archive.getinfo(entry)  # KeyError for a missing part
    if not info.file_size:
        return torch.empty(0, dtype=torch.uint8)
    with open(path, 'rb') as file:
        file.seek(info.header_offset)
        name_length, extra_length = struct.unpack('<26x2H', file.read(30))
    start = info.header_offset + 30 + name_length + extra_length
    mapped = np.memmap(path, mode='c', offset=start, shape=(info.file_size,), dtype=np.uint8)
    # torch aligns its parts. An unaligned one is copied, for its elements cannot be viewed in place.
    return torch.from_numpy(mapped if start % 16 == 0 else np.array(mapped))


class _TensorUnpickler(pickle.Unpickler):
    """Reads the pickle of a TorchScript archive. Modules become holders of attributes, and tensors views of their storage.

    Everything that a pickle can call is defined here, separately for each file.
    """

    def __init__(self, content: bytes, storage: Callable[[str], Tensor]) -> None:
        super().__init__(io.BytesIO(content))
        storages: dict[str, Tensor] = {}

        class Holder:
            def __new__(cls, *args):
                return object.__new__(cls)

            def __setstate__(self, state):
                self.attributes = dict(state) if isinstance(state, dict) else {}

        class Storage:
            def __init__(self, dtype):
                self.dtype = dtype

        def rebuild_tensor(values, offset, size, stride, *rest):
            return values.as_strided(size, stride, offset)  # torch checks the bounds

        def rebuild_quantized(*args):
            raise ValueError('it is quantized: its weights are no longer those of the model')

        def same(value, *rest):
            return value

        def of_storage(pid):
            kind, storage_class, key, *_ = pid
            if kind != 'storage' or not isinstance(storage_class, Storage) or not isinstance(key, str):
                raise pickle.UnpicklingError(f'a reference to {kind!r} instead of a storage')
            if key not in storages:
                storages[key] = storage(key)
            return storages[key].view(storage_class.dtype)

        self.persistent_load = of_storage
        self.holder = Holder
        self.known = {
            'torch._utils._rebuild_tensor_v2': rebuild_tensor,
            'torch._utils._rebuild_parameter': same,
            'torch._utils._rebuild_qtensor': rebuild_quantized,
            'torch.jit._pickle.restore_type_tag': same,
            'torch.device': Holder,
            'collections.OrderedDict': OrderedDict,
            **{f'torch.jit._pickle.build_{kind}list': same for kind in ('int', 'double', 'bool', 'tensor')},
            **{f'torch.{name}': Storage(dtype) for name, dtype in STORAGES.items()},
        }

    def find_class(self, module: str, name: str):
        if module.split('.')[0] == '__torch__':
            return self.holder
        if f'{module}.{name}' in self.known:
            return self.known[f'{module}.{name}']
        raise UnsafeGlobal(f'{module}.{name}')
