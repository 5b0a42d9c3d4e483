"""The result class of a task."""

from sapiens.tasks import TaskSpec, get_task, resolve, task_names

from .base import Result
from .maps import make_maps_result

__all__ = ['get_inference_task', 'get_result_class']


def get_inference_task(name: str) -> TaskSpec:
    """Return the declaration of the task that runs under a name in inference.

    Raises:
        ValueError: no such task.
    """
    for spec in map(get_task, task_names()):
        if spec.inference_name == name:
            return spec
    return get_task(name)


def get_result_class(name: str) -> type[Result]:
    """Return the result class of a task, by its name in inference."""
    spec = get_inference_task(name)
    return resolve(spec.result) or make_maps_result(spec)
