"""One training step of a model on fake tensors: its operations, and its live bytes operation by operation.

The step is that of the training: the batch on the device, normalization, loss, backward pass, clipping and the optimizer of the
config. Nothing is computed, and no memory is used for tensors.
"""

# B batch

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import DefaultScope
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from sapiens.models.layers import transformer
from sapiens.registry import MODELS
from sapiens.tasks import members_of

from ..lora import add_lora
from ..recomputing import recompute_activations
from .counts import ModelCounts, StepMemory, StepTrace
from .live_memory import LiveMemory, profile_of
from .samples import image_size, training_batch

__all__ = ['build_trained', 'tasks_of', 'trace_step', 'without_log']

# Batches of a trace: primes, so that a size that they divide is proportional to the batch.
BATCHES = (61, 59, 53, 47, 43, 41, 37, 31, 29)
# Of encoders that tokenize a number of windows at a time, over all images: larger batches take many such steps.
SMALL_BATCHES = (13, 11, 17, 19)


def trace_step(
    cfg: Config,
    precision: str = 'bf16',
    device: str = 'gpu',
    task: str | None = None,
    size: tuple[int, int] | None = None,
) -> StepTrace:
    """Trace a step.

    Args:
        cfg: with ``model``, ``optim_wrapper`` and, where they are set, ``lora`` and ``activation_checkpointing``.
        precision: ``'bf16'`` autocast or ``'fp32'``.
        device: ``'gpu'`` or ``'cpu'``, which trains short attention in float32.
        task: of a model of several, see :func:`.training_batch`.
        size: of the images (h, w) in pixels, by default that of the encoder.

    Raises:
        ValueError: a model whose batch cannot be made, see :func:`.training_batch`.
    """
    live = LiveMemory()
    with ExitStack() as stack:
        stack.enter_context(DefaultScope.overwrite_default_scope('sapiens'))
        stack.enter_context(without_log())
        if device == 'gpu':
            stack.enter_context(_attention_as_on_gpus())
        with torch.device('meta'):
            built = build_trained(cfg)
        size = size or image_size(built)
        batch = _prime_for(built, size)
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        stack.enter_context(live)
        built.to_empty(device='cpu')
        wrapper = build_optim_wrapper(built, cfg.optim_wrapper)
        live.mark('parameter', [*built.parameters(), *built.buffers()])
        _create_state(wrapper.optimizer)
        live.mark('state', _state_of(wrapper.optimizer))
        data = training_batch(built, batch, task, size)
        live.mark('input', [data['inputs'], *data.get('labels', {}).values()])
        step = _Step(live, wrapper, precision)
        begin, flops = live.now + 1, live.flops
        built.train_step(data, step)
        end = live.now + 1
    counts = ModelCounts(
        parameters=sum(value.numel() for value in built.parameters()),
        trained=sum(value.numel() for value in built.parameters() if value.requires_grad),
        forward=(step.flops - flops) / batch,
        backward=(live.flops - step.flops) / batch,
        blocks=tuple(sum(value.numel() for value in part.parameters()) for part in _blocks(built)),
        image=size,
    )
    return StepTrace(counts, _memory(live, begin, end, batch, step.turn - begin))


def build_trained(cfg: Config) -> nn.Module:
    """The model of a config as a training has it: with adapters (``lora``) and recomputed activations."""
    built = MODELS.build(cfg.model).train()
    if lora := cfg.get('lora'):
        add_lora(built, lora)
    recompute_activations(built, cfg.get('activation_checkpointing', 'off'))
    return built


class _Step:
    """Replaces an :class:`OptimWrapper` in ``train_step``: does the same work without reading values."""

    def __init__(self, live: LiveMemory, wrapper: OptimWrapper, precision: str) -> None:
        self.live, self.optimizer, self.precision = live, wrapper.optimizer, precision
        self.max_norm = getattr(wrapper, 'max_norm', None)
        self.turn, self.flops = 0, 0

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        with torch.autocast('cpu', torch.bfloat16, enabled=self.precision == 'bf16'):
            yield

    def update_params(self, loss: Tensor) -> None:
        self.turn, self.flops = self.live.now, self.live.flops
        loss.backward()
        trained = [p for group in self.optimizer.param_groups for p in group['params'] if p.grad is not None]
        self.live.mark('gradient', [parameter.grad for parameter in trained])
        norm = get_total_norm([parameter.grad for parameter in trained])
        if self.max_norm is not None:
            clip_grads_with_norm_(trained, self.max_norm, norm)
        self.optimizer.step()
        self.optimizer.zero_grad()


def _memory(live: LiveMemory, begin: int, end: int, batch: int, turn: int) -> StepMemory:
    kinds: dict[str, list] = {}
    for span in live.spans:
        kind = span.kind
        if kind == '':
            kind = 'image' if span.size % batch == 0 else 'fixed'
        kinds.setdefault(kind, []).append(span)
    names = ('input', 'image', 'fixed', 'cast', 'gradient')
    profiles = {name: profile_of(kinds.get(name, ()), begin, end) for name in names}
    return StepMemory(
        parameters=sum(span.size for span in kinds['parameter']),
        state=sum(span.size for span in kinds.get('state', ())),
        fixed=profiles['fixed'],
        per_image=(profiles['image'] + profiles['input']) / batch,
        casts=profiles['cast'],
        gradients=profiles['gradient'],
        kept=float(profiles['image'][turn]) / batch,
    )


def _create_state(optimizer: torch.optim.Optimizer) -> None:
    """The state that an optimizer makes in its first step."""
    for group in optimizer.param_groups:
        for parameter in group['params']:
            parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad()


def _state_of(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)]


def _blocks(model: nn.Module) -> list[nn.Module]:
    """The parts that are compiled, and sharded, one by one."""
    found = [
        part for module in model.modules() if hasattr(module, 'parts_to_compile') for part in module.parts_to_compile()
    ]
    return list(dict.fromkeys(found))


def _prime_for(model: nn.Module, size: tuple[int, int]) -> int:
    """A batch that divides no size of the model and of its images."""
    height, width = size
    sizes = {height, width, height // 16, width // 16} | {side for value in model.parameters() for side in value.shape}
    is_chunked = getattr(getattr(model, 'backbone', None), 'tokenizer', None) is not None
    return next(prime for prime in (SMALL_BATCHES if is_chunked else BATCHES) if all(side % prime for side in sizes))


@contextmanager
def _attention_as_on_gpus() -> Iterator[None]:
    """Fake tensors are on the CPU, since a torch without CUDA has no others. CPUs compute attention over few tokens in float32,
    which GPUs do not."""
    before = transformer.SHORT
    transformer.SHORT = 0
    try:
        yield
    finally:
        transformer.SHORT = before


@contextmanager
def without_log() -> Iterator[None]:
    """Without lines of the log, such as the table of parameter groups."""
    logger = MMLogger.get_current_instance()
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before


def tasks_of(cfg: Config) -> list[str | None]:
    """Names of the tasks whose steps differ: those of a model of several, else one without a name."""
    return list(members_of(cfg.model)) or [None]
