"""Finds where the host would wait for a device: on the device ``meta``, which has no values. Not collected."""

from contextlib import contextmanager

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

ATEN = torch.ops.aten
# Each reads values to the host, the latter ones to know the shape of their result.
READS = {
    ATEN._local_scalar_dense, ATEN.is_nonzero, ATEN.equal, ATEN.nonzero, ATEN.masked_select, ATEN._unique2, ATEN.unique_dim,
    ATEN.unique_consecutive,
}  # fmt: skip
# Each makes a tensor of values of the host, and copies it.
FACTORIES = {torch.tensor, torch.as_tensor, torch.asarray, torch.Tensor.new_tensor}


class _Operations(TorchDispatchMode):
    def __init__(self, found):
        super().__init__()
        self.found = found

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        packet = function.overloadpacket
        inputs = [value for value in tree_leaves((args, kwargs or {})) if isinstance(value, torch.Tensor)]
        if any(value.is_meta for value in inputs):
            indices = [value for value in tree_leaves(args[1]) if value is not None] if packet is ATEN.index else []
            bools = any(value.dtype in (torch.bool, torch.uint8) for value in indices)
            # Numbers of the host go with the call of a kernel, tensors of it do not.
            copies = any(not value.is_meta and value.ndim for value in inputs)
            if packet in READS or bools or copies:
                self.found.append(str(packet))
        result = function(*args, **(kwargs or {}))
        outputs = [value for value in tree_leaves(result) if isinstance(value, torch.Tensor)]
        if inputs and len({value.is_meta for value in (*inputs, *outputs)}) > 1 and packet is ATEN._to_copy:
            self.found.append('copy between host and device')
        return result


class _Factories(TorchFunctionMode):
    def __init__(self, found):
        super().__init__()
        self.found = found

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function in FACTORIES and result.is_meta and result is not args[0]:
            self.found.append(function.__name__)
        return result


@contextmanager
def host_waits():
    """A list of the operations inside the block for which a host would wait."""
    found = []
    with _Factories(found), _Operations(found):
        yield found
