"""Weights by path or published name into a model. A refused load says what the file holds instead."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from sapiens.tasks import MULTI, members_of
from sapiens.utils.checkpoint import (
    Checkpoint,
    LoadReport,
    RefusedWeights,
    as_member,
    extract_task,
    load_state,
    names_of_tasks,
    read_checkpoint,
)

from .families import family_of
from .recognition import declared_task, describe, recognise
from .resolve import resolve_checkpoint

__all__ = ['explain_refusal', 'load_weights', 'read_weights']


def read_weights(checkpoint: str | Path, map_location: str | torch.device = 'cpu') -> Checkpoint:
    """Read the weights of a path, or of a published model by name, hub id or file name.

    Raises:
        FileNotFoundError, ValueError: see :func:`resolve_checkpoint` and :func:`sapiens.utils.checkpoint.read_checkpoint`.
    """
    return read_checkpoint(resolve_checkpoint(checkpoint), map_location)


def load_weights(
    model: nn.Module, checkpoint: Checkpoint | str | Path, min_share: float = 0.5, required: str | None = None
) -> LoadReport:
    """Load weights into a model by name; see :func:`sapiens.utils.checkpoint.load_state`.

    Args:
        checkpoint: what :func:`read_weights` returned or takes.
        min_share, required: see :func:`sapiens.utils.checkpoint.load_state`. Weights that say that they are of another task lack
            what is required of the whole model, also if their shapes fit.

    A model of several tasks takes the head of a model of one of them, and a model of one task its part of a model of several.

    Raises:
        ValueError: the weights do not fit. The message has the account of every tensor and what the file holds.
    """
    if not isinstance(checkpoint, Checkpoint):
        checkpoint = read_weights(checkpoint)
    task, declared = getattr(model, 'task_name', None), checkpoint.meta.get('task')
    weights = _for_tasks_of(model, checkpoint)
    if weights is not checkpoint.state_dict and task != MULTI:
        declared = task  # a part of it, which was chosen by its task
    with explain_refusal(model, checkpoint.meta):
        if required == '' and isinstance(declared, str) and task is not None and declared_task(declared) != task:
            raise RefusedWeights(
                f'{checkpoint.path} is for the task {declared!r}, the model for {task!r}', checkpoint.state_dict
            )
        return load_state(model, weights, min_share, checkpoint.path, required)


def _for_tasks_of(model: nn.Module, checkpoint: Checkpoint) -> dict:
    """The weights under the names of the model, where one of the two has several tasks and the other is for one of these.

    Raises:
        ValueError: several of the tasks are that of the other.
    """
    weights, members = checkpoint.state_dict, members_of(model)
    has_several = bool(names_of_tasks(weights))
    if has_several == bool(members) or not hasattr(model, 'backbone'):
        return weights
    found = recognise(weights, checkpoint.meta)
    if found is None:
        return weights
    if has_several:
        fitting = [name for name, one in found['tasks'].items() if one['task'] == getattr(model, 'task_name', None)]
    else:
        fitting = [name for name, part in members.items() if part.task_name == found['task']]
    if len(fitting) > 1:
        advice = 'name one with `sapiens convert convert FILE OUT --task NAME`'
        if members:
            advice = f'start one of them with model.tasks.{fitting[0]}.init_cfg'
        raise ValueError(
            f'{checkpoint.path}: the tasks {" and ".join(fitting)} are both for {found["task"]!r}: {advice}'
        )
    if not fitting:
        return weights
    return extract_task(weights, fitting[0]) if has_several else as_member(weights, fitting[0])


@contextmanager
def explain_refusal(model: nn.Module, meta: Mapping | None = None) -> Iterator[None]:
    """Add what the file holds to the error of a load that is refused, and that it is of another family than the model.

    Args:
        model: that the weights do not fit.
        meta: of the file.
    """
    try:
        yield
    except RefusedWeights as error:
        found = recognise(error.state_dict, meta)
        lines = [str(error), f'In the file: {describe(found)}']
        own = family_of(model.state_dict(), 'backbone.' if hasattr(model, 'backbone') else '')
        if found and own and found['family'] != own.name:
            lines.append(f'The file is of the family {found["family"]}, the model of {own.name}')
        raise ValueError('\n'.join(lines)) from error
