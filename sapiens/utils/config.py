"""Config files with strict options: a key that does not exist is an error, never a silent addition."""

import argparse
import ast
import shlex
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict, DictAction

from . import environment  # noqa: F401  (replaces MMEngine's way of reading environment variables)
from .config_keys import did_you_mean, refuse_unknown_keys, top_level_keys
from .foreign import refuse_foreign

__all__ = ['add_options_argument', 'config_folder', 'find_config', 'flatten', 'load_config', 'origin_of']

# Primitives: values that recipes wire into the runner's arguments when a file is read. Changing one afterwards has no effect, so
# options may not touch them. The value lists the places of the wired copies.
PRIMITIVES = {
    'backbone': ('model.backbone',),
    'train_dataset': ('train_dataloader.dataset',),
    'val_dataset': ('val_dataloader.dataset', 'test_dataloader.dataset'),
    'test_dataset': ('test_dataloader.dataset',),
    'train_pipeline': ('train_dataloader.dataset.pipeline',),
    'val_pipeline': ('val_dataloader.dataset.pipeline', 'test_dataloader.dataset.pipeline'),
    'metric': ('val_evaluator', 'test_evaluator'),
    'test_metric': ('test_evaluator',),
    'skeleton': ('model.skeleton',),
    'classes': ('model.task.classes',),
    'layer_decay_rate': ('optim_wrapper.paramwise_cfg.layer_decay_rate',),
    'max_norm': ('optim_wrapper.clip_grad.max_norm',),
}


def _places(name: str, cfg: dict) -> tuple[str, ...]:
    """Where a primitive is wired in a config. Tests use the validation data and metric unless there are some of their own."""
    own_test = {'val_dataset': 'test_dataset', 'metric': 'test_metric'}.get(name) in cfg
    return PRIMITIVES[name][:1] if own_test else PRIMITIVES[name]


def add_options_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--cfg-options``, whose strings :func:`load_config` takes."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action='extend',  # given twice, both count
        metavar='KEY=VALUE',
        help='change values of the config, e.g. train_dataloader.batch_size=8 default_hooks.logger.interval=1; list items '
        'go by number (train_dataloader.dataset.pipeline.0.flip_prob=0). A key that does not exist is refused; '
        '+KEY=VALUE adds one on purpose',
    )


def load_config(path: str | Path, options: list[str] | dict[str, Any] | None = None) -> Config:
    """Read a config and apply options to it.

    Args:
        path: a config file, or its name; see :func:`find_config`.
        options: ``'a.b=value'`` strings as on a command line, or flat keys with values. See :func:`add_options_argument`.

    Raises:
        FileNotFoundError: no such config, or no such base; the message has near names.
        ValueError: a file that cannot be read, a class of another package that does not work here, a module that cannot be
            imported, an unknown key at the top or in a section that
            :mod:`.config_keys` lists, a primitive that is changed without being wired, or an option whose key does not exist,
            that has no effect, or whose value has another type than the old one.
    """
    path = find_config(path)
    cfg = _read(path)
    known = top_level_keys(PRIMITIVES)
    for key in cfg:
        if key not in known and not key.startswith('_'):
            raise ValueError(
                f'{path} sets an unknown key {key!r}{did_you_mean(key, known)} (names of helper values begin with an '
                'underscore)'
            )
    refuse_unknown_keys(cfg._cfg_dict, str(path))
    _refuse_unwired(path.resolve(), cfg._cfg_dict)
    for key, value in parse_options(options).items():
        set_option(cfg, key, value, str(path))
    refuse_unknown_keys(cfg._cfg_dict, '--cfg-options')
    refuse_foreign(cfg._cfg_dict, str(path))
    return cfg


def _read(path: Path) -> Config:
    """Read a config file; see :func:`load_config` for what is raised."""
    try:
        return Config.fromfile(str(path))
    except FileNotFoundError as error:
        raise FileNotFoundError(f'{path}: {error}') from error
    except KeyError as error:  # an environment variable that is set to nothing
        raise ValueError(f'{path}: {error.args[0]}') from error
    except SyntaxError as error:
        raise ValueError(f'{path} is not valid Python: {str(error).strip()}') from error
    except (
        TypeError,
        AttributeError,
        NameError,
        ValueError,
        IndexError,
    ) as error:  # raised by the file, or by merging it
        raise ValueError(f'{path} cannot be read ({type(error).__name__}): {error}') from error
    except ImportError as error:
        cause = error
        while cause.__cause__ or cause.__context__:
            cause = cause.__cause__ or cause.__context__
        raise ValueError(
            f'{path} lists a module in custom_imports that cannot be imported ({type(cause).__name__}: {cause}): '
            'add its folder to PYTHONPATH'
        ) from error


def config_folder() -> Path:
    """The folder of the shipped configs: ``configs/`` of the repository, in a wheel its copy inside the package."""
    package = Path(__file__).parents[1]
    repository = package.parent / 'configs'
    return repository if (repository / '_base_' / 'default_runtime.py').is_file() else package / 'configs'


