"""Clocks and memory of steps on a GPU. On a CPU the same calls work, so that everything can be tried without a GPU."""

import gc
import json
import os
import tempfile
import time
from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity, profile

from sapiens.engine.device_time import union

__all__ = [
    'Marks',
    'begin_peak',
    'device_facts',
    'free_memory',
    'gigabytes',
    'host_gigabytes',
    'idle_fraction',
    'largest',
    'profiler_of',
    'take_turns',
]

# Kinds of events in a trace of torch's profiler during which a device works.
BUSY = {'cuda': ('kernel', 'gpu_memcpy', 'gpu_memset'), 'cpu': ('cpu_op',)}


class Marks:
    """Moments on the device's own clock, without waiting for it."""

    def __init__(self, device: str) -> None:
        self.device, self.marks = device, []

    def mark(self) -> None:
        if self.device == 'cuda':
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self.marks.append(event)
        else:
            self.marks.append(time.perf_counter())

    def milliseconds(self) -> list[float]:
        """From mark to mark. This waits for the device."""
        pairs = zip(self.marks, self.marks[1:], strict=False)
        if self.device == 'cuda':
            torch.cuda.synchronize()
            return [before.elapsed_time(after) for before, after in pairs]
        return [1e3 * (after - before) for before, after in pairs]


def gigabytes(device: str) -> float | None:
    """Peak of tensors since :func:`begin_peak` in GB (10^9 bytes); None on a CPU."""
    return torch.cuda.max_memory_allocated() / 1e9 if device == 'cuda' else None


def begin_peak(device: str) -> None:
    """Wait for the device, and begin a new peak of memory."""
    if device == 'cuda':
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()


def free_memory(device: str) -> None:
    """Give unused memory back."""
    gc.collect()
    if device == 'cuda':
        torch.cuda.synchronize()
        torch.cuda.empty_cache()


def take_turns(sides: dict[str, Callable], device: str, turns: int, steps: int) -> dict[str, dict]:
    """Time sides in alternating order, a few steps each, so that a device of varying speed does not favor one.

    Returns:
        for each side ``ms`` (of a step, by turn) and ``peak_gb``. The first turn of each warms up and does not count.
    """
    found = {name: dict(ms=[], peak_gb=None) for name in sides}
    for turn in range(turns + 1):
        for name in list(sides) if turn % 2 else reversed(sides):
            begin_peak(device)
            marks = Marks(device)
            marks.mark()
            for _ in range(steps if turn else 2):
                sides[name]()
            marks.mark()
            if turn:
                found[name]['ms'].append(marks.milliseconds()[0] / steps)
                found[name]['peak_gb'] = gigabytes(device)
    return found


def idle_fraction(profiler: profile, device: str) -> float | None:
    """Fraction of the time of a profile in which a device has no work, from its first to its last; None without any."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'trace.json')
        profiler.export_chrome_trace(path)
        with open(path) as file:
            events = json.load(file)['traceEvents']
    spans = [(e['ts'], e['ts'] + e['dur']) for e in events if e.get('cat') in BUSY[device] and 'dur' in e]
    if not spans:
        return None
    return 1 - union(spans) / (max(end for _, end in spans) - min(begin for begin, _ in spans))


def profiler_of(device: str) -> profile:
    """A profiler of the work of a device, and of the memory of tensors on a CPU."""
    if device == 'cuda':
        return profile(activities=[ProfilerActivity.CUDA])
    return profile(activities=[ProfilerActivity.CPU], profile_memory=True)


def host_gigabytes(profiler: profile, held: float) -> float | None:
    """Highest GB of live tensors on the CPU in a profile; None where this torch does not tell.

    Args:
        held: GB of those from before, which the profile does not count.
    """
    try:
        from torch._C._profiler import _EventType

        pending, highest = list(profiler.profiler.kineto_results.experimental_event_tree()), 0
    except (ImportError, AttributeError):
        return None
    while pending:
        event = pending.pop()
        pending.extend(event.children)
        if event.tag == _EventType.Allocation:
            highest = max(highest, event.extra_fields.total_allocated)
    return held + highest / 1e9


def largest(fits: Callable[[int], bool], limit: int, end: float) -> tuple[int, bool]:
    """The largest number that fits, by doubling and bisection.

    Args:
        fits: True up to some number.
        limit: is not exceeded.
        end: by the monotonic clock, after which the search stops.

    Returns:
        the number, 0 for none, and whether the next one was seen not to fit.
    """
    low, high = 0, 1
    while high <= limit and time.monotonic() < end and fits(high):
        low, high = high, 2 * high
    if high > limit or time.monotonic() >= end:
        return low, False
    while high - low > 1 and time.monotonic() < end:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low, high - low == 1


def device_facts(device: str) -> dict[str, str]:
    """Name of the device, of its driver, and of torch."""
    facts = dict(device=f'CPU, {os.cpu_count()} cores', driver='', torch=torch.__version__)
    if device == 'cuda':
        memory = torch.cuda.get_device_properties(0).total_memory / 1e9
        facts.update(device=f'{torch.cuda.get_device_name()}, {memory:.0f} GB', driver=_driver())
        torch.zeros(1, device='cuda')
    return facts


def _driver() -> str:
    import subprocess

    command = ['nvidia-smi', '--query-gpu=driver_version', '--format=csv,noheader']
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20).stdout.split('\n')[0].strip()
    except (OSError, subprocess.TimeoutExpired):
        return ''
