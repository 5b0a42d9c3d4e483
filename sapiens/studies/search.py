"""Search over options of a study by Optuna. Its trials are runs like those of variants, in the same folders."""

import os
import socket
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import psutil

from sapiens.utils.optional import require
from sapiens.visualization import read_curves

from .child import PROGRAM, Child
from .metrics import find_name
from .plan import plan_study
from .results import collect
from .runner import Local, Stopped, run_plan
from .state import owner_of
from .study import TRIAL, Study, Variant

__all__ = ['JOURNAL', 'check_search', 'run_search', 'trial_variants']

JOURNAL = 'optuna.journal'
"""Name of the file in the folder of the study that all hosts share."""
PATIENCE = 300.0
"""Seconds after which a trial without a process that works on it counts as abandoned, if another host has begun it."""
WORKER = 'worker'
ABANDONED = 'abandoned'


class NoValue(Exception):
    """The runs of a trial have failed, or do not report the metric."""


def _optuna() -> ModuleType:
    optuna = require('optuna', 'the search of a study')
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def check_search(study: Study) -> None:
    """Check the sampler and the pruner of a search, before its variants run.

    Raises:
        ImportError: Optuna is not installed.
        ValueError: one of them is refused.
    """
    optuna = _optuna()
    _build(optuna.samplers, _sampler_options(study), 'sampler', study)
    _build(optuna.pruners, _pruner_options(study), 'pruner', study)


def _open(study: Study, folder: Path) -> Any:
    """Optuna's study, made when it is not there."""
    optuna = _optuna()
    folder.mkdir(parents=True, exist_ok=True)
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(folder / JOURNAL)))
    return optuna.create_study(
        study_name=study.name,
        storage=storage,
        sampler=_build(optuna.samplers, _sampler_options(study), 'sampler', study),
        pruner=_build(optuna.pruners, _pruner_options(study), 'pruner', study),
        direction='maximize' if study.search.metric.better == 'higher' else 'minimize',
        load_if_exists=True,
    )


def _sampler_options(study: Study) -> dict[str, Any]:
    options = dict(study.search.sampler)
    if options.get('type') == 'GridSampler':
        for key, values in _space(study).items():
            if isinstance(values, Mapping):
                raise ValueError(f'{study.file}: search.space has a range of {key}: GridSampler needs lists of values')
        options.setdefault('search_space', {key: list(values) for key, values in _space(study).items()})
    return options


def _pruner_options(study: Study) -> Mapping[str, Any]:
    return study.search.pruner or dict(type='NopPruner')


def _build(module: ModuleType, options: Mapping[str, Any], what: str, study: Study) -> Any:
    """A sampler or pruner of Optuna.

    Raises:
        ValueError: no class of this name, or arguments that it refuses.
    """
    options = dict(options)
    name = options.pop('type', None)
    kind = getattr(module, str(name), None)
    if kind is None:
        known = [one for one in dir(module) if one.endswith(('Sampler', 'Pruner')) and not one.startswith('Base')]
        raise ValueError(f'{study.file}: search.{what} has type={name!r}, expected one of {", ".join(known)}')
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # that a sampler may change
            return kind(**options)
    except (TypeError, ValueError) as error:
        raise ValueError(f'{study.file}: search.{what}: {error}') from error


def _space(study: Study) -> dict[str, Any]:
    """{``stage:key``: range or choices}."""
    return {
        f'{stage}:{key}': values for stage, options in study.search.space.items() for key, values in options.items()
    }


def _suggest(trial: Any, name: str, values: Any) -> Any:
    if isinstance(values, list | tuple):
        return trial.suggest_categorical(name, list(values))
    whole = isinstance(values['low'], int) and isinstance(values['high'], int)
    return (trial.suggest_int if whole else trial.suggest_float)(name, **values)


def _variant(number: int, parameters: Mapping[str, Any]) -> Variant:
    options: dict[str, dict[str, Any]] = {}
    for name, value in parameters.items():
        stage, _, key = name.partition(':')
        options.setdefault(stage, {})[key] = value
    return Variant(f'{TRIAL}{number:04d}', options)


def trial_variants(study: Study, root: str | Path) -> list[Variant]:
    """Variants of the trials that are complete, for the table. Empty without a search, or before it."""
    folder = Path(root) / study.name
    if study.search is None or not (folder / JOURNAL).is_file():
        return []
    optuna = _optuna()
    found = _open(study, folder).get_trials(deepcopy=False, states=[optuna.trial.TrialState.COMPLETE])
    known = [(one.options, one.configs) for one in study.variants]
    variants: list[Variant] = []
    for trial in found:
        variant = _variant(trial.number, trial.params)
        if (variant.options, variant.configs) not in known:  # a named variant that was enqueued
            known.append((variant.options, variant.configs))
            variants.append(variant)
    return variants


