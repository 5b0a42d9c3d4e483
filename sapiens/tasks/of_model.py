"""The tasks of a model, or of its config."""

from collections.abc import Mapping
from typing import Any

from ..metainfo.naming import near
from ..registry import MODELS
from .lookup import get_task, task_names
from .spec import TaskSpec

__all__ = ['JOINT', 'MULTI', 'member_of', 'members_of', 'task_of']

# ``task_name`` of models of several tasks, which have ``tasks``: models of one task by name.
MULTI = 'multi'
# Between the names of the tasks that a sample has labels of (``task`` in its metainfo).
JOINT = '+'


def task_of(model: Any) -> TaskSpec:
    """The task of a model, or of its config.

    A model class tells it by ``task_name``; a model that is made of a ``task`` has the one of that part.

    Args:
        model: an ``nn.Module``, or a mapping with ``type``.

    Raises:
        ValueError: a model without a task, or with several.
    """
    if members := members_of(model):
        raise ValueError(f'a model of several tasks ({", ".join(members)}): choose one of them')
    if isinstance(model, Mapping):
        configs = [part for part in (model.get('task'), model) if isinstance(part, Mapping) and 'type' in part]
        label, parts = model.get('type'), [MODELS.get(part['type']) for part in configs]
    else:
        label, parts = type(model).__name__, [model]
    for part in parts:
        if isinstance(name := getattr(part, 'task_name', None), str):
            return get_task(name)
    raise ValueError(
        f'model.type={label!r} has no task: its class sets no task_name (tasks: {", ".join(task_names())})'
    )


def members_of(model: Any) -> dict[str, Any]:
    """The models of single tasks of a model of several tasks, by name and in its order; {} for a model of one task.

    Args:
        model: an ``nn.Module``, or a mapping with ``type``: then the members are mappings too.
    """
    is_config = isinstance(model, Mapping)
    kind = MODELS.get(model['type']) if is_config and 'type' in model else model
    if getattr(kind, 'task_name', None) != MULTI:
        return {}
    return dict(sorted((model.get('tasks', {}) if is_config else model.tasks).items()))


def member_of(model: Any, name: str | None, source: str) -> Any:
    """One member of a model of several tasks; of a model of one task the model itself.

    Args:
        model: as for :func:`members_of`.
        name: of the member; None for a model of one task.
        source: of the name, for messages.

    Raises:
        ValueError: no such member, none named where there are several, or one named where there are none.
    """
    members = members_of(model)
    if name in members or (name is None and not members):
        return members[name] if members else model
    known = (
        f'the model has the tasks {", ".join(members)}' if members else 'the model has one task, which needs no name'
    )
    raise ValueError(f'{source}={name!r}: {known}{near(str(name), members)}')
