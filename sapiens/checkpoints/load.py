"""Weights by path or published name into a model. A refused load says what the file holds instead."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from sapiens.utils.checkpoint import Checkpoint, LoadReport, RefusedWeights, load_state, read_checkpoint

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

    Raises:
        ValueError: the weights do not fit. The message has the account of every tensor and what the file holds.
    """
    if not isinstance(checkpoint, Checkpoint):
        checkpoint = read_weights(checkpoint)
    task, declared = getattr(model, 'task_name', None), checkpoint.meta.get('task')
    with explain_refusal(checkpoint.meta):
        if required == '' and isinstance(declared, str) and task is not None and declared_task(declared) != task:
            raise RefusedWeights(
                f'{checkpoint.path} is for the task {declared!r}, the model for {task!r}', checkpoint.state_dict
            )
        return load_state(model, checkpoint.state_dict, min_share, checkpoint.path, required)


@contextmanager
def explain_refusal(meta: Mapping | None = None) -> Iterator[None]:
    """Add what the file holds to the error of a load that is refused.

    Args:
        meta: of the file.
    """
    try:
        yield
    except RefusedWeights as error:
        raise ValueError(f'{error}\nIn the file: {describe(recognise(error.state_dict, meta))}') from error
