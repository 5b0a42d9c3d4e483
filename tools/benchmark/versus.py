"""Comparison of two implementations: equal outputs first, then ratios of neighboring runs."""

import gc
import multiprocessing
import statistics
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
from harness import cpu_seconds
from prettytable import PrettyTable

TOLERANCE = 1e-4


class Table:
    """Rows of the comparisons of a part."""

    def __init__(self, *extra: str) -> None:
        self.table = PrettyTable(
            ['', 'transformers', 'sapiens', 'transformers / sapiens: median (range)', 'difference', *extra]
        )

    def add(self, title: str, pairs: list[tuple[float, float]], difference: str, unit: str, *extra: str) -> None:
        """``pairs`` of neighboring runs: transformers, this package."""
        ratios = sorted(theirs / ours for theirs, ours in pairs)
        medians = [f'{statistics.median(side):.3g} {unit}' for side in zip(*pairs, strict=True)]
        ratio = f'{statistics.median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})'
        self.table.add_row([title, *medians, ratio, difference, *extra])
        print(f'{title}: {" | ".join(medians)} | {ratio} | {difference}', flush=True)


def agree(title: str, theirs, ours) -> str:
    """Largest difference as a fraction of the largest value. Exits where it is over the tolerance."""
    theirs, ours = (torch.as_tensor(value).double() for value in (theirs, ours))
    if theirs.shape != ours.shape:
        raise SystemExit(f'{title}: shapes {tuple(theirs.shape)} and {tuple(ours.shape)} differ')
    largest = float((theirs - ours).abs().max() / theirs.abs().max())
    if not largest <= TOLERANCE:
        raise SystemExit(f'{title}: outputs differ by {largest:.1e} of the largest value, more than {TOLERANCE:g}')
    return f'{largest:.0e}'


def all_agree(title: str, theirs: tuple, ours: tuple) -> str:
    """The largest difference of several outputs, each as :func:`agree`."""
    return max((agree(title, *pair) for pair in zip(theirs, ours, strict=True)), key=float)


def labels_agree(title: str, theirs, ours) -> str:
    """Number of labels that differ. Exits where it is over the tolerance."""
    differ = int((torch.as_tensor(theirs) != torch.as_tensor(ours)).sum())
    if differ > TOLERANCE * theirs.numel():
        raise SystemExit(f'{title}: {differ} of {theirs.numel()} labels differ')
    return f'{differ} labels'


def take_turns(theirs: Callable, ours: Callable, repeats: int, clock: Callable = cpu_seconds) -> list[tuple]:
    """Times of ``repeats`` neighboring runs of both, of which each is first in half. The first outputs were made before."""
    pairs = []
    for number in range(repeats):
        turns = [theirs, ours] if number % 2 else [ours, theirs]
        times = {run: clock(run)[0] for run in turns}
        pairs.append((times[theirs], times[ours]))
    return pairs


def compare(table: Table, title: str, theirs: Callable, ours: Callable, repeats: int, same: Callable = agree) -> None:
    with torch.inference_mode():
        difference = same(title, theirs(), ours())
        table.add(title, take_turns(theirs, ours, repeats), difference, 's')


def peak(run: Callable) -> float:
    """Peak of the resident memory during a call above that before it, in MiB."""
    gc.collect()
    Path('/proc/self/clear_refs').write_text('5')  # resets the peak
    before = _status('VmRSS')
    with torch.inference_mode():
        result = run()  # noqa: F841  (a part of the peak)
    return (_status('VmHWM') - before) / 1024


def _status(name: str) -> int:
    """A number of kB that Linux keeps for this process."""
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f'{name}:'))


def in_process(run: Callable, *args):
    """Result of a call in a new process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context('spawn')) as process:
        return process.submit(run, *args).result()
