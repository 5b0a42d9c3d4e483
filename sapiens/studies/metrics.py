"""Names of the numbers that runs report: before a run from its evaluator, after it from its record."""

import copy
from collections.abc import Iterable, Mapping

from mmengine.config import Config

import sapiens.evaluation  # noqa: F401  (registers the metrics)
from sapiens.engine.evaluators import complete_evaluators
from sapiens.evaluation import reported_names
from sapiens.registry import METRICS

__all__ = ['find_name', 'names_of_config']

# What each training logs.
TRAINING = ('loss',)


def names_of_config(cfg: Config, command: str) -> tuple[list[str], bool]:
    """Names that a run of a config reports, and whether these are all: data are missing, or a metric that does not say."""
    cfg = copy.deepcopy(cfg)
    split, is_complete = 'test' if command == 'test' else 'val', True
    names = list(TRAINING) if command == 'train' else []
    if not cfg.get(f'{split}_dataloader'):
        return names, True
    complete_evaluators(cfg)
    evaluators = cfg[f'{split}_evaluator']
    parts = evaluators if isinstance(evaluators, Mapping) and 'type' not in evaluators else {'': evaluators}
    for task, metrics in parts.items():
        for one in metrics if isinstance(metrics, list | tuple) else [metrics]:
            try:
                found = reported_names([METRICS.build(one)])
            except (ValueError, TypeError, KeyError, OSError, ImportError):  # the run itself tells what is missing
                found = None
            is_complete &= found is not None
            names += [f'{task}/{name}' if task else name for name in found or ()]
    return names, is_complete


def find_name(name: str, known: Iterable[str]) -> str | None:
    """The full name of a metric: ``AP`` finds ``coco/AP``. None if there is none.

    Raises:
        ValueError: several.
    """
    known = list(known)
    if name in known:
        return name
    found = [one for one in known if one.endswith(f'/{name}')]
    if len(found) > 1:
        raise ValueError(f'metric {name!r} may be {" or ".join(found)}: write the whole name')
    return found[0] if found else None
