"""Sharded training: each process holds a part of every weight, gradient and optimizer state."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property, wraps

import torch
from mmengine.device import get_device
from mmengine.dist import broadcast, get_world_size
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, FSDPModule, MixedPrecisionPolicy, OffloadPolicy, fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.optim import Optimizer

from sapiens.registry import STRATEGIES
from sapiens.utils.option_values import require_bool
from sapiens.utils.shards import gather, is_shard, shard_like

from .base import Parallel
from .construction import drawing_as_one, registering_shards, shard
from .units import copy_weights, link_units, parameters_in_fp32, units_of

__all__ = ['FSDP2']

DTYPES = dict(fp32=torch.float32, bf16=torch.bfloat16)


@STRATEGIES.register_module()
class FSDP2(Parallel):
    """:func:`torch.distributed.fsdp.fully_shard` for each block and head, and for the rest of the model.

    The weights of a block are gathered when it runs, those of the next one meanwhile, and dropped afterwards. No process ever
    holds the whole model, except in evaluations and figures, which need no communication. Initial weights, checkpoints
    and the optimizer's groups are those of one process.

    Args:
        shard: ``'all'``: over all processes. ``'node'`` (HSDP): over those of a node, whose number torchrun sets in
            ``LOCAL_WORLD_SIZE``. Nodes hold the same parts and average gradients.
        reshard_after_forward: drop the weights of a block after its forward pass, and gather them again for its backward pass.
            False keeps them, which takes the memory of the model and saves a third of the communication.
        param_dtype: type in which weights of blocks and heads are gathered: ``'bf16'``, ``'fp32'``, or ``'auto'``: bf16 on GPUs
            that train with bf16 autocast. Autocast rounds weights of products and convolutions anyway, so steps are the same.
            Those of norms, tokens, and of layers that run in their own precision stay in float32. Evaluations during a run with
            bf16 use bf16 autocast too.
        reduce_dtype: type in which gradients are added up: ``'fp32'`` or ``'bf16'``.
        cpu_offload: keep parts of weights, gradients and optimizer states in the memory of the host.

    Raises:
        ValueError: an unknown value; ``param_dtype='bf16'`` without bf16 autocast; ``shard='node'`` without ``LOCAL_WORLD_SIZE``.
    """

    is_sharded = True

    def __init__(
        self,
        shard: str = 'all',
        reshard_after_forward: bool = True,
        param_dtype: str = 'auto',
        reduce_dtype: str = 'fp32',
        cpu_offload: bool = False,
    ) -> None:
        for key, value, known in (
            ('shard', shard, ('all', 'node')),
            ('param_dtype', param_dtype, ('auto', *DTYPES)),
            ('reduce_dtype', reduce_dtype, tuple(DTYPES)),
        ):
            if value not in known:
                raise ValueError(f'parallel.{key}={value!r} is not one of {known}')
        require_bool('parallel.reshard_after_forward', reshard_after_forward)
        require_bool('parallel.cpu_offload', cpu_offload)
        self.shard, self.reshard_after_forward = shard, reshard_after_forward
        self.param_dtype, self.reduce_dtype, self.cpu_offload = param_dtype, reduce_dtype, cpu_offload
        self.accumulates = False
        if cpu_offload and not torch.cuda.is_available():
            raise ValueError('parallel.cpu_offload=True has no effect without a GPU: leave it out')

    def prepare(self, uses_bf16: bool, accumulates: bool) -> None:
        if self.param_dtype == 'bf16' and not uses_bf16:
            raise ValueError(
                "parallel.param_dtype='bf16' needs bf16 autocast, which this run does not use: set "
                "optim_wrapper.precision='bf16', or parallel.param_dtype='fp32'"
            )
        if self.param_dtype == 'auto':
            self.param_dtype = 'bf16' if uses_bf16 and torch.cuda.is_available() else 'fp32'
        self.accumulates = accumulates

    # ------------------------------------------------------------------ construction

    @cached_property
    def mesh(self) -> DeviceMesh:
        """Processes: (all,), or (nodes, processes of a node)."""
        world, device = get_world_size(), torch.device(get_device()).type
        if self.shard == 'all':
            return init_device_mesh(device, (world,), mesh_dim_names=('shard',))
        local = int(os.environ.get('LOCAL_WORLD_SIZE', 0))
        if not local or world % local:
            raise ValueError(
                f"parallel.shard='node': {world} processes, of which LOCAL_WORLD_SIZE={local or 'not set'} are on this node: "
                'start the run with torchrun, with the same number on each node'
            )
        return init_device_mesh(device, (world // local, local), mesh_dim_names=('replicate', 'shard'))

    @property
    def placements(self) -> tuple:
        return (Shard(0),) if self.mesh.ndim == 1 else (Replicate(), Shard(0))

    @contextmanager
    def building(self) -> Iterator[None]:
        with registering_shards(self.mesh, self.placements), drawing_as_one('cpu'):
            yield

    def initializing(self):
        return drawing_as_one(self.mesh.device_type)

    def wrap(self, model: nn.Module, wrap: Callable[[dict | None, nn.Module], nn.Module]) -> nn.Module:
        model.to(get_device())
        policy = dict(
            mesh=self.mesh,
            offload_policy=CPUOffloadPolicy() if self.cpu_offload else OffloadPolicy(),
        )
        reduced = DTYPES[self.reduce_dtype]
        full = MixedPrecisionPolicy(reduce_dtype=reduced, cast_forward_inputs=False)
        half = MixedPrecisionPolicy(torch.bfloat16, reduced, cast_forward_inputs=False)
        units = units_of(model)
        parts = self._take_parts(model)
        kept = parameters_in_fp32(units) if self.param_dtype == 'bf16' else {}
        for unit in units:
            fully_shard(
                unit,
                reshard_after_forward=self.reshard_after_forward,
                mp_policy=half if self.param_dtype == 'bf16' else full,
                **policy,
                **(dict(ignored_params=set(kept)) if kept else {}),
            )
        # The group of the root holds what is in no block, and weights of blocks that stay in float32: torch finds them where
        # they are, also in a block, if they are reachable without passing through it.
        model.add_module('_kept', nn.ParameterList(kept))
        fully_shard(model, mp_policy=full, **policy)
        del model._kept
        self._give_parts(model, parts)
        link_units(model)
        if self.accumulates and getattr(model, 'has_unused_parameters', False):
            # Where gradients are not reduced, torch fails at units that were never gathered: heads that no step has run yet.
            for unit in units:
                unit.unshard()
                unit.reshard()
        for module in (*units, model):
            type(module).__name__ = type(module).__mro__[2].__name__  # torch puts FSDP before it
        type(model).__deepcopy__ = copy_weights
        return model

    def _take_parts(self, model: nn.Module) -> dict[tuple[nn.Module, str], torch.Tensor]:
        """Replace parameters by empty ones, from which torch makes its shards, and return the parts of this process.

        A model that was not built in :meth:`building` is that of the main process.
        """
        parts, empty = {}, {}
        for module in model.modules():
            for name, parameter in module._parameters.items():
                if parameter is None:
                    continue
                if parameter not in empty:
                    if not is_shard(parameter):
                        broadcast(parameter.data)
                    part = parameter if is_shard(parameter) else shard(parameter, self.mesh, self.placements)
                    meta = torch.empty(parameter.shape, dtype=parameter.dtype, device='meta')
                    empty[parameter] = nn.Parameter(meta, parameter.requires_grad), part.data.to_local()
                module._parameters[name], parts[module, name] = empty[parameter]
        return parts

    def _give_parts(self, model: nn.Module, parts: dict[tuple[nn.Module, str], torch.Tensor]) -> None:
        """Put the parts into the shards that torch has made. Empties the dict."""
        filled = {}
        for module, name in list(parts):
            empty, part = module._parameters[name], parts.pop((module, name))
            if empty not in filled:
                if self.cpu_offload:
                    shard = torch.empty_like(empty.data, device='cpu')
                    shard.to_local().copy_(part)
                else:
                    options = dict(run_check=False, shape=empty.shape, stride=empty.stride())
                    shard = DTensor.from_local(part, empty.device_mesh, empty.placements, **options)
                filled[empty] = nn.Parameter(shard, empty.requires_grad)
            module._parameters[name] = filled[empty]

    # ------------------------------------------------------------------ evaluation

    @contextmanager
    def gathered(self, model: nn.Module) -> Iterator[None]:
        parts = [module for module in model.modules() if isinstance(module, FSDPModule)]
        try:
            with ExitStack() as stack:
                for part in parts:
                    part.set_reshard_after_forward(False, recurse=False)
                    part.unshard()
                if self.param_dtype == 'bf16':
                    stack.enter_context(_autocast(model, self.mesh.device_type))
                yield
        finally:
            for part in parts:
                part.reshard()
                part.set_reshard_after_forward(self.reshard_after_forward and part is not model, recurse=False)

    # ------------------------------------------------------------------ checkpoints

    def gather(self, checkpoint: dict) -> dict:
        return gather(checkpoint, keep=torch.distributed.get_rank() == 0)

    def split(self, checkpoint: dict, model: nn.Module, optimizer: Optimizer) -> dict:
        own, checkpoint = model.state_dict(), dict(checkpoint)
        for key in ('state_dict', 'ema_state_dict'):
            if key in checkpoint:
                names = {
                    name: own.get(name.removeprefix('module.') if key[0] == 'e' else name) for name in checkpoint[key]
                }
                checkpoint[key] = {name: shard_like(value, names[name]) for name, value in checkpoint[key].items()}
        parameters = [parameter for group in optimizer.param_groups for parameter in group['params']]
        numbers = [number for group in checkpoint['optimizer']['param_groups'] for number in group['params']]
        by_number = dict(zip(numbers, parameters, strict=False))
        states = {
            number: {key: _split(value, by_number.get(number)) for key, value in state.items()}
            for number, state in checkpoint['optimizer']['state'].items()
        }
        checkpoint['optimizer'] = dict(checkpoint['optimizer'], state=states)
        return checkpoint

    def describe(self) -> str:
        where = '' if self.shard == 'all' else ' of a node'
        return f'weights sharded over {self.mesh.size(self.mesh.ndim - 1)} processes{where}, gathered in {self.param_dtype}'


def _split(value, like: nn.Parameter | None):
    return shard_like(value, like) if isinstance(value, torch.Tensor) and like is not None else value


@contextmanager
def _autocast(model: nn.Module, device_type: str) -> Iterator[None]:
    """Run a model, or a part of it, under bf16 autocast. MMEngine's loops switch it off around the model."""
    forward = model.forward

    @wraps(forward)
    def with_autocast(*args, **kwargs):
        with torch.autocast(device_type, torch.bfloat16):
            return forward(*args, **kwargs)

    model.forward = with_autocast
    try:
        with torch.autocast(device_type, torch.bfloat16):
            yield
    finally:
        del model.forward
