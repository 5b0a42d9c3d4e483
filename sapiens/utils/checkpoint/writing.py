"""Writing weights, as files that ``weights_only`` can read."""

import json
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from sapiens.utils.files import atomic_path

__all__ = ['save_weights']


def save_weights(
    state_dict: dict[str, Tensor], path: str | Path, meta: dict | None = None, flat: bool = False
) -> None:
    """Write weights atomically.

    Args:
        path: ``*.safetensors``, or ``*.pth`` for ``{state_dict, meta}`` as MMEngine's tools read it.
        meta: plain values beside the weights. Safetensors hold those that JSON can express, as text.
        flat: write the weights alone, as the published pretraining checkpoints (``.pth`` only).

    Raises:
        ValueError: another ending.
    """
    path = Path(path).expanduser()
    if path.suffix not in ('.pth', '.safetensors'):
        ending = path.suffix or 'without an ending'
        raise ValueError(f'{path}: weights are written as .pth or .safetensors, not {ending}')
    # Copy each tensor: a view would be written with its whole storage.
    copy = partial(torch.clone, memory_format=torch.contiguous_format)
    tensors = {name: copy(value.detach().cpu()) for name, value in state_dict.items()}
    with atomic_path(path) as temporary:
        if path.suffix == '.safetensors':
            save_file(tensors, temporary, metadata={'format': 'pt', **_texts(meta or {})})
        else:
            torch.save(tensors if flat else dict(state_dict=tensors, meta=meta or {}), temporary)


def _texts(meta: dict) -> dict[str, str]:
    texts = {}
    for key, value in meta.items():
        try:
            texts[str(key)] = value if isinstance(value, str) else json.dumps(value)
        except (TypeError, ValueError):
            continue  # such as arrays
    return texts
