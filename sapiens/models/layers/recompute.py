"""Parts of a model that compute their activations a second time in the backward pass, which saves the memory of keeping them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import save_on_cpu
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

__all__ = ['Recompute', 'recompute_parts', 'require_recompute_value']

aten = torch.ops.aten
# Operations that cost most of the time of a part. Their outputs are kept by `selective`.
PRODUCTS = {
    aten.mm.default,
    aten.addmm.default,
    aten.bmm.default,
    aten.baddbmm.default,
    aten.convolution.default,
    aten._scaled_dot_product_flash_attention.default,
    aten._scaled_dot_product_flash_attention_for_cpu.default,
    aten._scaled_dot_product_efficient_attention.default,
    aten._scaled_dot_product_cudnn_attention.default,
}


def keep_products(context: Any, operation: Any, *args, **kwargs) -> CheckpointPolicy:
    """Which outputs are kept, for :func:`torch.utils.checkpoint.create_selective_checkpoint_contexts`."""
    return CheckpointPolicy.MUST_SAVE if operation in PRODUCTS else CheckpointPolicy.PREFER_RECOMPUTE


SELECTIVE = partial(create_selective_checkpoint_contexts, keep_products)


@dataclass(frozen=True)
class Recompute:
    """Calls a part of a model so that its activations are computed a second time in the backward pass.

    Losses and gradients are those of plain calls: random numbers are drawn again from the same state. Without gradients, calls
    are plain.

    Args:
        selective: also keep the outputs of matrix products, convolutions and attention. Norms, activations and element-wise
            operations are computed again.
        offload: the input of the part waits in memory of the host, which is pinned where there is a GPU. Other tensors that the
            part is given stay: all parts share them.
    """

    selective: bool = False
    offload: bool = False

    def __call__(self, part: Callable, first: Tensor, *others: Any) -> Any:
        """Compute ``part(first, *others)``."""
        if not torch.is_grad_enabled():
            return part(first, *others)
        options = dict(use_reentrant=False, **(dict(context_fn=SELECTIVE) if self.selective else {}))
        if not self.offload:
            return checkpoint(part, first, *others, **options)
        with save_on_cpu(pin_memory=torch.cuda.is_available()):  # sees what checkpoint saves: its arguments
            return checkpoint(lambda value: part(value, *others), first, **options)


class _Recomputed:
    """Mixed into the class of a module, whose names and parameters stay. Compiled modules recompute inside of their graph."""

    recompute: Recompute | None = None

    def forward(self, *args, **options):
        if self.recompute is None:
            return super().forward(*args, **options)
        return self.recompute(partial(super().forward, **options), *args)


@cache
def _recomputed(kind: type) -> type:
    return type(kind.__name__, (_Recomputed, kind), dict(__module__=kind.__module__, __doc__=kind.__doc__))


def recompute_parts(parts: Sequence, value: str | int, offload: bool = False) -> int:
    """Recompute parts of a model in place.

    Args:
        parts: modules whose first argument is their input, or objects with an attribute ``recompute``, in the order of their
            calls.
        value: ``'off'``, ``'all'``, ``'selective'``, or n for every n-th part from the first one on.
        offload: see :class:`Recompute`.

    Returns:
        How many parts are recomputed.
    """
    step = dict(off=0, all=1, selective=1).get(value, value)
    way = Recompute(value == 'selective', offload)
    for index, part in enumerate(parts):
        chosen = way if step and index % step == 0 else None
        if isinstance(part, nn.Module) and not isinstance(part, _Recomputed):
            if chosen is None:
                continue
            part.__class__ = _recomputed(type(part))
        part.recompute = chosen
    return -(-len(parts) // step) if step else 0


def require_recompute_value(value: Any, name: str) -> None:
    """Check a value of :func:`recompute_parts`, which a user has given under a name.

    Raises:
        ValueError: another value.
    """
    if value not in ('off', 'all', 'selective') and not (type(value) is int and value >= 1):
        raise ValueError(
            f"{name}={value!r} is not one of 'off', 'all', 'selective', or n >= 1 for every n-th block or layer"
        )