def run_search(
    study: Study,
    root: str | Path,
    local: Local,
    program: Sequence[str] = PROGRAM,
    report: Callable[[str], None] = print,
) -> None:
    """Work on trials until the search has as many as the study says. Other processes may do the same.

    A trial is the chain of a variant with each seed. Its value is the mean of the metric over them. The first seed is pruned at
    its validations. Variants that set nothing but options of the space, to values in it, are tried first. A trial whose process
    has ended is taken over.

    Raises:
        ImportError: Optuna is not installed.
        ValueError: a space, sampler or pruner that is refused.
        Stopped: by a signal; the trial goes on when the search is continued.
    """
    optuna = _optuna()
    states = optuna.trial.TrialState
    search = _open(study, Path(root) / study.name)
    _enqueue_variants(study, search)
    _take_over(study, search, Path(root) / study.name, report)

    def objective(trial: Any) -> float:
        trial.set_user_attr(WORKER, [socket.gethostname(), os.getpid(), time.time()])
        parameters = {name: _suggest(trial, name, values) for name, values in _space(study).items()}
        variant = _variant(trial.number, parameters)
        report(f'{variant.name}: {", ".join(f"{key}={value}" for key, value in parameters.items())}')
        try:
            value = _run_trial(study, variant, root, local, program, report, trial)
        except Stopped:  # its runs resume when the same values come again
            trial.set_user_attr(ABANDONED, True)
            search.enqueue_trial(parameters)
            raise
        report(f'{variant.name}: {study.search.metric.name} = {value:.6g}')
        return value

    def stop_at_the_end(search: Any, trial: Any) -> None:
        if _count(search, states) >= study.search.trials:
            search.stop()

    if _count(search, states) < study.search.trials:
        search.optimize(objective, catch=(NoValue,), callbacks=[stop_at_the_end])


def _count(search: Any, states: Any) -> int:
    """Trials that have a result, or get one. Enqueued ones wait, and those that were taken over are there twice."""
    counted = (states.COMPLETE, states.PRUNED, states.RUNNING, states.FAIL)
    trials = search.get_trials(deepcopy=False, states=counted)
    return sum(ABANDONED not in trial.user_attrs for trial in trials)


def _enqueue_variants(study: Study, search: Any) -> None:
    space = _space(study)
    for variant in study.variants:
        flat = {
            f'{stage}:{key}': value for stage, options in variant.options.items() for key, value in options.items()
        }
        inside = all(key in space and _contains(space[key], value) for key, value in flat.items())
        if flat and inside and not variant.configs:
            search.enqueue_trial(flat, skip_if_exists=True)


def _contains(values: Any, value: Any) -> bool:
    if isinstance(values, Mapping):
        return isinstance(value, int | float) and values.get('low', 0) <= value <= values.get('high', 0)
    return isinstance(values, list | tuple) and value in values


def _take_over(study: Study, search: Any, folder: Path, report: Callable[[str], None]) -> None:
    """Enqueue the trials again whose process has ended without a result. Their runs resume, since their configs are equal."""
    states = _optuna().trial.TrialState
    for trial in search.get_trials(deepcopy=False, states=[states.RUNNING]):
        host, pid, begin = trial.user_attrs.get(WORKER, ['', 0, 0.0])
        places = (folder / f'{TRIAL}{trial.number:04d}').glob('*')
        if any(owner_of(place) is not None for place in places):
            continue
        ended = not psutil.pid_exists(pid) if host == socket.gethostname() else time.time() > begin + PATIENCE
        if not ended:
            continue
        report(f'{TRIAL}{trial.number:04d} was abandoned: it is enqueued again')
        search._storage.set_trial_user_attr(trial._trial_id, ABANDONED, True)
        search.tell(trial.number, state=states.FAIL)
        if trial.params:
            search.enqueue_trial(trial.params)


def _run_trial(
    study: Study,
    variant: Variant,
    root: str | Path,
    local: Local,
    program: Sequence[str],
    report: Callable[[str], None],
    trial: Any,
) -> float:
    """The mean of the metric over the seeds.

    Raises:
        NoValue: a seed has none.
        optuna.TrialPruned: the first seed was stopped.
    """
    watch = _Watch(study, trial)
    for seeds in dict.fromkeys((study.seeds[:1], study.seeds)):  # the other seeds if the first one was not pruned
        plan = plan_study(replace(study, seeds=seeds, checks=(), reference=variant.name), root, variants=[variant])
        run_plan(plan, local, program, report=report, watch=watch if len(seeds) == 1 else lambda child: False)
        if watch.is_pruned:
            raise _optuna().TrialPruned
    values = collect(plan, [study.search.metric]).of(study.search.metric.name, variant.name)
    if len(values) < len(study.seeds):
        raise NoValue(f'{variant.name} has no {study.search.metric.name}')
    return float(np.mean(list(values.values())))


class _Watch:
    """Reports the validations of a running child to a trial, and tells whether to stop it."""

    interval = 1.0

    def __init__(self, study: Study, trial: Any) -> None:
        self.stage, _, self.name = study.search.metric.name.rpartition(':')
        self.stages = [stage.name for stage in study.stages if stage.command == 'train']
        self.trial, self.is_pruned, self.looked, self.reported = trial, False, 0.0, set()

    def __call__(self, child: Child) -> bool:
        wanted = self.stage or self.stages[-1]
        if self.is_pruned or child.run.stage.name != wanted or time.monotonic() < self.looked + self.interval:
            return self.is_pruned
        self.looked = time.monotonic()
        try:
            logged = read_curves(child.run.folder)
        except ValueError:  # nothing yet, or a line that is being written
            return False
        found = find_name(self.name, logged)
        for step, value in zip(*logged[found], strict=True) if found else ():
            if step not in self.reported:
                self.reported.add(step)
                self.trial.report(float(value), int(step))
        self.is_pruned = bool(self.reported) and self.trial.should_prune()
        return self.is_pruned
