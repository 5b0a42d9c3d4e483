"""Adapters of low rank (LoRA) in a checkpoint: their names, and merging them into the weights.

A training with adapters stores a linear layer ``X`` as peft names it: ``X.base_layer.weight`` and ``X.base_layer.bias`` as the
layer began, and the matrices ``X.lora_A.default.weight`` (r, inputs) and ``X.lora_B.default.weight`` (outputs, r). Its weights
are ``base_layer.weight + alpha / r * B @ A``. ``meta['lora']`` has ``alpha``.
"""

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

__all__ = ['is_adapter', 'merge_adapters', 'original_names']

BASE = '.base_layer.'
MATRIX = re.compile(r'(.+)\.lora_([AB])\.\w+\.weight')


def is_adapter(name: str) -> bool:
    """Whether a name is that of a matrix of an adapter."""
    return MATRIX.fullmatch(name) is not None


def original_names(names: Iterable[str]) -> list[str]:
    """Names of the tensors of a model as they are without adapters."""
    return [name.replace(BASE, '.') for name in names if not is_adapter(name)]


def merge_adapters(tensors: Mapping[str, Tensor], meta: Mapping, source: str) -> dict[str, Tensor]:
    """Add adapters to the weights, which get their original names. Products are computed in float32.

    Args:
        tensors: of a checkpoint. Without adapters, they are returned as they are.
        meta: of the checkpoint.
        source: of the checkpoint, for messages.

    Raises:
        ValueError: ``meta`` has no ``alpha``, or an adapter is not complete.
    """
    matrices: dict[str, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if found := MATRIX.fullmatch(name):
            matrices.setdefault(found[1], {})[found[2]] = value
    if not matrices:
        return dict(tensors)
    options = meta.get('lora')
    alpha = options.get('alpha') if isinstance(options, Mapping) else None
    if isinstance(alpha, bool) or not isinstance(alpha, int | float):
        raise ValueError(
            f"{source} has adapters (LoRA) of {len(matrices)} layers, but meta['lora'] has no alpha, by which they count: use "
            'the checkpoint that the training wrote'
        )
    merged = {name.replace(BASE, '.'): value for name, value in tensors.items() if not is_adapter(name)}
    for layer, pair in matrices.items():
        base = tensors.get(f'{layer}{BASE}weight')
        if base is None or set(pair) != {'A', 'B'}:
            raise ValueError(f'{source}: the adapter (LoRA) of {layer} lacks {_missing(base, pair)}')
        down, up = pair['A'].float(), pair['B'].float()
        if down.ndim != 2 or up.ndim != 2 or len(down) != up.shape[1] or base.shape != (len(up), down.shape[1]):
            shapes = ', '.join('x'.join(map(str, value.shape)) for value in (base, up, down))
            raise ValueError(f'{source}: the shapes of {layer} and its adapter (LoRA) do not fit: {shapes}')
        merged[f'{layer}.weight'] = torch.addmm(base.float(), up, down, alpha=alpha / len(down)).to(base.dtype)
    return merged


def _missing(base: Tensor | None, pair: dict[str, Tensor]) -> str:
    return 'base_layer.weight' if base is None else f'lora_{"".join(set("AB") - set(pair))}'
