"""From the key ``parallel`` of a config to its object."""

import inspect
from collections.abc import Mapping

from sapiens.metainfo.naming import near
from sapiens.registry import STRATEGIES
from sapiens.utils.option_values import require_bool

from .base import Parallel

__all__ = ['build_parallel']

DEFAULT = 'DDP'


def build_parallel(cfg: Mapping) -> Parallel:
    """Build what the key ``parallel`` of a config names; by default :class:`.DDP`.

    MMEngine's keys ``model_wrapper_cfg``, which replaces the options of DDP, and ``find_unused_parameters`` are taken with DDP
    only.

    Raises:
        ValueError: an unknown type or option, or one of MMEngine's keys that contradicts it.
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
        known = f'{near(str(name), kinds)} (known: {", ".join(kinds)})'
        raise ValueError(f'parallel.type={name!r} is not a way to train with several processes{known}')
    known = list(inspect.signature(kind).parameters)
    for key in options:
        if key not in known:
            raise ValueError(
                f'parallel: {kind.__name__} has no option {key!r}{near(key, known)} (known: {", ".join(known)})'
            )
    for key in ('model_wrapper_cfg', 'find_unused_parameters'):
        alone = kind.__name__ == DEFAULT and (key != 'model_wrapper_cfg' or not options)
        if cfg.get(key) and not alone:
            raise ValueError(
                f'{key}={cfg[key]!r} has no effect with parallel={dict(given)}: leave it out, or set '
                f'parallel=dict(type={DEFAULT!r}) alone'
            )
    require_bool('find_unused_parameters', cfg.get('find_unused_parameters'), none='what the model needs')
    if cfg.get('find_unused_parameters'):
        options.setdefault('find_unused_parameters', True)
    return kind(**options)
