"""``activation_checkpointing`` in a config: activations are computed again in the backward pass, in the parts that are named."""

from collections.abc import Mapping

import torch
from mmengine.logging import print_log
from torch import nn

from sapiens.models.layers.recompute import recompute_parts, require_recompute_value
from sapiens.utils.config_keys import did_you_mean

__all__ = ['recompute_activations']

KEY = 'activation_checkpointing'


def recompute_activations(model: nn.Module, setting: str | int | Mapping, compiled: bool = False) -> None:
    """Recompute activations of parts of a model in place, before it is compiled or sharded. Names of parameters stay.

    Each module with a method ``parts_to_recompute()`` says which of its parts are recomputed, and under which name: an
    encoder its blocks (``backbone``), the decoder of pretraining its blocks (``decoder``), a head its layers (``head``, of
    all heads if there are several).

    Args:
        setting: for all parts ``'off'``, ``'all'``, ``'selective'`` (keep the outputs of matrix products, convolutions and
            attention), or n (every n-th block or layer). Or a dict of these by name, in which other parts are off. With
            ``offload=True`` in the dict, the inputs of recomputed blocks and layers wait in pinned memory of the host.
            ``'off'`` for all parts leaves an encoder that has an option of its own as it is.
        compiled: whether the model will be compiled.

    Raises:
        ValueError: another value, a part that the model does not have, a value without effect, or one that contradicts the
            option of the encoder.
    """
    values = dict(setting) if isinstance(setting, Mapping) else None
    offload = values.pop('offload', False) if values is not None else False
    if not isinstance(offload, bool):
        raise ValueError(f'{KEY}.offload={offload!r}: expected True or False')
    for name, value in {KEY: setting}.items() if values is None else values.items():
        require_recompute_value(value, name if name == KEY else f'{KEY}.{name}')
    if setting == 'off':
        return
    owners = [module for module in model.modules() if hasattr(module, 'parts_to_recompute')]
    found = [(module, name, parts) for module in owners for name, parts in module.parts_to_recompute().items()]
    known = sorted({name for _, name, _ in found})
    if not known:
        raise ValueError(
            f'{KEY}={setting!r}: no part of {type(model).__name__} has a method parts_to_recompute(), which encoders and heads '
            'of this package have'
        )
    values = dict.fromkeys(known, setting) if values is None else values
    for name in values:
        if name not in known:
            raise ValueError(
                f'{KEY}.{name}: {type(model).__name__} has no such part{did_you_mean(name, known)} (its parts: '
                f'{", ".join(known)}; and offload)'
            )
    if offload and all(value == 'off' for value in values.values()):
        raise ValueError(f'{KEY}.offload=True moves the inputs of recomputed parts, but no part is recomputed')
    if not values:
        raise ValueError(f'{KEY}={setting!r} names no part of {type(model).__name__} (its parts: {", ".join(known)})')
    longest = {name: max(len(parts) for _, part, parts in found if part == name) for name in values}
    for name, value in values.items():
        most = longest[name] if isinstance(setting, Mapping) else max(longest.values())
        if isinstance(value, int) and value > most:
            raise ValueError(f'{KEY}={setting!r}: expected n of at most {most}, the number of blocks or layers')
    if offload and compiled:
        raise ValueError(f'{KEY}.offload=True does not work with compile: torch would move the weights too')
    if offload and not torch.cuda.is_available():
        print_log(
            f'{KEY}.offload has no effect without a GPU: activations are in memory of the host', logger='current'
        )
        offload = False
    counts = {name: [0, 0] for name in values}
    for module, name, parts in found:
        own = getattr(module, KEY, 'off')  # of an encoder
        if name not in values:
            continue
        if own not in ('off', values[name]):
            raise ValueError(
                f'{KEY}: {values[name]!r} for {name} contradicts model.backbone.{KEY}={own!r}; remove the latter'
            )
        counts[name][0] += recompute_parts(parts, values[name], offload)
        counts[name][1] += len(parts)
    text = ', '.join(f'{done} of {total} in {name} ({values[name]})' for name, (done, total) in counts.items())
    print_log(f'Activations are recomputed in blocks and layers: {text}', logger='current')
