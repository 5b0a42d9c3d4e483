"""The memory of a real training step, against which estimates are checked."""

from collections.abc import Callable

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from torch._C._profiler import _EventType
from torch.profiler import ProfilerActivity, profile, record_function

from .samples import training_batch
from .trace import build_trained, without_log

__all__ = ['measure_step']

# Mark in the profile.
LAST = 'last step'


def measure_step(
    cfg: Config,
    batch: int,
    precision: str = 'fp32',
    device: str = 'cpu',
    task: str | None = None,
    steps: int = 2,
) -> int:
    """Highest number of bytes that tensors take during a training step: forward and backward pass, clipping, optimizer.

    On a CPU, torch's profiler counts what its allocator gives out: parameters, states, activations, and what kernels allocate
    for themselves. It is not the resident set, which also holds freed memory, code and libraries. On a GPU it is the allocator's
    own count, without the context and the free parts of its blocks.

    Args:
        cfg: with ``model``, ``optim_wrapper`` and, where they are set, ``lora`` and ``activation_checkpointing``.
        batch: number of images, with random labels, see :func:`.training_batch`.
        precision: ``'bf16'`` or ``'fp32'``.
        device: ``'cpu'`` or ``'cuda'``.
        task: of a model of several tasks.
        steps: number of steps, of which the last counts; the first one makes the states of the optimizer.
    """

    def run(begin_last: Callable[[], None]) -> None:
        with DefaultScope.overwrite_default_scope('sapiens'), without_log():
            built = build_trained(cfg).to(device)
            wrapper = build_optim_wrapper(built, dict(cfg.optim_wrapper, precision=precision))
            data = training_batch(built, batch, task)
            for index in range(steps):
                if index == steps - 1:
                    begin_last()
                built.train_step(data, wrapper)

    torch.manual_seed(0)
    if device != 'cpu':
        run(torch.cuda.reset_peak_memory_stats)
        return torch.cuda.max_memory_allocated()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run(_mark_last)
    start, totals = 0, []  # bytes in use after each allocation, with its time
    pending = list(profiler.profiler.kineto_results.experimental_event_tree())
    while pending:
        event = pending.pop()
        pending.extend(event.children)
        if event.name == LAST:
            start = event.start_time_ns
        elif event.tag == _EventType.Allocation:
            totals.append((event.start_time_ns, event.extra_fields.total_allocated))
    return max(total for time, total in totals if time >= start)


def _mark_last() -> None:
    with record_function(LAST):
        pass