def find_config(name: str | Path) -> Path:
    """The file of a config.

    Args:
        name: an existing path, or a shipped config: its path below ``configs/``, with or without ``configs/`` and ``.py``, or
            its name alone (``sapiens_1b_coco-1024x768``).

    Raises:
        FileNotFoundError: no such config, or several of this name. The message has near or all names.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        weights = next(path.glob('model.safetensors*'), None)
        found = f' with {weights.name}, but without config.json' if weights else ''
        raise FileNotFoundError(f'{path} is a folder{found}, expected a config file')
    root = config_folder()
    wanted = path.as_posix().removeprefix('configs/').removesuffix('.py')
    if (root / f'{wanted}.py').is_file():
        return root / f'{wanted}.py'
    shipped = sorted(file for file in root.rglob('*.py') if '_base_' not in file.parts)
    names = {file: file.relative_to(root).as_posix() for file in shipped}
    found = [file for file in shipped if file.stem == wanted]
    if len(found) == 1:
        return found[0]
    if found:
        raise FileNotFoundError(f'{name} names {len(found)} configs: {", ".join(names[file] for file in found)}')
    beside = [str(file) for file in path.parent.glob('*.py')] if path.parent.is_dir() and path.parent != Path() else []
    near = {file: Path(file).stem for file in [*beside, *names.values()]}
    stems = get_close_matches(path.name.removesuffix('.py'), set(near.values()), n=3, cutoff=0.4)
    hint = ', '.join([file for stem in stems for file in near if near[file] == stem][:3])
    raise FileNotFoundError(f'no config file {path}{f"; there is {hint}" if hint else ""}')


def _refuse_unwired(path: Path, merged: dict) -> dict:
    """Refuse a file that changes a primitive while its wired copy keeps the value of a base; the same for its bases.

    Raises:
        ValueError: naming the file, the primitive and the place to wire it.
    """
    before = {}
    for base in Config._get_base_files(str(path)):
        file = Path(Config._get_cfg_path(base, str(path))[0])
        before |= _refuse_unwired(file, Config.fromfile(str(file))._cfg_dict)
    for name in PRIMITIVES.keys() & merged.keys():
        changed = {key for key, value in flatten({name: merged.get(name)}).items() if not _equals(before, key, value)}
        for place in _places(name, merged):
            if changed and _has(before, place) and not all(_is_wired(merged, key, name, place) for key in changed):
                raise ValueError(
                    f'{path} changes {name}, which has no effect: {place} keeps the value of its _base_. Wire it in this file '
                    f'too: set {place} to {name}'
                )
    return merged


def _equals(cfg: dict, key: str, value: Any) -> bool:
    return _has(cfg, key) and _get(cfg, key) == value


def _is_wired(merged: dict, key: str, name: str, place: str) -> bool:
    """Whether the value of a primitive's flat key is at its place, or in the list there (evaluators)."""
    target, whole = _get(merged, place), merged.get(name)
    if target == whole or (isinstance(target, list) and whole in target):
        return True
    return isinstance(whole, dict) and _equals(merged, key.replace(name, place, 1), _get(merged, key))


def parse_options(options: list[str] | dict[str, Any] | None) -> dict[str, Any]:
    """Flat keys and parsed values of command-line options."""
    if options is None or isinstance(options, dict):
        return dict(options or {})
    parsed = {}
    for option in options:
        key, found, text = option.partition('=')
        if not found or not key:
            raise ValueError(f'--cfg-options {option!r}: expected KEY=VALUE')
        parsed[key] = _parse(text, option)
    return parsed


def _parse(text: str, option: str) -> Any:
    if '{' in text:  # DictAction knows no dicts
        with suppress(ValueError, SyntaxError):
            return ast.literal_eval(text)
    plain = text.strip('\'"')
    if ' ' in plain and plain[:1] not in '[(' and ',' not in plain:
        return plain  # DictAction takes all spaces out, also those of a path
    try:
        return DictAction._parse_iterable(text)
    except AssertionError as error:
        raise ValueError(f'--cfg-options {option!r}: its brackets are not balanced') from error


def set_option(cfg: Config, key: str, value: Any, source: str) -> None:
    """Set one value by its flat key, in place; see :func:`load_config` for what is refused."""
    add = key.startswith('+')
    key = key.removeprefix('+')
    parts = key.split('.')
    if not all(parts):
        raise ValueError(f'--cfg-options {key}: a part of the key is empty')
    if parts[0] in cfg or add:
        _refuse_without_effect(cfg, parts, value, source, add)
    node, seen = cfg._cfg_dict, []
    for part in parts[:-1]:
        child = _child(node, part, seen, key, source, add)
        if child is None and add:
            child = node[int(part) if isinstance(node, list) else part] = ConfigDict()
        node = child
        seen.append(part)
    last = parts[-1]
    if not (add and isinstance(node, dict) and last not in node):
        value = _checked(_child(node, last, seen, key, source, False), value, key)
    node[int(last) if isinstance(node, list) else last] = value


