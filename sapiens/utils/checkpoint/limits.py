"""Limits on what a file of weights may unpack to: a small file must not exhaust the memory or take minutes."""

import pickletools
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

__all__ = ['check_opcodes', 'check_parts', 'check_tensors', 'check_zip', 'limited_memory']

# A pickle of weights has about 40 instructions for each tensor, of which two are calls. These take several seconds.
MAX_OPCODES, MAX_CALLS = 3_000_000, 200_000
CALLS = ('REDUCE', 'NEWOBJ', 'NEWOBJ_EX', 'BUILD', 'BINPERSID')
# Bytes of a file of code in an archive of TorchScript, which may be compressed.
MAX_CODE = 1 << 26
# Bytes that any file may take in memory, in addition to a multiple of its size.
SPARE = 1 << 30
COPIES = 4
# The limit of the memory is one of the process.
_LOCK = threading.Lock()


def check_parts(archive: zipfile.ZipFile) -> None:
    """Raise ValueError if a part of a zip file is compressed. torch compresses code only."""
    for info in archive.infolist():
        is_code = '/code/' in info.filename and info.file_size <= MAX_CODE
        if not is_code and (info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size):
            raise ValueError(f'its part {info.filename} is compressed, which torch never does')


def check_zip(source: Path | BinaryIO) -> None:
    """Raise ValueError if a file of ``torch.save`` has compressed parts or a pickle that is too large."""
    with zipfile.ZipFile(source) as archive:
        check_parts(archive)
        for name in archive.namelist():
            if name.endswith('data.pkl'):
                with archive.open(name) as file:
                    check_opcodes(file)


def check_opcodes(file: BinaryIO, pickles: int = 1) -> set[str]:
    """Return the names that pickles ask for by the instruction GLOBAL, as ``module.name``.

    Args:
        file: at the first pickle.
        pickles: number of pickles, one after the other.

    Raises:
        ValueError: they have more instructions than any weights.
    """
    names, count, calls = set(), 0, 0
    for _ in range(pickles):
        for opcode, argument, _ in pickletools.genops(file):
            count, calls = count + 1, calls + (opcode.name in CALLS)
            if count > MAX_OPCODES or calls > MAX_CALLS:
                raise ValueError(f'it asks for {count:,} objects or more, many times those of any weights')
            if opcode.name == 'GLOBAL':
                names.add(argument.replace(' ', '.'))
    return names


def check_tensors(tensors: Mapping[str, Tensor]) -> None:
    """Raise ValueError if tensors are not weights: without values, or views that repeat a few values endlessly."""
    stored, shown = {}, 0
    for name, value in tensors.items():
        if value.layout != torch.strided or value.is_meta or value.is_quantized:
            kind = 'quantized' if value.is_quantized else 'meta' if value.is_meta else value.layout
            raise ValueError(f'{name} is a {kind} tensor: weights are plain tensors')
        storage = value.untyped_storage()
        stored[storage.data_ptr()] = storage.nbytes()
        shown += value.numel() * value.element_size()
    if shown > SPARE + COPIES * sum(stored.values()):
        name = max(tensors, key=lambda name: tensors[name].numel())
        shape = ' x '.join(map(str, tensors[name].shape))
        raise ValueError(
            f'its tensors take {sum(stored.values()):,} bytes and claim {shown:,}, such as {name} ({shape}) with the strides '
            f'{tensors[name].stride()}'
        )


@contextmanager
def limited_memory(path: Path, device: torch.device | None = None) -> Iterator[None]:
    """Let the process allocate a few times the size of a file, and no more, while the file is read.

    Reading more raises MemoryError or torch's RuntimeError instead of exhausting the memory. Without effect where the operating
    system has no such limit (other than Linux), and for other devices: starting CUDA takes many gigabytes of addresses.
    """
    status = Path('/proc/self/status')
    if not status.exists() or (device is not None and device.type != 'cpu'):
        yield
        return
    import resource

    files = path.rglob('*') if path.is_dir() else [path]
    size = sum(file.stat().st_size for file in files if file.is_file())
    with _LOCK:
        (used,) = (line.split()[1] for line in status.read_text().splitlines() if line.startswith('VmData:'))
        limits = soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        allowed = int(used) * 1024 + SPARE + COPIES * size
        bounds = [bound for bound in (soft, hard, allowed) if bound != resource.RLIM_INFINITY]
        resource.setrlimit(resource.RLIMIT_DATA, (min(bounds), hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, limits)
