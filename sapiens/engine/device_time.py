"""What a device does in a step, from torch's profiler."""

import os
from collections.abc import Iterable

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

__all__ = ['collective_fraction', 'collective_times', 'step_profiler', 'union']

# Beginnings of the names of collectives: kernels of NCCL, calls of gloo.
COLLECTIVES = ('nccl', 'gloo:')


def step_profiler() -> profile:
    """A profiler of the GPU's work, or of the host's where there is no GPU."""
    os.environ.setdefault('KINETO_LOG_LEVEL', '6')  # it prints its starts and stops
    has_gpu = torch.cuda.is_available()
    return profile(activities=[ProfilerActivity.CUDA if has_gpu else ProfilerActivity.CPU])


def collective_fraction(profiler: profile) -> float:
    """Fraction of the time of a profile in which collectives run and the device computes nothing.

    This is what communication costs: collectives behind computation cost no time. The wait for a slower process counts, because
    a collective runs from the first process that calls it to the last. Operators of a CPU count as computation.

    Args:
        profiler: of :func:`step_profiler`, stopped.
    """
    _, alone, whole = collective_times(profiler)
    return alone / whole if whole else 0.0


def collective_times(profiler: profile) -> tuple[float, float, float]:
    """Nanoseconds of a profile in which collectives run, in which nothing else does, and from its first event to its last.

    See :func:`collective_fraction`.
    """
    events = profiler.profiler.kineto_results.events()
    device = DeviceType.CUDA if torch.cuda.is_available() else DeviceType.CPU
    collectives, others = [], []
    for event in events:
        if event.device_type() != device:
            continue
        begin = event.start_ns()
        span = (begin, begin + event.duration_ns())
        if event.name().startswith(COLLECTIVES):
            collectives.append(span)
        elif device == DeviceType.CUDA or event.name().startswith('aten::'):  # other ranges of the host contain waits
            others.append(span)
    spans = collectives + others
    if not spans:
        return 0.0, 0.0, 0.0
    whole = max(end for _, end in spans) - min(begin for begin, _ in spans)
    return union(collectives), union(spans) - union(others), whole


def union(intervals: Iterable[tuple[float, float]]) -> float:
    """Length of the union of intervals (begin, end)."""
    total, reached = 0.0, float('-inf')
    for begin, end in sorted(intervals):
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total
