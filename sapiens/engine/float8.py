"""``float8=True`` in a config: products of the linear layers of blocks in float8, by torchao."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from mmengine.logging import print_log
from torch import nn

from sapiens.utils.config_keys import did_you_mean
from sapiens.utils.optional import require

__all__ = ['use_float8']

RECIPES = ('tensorwise', 'rowwise', 'rowwise_with_gw_hp')
OPTIONS = ('recipe', 'emulate')
# Kernels take sizes that are multiples of this.
MULTIPLE = 16


def use_float8(
    model: nn.Module, options: bool | Mapping, device: torch.device | str = 'cuda', compiled: bool = True
) -> None:
    """Replace linear layers of blocks, in place, by those of ``torchao.float8``. Weights, their names and the optimizer stay.

    Call this before the model is compiled or sharded. The blocks are those that :func:`.compile_parts` compiles; heads and
    layers whose sizes are not multiples of 16 stay.

    Args:
        options: True, or a dict with ``recipe``: ``'tensorwise'`` (one scale per tensor, the default), ``'rowwise'`` (one per
            row, more accurate), ``'rowwise_with_gw_hp'`` (gradients of weights in bf16); and ``emulate=True`` to round to
            float8 but multiply in the precision of the model, on any device, which is slow.
        device: of the training.
        compiled: whether the model will be compiled. Otherwise a line says that float8 needs it to be fast.

    Raises:
        ValueError: other options, a device without float8, or a model without such layers.
        ImportError: torchao is missing.
    """
    values = {} if options is True else options
    if not isinstance(values, Mapping):
        raise ValueError(f'float8={options!r}: expected True, False, or dict(recipe=...)')
    for key in values:
        if key not in OPTIONS:
            raise ValueError(
                f'float8.{key} is not an option{did_you_mean(key, OPTIONS)} (known: {", ".join(OPTIONS)})'
            )
    recipe, emulate = values.get('recipe', 'tensorwise'), values.get('emulate', False)
    if recipe not in RECIPES:
        raise ValueError(f'float8.recipe={recipe!r} is not one of {", ".join(RECIPES)}')
    if not isinstance(emulate, bool):
        raise ValueError(f'float8.emulate={emulate!r}: expected True or False')
    if not emulate:
        _require_device(torch.device(device), options)
    parts = [
        part
        for module in model.modules()
        if hasattr(module, 'parts_to_compile')
        for part in module.parts_to_compile()
        if part is not module  # a head
    ]
    fitting = {layer for part in parts for layer in part.modules() if _fits(layer)}
    if not fitting:
        raise ValueError(
            f'float8={options!r}: {type(model).__name__} has no blocks with linear layers whose sizes are multiples of '
            f'{MULTIPLE}. Blocks are those of parts_to_compile() of an encoder or decoder'
        )
    torchao = require('torchao.float8', f'float8={options!r}')
    # Padding takes any number of tokens, the inner size of the product that makes the gradient of the weight.
    config = replace(torchao.Float8LinearConfig.from_recipe_name(recipe), emulate=emulate, pad_inner_dim=True)
    for part in parts:
        torchao.convert_to_float8_training(part, module_filter_fn=lambda layer, _: layer in fitting, config=config)
    note = '' if compiled or emulate else '. Without compile=True this is slower than bf16'
    print_log(f'float8 ({recipe}) in {len(fitting)} linear layers{note}', logger='current')


def _fits(layer: nn.Module) -> bool:
    return type(layer) is nn.Linear and layer.in_features % MULTIPLE == 0 and layer.out_features % MULTIPLE == 0


def _require_device(device: torch.device, options: bool | Mapping) -> None:
    """Refuse devices without products in float8."""
    if device.type != 'cuda':
        found, able = f'the device is {device.type}', False
    elif torch.version.hip:
        arch = torch.cuda.get_device_properties(device).gcnArchName
        found, able = f'{torch.cuda.get_device_name(device)} is {arch}', arch.startswith(('gfx94', 'gfx95', 'gfx12'))
    else:
        capability = torch.cuda.get_device_capability(device)
        found = f'{torch.cuda.get_device_name(device)} has compute capability {capability[0]}.{capability[1]}'
        able = capability >= (8, 9)
    if not able:
        instead = 'train in bf16' if device.type == 'cuda' else 'train without it'
        raise ValueError(
            f'float8={options!r} needs a GPU that multiplies in float8: compute capability 8.9 or higher (Ada, Hopper, '
            f'Blackwell), or AMD MI300. Here {found}. Leave float8 out to {instead}, or set '
            'float8.emulate=True to round to float8 on any device, which is slow'
        )
