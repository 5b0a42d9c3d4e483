"""Read a study from its config file, and check all that can be checked without the configs that it names."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from sapiens.utils.config import config_folder, find_config
from sapiens.utils.config_keys import did_you_mean

from .entries import check_keys, check_kind, check_names, check_options
from .grid import expand_grid
from .study import TRIAL, Metric, PowerLaw, Search, Stage, Study, Variant

__all__ = ['load_study', 'parse_seeds', 'split_options']

KEYS = dict(
    base='config of the stages that have none of their own',
    variants='list of dict(name=..., options=..., config=...)',
    grid='{option: [values]} or {option: {name: value}}',
    exclude='list of {option: value} that the grid leaves out',
    seeds='list of whole numbers',
    chain='list of dict(name=..., config=..., after=..., command=..., options=..., checkpoint=...)',
    metrics="{name: 'higher' or 'lower'}",
    checks="list of texts such as 'a.AP > b.AP'",
    power_laws='list of dict(name=..., metric=..., points={variant: x}): error = factor * x ** exponent',
    reference='variant that the others are compared with',
    options='options of every run',
    search='dict(space=..., metric=..., trials=..., sampler=..., pruner=...)',
)
KINDS = dict(
    base=str, variants=list, chain=list, exclude=list, checks=list, options=dict, power_laws=list, reference=str, search=dict,
)  # fmt: skip
STAGE_KEYS = ('name', 'config', 'after', 'command', 'options', 'checkpoint')
VARIANT_KEYS = ('name', 'options', 'config')
POWER_LAW_KEYS = ('name', 'metric', 'points')
SEARCH_KEYS = ('space', 'metric', 'trials', 'sampler', 'pruner')
# Names of variants that would share a folder with something else.
TAKEN = dict(
    jobs='the folder of jobs', hparams="the folder of TensorBoard's page", outdated='the folder of old results'
)
# Options of the runs that the study sets, and the folders that it owns.
OWN_OPTIONS = {
    'randomness.seed': 'use seeds',
    'resume': 'interrupted runs resume by themselves',
    'work_dir': 'each run has a folder of its own below that of the study',
    'default_hooks.checkpoint.out_dir': 'checkpoints stay in the folder of the run',
    'visualizer.save_dir': 'logs stay in the folder of the run',
    'launcher': 'the executor sets it',
}


def load_study(path: str | Path, seeds: Sequence[int] | None = None) -> Study:
    """Read a study and check all that can be checked without its configs.

    Args:
        path: a file, or the name of a study below ``configs/ablations``.
        seeds: instead of those of the file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file that is not a study, or whose parts do not fit each other.
    """
    file = _find(path)
    try:
        cfg = Config.fromfile(str(file))._cfg_dict.to_dict()
    except Exception as error:  # whatever the file raises
        raise ValueError(f'{file} cannot be read ({type(error).__name__}): {error}') from error
    for key in cfg:
        if key not in KEYS and not key.startswith('_'):
            raise ValueError(f'{file} sets an unknown key {key!r}{did_you_mean(key, KEYS)} (keys: {", ".join(KEYS)})')
    for key, kind in KINDS.items():
        check_kind(cfg.get(key), kind, key, file)
    stages = _read_chain(cfg, file)
    variants = _read_variants(cfg, stages, file)
    names = [variant.name for variant in variants]
    reference = cfg.get('reference', names[0])
    if reference not in names:
        raise ValueError(f'{file}: reference={reference!r} is not a variant{did_you_mean(reference, names)}')
    metrics = _read_metrics(cfg.get('metrics'), file)
    search = _read_search(cfg.get('search'), stages, metrics, file)
    for name in names if search else ():
        if name.startswith(TRIAL):
            raise ValueError(f'{file}: a variant is called {name!r}, as trials of its search are: rename it')
    return Study(
        name=_name_of(file),
        file=str(file),
        stages=stages,
        variants=variants,
        seeds=_read_seeds(cfg.get('seeds', [0]) if seeds is None else seeds, file),
        metrics=metrics,
        checks=tuple(cfg.get('checks') or ()),
        reference=reference,
        power_laws=_read_power_laws(cfg.get('power_laws') or (), names, metrics, file),
        search=search,
    )


def parse_seeds(text: str) -> list[int]:
    """Seeds of a text such as '0-2' or '0,3,5'.

    Raises:
        ValueError: another text.
    """
    seeds: list[int] = []
    for part in text.split(','):
        found = re.fullmatch(r'(\d+)(?:-(\d+))?', part.strip())
        if not found or (found[2] and int(found[2]) < int(found[1])):
            raise ValueError(f'--seeds {text}: expected numbers such as 0-2 or 0,3')
        seeds += range(int(found[1]), int(found[2] or found[1]) + 1)
    return seeds


def _find(path: str | Path) -> Path:
    """The file of a study; names are looked for in ``configs/ablations`` first."""
    name = Path(path).as_posix().removesuffix('.py')
    if not Path(path).is_file() and (file := config_folder() / 'ablations' / f'{name}.py').is_file():
        return file
    return find_config(path)


def _name_of(file: Path) -> str:
    """``mini/layer_decay`` of a shipped study, else the name of the file."""
    root = (config_folder() / 'ablations').resolve()
    file = file.resolve()
    return (file.relative_to(root) if file.is_relative_to(root) else Path(file.name)).with_suffix('').as_posix()


def _read_chain(cfg: dict, file: Path) -> tuple[Stage, ...]:
    entries = cfg.get('chain') or [dict(name='train')]
    for entry in entries:
        check_keys(entry, STAGE_KEYS, 'a stage of chain', file)
    check_names([entry.get('name') for entry in entries], 'a stage', file)
    by_name = {entry['name']: entry for entry in entries}
    for name, entry in by_name.items():
        for key in ('after', 'config'):
            check_kind(entry.get(key), str, f'{key} of stage {name}', file)
        if entry.get('command', 'train') not in ('train', 'test'):
            raise ValueError(f"{file}: stage {name} has command={entry['command']!r}, expected 'train' or 'test'")
        if entry.get('checkpoint', 'last') not in ('last', 'best'):
            raise ValueError(f"{file}: stage {name} has checkpoint={entry['checkpoint']!r}, expected 'last' or 'best'")
        after = entry.get('after')
        if after is not None and after not in by_name:
            raise ValueError(f'{file}: stage {name} is after {after!r}, not a stage{did_you_mean(after, by_name)}')
        if entry.get('command') == 'test' and after is None:
            raise ValueError(f'{file}: stage {name} is a test without a checkpoint: name the stage that it is after')
        if after is not None and by_name[after].get('command') == 'test':
            raise ValueError(f'{file}: stage {name} is after {after}, a test, which writes no checkpoint')
    ordered: dict[str, Stage] = {}
    for name in by_name:
        _add_stage(name, by_name, ordered, (), cfg, file)
    return tuple(ordered.values())


def _add_stage(
    name: str, entries: dict, ordered: dict[str, Stage], pending: tuple[str, ...], cfg: dict, file: Path
) -> None:
    """Add a stage after those that it needs."""
    if name in ordered:
        return
    if name in pending:
        circle = ' -> '.join([*pending[pending.index(name) :], name])
        raise ValueError(f'{file}: its chain is a circle: {circle}: remove after from one of these stages')
    entry = entries[name]
    after = entry.get('after')
    if after is not None:
        _add_stage(after, entries, ordered, (*pending, name), cfg, file)
    is_test = entry.get('command') == 'test'
    config = entry.get('config') or (ordered[after].config if is_test else cfg.get('base'))
    if not config:
        raise ValueError(f'{file}: stage {name} has no config: set base, or config in the stage')
    options = check_options(cfg.get('options'), 'the study', file)
    options |= check_options(entry.get('options'), f'stage {name}', file)
    _refuse_own_options(options, f'stage {name}', file)
    inherited = ordered[after].options if is_test else {}
    ordered[name] = Stage(
        name, config, after, entry.get('command', 'train'), {**inherited, **options}, entry.get('checkpoint', 'last')
    )


def _refuse_own_options(options: Mapping[str, Any], what: str, file: Path) -> None:
    for key in options:
        for own, hint in OWN_OPTIONS.items():
            if f'{key.removeprefix("+")}.'.startswith(f'{own}.'):
                raise ValueError(f'{file}: {what} sets {key}, which belongs to the study: {hint}')


def split_options(options: Mapping[str, Any], stages: Sequence[Stage], what: str, file: Path) -> dict[str, dict]:
    """{stage: {key: value}} of options whose keys may begin with a stage: ``'pretrain:model.mask_ratio'``.

    Without one they belong to the only stage that trains. ValueError where there are several.
    """
    training = [stage.name for stage in stages if stage.command == 'train']
    names, found = [stage.name for stage in stages], {}
    for key, value in options.items():
        stage, colon, rest = key.partition(':')
        if not colon:
            if len(training) > 1:
                raise ValueError(
                    f'{file}: {what} has {key!r}, and {" and ".join(training)} are trained: write STAGE:{key}'
                )
            stage, rest = training[0], key
        elif stage not in names:
            raise ValueError(f'{file}: {what} has {key!r}: no stage {stage!r}{did_you_mean(stage, names)}')
        found.setdefault(stage, {})[rest] = value
    for part in found.values():
        _refuse_own_options(part, what, file)
    return found


def _read_variants(cfg: dict, stages: Sequence[Stage], file: Path) -> tuple[Variant, ...]:
    entries = list(cfg.get('variants') or ())
    for entry in entries:
        check_keys(entry, VARIANT_KEYS, 'a variant', file)
    if 'grid' in cfg:
        entries += expand_grid(cfg['grid'], cfg.get('exclude') or (), str(file))
    elif cfg.get('exclude'):
        raise ValueError(f'{file}: exclude has no effect without grid')
    if not entries:
        raise ValueError(f'{file} has no variants: set variants or grid')
    check_names([entry.get('name') for entry in entries], 'a variant', file, TAKEN)
    found = []
    for entry in entries:
        what = f'variant {entry["name"]}'
        config = entry.get('config')
        if config is None:
            configs = {}
        else:
            given = config if isinstance(config, Mapping) else {'': config}
            for one in given.values():
                check_kind(one, str, f'a config of {what}', file)
            split = split_options(
                {f'{stage}:x' if stage else 'config': one for stage, one in given.items()}, stages, what, file
            )
            configs = {stage: next(iter(one.values())) for stage, one in split.items()}
        options = check_options(entry.get('options'), what, file)
        found.append(Variant(entry['name'], split_options(options, stages, what, file), configs))
    return tuple(found)


def _read_seeds(seeds: Any, file: Path) -> tuple[int, ...]:
    if (
        not isinstance(seeds, list | tuple)
        or not seeds
        or any(type(seed) is not int or not 0 <= seed < 2**32 for seed in seeds)
    ):
        raise ValueError(f'{file}: seeds={seeds!r}, expected a list of whole numbers below 2**32, such as [0, 1]')
    if len(set(seeds)) < len(seeds):
        twice = next(seed for seed in seeds if list(seeds).count(seed) > 1)
        raise ValueError(
            f'{file}: seed {twice} is given twice in seeds={list(seeds)}: a run has one result, so remove one'
        )
    return tuple(seeds)


def _read_metrics(metrics: Any, file: Path) -> tuple[Metric, ...]:
    if not isinstance(metrics, Mapping) or not metrics:
        raise ValueError(f"{file} has no metrics: set metrics = {{'AP': 'higher'}}")
    for name, better in metrics.items():
        check_kind(name, str, 'a metric', file)
        if better not in ('higher', 'lower'):
            raise ValueError(
                f"{file}: metrics[{name!r}]={better!r}, expected 'higher' or 'lower' (which one is better)"
            )
    return tuple(Metric(name, better) for name, better in metrics.items())


def _read_power_laws(
    entries: Sequence[Any], variants: Sequence[str], metrics: Sequence[Metric], file: Path
) -> tuple[PowerLaw, ...]:
    known, found = [metric.name for metric in metrics], []
    for entry in entries:
        check_keys(entry, POWER_LAW_KEYS, 'a power law', file)
    check_names([entry.get('name') for entry in entries], 'a power law', file)
    for entry in entries:
        what, metric, points = f'power law {entry["name"]}', entry.get('metric'), entry.get('points')
        if metric not in known:
            raise ValueError(f'{file}: metric={metric!r} of {what} is not in metrics{did_you_mean(metric, known)}')
        points = check_kind(points, dict, f'points of {what}', file) or {}
        for variant, x in points.items():
            if type(x) not in (int, float) or not 0 < x < math.inf:
                raise ValueError(f'{file}: {what} has x={x!r} at {variant}, expected a number above 0')
        if len(set(points.values())) < 3:
            raise ValueError(
                f'{file}: points of {what} are {points!r}, expected {{variant: x}} with three different x'
            )
        for variant in points:
            if variant not in variants:
                raise ValueError(f'{file}: {what} has no variant {variant!r}{did_you_mean(variant, variants)}')
        found.append(PowerLaw(entry['name'], metric, dict(points)))
    return tuple(found)


def _read_search(search: Any, stages: Sequence[Stage], metrics: Sequence[Metric], file: Path) -> Search | None:
    if not search:
        return None
    check_keys(search, SEARCH_KEYS, 'search', file)
    names = {metric.name: metric for metric in metrics}
    name = search.get('metric', metrics[0].name)
    if name not in names:
        raise ValueError(f'{file}: search.metric={name!r} is not in metrics{did_you_mean(name, names)}')
    space = check_options(search.get('space'), 'search.space', file)
    if not space:
        raise ValueError(f'{file}: search has no space: set space = {{option: dict(low=..., high=..., log=...)}}')
    for key, values in space.items():
        _check_range(key, values, file)
    for what in ('sampler', 'pruner'):
        check_kind(search.get(what), dict, f'search.{what}', file)
    trials = search.get('trials', 20)
    if type(trials) is not int or trials < 1:
        raise ValueError(f'{file}: search.trials={trials!r}, expected a whole number, 1 or more')
    return Search(
        space=split_options(space, stages, 'search.space', file),
        metric=names[name],
        trials=trials,
        sampler=dict(search.get('sampler') or dict(type='TPESampler')),
        pruner=search.get('pruner'),
    )


def _check_range(key: str, values: Any, file: Path) -> None:
    """Refuse what is neither a list of choices nor a range of numbers."""
    if isinstance(values, list | tuple) and values:
        return
    is_range = isinstance(values, Mapping) and {'low', 'high'} <= values.keys() <= {'low', 'high', 'log', 'step'}
    ends = [values['low'], values['high']] if is_range else []
    if not ends or any(type(end) not in (int, float) for end in ends) or not ends[0] <= ends[1]:
        raise ValueError(
            f'{file}: search.space has {key}={values!r}, expected a list or dict(low=..., high=..., log=...) with low <= high'
        )
