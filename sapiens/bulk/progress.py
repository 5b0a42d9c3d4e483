"""The progress of a stage: units done, rates, and what failed."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tqdm import tqdm

from sapiens.utils.counting import count_of

from .units import Outcome, Stage

__all__ = ['Total', 'follow']

_SHOWN = 5
_EVERY = 60.0  # seconds between lines where stderr is no terminal


@dataclass
class Total:
    """Sums over the units of a stage.

    Attributes:
        counts: of all units that are done, those of earlier runs too.
        new: counts of this run.
        units, done_before: numbers of units, and of those that earlier runs have done.
        failed: name of a unit -> its error.
        seconds: of the wall clock.
        worker_seconds: summed over the workers, while they ran units.
    """

    counts: Counter = field(default_factory=Counter)
    new: Counter = field(default_factory=Counter)
    units: int = 0
    done_before: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    worker_seconds: float = 0.0

    def add(self, outcome: Outcome) -> None:
        self.units += 1
        if outcome.error:
            self.failed[outcome.unit] = outcome.error
            return
        self.counts.update(outcome.counts)
        self.done_before += not outcome.is_new
        if outcome.is_new:
            self.new.update(outcome.counts)
            self.worker_seconds += outcome.seconds


def follow(
    outcomes: Iterable[Outcome], stage: Stage, total: int | None = None, each: Callable[[Outcome], None] | None = None
) -> Total:
    """Run a stage to its end with a progress bar, and print a line with its rates and the first errors.

    Where stderr is no terminal, as of a job on a cluster, a line a minute is there instead of the bar.

    Args:
        outcomes: of :meth:`.engine.Engine.run`.
        stage: whose :attr:`.units.Stage.item` the rates count.
        total: number of units, where it is known.
        each: called with each outcome.
    """
    sums, begin, is_terminal = Total(), time.monotonic(), sys.stderr.isatty()
    last = begin
    with tqdm(total=total, desc=stage.name, unit='unit', disable=not is_terminal, leave=False) as bar:
        for outcome in outcomes:
            sums.add(outcome)
            if each:
                each(outcome)
            if outcome.error:
                bar.write(f'failed {outcome.unit}: {outcome.error}', file=sys.stderr)
            rate = sums.new[stage.item] / max(time.monotonic() - begin, 1e-9)
            state = f'{rate:.3g} {stage.item}/s' + (f', {len(sums.failed)} failed' if sums.failed else '')
            bar.set_postfix_str(state)
            bar.update()
            if not is_terminal and time.monotonic() - last >= _EVERY:
                last = time.monotonic()
                of = f' of {total:,}' if total else ''
                print(f'{stage.name}: {sums.units:,}{of} units, {state}', file=sys.stderr, flush=True)
    sums.seconds = time.monotonic() - begin
    print(describe(sums, stage))
    return sums


def describe(sums: Total, stage: Stage) -> str:
    """Return 'scores: 12 units, 3 of them done before, 9,000 images in 30.0 s (300 images/s, 150 per worker)'."""
    text = f'{stage.name}: {count_of(sums.units, "unit")}'
    text += f', {sums.done_before} of them done before' if sums.done_before else ''
    if count := sums.new[stage.item]:
        rate, per_worker = count / max(sums.seconds, 1e-9), count / max(sums.worker_seconds, 1e-9)
        text += f', {count:,} {stage.item} in {sums.seconds:.1f} s '
        text += f'({rate:.3g} {stage.item}/s, {per_worker:.3g}/s while a worker runs)'
    if sums.failed:
        text += f'; {len(sums.failed)} failed: {", ".join(list(sums.failed)[:_SHOWN])}'
        text += ', ...' if len(sums.failed) > _SHOWN else ''
    return text
