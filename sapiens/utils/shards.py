"""Tensors of which each process holds a part: the rows of one dimension, as FSDP2 splits parameters."""

from collections.abc import Iterator
from typing import Any

import torch
from mmengine.dist import all_gather_object
from torch import Tensor

__all__ = ['agree', 'copy_whole', 'gather', 'is_shard', 'local', 'local_rows', 'shard_like', 'whole']


def is_shard(value: Any) -> bool:
    """Whether a value is a tensor that is distributed over processes (``DTensor``)."""
    # The class is there only where something has imported it, which takes a second.
    return isinstance(value, Tensor) and hasattr(value, 'device_mesh') and hasattr(value, 'placements')


def whole(tensor: Tensor) -> Tensor:
    """The whole tensor on every process. All processes that hold a part must call this."""
    return tensor.full_tensor() if is_shard(tensor) else tensor


def local(tensor: Tensor) -> Tensor:
    """The part of a shard that this process holds, which shares its memory; a whole tensor itself."""
    return tensor.to_local() if is_shard(tensor) else tensor


def local_rows(value: Tensor, like: Tensor) -> Tensor:
    """The part of a whole tensor, as a view, that this process holds of a shard of the same shape.

    Of a tensor that is mapped from a file, only the pages of this part are read.
    """
    if not is_shard(like):
        return value
    coordinate = like.device_mesh.get_coordinate()
    for dim, placement in enumerate(like.placements):
        if placement.is_shard():
            # Equal chunks, of which the last ones may be shorter or empty, as in torch.chunk.
            length = value.shape[placement.dim]
            size = -(-length // like.device_mesh.size(dim))
            first = min(coordinate[dim] * size, length)
            value = value.narrow(placement.dim, first, min(size, length - first))
        elif not placement.is_replicate():
            raise NotImplementedError(f'a tensor placed as {placement}: expected shards of rows')
    return value


@torch.no_grad()
def copy_whole(target: Tensor, value: Tensor) -> None:
    """Copy a whole tensor into one of its shape, or into the part that this process holds."""
    local(target).copy_(local_rows(value, target))


def shard_like(value: Tensor, like: Tensor) -> Tensor:
    """A copy of a whole tensor in the distribution and on the device of a shard; itself for another shape or a whole ``like``."""
    if not is_shard(like) or is_shard(value) or value.shape != like.shape:
        return value
    with torch.no_grad():
        shard = torch.empty_like(like, dtype=value.dtype, requires_grad=False)
    copy_whole(shard, value)
    return shard


def gather(value: Any, keep: bool) -> Any:
    """Nested dicts and lists with whole tensors on the CPU in place of shards. All processes must call this, on equal structures.

    One tensor is whole at a time.

    Args:
        keep: on this process. Others get None in place of shards.
    """
    if isinstance(value, dict):
        return type(value)((key, gather(item, keep)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return type(value)(gather(item, keep) for item in value)
    if not is_shard(value):
        return value
    tensor = whole(value.detach())
    return tensor.cpu() if keep else None


def agree(problems: Iterator[str], distributed: bool) -> str:
    """The first problem that any process found, '' for none. All processes must call this where the data are distributed."""
    found = next(problems, '')
    return next((text for text in all_gather_object(found) if text), '') if distributed else found
