"""Files of ``torch.save`` without running anything that they ask for."""

import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import torch

from .limits import check_opcodes, check_zip
from .numpy_values import REBUILDING

__all__ = ['UnsafeGlobal', 'load_restricted']

# Libraries whose objects training checkpoints hold in addition to weights.
REPLACED = (
    'argparse.', 'pathlib.', 'sapiens.',
    'mmcv.', 'mmdet.', 'mmengine.', 'mmpose.', 'mmpretrain.', 'mmseg.',
)  # fmt: skip
# Modules that weights in the format before PyTorch 1.6 may ask for. torch decides which of their names it calls.
LEGACY = ('torch.', 'collections.', 'numpy.', 'builtins.', '__builtin__.', '_codecs.')


class UnsafeGlobal(pickle.UnpicklingError):
    """A pickle asks for a function or class that weights do not need. The message is its dotted name."""


def load_restricted(source: Path | bytes, map_location: str | torch.device = 'cpu') -> dict:
    """What a file of ``torch.save`` holds. Objects of known libraries become placeholders.

    Args:
        source: path, which is memory-mapped, or content.

    Raises:
        UnsafeGlobal: the file asks for anything other than tensors and plain values.
        pickle.UnpicklingError, RuntimeError, ValueError: the file is damaged or of another kind.
    """
    allowed, is_zip = _plain_values(), zipfile.is_zipfile(_opened(source))
    with torch.serialization.safe_globals(allowed):
        if is_zip:
            check_zip(_opened(source))
            names = torch.serialization.get_unsafe_globals_in_checkpoint(_opened(source))
        else:
            names = _legacy_globals(source)
    for name in names:
        if name.startswith(REPLACED):
            allowed.append((_Inert, name))
        elif is_zip or not name.startswith(LEGACY):
            raise UnsafeGlobal(name)
    with torch.serialization.safe_globals(allowed):
        mmap = is_zip and isinstance(source, Path)
        return torch.load(_opened(source), map_location=map_location, mmap=mmap, weights_only=True)


def _opened(source: Path | bytes) -> Path | io.BytesIO:
    return io.BytesIO(source) if isinstance(source, bytes) else source


def _legacy_globals(source: Path | bytes) -> set[str]:
    """Names that a file in the format before PyTorch 1.6 asks for: pickles of a magic number, version, system, and content."""
    opened = _opened(source)
    with open(opened, 'rb') if isinstance(opened, Path) else opened as file:
        return check_opcodes(file, pickles=4)


class _Inert:
    """Replaces an object that is not needed. Creating or filling it does nothing."""

    def __init__(self, *args, **kwargs) -> None:
        pass

    def __setstate__(self, state) -> None:
        pass


def _plain_dict(*factory) -> dict:
    """For defaultdict, which torch calls but does not fill."""
    return {}


def _plain_values() -> list:
    """Functions that torch may call in addition to its own: containers, and rebuilding values of numpy."""
    # HistoryBuffer asks for its own methods with getattr, which could reach anything: it gets nothing.
    return [*REBUILDING, OrderedDict, dict, int, float, complex, list, frozenset, slice,
            (_plain_dict, 'collections.defaultdict'), (_Inert, 'builtins.getattr')]  # fmt: skip
