"""Evaluators of a config that follow from its model."""

import inspect
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from sapiens.registry import METRICS, MODELS
from sapiens.tasks import members_of, task_of

__all__ = ['complete_evaluators']

SHARED = 'encoding'  # the option that a task and its metric have in common


def complete_evaluators(cfg: Config) -> None:
    """Complete the evaluators of a config in place.

    Each split that has a dataloader and no evaluator gets the default metric of the model's task; of a model of several tasks
    that of each. Metrics take the encoding of the predictions from the task, unless they name it.

    Raises:
        ValueError: a metric names another encoding than the task.
    """
    members = members_of(cfg.model)
    for split in ('val', 'test'):
        key = f'{split}_evaluator'
        if not cfg.get(f'{split}_dataloader'):
            continue
        if not cfg.get(key):
            parts = {name: dict(type=task_of(part).metric) for name, part in members.items()}
            cfg[key] = parts or dict(type=task_of(cfg.model).metric)
        if not members:
            _share_encoding(cfg[key], cfg.model, key)
        elif isinstance(cfg[key], Mapping):
            for name, part in members.items():
                _share_encoding(cfg[key].get(name), part, f'{key}.{name}')


def _share_encoding(evaluators: Any, model: Mapping, source: str) -> None:
    task = model.get('task')
    kind = MODELS.get(task['type']) if isinstance(task, Mapping) and 'type' in task else None
    if kind is None or SHARED not in inspect.signature(kind).parameters:
        return
    encoding = task.get(SHARED, inspect.signature(kind).parameters[SHARED].default)
    for one in evaluators if isinstance(evaluators, list | tuple) else [evaluators]:
        metric = METRICS.get(one['type']) if isinstance(one, Mapping) and isinstance(one.get('type'), str) else None
        if metric is None or SHARED not in inspect.signature(metric).parameters:
            continue
        if one.setdefault(SHARED, encoding) != encoding:
            raise ValueError(
                f'{source}: {one["type"]} has encoding={one[SHARED]!r}, the predictions of {task["type"]} have {encoding!r}: '
                'leave it out there, or change model.task.encoding'
            )
