"""From the key ``parallel`` of a config to its object."""

import inspect
from collections.abc import Mapping
from typing import Any

from sapiens.metainfo.naming import near
from sapiens.registry import STRATEGIES
from sapiens.utils.option_values import require_bool

from .base import Parallel

__all__ = ['build_parallel', 'parallel_options']

DEFAULT = 'DDP'


def parallel_options(cfg: Mapping) -> tuple[type[Parallel], dict[str, Any]]:
    """The class and the options that the key ``parallel`` of a config names; by default :class:`.DDP`.

    Raises:
        ValueError: an unknown type or option.
    """
    given = cfg.get('parallel')
    if given is not None and not isinstance(given, Mapping):
        raise ValueError(f'parallel={given!r}: expected a dict such as dict(type={DEFAULT!r})')
    options = dict(given or {})
    name = options.pop('type', DEFAULT)
    kinds = {kind: cls for kind, cls in STRATEGIES.module_dict.items() if issubclass(cls, Parallel)}
    kind = (
        name
        if isinstance(name, type) and issubclass(name, Parallel)
        else kinds.get(name)
        if isinstance(name, str)
        else None
    )
    if kind is None:
        raise ValueError(f'parallel.type={name!r} is not one of {", ".join(kinds)}{near(str(name), kinds)}')
    known = list(inspect.signature(kind).parameters)
    for key in options:
        if key not in known:
            others = [other for other, cls in kinds.items() if key in inspect.signature(cls).parameters]
            needed = f': it needs parallel.type={others[0]}' if others else near(key, known)
            raise ValueError(f'parallel: {kind.__name__} has no option {key!r}{needed} (known: {", ".join(known)})')
    return kind, options


def build_parallel(cfg: Mapping) -> Parallel:
    """Build what the key ``parallel`` of a config names.

    MMEngine's keys ``model_wrapper_cfg``, which replaces the options of DDP, and ``find_unused_parameters`` are taken with DDP
    only.

    Raises:
        ValueError: see :func:`parallel_options`; or one of MMEngine's keys contradicts it.
    """
    kind, options = parallel_options(cfg)
    for key in ('model_wrapper_cfg', 'find_unused_parameters'):
        alone = kind.__name__ == DEFAULT and (key != 'model_wrapper_cfg' or not options)
        if cfg.get(key) and not alone:
            raise ValueError(
                f'{key}={cfg[key]!r} has no effect with parallel={dict(cfg["parallel"])}: leave it out, or set '
                f'parallel=dict(type={DEFAULT!r}) alone'
            )
    require_bool('find_unused_parameters', cfg.get('find_unused_parameters'), none='what the model needs')
    if cfg.get('find_unused_parameters'):
        options.setdefault('find_unused_parameters', True)
    return kind(**options)
