"""Writing weights: whole files under a temporary name, nothing in them that needs more than ``weights_only``."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from sapiens.utils.files import atomic_path

__all__ = ['save_weights']


def save_weights(
    state_dict: dict[str, Tensor], path: str | Path, meta: dict | None = None, flat: bool = False
) -> None:
    """Write weights, in the form that the ending of the path says.

    Args:
        path: ``*.safetensors``, or ``*.pth`` for ``{state_dict, meta}`` as MMEngine's tools read it.
        meta: plain values beside the weights; in safetensors those that JSON can hold, as text.
        flat: the weights alone, not below ``state_dict``, like the published pretraining checkpoints (``.pth`` only).

    Raises:
        ValueError: for another ending.
    """
    path = Path(path).expanduser()
    if path.suffix not in ('.pth', '.safetensors'):
        raise ValueError(
            f'{path}: weights are written as .pth or .safetensors, not {path.suffix or "without an ending"}'
        )
    # Own memory for each: what is a view of a large storage would be written with all of it.
    tensors = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format) for name, value in state_dict.items()
    }
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
            continue  # arrays and the like have no place in JSON
    return texts
