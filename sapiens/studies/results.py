"""Numbers of a study: values by variant and seed, their spread, differences with intervals, and verdicts of checks."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from .checks import parse_check
from .metrics import find_name
from .plan import Plan, Run
from .runner import RunState, state_of
from .study import Metric

__all__ = ['Difference', 'Results', 'Verdict', 'collect', 'paired_difference', 'with_spread']

LEVEL = 0.95
"""Of the confidence intervals."""


@dataclass(frozen=True)
class Difference:
    """A mean of paired differences.

    Attributes:
        mean: over the seeds that both have; NaN without one.
        half: half of the width of the confidence interval by Student's t; None with fewer than two seeds.
        seeds: their number.
    """

    mean: float
    half: float | None
    seeds: int


@dataclass(frozen=True)
class Verdict:
    """The verdict of a check: ``'confirmed'``, ``'contradicted'``, ``'not resolved'``, or ``'open'`` without results."""

    check: str
    verdict: str
    difference: Difference

    @property
    def reason(self) -> str:
        """The numbers in words."""
        found = self.difference
        if found.seeds == 0:
            return 'no seed has all of its results'
        if found.half is None:
            return f'difference {found.mean:+.4g} with one seed, which has no interval'
        return f'difference {with_spread(found.mean, found.half, "+")} ({found.seeds} seeds, {LEVEL:.0%} interval)'


@dataclass(frozen=True)
class Results:
    """What is known of a study.

    Attributes:
        plan: its runs.
        states: {hash of a run: state}.
        values: {(metric, variant, seed): value}.
    """

    plan: Plan
    states: Mapping[str, RunState]
    values: Mapping[tuple[str, str, int], float]

    @property
    def variants(self) -> list[str]:
        """Names of the planned variants."""
        return list(dict.fromkeys(variant for variant, _ in self.plan.chains))

    def of(self, metric: str, variant: str) -> dict[int, float]:
        """{seed: value}."""
        seeds = self.plan.study.seeds
        return {seed: self.values[metric, variant, seed] for seed in seeds if (metric, variant, seed) in self.values}

    def against_reference(self, metric: Metric, variant: str) -> Difference:
        """The paired difference of a variant to the reference."""
        return paired_difference(self.of(metric.name, variant), self.of(metric.name, self.plan.study.reference))

    def verdicts(self) -> list[Verdict]:
        """Of the study's checks."""
        study, found = self.plan.study, []
        names = [one.name for one in study.variants]
        for text in study.checks:
            check = parse_check(text, names, [metric.name for metric in study.metrics])
            values = {
                seed: difference
                for seed in study.seeds
                if (difference := check.difference(lambda v, m, s=seed: self.values.get((m, v, s)))) is not None
            }
            difference = paired_difference(values, dict.fromkeys(values, 0.0))
            found.append(Verdict(text, _verdict(difference), difference))
        return found


def _verdict(found: Difference) -> str:
    if found.seeds == 0:
        return 'open'
    if found.half is None or abs(found.mean) <= found.half:
        return 'not resolved'
    return 'confirmed' if found.mean > 0 else 'contradicted'


def paired_difference(values: Mapping[int, float], reference: Mapping[int, float]) -> Difference:
    """Compare two variants seed by seed: the mean difference, and its interval by Student's t over the seeds of both."""
    pairs = np.array([values[seed] - reference[seed] for seed in values if seed in reference], np.float64)
    count = len(pairs)
    if count == 0:
        return Difference(math.nan, None, 0)
    if count == 1:
        return Difference(float(pairs[0]), None, 1)
    half = stats.t.ppf((1 + LEVEL) / 2, count - 1) * pairs.std(ddof=1) / math.sqrt(count)
    return Difference(float(pairs.mean()), float(half), count)


def with_spread(mean: float, spread: float, sign: str = '') -> str:
    """'0.5120 ± 0.0043': two digits of the spread, and the mean to the same decimal.

    Args:
        sign: ``'+'`` writes that of positive numbers too.
    """
    decimals = 1 - math.floor(math.log10(spread)) if spread > 0 else 0
    if spread == 0 or not 0 <= decimals <= 8:
        return f'{mean:{sign}.4g} ± {spread:.2g}'
    return f'{mean:{sign}.{decimals}f} ± {spread:.{decimals}f}'


def stages_of(metric: Metric, plan: Plan, states: Mapping[str, RunState]) -> list[str]:
    """The stages that report a metric, as their runs show that are done: ``stage:name`` is that of one stage."""
    wanted, colon, _ = metric.name.rpartition(':')
    found = {run.stage.name for run in plan.runs if _reported(metric, run, states) is not None}
    return [stage.name for stage in plan.study.stages if stage.name in found and (not colon or stage.name == wanted)]


def _reported(metric: Metric, run: Run, states: Mapping[str, RunState]) -> float | None:
    state = states[run.hash]
    if state.name != 'done' or state.record is None:
        return None
    found = find_name(metric.name.rpartition(':')[2], state.record.metrics)
    return None if found is None else state.record.metrics[found]


def collect(plan: Plan, metrics: Sequence[Metric] | None = None) -> Results:
    """Read the results of a plan from its work dirs."""
    states = {run.hash: state_of(run) for run in plan.runs}
    values = {}
    for metric in plan.study.metrics if metrics is None else metrics:
        # Of all variants the same stage, the last one that reports it. Until it is done, there is no value.
        stages = stages_of(metric, plan, states)
        for (variant, seed), chain in plan.chains.items():
            own = [stage for stage in stages if stage in chain]
            value = _reported(metric, chain[own[-1]], states) if own else None
            if value is not None and math.isfinite(value):
                values[metric.name, variant, seed] = value
    return Results(plan, states, values)
