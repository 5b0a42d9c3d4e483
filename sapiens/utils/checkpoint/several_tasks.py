"""Weights of a model of several tasks (``tasks.<name>.*``), and those of its single tasks."""

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

from sapiens.metainfo.naming import near

__all__ = ['as_member', 'extract_task', 'names_of_tasks']

MEMBER = re.compile(r'tasks\.(\w+)\.')


def names_of_tasks(names: Iterable[str]) -> list[str]:
    """Names of the tasks of a model from those of its tensors; [] for a model of one task."""
    return sorted({found[1] for found in map(MEMBER.match, names) if found})


def extract_task(state_dict: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Weights of the model of one task alone: the encoder, and the head under the names that it has there.

    Raises:
        ValueError: no such task.
    """
    known = names_of_tasks(state_dict)
    if name not in known:
        has = f'its tasks are {", ".join(known)}' if known else 'it is not a model of several tasks'
        raise ValueError(f'the weights have no task {name!r}{near(name, known)} ({has})')
    prefix, alone = f'tasks.{name}.', {}
    for key, value in state_dict.items():
        if key.startswith(prefix) or not MEMBER.match(key):
            alone[key.removeprefix(prefix)] = value
    return alone


def as_member(state_dict: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Weights of the model of one task under the names that they have in a model of several."""
    return {key if key.startswith('backbone.') else f'tasks.{name}.{key}': value for key, value in state_dict.items()}
