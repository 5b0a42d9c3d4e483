"""The runs of a study: what each computes, from which other run it starts, and where it lies."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path
from typing import Any

from mmengine.config import Config

from sapiens.checkpoints import require_starts, resolve_checkpoint
from sapiens.metainfo.naming import near
from sapiens.utils.config import apply_options, load_config
from sapiens.utils.config_files import read_files_once
from sapiens.utils.config_keys import flatten
from sapiens.utils.counting import count_of

from .checks import parse_check
from .metrics import find_name, names_of_config
from .resolve import hash_of, identity, option_texts
from .state import RECORD, read_record
from .study import Stage, Study, Variant

__all__ = ['MOST', 'ROOT', 'Plan', 'Run', 'missing_starts', 'plan_study']

ROOT = Path('work_dirs/ablations')
MOST = 200
"""Number of runs from which a study needs ``--yes``."""
# What writes files during a run, and its keys for folders that are not that of the run.
WRITERS = ('default_hooks', 'custom_hooks', 'visualizer')
PLACES = ('.out_dir', '.save_dir')


@dataclass(eq=False)
class Run:
    """One training or test. Variants whose stages are equal share it.

    Attributes:
        stage: of the chain.
        variants: names of those that share it; the folder is named after the first.
        seed: of the run.
        config, options: of its command.
        cfg: the resolved config.
        parent: the run whose checkpoint it starts from or tests.
        content: what its result depends on, by flat keys.
        hash: of the content and of the parent.
        folder: its work dir.
        metrics: of the study, those that it may report: of its stage, or of any.
    """

    stage: Stage
    variants: list[str]
    seed: int
    config: str
    options: Mapping[str, Any]
    cfg: Config = field(repr=False)
    parent: 'Run | None'
    content: Mapping[str, Any] = field(repr=False)
    hash: str
    folder: Path
    metrics: tuple[str, ...] = ()

    @cached_property
    def reported(self) -> tuple[str, ...]:
        """The metrics of the study that its evaluator reports."""
        known, _ = names_of_config(self.cfg, self.stage.command)
        return tuple(name for name in self.metrics if find_name(name, known) is not None)

    @property
    def name(self) -> str:
        """``variant/stage-seed0``."""
        return f'{self.folder.parent.name}/{self.folder.name}'


@dataclass
class Plan:
    """All runs of a study.

    Attributes:
        study: of the runs.
        root: folder of all studies.
        folder: of the study.
        runs: each after its parent.
        chains: {(variant, seed): {stage: run}}.
        notes: what could not be checked.
    """

    study: Study
    root: Path
    folder: Path
    runs: list[Run]
    chains: dict[tuple[str, int], dict[str, Run]]
    notes: list[str]


class _Resolver:
    """Resolves configs, each file read once, and collects all that is wrong with them."""

    def __init__(self) -> None:
        self.problems: dict[str, list[str]] = {}
        self._files: dict[str, Config] = {}

    def resolve(self, config: str, options: Mapping[str, Any], variant: str) -> Config | None:
        """The config with its options; None if it is refused, which :attr:`problems` says then."""
        try:
            return self._load(config, options)
        except (ValueError, FileNotFoundError) as error:
            found = [text for key, value in options.items() if (text := self._problem(config, {key: value}))]
            for text in found or [str(error)]:
                names = self.problems.setdefault(text, [])
                names += [variant] if variant not in names else []
            return None

    def _problem(self, config: str, options: Mapping[str, Any]) -> str:
        try:
            self._load(config, options)
        except (ValueError, FileNotFoundError) as error:
            return str(error).removeprefix('--cfg-options ')
        return ''

    def _load(self, config: str, options: Mapping[str, Any]) -> Config:
        if config not in self._files:
            self._files[config] = load_config(config)
        cfg = copy.deepcopy(self._files[config])
        apply_options(cfg, copy.deepcopy(dict(options)), config)
        option_texts(options)
        writers = {key: cfg[key] for key in WRITERS if cfg.get(key)}
        for key, place in flatten(writers).items():
            if key.endswith(PLACES) and place is not None:
                raise ValueError(
                    f'{key}={place!r} of {config}: what a run writes stays in its folder; remove {key.rpartition(".")[2]}'
                )
        if isinstance(cfg.get('load_from'), str):
            path = resolve_checkpoint(cfg.load_from)
            if not path.exists():
                raise FileNotFoundError(
                    f'no checkpoint {path} (load_from of {config}): correct its path, or set load_from=None'
                )
        return cfg


@read_files_once()
def plan_study(
    study: Study,
    root: str | Path = ROOT,
    only: str | None = None,
    yes: bool = False,
    variants: Sequence[Variant] | None = None,
) -> Plan:
    """Resolve the runs of a study.

    Args:
        root: folder of all studies.
        only: shell pattern of the variants that are taken.
        yes: allow more than :data:`MOST` runs.
        variants: instead of those of the study: trials of its search.

    Raises:
        ValueError: options that the strict loader refuses, of all variants in one message; variants that are equal; a metric that
            no stage reports; a check that names something unknown; a study that is too large; no variant of this name.
    """
    chosen = [one for one in variants or study.variants if only is None or fnmatch(one.name, only)]
    if not chosen:
        names = ', '.join(one.name for one in study.variants)
        raise ValueError(f'--only {only}: no variant of {study.file} ({names})')
    count = len(chosen) * len(study.seeds) * len(study.stages)
    if count > MOST and not yes:
        raise ValueError(
            f'{study.file}: {count_of(len(chosen), "variant")}, {count_of(len(study.seeds), "seed")} and '
            f'{count_of(len(study.stages), "stage")} are {count} runs, more than {MOST}: take some with --only, or confirm '
            'with --yes'
        )
    folder, resolver = Path(root) / study.name, _Resolver()
    runs: dict[str, Run] = {}
    chains: dict[tuple[str, int], dict[str, Run]] = {}
    for seed in study.seeds:  # the first result of all variants before the second of one
        for variant in variants or study.variants:
            chains[variant.name, seed] = _add_chain(study, variant, seed, folder, resolver, runs)
    if study.search is not None and variants is None:
        # What its trials set, by one value of each.
        first = {
            stage: {key: one['low'] if isinstance(one, Mapping) else one[0] for key, one in part.items()}
            for stage, part in study.search.space.items()
        }
        _add_chain(study, Variant('search', first), study.seeds[0], folder, resolver, {})
    if resolver.problems:
        parts = [f'{", ".join(names)}: {text}' for text, names in resolver.problems.items()]
        raise ValueError(f'{study.file} cannot run: ' + '; '.join(parts))
    _refuse_equal(study, chains)
    plan = Plan(study, Path(root), folder, list(runs.values()), chains, [])
    _place(plan)
    _check_metrics(plan)
    _keep(plan, {one.name for one in chosen})
    for text in study.checks:
        try:
            parse_check(text, [one.name for one in study.variants], [metric.name for metric in study.metrics])
        except ValueError as error:
            raise ValueError(f'{study.file}: {error}') from None
    return plan


def _add_chain(
    study: Study, variant: Variant, seed: int, folder: Path, resolver: _Resolver, runs: dict[str, Run]
) -> dict[str, Run]:
    """Add the runs of a variant with a seed, those of them that are new. {stage: run}."""
    chain: dict[str, Run] = {}
    configs: dict[str, str] = {}
    given: dict[str, dict] = {}
    for stage in study.stages:
        own = dict(variant.options.get(stage.name, {}))
        is_test = stage.command == 'test'
        # A test has the model of the stage that it tests.
        inherited = stage.after if is_test and stage.config == _stage(study, stage.after).config else None
        config = variant.configs.get(stage.name) or (configs.get(inherited) if inherited else None) or stage.config
        base = given.get(inherited, {}) if inherited else {}
        options = {**stage.options, **base, **own}
        configs[stage.name], given[stage.name] = config, options
        options = options if 'randomness.seed' in options else {**options, 'randomness.seed': seed}
        if is_test:
            options.pop('load_from', None)
        cfg = resolver.resolve(config, options, variant.name)
        if cfg is None:
            continue
        # A variant that names other weights, or none, does without the stage before.
        parent = chain.get(stage.after) if is_test or 'load_from' not in options else None
        content = identity(cfg, stage.command)
        hash = hash_of(stage.name, stage.command, content, parent and [parent.hash, parent.stage.checkpoint])
        run = runs.get(hash)
        if run is None:
            place = folder / variant.name / f'{stage.name}-seed{seed}'
            metrics = _metrics_of(study, stage.name)
            run = runs[hash] = Run(stage, [], seed, config, options, cfg, parent, content, hash, place, metrics)
        if variant.name not in run.variants:
            run.variants.append(variant.name)
        chain[stage.name] = run
    leaves = {stage.name for stage in study.stages} - {stage.after for stage in study.stages}
    needed = {run.hash for name in leaves & chain.keys() for run in _line(chain[name])}
    for name, run in list(chain.items()):
        if run.hash not in needed:  # the stage before one that begins elsewhere
            del chain[name]
            run.variants.remove(variant.name)
            if not run.variants:
                del runs[run.hash]
    return chain


def _stage(study: Study, name: str | None) -> Stage:
    return next(stage for stage in study.stages if stage.name == name)


def _metrics_of(study: Study, stage: str) -> tuple[str, ...]:
    """The metrics of a study that a stage may report, without its name."""
    parts = [metric.name.rpartition(':') for metric in study.metrics]
    return tuple(name for wanted, colon, name in parts if not colon or wanted == stage)


def _line(run: Run | None) -> Iterable[Run]:
    """A run and those before it."""
    while run is not None:
        yield run
        run = run.parent


def _refuse_equal(study: Study, chains: Mapping[tuple[str, int], Mapping[str, Run]]) -> None:
    seen: dict[tuple, str] = {}
    for (variant, seed), chain in chains.items():
        key = (seed, *(run.hash for run in chain.values()))
        if key in seen:
            raise ValueError(
                f'{study.file}: variants {seen[key]} and {variant} are equal: remove one, or correct its options'
            )
        seen[key] = variant


def _keep(plan: Plan, variants: set[str]) -> None:
    """Drop the runs of other variants. The folders of shared ones do not depend on the choice."""
    plan.chains = {key: chain for key, chain in plan.chains.items() if key[0] in variants}
    used = {run.hash for chain in plan.chains.values() for run in chain.values()}
    plan.runs = [run for run in plan.runs if run.hash in used]


def _place(plan: Plan) -> None:
    """Choose the folder of runs that several variants share, or that another variant had before: the one that has the result."""
    found: dict[str, Path] = {}
    for file in sorted(plan.folder.glob(f'*/*/{RECORD}')):
        record = read_record(file.parent)
        if record is not None:
            found.setdefault(record.hash, file.parent)
    wanted = {run.folder for run in plan.runs}
    for run in plan.runs:
        own = [plan.folder / variant / run.folder.name for variant in run.variants]
        place = found.get(run.hash)
        if place is not None and (place in own or place not in wanted):
            run.folder = place


def missing_starts(runs: Iterable[Run]) -> list[str]:
    """What trainings begin with that is not on this machine, such as released encoders: a text for each, with the variants."""
    found: dict[str, list[str]] = {}
    for run in runs:
        if run.stage.command == 'train':
            try:
                require_starts({'model': run.cfg.model})  # load_from is checked when the study is planned
            except (ValueError, FileNotFoundError) as error:
                found.setdefault(str(error), []).extend(run.variants)
    return [f'{", ".join(dict.fromkeys(names))}: {text}' for text, names in found.items()]


def _check_metrics(plan: Plan) -> None:
    """Refuse a metric that no stage reports."""
    study = plan.study
    first = {run.stage.name: run for run in reversed(plan.runs)}  # a variant may lack a stage
    names = {
        stage.name: names_of_config(first[stage.name].cfg, stage.command)
        for stage in study.stages
        if stage.name in first
    }
    for metric in study.metrics:
        stage, colon, name = metric.name.rpartition(':')
        if colon and stage not in names:
            raise ValueError(
                f'{study.file}: metric {metric.name!r} names no stage{near(stage, list(names))} (stages: {", ".join(names)})'
            )
        looked = {stage: names[stage]} if colon else names
        try:
            if any(find_name(name, found) for found, _ in looked.values()):
                continue
        except ValueError as error:
            raise ValueError(f'{study.file}: {error}') from None
        unknown = [one for one, (_, is_complete) in looked.items() if not is_complete]
        if not unknown:
            known = [f'{stage}:{name}' for stage, (found, _) in names.items() for name in found]
            plain = sorted({one.partition(':')[2] for one in known})
            raise ValueError(
                f'{study.file}: no stage reports the metric {metric.name!r}{near(name, plain)} (reported: {", ".join(known)})'
            )
        plan.notes.append(
            f'whether {" or ".join(unknown)} reports {metric.name} is seen when it runs: its evaluator cannot be built here'
        )
