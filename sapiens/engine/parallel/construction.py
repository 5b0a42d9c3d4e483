"""Building a model in shards, with the weights that one process would draw.

Each parameter is cut when it is registered, so a process holds one whole tensor at a time. Random numbers of a part are cut from
those of the whole tensor, which every process draws from the state of the main process.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.dist import broadcast_object_list, is_main_process
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.placement_types import Placement
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.utils._python_dispatch import TorchDispatchMode

from sapiens.utils.shards import copy_whole, is_shard, local_rows

from ..random_state import get_random_state, set_random_state

__all__ = ['drawing_as_one', 'registering_shards', 'shard']


def shard(value: Tensor, mesh: DeviceMesh, placements: tuple[Placement, ...]) -> DTensor:
    """Cut a whole tensor into the part of this process, which is copied to the device of the mesh."""
    empty = value.detach().new_empty(0)
    like = DTensor.from_local(empty, mesh, placements, run_check=False, shape=value.shape, stride=value.stride())
    local = local_rows(value.detach(), like).clone(memory_format=torch.contiguous_format)
    return DTensor.from_local(local, mesh, placements, run_check=False, shape=value.shape, stride=value.stride())


@contextmanager
def registering_shards(mesh: DeviceMesh, placements: tuple[Placement, ...]) -> Iterator[None]:
    """Replace each parameter by its part when a module registers it."""

    def cut(module: nn.Module, name: str, parameter: nn.Parameter | None) -> nn.Parameter | None:
        if parameter is None or is_shard(parameter):
            return None
        return nn.Parameter(shard(parameter, mesh, placements), requires_grad=parameter.requires_grad)

    handle = register_module_parameter_registration_hook(cut)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def drawing_as_one(device: str | torch.device) -> Iterator[None]:
    """Draw random numbers as the main process would draw them alone, also those of shards.

    Args:
        device: whose generator one process would use.
    """
    own = get_random_state()
    state = [own if is_main_process() else None]
    broadcast_object_list(state)
    set_random_state(state[0])
    try:
        with _WholeDraws(device):
            yield
    finally:
        if not is_main_process():
            set_random_state(own)


class _WholeDraws(TorchDispatchMode):
    """Replaces random operations in place on a shard by those on the whole tensor, of which the part is kept."""

    def __init__(self, device: str | torch.device) -> None:
        super().__init__()
        self.device = torch.device(device)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        target = args[0] if args else None
        draws = torch.Tag.nondeterministic_seeded in function.tags and function._schema.is_mutable
        if not (draws and is_shard(target)):
            return function(*args, **kwargs)
        values = torch.empty(target.shape, dtype=target.dtype, device=self.device)
        function(values, *args[1:], **kwargs)
        copy_whole(target, values)
        return target
