"""The units of a model that are sharded each: blocks of encoders and decoders, and heads."""

from collections.abc import Iterable
from itertools import pairwise

from torch import nn

__all__ = ['copy_weights', 'link_units', 'parameters_in_fp32', 'units_of']

# Layers whose weights autocast rounds to bfloat16.
ROUNDED = (
    nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
)  # fmt: skip


def owners_of_units(model: nn.Module) -> list[list[nn.Module]]:
    """The parts that each module with ``parts_to_compile()`` names, in the order of the modules. The model itself is none."""
    found, seen = [], {model}
    for module in model.modules():
        parts = module.parts_to_compile() if hasattr(module, 'parts_to_compile') else ()
        parts = [part for part in parts if part not in seen and any(True for _ in part.parameters())]
        seen.update(parts)
        if parts:
            found.append(parts)
    return found


def units_of(model: nn.Module) -> list[nn.Module]:
    """Parts of a model that run as a whole by their ``forward``, so that their weights can be gathered before it.

    Raises:
        ValueError: there are none.
    """
    units = [part for parts in owners_of_units(model) for part in parts]
    if not units:
        raise ValueError(
            f"parallel.type='FSDP2': no part of {type(model).__name__} has a method parts_to_compile(), which encoders and heads "
            'of this package have'
        )
    return units


def link_units(model: nn.Module) -> None:
    """Let units gather the weights of their successor while they run, and of their predecessor in the backward pass.

    Where a step runs some heads only (several tasks), the encoder gathers none of them.
    """
    encoder, *others = chains = owners_of_units(model)
    if not getattr(model, 'has_unused_parameters', False):
        chains = [[unit for chain in chains for unit in chain]]
    for chain in chains:
        for unit, following in pairwise(chain):
            unit.set_modules_to_forward_prefetch([following])
    # Where none is named, torch takes the one that ran before. After evaluations, in which each process predicts alone, that one
    # differs between processes, and they would wait for each other without end. The root is gathered already.
    before = [(unit, previous) for chain in chains for previous, unit in pairwise(chain)]
    before += [(chain[0], encoder[-1]) for chain in others] if len(chains) > 1 else []
    before += [(encoder[0], model)]
    for unit, previous in before:
        trained = any(parameter.requires_grad for parameter in previous.parameters())
        unit.set_modules_to_backward_prefetch([previous if trained else model])


def parameters_in_fp32(units: Iterable[nn.Module]) -> dict[nn.Parameter, None]:
    """Parameters of units, in order, whose values autocast does not round.

    They are those of norms, factors and tokens, and of ``parts_in_own_precision()`` of a module.
    """
    kept = {}
    for unit in units:
        exact = {
            layer
            for module in unit.modules()
            if hasattr(module, 'parts_in_own_precision')
            for part in module.parts_in_own_precision()
            for layer in part.modules()
        }
        for module in unit.modules():
            if module in exact or not isinstance(module, ROUNDED):
                kept.update(dict.fromkeys(module.parameters(recurse=False)))
    return kept


def copy_weights(model: nn.Module, memo: dict) -> nn.Module:
    """Copy the weights and buffers of a model under their names, without what it computes: what an average of weights needs.

    A method ``__deepcopy__``: torch cannot copy a sharded model.
    """
    if id(model) in memo:
        return memo[id(model)]
    copy = memo[id(model)] = nn.Module()
    copy.train(model.training)
    for name, parameter in model._parameters.items():
        if parameter is not None and id(parameter) not in memo:
            memo[id(parameter)] = nn.Parameter(parameter.detach().clone(), parameter.requires_grad)
        copy.register_parameter(name, None if parameter is None else memo[id(parameter)])
    for name, buffer in model._buffers.items():
        persistent = name not in model._non_persistent_buffers_set
        copy.register_buffer(name, None if buffer is None else buffer.clone(), persistent=persistent)
    for name, child in model._modules.items():
        copy.add_module(name, None if child is None else copy_weights(child, memo))
    return copy
