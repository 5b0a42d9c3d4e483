"""Live bytes of tensors over a program, and the operations that it computes.

Works for real tensors and for the fake ones of ``torch._subclasses.FakeTensorMode``, which have a size and no memory.
"""

import weakref
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import conv_flop_count, flop_registry, sdpa_flop_count

__all__ = ['LiveMemory', 'Span', 'profile_of']

aten = torch.ops.aten


def _attention(query: Tensor, key: Tensor, value: Tensor, *args, **options) -> int:
    return sdpa_flop_count(query.shape, key.shape, value.shape)


def _attention_backward(grad: Tensor, query: Tensor, key: Tensor, value: Tensor, *args, **options) -> int:
    # Four products. That kernels compute the scores again to save memory is no work of the model.
    return 2 * sdpa_flop_count(query.shape, key.shape, value.shape)


def _convolution_backward(
    grad: Tensor,
    inputs: Tensor,
    weight: Tensor,
    _sizes,
    _stride,
    _padding,
    _dilation,
    transposed: bool,
    *args,
    **options,
) -> int:
    wanted = args[-1]  # gradients of inputs and weights, each with the operations of the forward pass
    return sum(wanted[:2]) * conv_flop_count(inputs.shape, weight.shape, grad.shape, transposed)


# torch counts the attention of GPUs only, and the scores that its backward pass computes again. It counts the gradient of the
# weights of a grouped convolution as if there were no groups.
OPERATIONS = {
    aten.convolution_backward: _convolution_backward,
    aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
    aten._scaled_dot_product_flash_attention_backward: _attention_backward,
    aten._scaled_dot_product_efficient_attention_backward: _attention_backward,
    aten._scaled_dot_product_cudnn_attention_backward: _attention_backward,
}


@dataclass
class Span:
    """The life of a storage.

    Attributes:
        size: bytes.
        birth, death: number of the operation that made it, and of the first one after its end (None: it lives).
        kind: see :meth:`LiveMemory.mark`.
    """

    size: int
    birth: int
    death: int | None = None
    kind: str = ''


class LiveMemory(TorchDispatchMode):
    """Records the life of every storage that an operation makes, and counts floating-point operations.

    A multiplication with its addition counts as two. Matrix products, convolutions and attention are counted. What kernels
    allocate and free within one operation is not seen.

    Numbers that a program reads from fake tensors are 0, so that it goes on where it looks at its data.

    Attributes:
        now: number of operations so far.
        flops: floating-point operations so far.
        spans: of all storages in the order of their birth.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now, self.flops = 0, 0
        self.spans: list[Span] = []
        self._alive: dict[int, tuple[Span, weakref.ref]] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is aten._local_scalar_dense.default and isinstance(args[0], torch._subclasses.FakeTensor):
            dtype = args[0].dtype
            return False if dtype == torch.bool else 0.0 if dtype.is_floating_point else 0
        out = func(*args, **kwargs)
        self.now += 1
        packet = func._overloadpacket
        count = OPERATIONS.get(packet)
        if count is not None:
            self.flops += count(*args, **kwargs)
        elif packet in flop_registry:
            self.flops += flop_registry[packet](*args, **kwargs, out_val=out)
        kind = ''
        if func is aten._to_copy.default and self.kind_of(args[0]) == 'parameter':
            kind = 'cast'  # autocast keeps a copy of a weight in half precision
        for value in tree_leaves(out):
            if isinstance(value, Tensor):
                self._see(value, kind)
        return out

    def _see(self, tensor: Tensor, kind: str) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._alive:
            return
        span = Span(storage.nbytes(), self.now, kind=kind)

        def end(_) -> None:
            span.death = self.now + 1
            self._alive.pop(key, None)

        self._alive[key] = span, weakref.ref(storage, end)
        self.spans.append(span)

    def kind_of(self, tensor: Tensor) -> str:
        """The kind of a tensor's storage; '' for others."""
        span, _ = self._alive.get(tensor.untyped_storage()._cdata, (None, None))
        return '' if span is None else span.kind

    def mark(self, kind: str, tensors: Iterable[Tensor]) -> None:
        """Set the kind of the storages of tensors: ``'parameter'``, ``'gradient'``, ``'state'`` or ``'input'``. Copies of
        parameters in another type are ``'cast'`` by themselves."""
        for tensor in tensors:
            self._see(tensor, kind)
            self._alive[tensor.untyped_storage()._cdata][0].kind = kind

    def live_bytes(self) -> int:
        """Bytes of all storages that live now."""
        return sum(span.size for span, _ in self._alive.values())


def profile_of(spans: Iterable[Span], begin: int, end: int) -> np.ndarray:
    """Bytes that live during each of the operations ``begin`` to ``end - 1``."""
    change = np.zeros(end - begin + 1, np.int64)
    for span in spans:
        first = max(span.birth, begin)
        last = end if span.death is None else min(span.death, end)
        if first < last:
            change[first - begin] += span.size
            change[last - begin] -= span.size
    return change.cumsum()[:-1]
