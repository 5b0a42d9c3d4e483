"""The result class of a task."""

from difflib import get_close_matches

from sapiens.tasks import TaskSpec, get_task, resolve, task_names

from .base import Result
from .maps import make_maps_result

__all__ = ['get_inference_task', 'get_result_class']


def get_inference_task(name: str) -> TaskSpec:
    """Return the declaration of the task that runs under a name in inference.

    Raises:
        ValueError: no such task.
    """
    specs = {spec.inference_name: spec for spec in map(get_task, task_names())}
    if name not in specs:
        close = get_close_matches(str(name), specs, n=1)
        hint = f'; did you mean {close[0]!r}?' if close else ''
        raise ValueError(f'{name!r} is not a task of inference{hint} (known: {", ".join(specs)})')
    return specs[name]


def get_result_class(name: str) -> type[Result]:
    """Return the result class of a task, by its name in inference."""
    spec = get_inference_task(name)
    return resolve(spec.result) or make_maps_result(spec)
