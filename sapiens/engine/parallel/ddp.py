"""Data parallel training: every process has all weights and averages gradients with the others."""

import inspect
from collections.abc import Callable

import torch
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import bf16_compress_hook

from sapiens.registry import STRATEGIES
from sapiens.utils.option_values import require_bool

from .base import Parallel

__all__ = ['DDP']

# torch's option by its name: `broadcast_buffers`, which newer versions warn of, was renamed.
NAMES = inspect.signature(nn.parallel.DistributedDataParallel).parameters
SYNC_BUFFERS = 'forward_sync_buffers' if 'forward_sync_buffers' in NAMES else 'broadcast_buffers'


@STRATEGIES.register_module()
class DDP(Parallel):
    """:class:`torch.nn.parallel.DistributedDataParallel`.

    Args:
        static_graph: the same parameters get gradients in every iteration. torch then reduces them in the order of the first
            iteration.
        gradient_as_bucket_view: gradients share the memory of what is sent, which saves 4 bytes a parameter.
        find_unused_parameters: look for parameters without a gradient in each iteration, which takes time. None: where the
            model says that a step has gradients for some parameters only (several tasks).
        reduce_dtype: ``'fp32'``, or ``'bf16'`` to send and average gradients in bfloat16: half the bytes, rounded to 8 bits.

    Raises:
        ValueError: an unknown value, or bf16 without GPUs; ``static_graph`` with accumulated gradients, or for a
            model whose graph changes.
    """

    def __init__(
        self,
        static_graph: bool = False,
        gradient_as_bucket_view: bool = True,
        find_unused_parameters: bool | None = None,
        reduce_dtype: str = 'fp32',
    ) -> None:
        require_bool('parallel.static_graph', static_graph)
        require_bool('parallel.gradient_as_bucket_view', gradient_as_bucket_view)
        require_bool('parallel.find_unused_parameters', find_unused_parameters, none='what the model needs')
        if reduce_dtype not in ('fp32', 'bf16'):
            raise ValueError(f"parallel.reduce_dtype={reduce_dtype!r} is not one of 'fp32', 'bf16'")
        if reduce_dtype == 'bf16' and not torch.cuda.is_available():
            raise ValueError(
                "parallel.reduce_dtype='bf16' of DDP needs GPUs (torch sends bf16 by NCCL only): leave it out"
            )
        self.static_graph, self.gradient_as_bucket_view = static_graph, gradient_as_bucket_view
        self.find_unused_parameters, self.reduce_dtype = find_unused_parameters, reduce_dtype

    def prepare(self, uses_bf16: bool, accumulates: bool) -> None:
        if self.static_graph and accumulates:
            raise ValueError('parallel.static_graph=True does not work with optim_wrapper.accumulative_counts above 1')

    def wrap(self, model: nn.Module, wrap: Callable[[dict | None, nn.Module], nn.Module]) -> nn.Module:
        unused = self.find_unused_parameters
        changes = getattr(model, 'has_unused_parameters', False)
        unused = changes if unused is None else unused
        if self.static_graph and changes:
            raise ValueError(
                f'parallel.static_graph=True: a step of {type(model).__name__} has gradients for some parameters only, so its '
                'graph changes'
            )
        config = dict(
            {SYNC_BUFFERS: False},
            find_unused_parameters=unused,
            static_graph=self.static_graph,
            gradient_as_bucket_view=self.gradient_as_bucket_view,
        )
        if not torch.cuda.is_available():
            config['device_ids'] = None
        wrapped = wrap(config, model)
        if self.reduce_dtype == 'bf16':
            wrapped.register_comm_hook(None, bf16_compress_hook)
        return wrapped
