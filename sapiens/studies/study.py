"""What a study is: several variants of a training. :mod:`.load` reads it from a file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ['TRIAL', 'Metric', 'PowerLaw', 'Search', 'Stage', 'Study', 'Variant']

TRIAL = 'trial-'
"""Beginning of the names of variants that a search makes."""


@dataclass(frozen=True)
class Stage:
    """A step of the chain.

    Attributes:
        name: of the stage.
        config: of its runs.
        after: name of the stage whose checkpoint it starts from or tests; None without one.
        command: ``'train'`` or ``'test'``.
        options: of all its runs, by flat keys.
        checkpoint: which one of its run goes to the next stage: ``'last'`` or ``'best'`` (by ``save_best``).
    """

    name: str
    config: str
    after: str | None = None
    command: str = 'train'
    options: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: str = 'last'


@dataclass(frozen=True)
class Variant:
    """What a variant changes.

    Attributes:
        name: of the variant.
        options: {stage: {flat key: value}}.
        configs: {stage: config}, where it is not that of the stage.
    """

    name: str
    options: Mapping[str, Mapping[str, Any]]
    configs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Metric:
    """A number that the table shows.

    Attributes:
        name: as in the log (``coco/AP``), or its last part (``AP``).
        better: ``'higher'`` or ``'lower'``.
    """

    name: str
    better: str

    @property
    def sign(self) -> int:
        """1 if higher is better, else -1."""
        return 1 if self.better == 'higher' else -1


@dataclass(frozen=True)
class PowerLaw:
    """A law that is fitted to results, see :mod:`.power_law`.

    Attributes:
        name: in the table.
        metric: whose error is fitted: its value where lower is better, else 1 minus the value.
        points: {variant: x}.
    """

    name: str
    metric: str
    points: Mapping[str, float]


@dataclass(frozen=True)
class Search:
    """A search over options by Optuna, see :mod:`.search`.

    Attributes:
        space: {stage: {flat key: range or choices}}.
        metric: that is optimized.
        trials: number of runs of the last stage.
        sampler, pruner: dicts with ``type``, a class of ``optuna.samplers`` or ``optuna.pruners``, and its arguments.
    """

    space: Mapping[str, Mapping[str, Any]]
    metric: Metric
    trials: int
    sampler: Mapping[str, Any]
    pruner: Mapping[str, Any] | None


@dataclass(frozen=True)
class Study:
    """A study as its file describes it; :func:`.plan.plan_study` makes runs of it.

    Attributes:
        name: of its folder.
        file: where it stands.
        stages: in the order of the chain, each after the one that it needs.
        variants: at least one.
        seeds: of every variant.
        metrics: in the order of the table's columns.
        checks: claims, see :mod:`.checks`.
        reference: name of a variant.
        power_laws: that are fitted to the results.
        search: over further options, or None.
    """

    name: str
    file: str
    stages: Sequence[Stage]
    variants: Sequence[Variant]
    seeds: Sequence[int]
    metrics: Sequence[Metric]
    checks: Sequence[str]
    reference: str
    power_laws: Sequence[PowerLaw] = ()
    search: Search | None = None
