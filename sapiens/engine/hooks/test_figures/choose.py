"""Chooses the hook that draws the test figures of a model."""

from collections.abc import Mapping

from sapiens.tasks import resolve, task_of

from .base import ShowHook
from .dense import DenseShowHook

__all__ = ['show_hook_for']


def show_hook_for(model: Mapping) -> type[ShowHook]:
    """Get the hook that draws the predictions of a model: that of its task, or :class:`DenseShowHook` for a task with maps.

    Args:
        model: config of the model.

    Raises:
        ValueError: a model without a task, or a task without figures.
    """
    spec = task_of(model)
    if spec.fields:
        return DenseShowHook
    if spec.drawing is None:
        raise ValueError(
            f'model.type={model.get("type")!r}: task {spec.name!r} has no test figures, its declaration names no drawing: '
            'leave out --show-dir'
        )
    return resolve(spec.drawing)
