"""``lora`` in a config: the encoder keeps its weights, and matrices of low rank beside its linear layers are trained.

LoRA: Hu et al., 2021 (https://arxiv.org/abs/2106.09685). The layers are those of the library peft.
"""

import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from mmengine.logging import print_log
from torch import nn

from sapiens.utils.config_keys import did_you_mean
from sapiens.utils.counting import count_of
from sapiens.utils.option_values import require_bool, require_number
from sapiens.utils.optional import require
from sapiens.utils.shards import copy_whole, is_shard

__all__ = ['add_lora', 'describe_lora', 'lora_options', 'plain_layers', 'require_equal_lora', 'reset_lora']

DEFAULTS = dict(rank=16, alpha=32, dropout=0.0, targets=('attn', 'ffn'), norms=False)
NORMS = (nn.LayerNorm, nn.RMSNorm)


def add_lora(model: nn.Module, setting: bool | Mapping) -> None:
    """Freeze the encoder of a model in place and add adapters to the linear layers of its blocks, before it is compiled, wrapped
    or sharded.

    A layer then computes ``W x + b + alpha / rank * B A dropout(x)``. A (rank, inputs) and B (outputs, rank) are trained. B is 0
    at the start, so the model computes what it did. Everything outside of the encoder is trained as before. Blocks that
    ``frozen_stages`` freezes get no adapters. Names of parameters: see :mod:`sapiens.utils.checkpoint.adapters`.

    Args:
        setting: True, or a dict of

            * ``rank`` of the matrices (default 16), ``alpha`` (32), ``dropout`` of their input (0), which peft draws from torch's
              global generator: another number of processes draws other values;
            * ``targets``: names of layers, or of parts of a block whose linear layers are meant (``('attn', 'ffn')``, which are
              all of them). Others of the first family are ``qkv`` and ``proj``, of the second ``wq``, ``wk``, ``wv``, ``proj``,
              ``w12`` and ``w3``;
            * ``norms``: train the weights of norms too (False).

    Raises:
        ValueError: an unknown option or value, a target that blocks do not have, or a model without trained blocks.
        ImportError: peft is not installed.
    """
    options = _checked(setting)
    backbone = getattr(model, 'backbone', None)
    blocks = list(getattr(backbone, 'blocks', ()))
    if not blocks:
        raise ValueError(
            f'lora={setting!r} needs a model whose backbone has blocks, which {type(model).__name__} has not'
        )
    trained = [block for block in blocks if any(value.requires_grad for value in block.parameters())]
    if not trained:
        raise ValueError(
            f'lora={setting!r} has no effect: all {len(blocks)} blocks of the encoder are frozen '
            f'(model.backbone.frozen_stages={getattr(backbone, "frozen_stages", None)!r})'
        )
    norms = [
        value
        for module in backbone.modules()
        if isinstance(module, NORMS)
        for value in module.parameters()
        if value.requires_grad
    ]
    places = {id(module): name for name, module in backbone.named_modules()}
    names = [f'{places[id(block)]}.{name}' for block in trained for name in _targets(block, options['targets'])]
    peft = require('peft', 'lora in a config')
    config = peft.LoraConfig(
        r=options['rank'],
        lora_alpha=options['alpha'],
        lora_dropout=options['dropout'],
        target_modules='|'.join(map(re.escape, names)),  # a text is matched with whole names
    )
    backbone.requires_grad_(False)
    with torch.random.fork_rng(devices=[]), _whole_shapes(backbone):  # reset_lora draws the weights
        peft.inject_adapter_in_model(config, backbone)
    for layer in _layers(backbone):
        # Inputs are float32, or half precision by autocast, which casts for these matrices too. A copy would only be kept.
        layer.cast_input_dtype_enabled = False
    for value in norms if options['norms'] else ():
        value.requires_grad_(True)
    backbone.lora = options
    print_log(f'LoRA of the encoder: {describe_lora(model)}', logger='current')


def _checked(setting: bool | Mapping) -> dict:
    if setting is not True and not isinstance(setting, Mapping):
        raise ValueError(f'lora={setting!r}: expected True, False or a dict of {", ".join(DEFAULTS)}')
    given = {} if setting is True else dict(setting)
    for key in given:
        if key not in DEFAULTS:
            known = f'{did_you_mean(key, DEFAULTS)} (known: {", ".join(DEFAULTS)})'
            raise ValueError(f'lora has an unknown option {key!r}{known}')
    options = {**DEFAULTS, **given}
    dropout, targets = options['dropout'], options['targets']
    require_number('lora.rank', options['rank'], least=1, whole=True)
    require_number('lora.alpha', options['alpha'], above=0)
    if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        raise ValueError(f'lora.dropout={dropout!r} must lie in [0, 1)')
    targets = [targets] if isinstance(targets, str) else targets
    if not isinstance(targets, list | tuple) or not targets or not all(isinstance(one, str) for one in targets):
        raise ValueError(f"lora.targets={targets!r}: expected names of layers, such as ('attn', 'ffn')")
    require_bool('lora.norms', options['norms'])
    return dict(options, targets=sorted(set(targets)))


