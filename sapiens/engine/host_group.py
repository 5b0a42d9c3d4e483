"""Communication between processes on their hosts, which does not wait for devices."""

import functools
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

__all__ = ['SAVES', 'gather_on_hosts', 'host_group', 'sum_on_hosts', 'timeout_of']

# Description of the group of checkpoints that are written in the background. It keeps its timeout.
SAVES = 'saves'


def host_group() -> dist.ProcessGroup:
    """Return a group of all processes that exchanges host memory (gloo). Every process must make the first call."""
    return _host_group_of(dist.group.WORLD)


@functools.lru_cache(maxsize=1)
def _host_group_of(world: dist.ProcessGroup) -> dist.ProcessGroup:
    return world if dist.get_backend(world) == 'gloo' else dist.new_group(backend='gloo', timeout=timeout_of(world))


def timeout_of(group: dist.ProcessGroup) -> timedelta:
    """The time after which collectives of a group fail."""
    return group._get_backend(torch.device('cuda' if 'nccl' in dist.get_backend(group) else 'cpu')).options._timeout


def sum_on_hosts(numbers: list[int]) -> list[int]:
    """Add up whole numbers over all processes, each by itself. Every process must call this."""
    if not dist.is_initialized():
        return numbers
    sums = torch.tensor(numbers, dtype=torch.int64)
    dist.all_reduce(sums, group=host_group())
    return sums.tolist()


def gather_on_hosts(value: Any) -> list[Any]:
    """Gather a picklable value of every process, in the order of ranks. NCCL would send it by way of the devices."""
    if not dist.is_initialized():
        return [value]
    gathered = [None] * dist.get_world_size()
    dist.all_gather_object(gathered, value, group=host_group())
    return gathered
