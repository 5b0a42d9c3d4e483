"""Config files with strict options: a key that does not exist is an error, never a silent addition."""

import argparse
import inspect
import shlex
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict, DictAction

__all__ = ['add_options_argument', 'flatten', 'load_config', 'origin_of']

# Ingredients that recipes wire into the runner's arguments when a file is read. Changing one afterwards would change
# nothing, so options may not touch them; the value says where the wired copy lies, if there is one place.
PRIMITIVES = {
    'backbone': 'model.backbone',
    'finetune': '',
    'codec': '',
    'train_dataset': 'train_dataloader.dataset',
    'val_dataset': 'val_dataloader.dataset',
    'test_dataset': 'test_dataloader.dataset',
    'train_pipeline': 'train_dataloader.dataset.pipeline',
    'val_pipeline': 'val_dataloader.dataset.pipeline',
    'test_pipeline': 'test_dataloader.dataset.pipeline',
    'metric': 'val_evaluator',
    'skeleton': 'model.skeleton',
    'classes': 'model.task.classes',
    'num_keypoints': '',
    'num_classes': '',
    'image_size': 'model.backbone.img_size',
    'save_best': 'default_hooks.checkpoint.save_best',
}


def top_level_keys() -> set[str]:
    """Keys a config file may set at its top: arguments of MMEngine's runner, the primitives, and what MMEngine reads
    besides. Names that begin with an underscore are free."""
    from mmengine.runner import Runner

    arguments = set(inspect.signature(Runner.__init__).parameters) - {'self', 'cfg'}
    return arguments | set(PRIMITIVES) | {'custom_imports', 'compile', 'model_wrapper_cfg', 'find_unused_parameters'}


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
    """Read a config file and apply options to it.

    Args:
        path: a Python config file.
        options: ``'a.b=value'`` strings as given on a command line, or flat keys with values. See
            :func:`add_options_argument`.

    Raises:
        FileNotFoundError: naming configs that are alike.
        ValueError: for an unknown top-level key, an option whose key does not exist, cannot take effect, or whose value
            is of another type than the one it replaces.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        what = f'{path} is a folder, expected a config file' if path.is_dir() else f'no config file {path}'
        raise FileNotFoundError(what + _near_files(path))
    cfg = Config.fromfile(str(path))
    known = top_level_keys()
    for key in cfg:
        if key not in known and not key.startswith('_'):
            raise ValueError(
                f'{path} sets an unknown key {key!r}{_did_you_mean(key, known)} (names of helper values begin with an '
                'underscore)'
            )
    for key, value in parse_options(options).items():
        set_option(cfg, key, value, str(path))
    return cfg


def _near_files(path: Path) -> str:
    folder = path if path.is_dir() else path.parent
    while not folder.is_dir():
        folder = folder.parent
    if folder == Path() and folder != path.parent:
        return ''
    # A mistyped folder: look below the one above, but never through a whole home or repository.
    deep = folder not in (path, path.parent) and (folder.resolve() / '_base_').is_dir()
    files = {str(file.relative_to(folder)): file.name for file in (folder.rglob if deep else folder.glob)('*.py')}
    names = get_close_matches(path.name, set(files.values()), n=3, cutoff=0.4)
    near = [str(name) for close in names for name, file in files.items() if file == close]
    return f'; in {folder} there is {", ".join(near[:3])}' if near else ''


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
    if isinstance(node, list):
        _child(node, last, seen, key, source, False)
        node[int(last)] = _checked(node[int(last)], value, key)
    elif not isinstance(node, dict):
        raise ValueError(
            f'--cfg-options {key}: {".".join(seen)} of {source} is {str(node)[:60]} and has no keys: give its value as a whole'
        )
    elif last in node:
        node[last] = _checked(node[last], value, key)
    elif add:
        node[last] = value
    else:
        raise _unknown(last, node, seen, key, source)


def _refuse_without_effect(cfg: Config, parts: list[str], value: Any, source: str, add: bool) -> None:
    """A silent no-effect is the worst answer to an option."""
    top, key = parts[0], '.'.join(parts)
    option = f'--cfg-options {key}={value!r}'
    if top in PRIMITIVES or top.startswith('_'):
        text = f'{option} would change nothing: {top!r} of {source} was used up when the file was read'
        wired = PRIMITIVES.get(top, '')
        place = '.'.join([wired, *parts[1:]])
        if wired and _has(cfg._cfg_dict, place.rpartition('.')[0] if add else place):
            written = shlex.quote(f'{"+" * add}{place}={value}')
            raise ValueError(f'{text}: it is wired into {wired}. Override that: --cfg-options {written}')
        raise ValueError(
            f'{text}{f", wired into {wired}" if wired else ""}. Override the key it went into: '
            f'sapiens config {source} shows them all'
        )
    known = top_level_keys()
    if top not in known:
        raise ValueError(f'{option} would change nothing: {top!r} is no key of a config{_did_you_mean(top, known)}')


def _has(node: Any, key: str) -> bool:
    for part in key.split('.'):
        if isinstance(node, list):
            if not part.isdigit() or int(part) >= len(node):
                return False
            node = node[int(part)]
        elif isinstance(node, dict) and part in node:
            node = node[part]
        else:
            return False
    return True


def _child(node: Any, part: str, seen: list[str], key: str, source: str, add: bool) -> Any:
    where = '.'.join(seen) or 'the config'
    if isinstance(node, list):
        if not part.isdigit() or int(part) >= len(node):
            raise ValueError(
                f'--cfg-options {key}: {where} of {source} is a list of {len(node)}, {part!r} is no item of it'
            )
        return node[int(part)]
    if not isinstance(node, dict):
        raise ValueError(
            f'--cfg-options {key}: {where} of {source} is {str(node)[:60]} and has no keys: give its value as a whole'
        )
    if part not in node:
        if not add:
            raise _unknown(part, node, seen, key, source)
        node[part] = ConfigDict()
    return node[part]


def _unknown(part: str, node: dict, seen: list[str], key: str, source: str) -> ValueError:
    where = '.'.join(seen) or 'the config'
    return ValueError(
        f'no key {part!r} in {where} ({source}){_did_you_mean(part, list(node))} (its keys: {", ".join(map(str, node))}; '
        f'+{key}=... adds it on purpose)'
    )


def _did_you_mean(key: str, known) -> str:
    close = get_close_matches(key, [str(name) for name in known], n=1)
    return f'; did you mean {close[0]!r}?' if close else ''


def _checked(old: Any, new: Any, key: str) -> Any:
    """The new value in the type of the old one where that loses nothing, or an error."""
    if old is None or new is None:
        return new
    if isinstance(old, tuple) and isinstance(new, list):
        return tuple(new)
    if isinstance(old, list) and isinstance(new, tuple):
        return list(new)
    number = int | float
    if type(old) is int and isinstance(new, float) and new.is_integer():
        return int(new)  # 1e3 iterations
    fits = (
        type(old) is type(new)
        or (
            isinstance(old, str)  # such as 'auto' or 'off', beside which a number may stand
            and not isinstance(new, dict | list | tuple)
        )
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
    """Which file each flat key of a merged config comes from: the most derived one that decided its value."""
    path = Path(path).resolve()
    own = flatten(Config.fromfile(str(path))._cfg_dict.to_dict())
    origins = dict.fromkeys(own, str(path))
    for name in Config._get_base_files(str(path)):
        base = Config._get_cfg_path(name, str(path))[0]
        values = flatten(Config.fromfile(str(base))._cfg_dict.to_dict())
        for key, file in origin_of(base).items():
            if key in own and own[key] == values[key]:
                origins[key] = file
    return origins