def _targets(block: nn.Module, targets: list[str]) -> list[str]:
    """Names of the linear layers of a block that are, or are in, one of the targets."""
    layers = [name for name, module in block.named_modules() if isinstance(module, nn.Linear)]
    parts = {name: [*name.split('.'), name] for name in layers}
    known = dict.fromkeys(part for name in layers for part in parts[name] if not part.isdigit())
    for target in targets:
        if target not in known:
            raise ValueError(
                f'lora.targets: the blocks of this encoder have no linear layer in {target!r}{did_you_mean(target, known)} '
                f'(known: {", ".join(known)})'
            )
    return [name for name in layers if not set(targets).isdisjoint(parts[name])]


@contextmanager
def _whole_shapes(backbone: nn.Module) -> Iterator[None]:
    """Inside, sharded weights of linear layers have a place holder of the whole shape: peft takes shards for tensor parallelism,
    and their shape for that of the layer."""
    shards = [module for module in backbone.modules() if isinstance(module, nn.Linear) and is_shard(module.weight)]
    weights = [module.weight for module in shards]
    for module, weight in zip(shards, weights, strict=True):
        holder = torch.zeros(1, 1, dtype=weight.dtype, device=weight.device).expand(weight.shape)
        module._parameters['weight'] = nn.Parameter(holder, requires_grad=False)
    try:
        yield
    finally:
        for module, weight in zip(shards, weights, strict=True):
            module._parameters['weight'] = weight


def _layers(module: nn.Module) -> list[nn.Module]:
    """Layers with an adapter, in the order of the modules."""
    return [child for child in module.modules() if hasattr(child, 'base_layer') and hasattr(child, 'lora_A')]


def lora_options(model: nn.Module) -> dict | None:
    """The options of the adapters of a model, as a checkpoint stores them; None without adapters."""
    return getattr(getattr(model, 'backbone', None), 'lora', None)


@torch.no_grad()
def reset_lora(model: nn.Module, seed: int) -> None:
    """Set the initial weights of adapters: A uniform in ``+-1 / sqrt(inputs)`` as in peft, B 0.

    Each matrix has a generator of its own, seeded by its name, so the values depend on neither the device nor the number of
    processes.
    """
    for name, parameter in model.named_parameters():
        if '.lora_B.' in name:
            parameter.zero_()
        elif '.lora_A.' in name:
            generator = torch.Generator().manual_seed(zlib.crc32(f'{seed} {name}'.encode()))
            bound = parameter.shape[1] ** -0.5
            copy_whole(parameter, torch.empty(parameter.shape).uniform_(-bound, bound, generator=generator))


@contextmanager
def plain_layers(model: nn.Module) -> Iterator[None]:
    """Inside, linear layers with an adapter are those without it: for initial weights, and for loading by the original names."""
    replaced = []
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if hasattr(child, 'base_layer') and hasattr(child, 'lora_A'):
                replaced.append((parent, name, child))
    for parent, name, child in replaced:
        parent._modules[name] = child.base_layer
    try:
        yield
    finally:
        for parent, name, child in replaced:
            parent._modules[name] = child


def require_equal_lora(model: nn.Module, meta: Mapping, source: str) -> None:
    """Refuse to continue a run with other adapters than it began with. ``dropout`` may differ.

    Args:
        meta: of the checkpoint.
        source: of the checkpoint, for the message.

    Raises:
        ValueError: naming both.
    """
    before, now = meta.get('lora'), lora_options(model)
    if _without_dropout(before) != _without_dropout(now):
        raise ValueError(
            f'{source} is of a run with lora={before}, this config has lora={now}: resume with the config of the first run. To '
            'start a new run from its weights use --cfg-options load_from=PATH instead of --resume'
        )


def _without_dropout(options: Mapping | None) -> dict:
    return {key: value for key, value in (options or {}).items() if key != 'dropout'}


def describe_lora(model: nn.Module) -> str:
    """Rank, layers and parameters of the adapters of a model; '' without adapters."""
    options, layers = lora_options(model), _layers(model)
    if options is None:
        return ''
    count = sum(value.numel() for layer in layers for name, value in layer.named_parameters() if 'lora_' in name)
    return (
        f'rank {options["rank"]}, alpha {options["alpha"]:g}, beside {count_of(len(layers), "linear layer")} of the encoder, '
        f'{count:,} parameters'
    )