def _refuse_without_effect(cfg: Config, parts: list[str], value: Any, source: str, add: bool) -> None:
    """A silent no-effect is the worst answer to an option."""
    top, key = parts[0], '.'.join(parts)
    option = f'--cfg-options {key}={value!r}'
    if top in PRIMITIVES or top.startswith('_'):
        text = f'{option} would change nothing: {top!r} of {source} was used up when the file was read'
        wired = PRIMITIVES.get(top, ('',))[0]
        place = '.'.join([wired, *parts[1:]])
        if wired and _has(cfg._cfg_dict, place.rpartition('.')[0] if add else place):
            written = shlex.quote(f'{"+" * add}{place}={value}')
            raise ValueError(f'{text}: it is wired into {wired}. Override that: --cfg-options {written}')
        raise ValueError(
            f'{text}{f", wired into {wired}" if wired else ""}. Override the key it went into: '
            f'sapiens config {source} shows them all'
        )
    known = top_level_keys(PRIMITIVES)
    if top not in known:
        raise ValueError(f'{option} would change nothing: {top!r} is not a key of a config{did_you_mean(top, known)}')


_MISSING = object()


def _get(node: Any, key: str) -> Any:
    """The value of a flat key, or ``_MISSING``."""
    for part in key.split('.'):
        if isinstance(node, list) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        elif isinstance(node, dict) and part in node:
            node = node[part]
        else:
            return _MISSING
    return node


def _has(node: Any, key: str) -> bool:
    return _get(node, key) is not _MISSING


def _child(node: Any, part: str, seen: list[str], key: str, source: str, add: bool) -> Any:
    where = '.'.join(seen) or 'the config'
    if isinstance(node, list):
        if not part.isdigit() or int(part) >= len(node):
            what = f'{where} of {source} is a list of {len(node)}'
            raise ValueError(f'--cfg-options {key}: {what}, {part!r} is not an item of it')
        return node[int(part)]
    if not isinstance(node, dict):
        raise ValueError(
            f'--cfg-options {key}: {where} of {source} is {str(node)[:60]} and has no keys: give its value as a whole'
        )
    if part not in node and add:
        node[part] = ConfigDict()
    elif part not in node:
        raise ValueError(
            f'no key {part!r} in {where} ({source}){did_you_mean(part, node)} (its keys: {", ".join(map(str, node))}; '
            f'+{key}=... adds it on purpose)'
        )
    return node[part]


def _checked(old: Any, new: Any, key: str) -> Any:
    """The new value in the type of the old one where that loses nothing, or an error."""
    if old is None or new is None:
        return new
    if isinstance(old, list | tuple) and isinstance(new, list | tuple):
        return type(old)(new)
    number = int | float
    if type(old) is int and isinstance(new, float) and new.is_integer():
        return int(new)  # 1e3 iterations
    fits = (
        type(old) is type(new)
        # A number may be an alternative to 'auto' or 'off'.
        or (isinstance(old, str) and not isinstance(new, dict | list | tuple))
        or (isinstance(old, dict) and isinstance(new, dict))
        or (isinstance(old, number) and isinstance(new, number) and isinstance(old, bool) == isinstance(new, bool))
    )
    if not fits:
        raise ValueError(
            f'--cfg-options {key}={new!r}: a {type(new).__name__} cannot take the place of {old!r} ({type(old).__name__})'
        )
    return new


def flatten(cfg: Any, prefix: str = '') -> dict[str, Any]:
    """Flat keys of nested dicts and of lists that hold dicts; other lists are values."""
    if isinstance(cfg, list | tuple) and any(isinstance(item, dict) for item in cfg):
        cfg = {str(index): item for index, item in enumerate(cfg)}
    if not isinstance(cfg, dict) or (not cfg and prefix):
        return {prefix: cfg}
    flat = {}
    for key, value in cfg.items():
        flat.update(flatten(value, f'{prefix}.{key}' if prefix else str(key)))
    return flat


def origin_of(path: str | Path) -> dict[str, str]:
    """The file in which the value of each flat key stands: the most derived one that sets it.

    A wired value stands where its primitive is set, not where it is wired.
    """
    path = find_config(path).resolve()
    cfg = Config.fromfile(str(path))._cfg_dict.to_dict()
    own = flatten(cfg)
    origins = dict.fromkeys(own, str(path))
    for name in Config._get_base_files(str(path)):
        base = Config._get_cfg_path(name, str(path))[0]
        values = flatten(Config.fromfile(str(base))._cfg_dict.to_dict())
        for key, file in origin_of(base).items():
            if key in own and own[key] == values[key]:
                origins[key] = file
    for name in PRIMITIVES.keys() & cfg.keys():
        for place in _places(name, cfg):
            for key in own:
                # A metric may be the first of several in a list.
                for prefix in (f'{place}.0', place):
                    primitive = f'{name}{key.removeprefix(prefix)}'
                    if key.startswith(prefix) and primitive in own and own[primitive] == own[key]:
                        origins[key] = origins[primitive]
    return origins
