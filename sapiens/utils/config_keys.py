"""Keys of a config: those that it may have where MMEngine ignores what it does not know, and values by flat keys."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

__all__ = [
    'ADDABLE',
    'NAMES_OR_DICTS',
    'PRIMITIVES',
    'did_you_mean',
    'flatten',
    'get_value',
    'has_key',
    'places_of',
    'refuse_unknown_keys',
    'top_level_keys',
]

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
# Keys whose value is a name or a dict that replaces it: the sizes of an encoder, keypoints, classes, what is recomputed,
# how processes share a run.
NAMES_OR_DICTS = {'arch', 'skeleton', 'classes', 'activation_checkpointing', 'parallel'}
# Keys that options may set, with keys below them, though recipes do not have them. The second is the former place of the first.
ADDABLE = (
    'activation_checkpointing',
    'model.backbone.activation_checkpointing',
    'optim_wrapper.state_dtype',
    'float8',
    'lora',
)

# Sections of a config whose keys are counted here, with the keys that are not arguments of the function behind the section.
AUTO_SCALE_LR = {'enable', 'base_batch_size'}
ENV_CFG = {'cudnn_benchmark', 'matmul_precision', 'mp_cfg', 'dist_cfg', 'resource_limit'}
DIST_CFG = {'init_backend', 'port', 'step_timeout'}  # the first two of MMEngine's init_dist
MISSING = object()


def places_of(name: str, cfg: dict) -> tuple[str, ...]:
    """Where a primitive is wired in a config. Tests use the validation data and metric unless there are some of their own."""
    own_test = {'val_dataset': 'test_dataset', 'metric': 'test_metric'}.get(name) in cfg
    return PRIMITIVES[name][:1] if own_test else PRIMITIVES[name]


def top_level_keys() -> set[str]:
    """Keys that a config may have at its top: arguments of MMEngine's runner, the primitives, and what MMEngine reads too.
    Names that begin with an underscore are free."""
    from mmengine.runner import Runner

    return _arguments(Runner.__init__) | set(PRIMITIVES) | {
        'custom_imports', 'compile', 'float8', 'activation_checkpointing', 'lora', 'parallel', 'model_wrapper_cfg',
        'find_unused_parameters',
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


def get_value(node: Any, key: str) -> Any:
    """The value of a flat key, or ``MISSING``."""
    for part in key.split('.'):
        if isinstance(node, list) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        elif isinstance(node, dict) and part in node:
            node = node[part]
        else:
            return MISSING
    return node


def has_key(node: Any, key: str) -> bool:
    return get_value(node, key) is not MISSING
