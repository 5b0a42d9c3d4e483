"""How several processes share a training: the key ``parallel`` of a config."""

from .base import Parallel
from .build import build_parallel, parallel_options
from .ddp import DDP
from .fsdp2 import FSDP2

__all__ = ['DDP', 'FSDP2', 'Parallel', 'build_parallel', 'parallel_options']
