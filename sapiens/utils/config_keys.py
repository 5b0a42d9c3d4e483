"""The keys that a config may have where MMEngine ignores those that it does not know."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

__all__ = ['did_you_mean', 'refuse_unknown_keys']

# Sections of a config whose keys are counted here, with the keys that are not arguments of the function behind the section.
AUTO_SCALE_LR = {'enable', 'base_batch_size'}
ENV_CFG = {'cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'}
DIST_CFG = {'init_backend', 'port'}  # of MMEngine's init_dist


def top_level_keys(primitives: Iterable[str]) -> set[str]:
    """Keys that a config may have at its top: arguments of MMEngine's runner, the primitives, and what MMEngine reads too.
    Names that begin with an underscore are free."""
    from mmengine.runner import Runner

    return _arguments(Runner.__init__) | set(primitives) | {
        'custom_imports', 'compile', 'model_wrapper_cfg', 'find_unused_parameters',
    }  # fmt: skip


def _sections() -> dict[str, set[str]]:
    import torch
    from mmengine.runner import Runner
    from mmengine.utils.dl_utils import set_multi_processing

    return {
        'auto_scale_lr': AUTO_SCALE_LR,
        'env_cfg': ENV_CFG,
        'env_cfg.mp_cfg': _arguments(set_multi_processing) - {'distributed'},
        'env_cfg.dist_cfg': DIST_CFG | _arguments(torch.distributed.init_process_group),
        'randomness': _arguments(Runner.set_randomness),
    }


def _arguments(function: Callable) -> set[str]:
    return set(inspect.signature(function).parameters) - {'self', 'cfg'}


def refuse_unknown_keys(cfg: Mapping, source: str) -> None:
    """Refuse keys of the sections above that would have no effect.

    Args:
        cfg: a config.
        source: where its keys come from, for the message.

    Raises:
        ValueError: an unknown key.
    """
    for section, known in _sections().items():
        node: Any = cfg
        for part in section.split('.'):
            node = node.get(part) if isinstance(node, Mapping) else None
        for key in node if isinstance(node, Mapping) else ():
            if key not in known and not str(key).startswith('_'):
                raise ValueError(
                    f'{source} sets an unknown key {section}.{key}{did_you_mean(key, known)} (the keys of {section}: '
                    f'{", ".join(sorted(known))})'
                )


def did_you_mean(key: str, known: Iterable) -> str:
    close = get_close_matches(str(key), [str(name) for name in known], n=1)
    return f'; did you mean {close[0]!r}?' if close else ''
