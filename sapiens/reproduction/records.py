"""Measurements of finished parts of a test set, in files. Reading one executes nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from sapiens.utils.files import atomic_path

__all__ = ['read_part', 'write_part']


def write_part(path: Path, content: dict) -> None:
    """Write numbers, texts, lists, dicts and arrays; the file is complete or absent."""
    with atomic_path(path) as temporary:
        torch.save(_to_tensors(content), temporary)


def read_part(path: Path) -> dict:
    """Read what :func:`write_part` has written.

    Raises:
        ValueError: a damaged file.
    """
    try:
        return _to_arrays(torch.load(path, map_location='cpu', weights_only=True))
    except Exception as error:  # a damaged file raises any error of the reader
        raise ValueError(
            f'{path} is damaged ({type(error).__name__}): remove it, and run the command again'
        ) from error


def _to_tensors(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(value))
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {key: _to_tensors(one) for key, one in value.items()}
    return [_to_tensors(one) for one in value] if isinstance(value, list | tuple) else value


def _to_arrays(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.numpy()
    if isinstance(value, dict):
        return {key: _to_arrays(one) for key, one in value.items()}
    return [_to_arrays(one) for one in value] if isinstance(value, list) else value
