"""Reading of config files, and where their values stand."""

from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mmengine.config import Config

from .config_files import read_files_once
from .config_keys import (
    PRIMITIVES,
    did_you_mean,
    flatten,
    get_value,
    has_key,
    places_of,
    refuse_unknown_keys,
    top_level_keys,
)
from .config_options import parse_options, set_option
from .foreign import refuse_foreign

__all__ = ['apply_options', 'config_folder', 'find_config', 'load_config', 'origin_of']


@read_files_once()
def load_config(path: str | Path, options: list[str] | dict[str, Any] | None = None) -> Config:
    """Read a config and apply options to it.

    Args:
        path: a config file, or its name; see :func:`find_config`.
        options: ``'a.b=value'`` strings as on a command line, or flat keys with values. See
            :func:`.config_options.add_options_argument`.

    Raises:
        FileNotFoundError: no such config, or no such base; the message has near names.
        ValueError: a file that cannot be read, a class of another package that does not work here, a module that cannot be
            imported, an unknown key at the top or in a section that
            :mod:`.config_keys` lists, a primitive that is changed without being wired, or an option whose key does not exist,
            that has no effect, or whose value has another type than the old one.
    """
    path = find_config(path)
    cfg = _read(path)
    known = top_level_keys()
    for key in cfg:
        if key not in known and not key.startswith('_'):
            raise ValueError(
                f'{path} sets an unknown key {key!r}{did_you_mean(key, known)} (names of helper values begin with an '
                'underscore)'
            )
    refuse_unknown_keys(cfg._cfg_dict, str(path))
    _refuse_unwired(path.resolve(), cfg._cfg_dict)
    apply_options(cfg, options, str(path))
    return cfg


def apply_options(cfg: Config, options: list[str] | dict[str, Any] | None, source: str) -> None:
    """Apply options to a config in place, and check the result; see :func:`load_config`.

    Args:
        source: where the config is from, for messages.
    """
    for key, value in parse_options(options).items():
        set_option(cfg, key, value, source)
    refuse_unknown_keys(cfg._cfg_dict, '--cfg-options')
    refuse_foreign(cfg._cfg_dict, source)


def _read(path: Path) -> Config:
    """Read a config file; see :func:`load_config` for what is raised."""
    try:
        return Config.fromfile(str(path))
    except FileNotFoundError as error:
        raise FileNotFoundError(f'{path}: {error}') from error
    except KeyError as error:  # an environment variable that is set to nothing
        raise ValueError(f'{path}: {error.args[0]}') from error
    except SyntaxError as error:
        text = str(error)  # begins with the file where it is, which may be a base
        raise ValueError(text if text.startswith(f'{path} ') else f'{path}: {text}') from error
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
    beside = (
        sorted(str(file) for file in path.parent.glob('*.py'))
        if path.parent.is_dir() and path.parent != Path()
        else []
    )
    near = {file: Path(file).stem for file in [*beside, *names.values()]}
    stems = get_close_matches(path.name.removesuffix('.py'), set(near.values()), n=3, cutoff=0.4)
    hint = ', '.join([file for stem in stems for file in near if near[file] == stem][:3])
    if hint:
        raise FileNotFoundError(f'no config file {path}; there is {hint}')
    some = ', '.join(beside[:3])
    others = (
        f'{path.parent} has {some} and {len(beside) - 3} others' if len(beside) > 3 else some and f'there is {some}'
    )
    raise FileNotFoundError(f'no config file {path}; {others or f"configs that are shipped lie below {root}"}')


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
        for place in places_of(name, merged):
            if changed and has_key(before, place) and not all(_is_wired(merged, key, name, place) for key in changed):
                raise ValueError(
                    f'{path} changes {name}, which has no effect: {place} keeps the value of its _base_. Wire it in this file '
                    f'too: set {place} to {_wiring(name, place)}'
                )
    return merged


def _wiring(name: str, place: str) -> str:
    """What a file sets at the place of a primitive. A dataset replaces that of the base, whose arguments it may not take."""
    return f'dict(_delete_=True, pipeline=_base_.{place}.pipeline, **{name})' if place.endswith('.dataset') else name


def _equals(cfg: dict, key: str, value: Any) -> bool:
    return has_key(cfg, key) and get_value(cfg, key) == value


def _is_wired(merged: dict, key: str, name: str, place: str) -> bool:
    """Whether the value of a primitive's flat key is at its place, or in the list there (evaluators)."""
    target, whole = get_value(merged, place), merged.get(name)
    if target == whole or (isinstance(target, list) and whole in target):
        return True
    return isinstance(whole, dict) and _equals(merged, key.replace(name, place, 1), get_value(merged, key))


@read_files_once()
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
        for place in places_of(name, cfg):
            for key in own:
                # A metric may be the first of several in a list.
                for prefix in (f'{place}.0', place):
                    primitive = f'{name}{key.removeprefix(prefix)}'
                    if key.startswith(prefix) and primitive in own and own[primitive] == own[key]:
                        origins[key] = origins[primitive]
    return origins
