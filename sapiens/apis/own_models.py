"""Weights of the package, where a command names no model."""

from pathlib import Path

from sapiens.checkpoints import ZOO, Entry
from sapiens.tasks import get_task

__all__ = ['DETECTOR', 'has_detector', 'is_here', 'own_models']

DETECTOR = 'sapiens-tiny-person'


def is_here(entry: Entry) -> bool:
    """Whether the file of own weights is in this version of the package."""
    return entry.places(Path())[0].is_file()


def has_detector() -> bool:
    """Whether the own detector of people is in this version of the package."""
    return is_here(ZOO[DETECTOR])


def own_models(task: str) -> list[str]:
    """Return the names of the package's weights for a task of inference: the first of the task, or for ``'all'`` the first of
    each but people, who are found for the keypoints.

    Raises:
        ValueError: there are none.
    """
    first: dict[str, str] = {}
    for name, entry in ZOO.items():
        if entry.is_own and is_here(entry):
            first.setdefault(get_task(entry.task).inference_name, name)
    if task == 'all':
        first.pop(get_task(ZOO[DETECTOR].task).inference_name, None)
    found = [name for kind, name in first.items() if task in (kind, 'all')]
    if not found:
        raise ValueError(
            f'no --model: this version of the package has no weights for {task!r}. Give --model NAME (`sapiens download --list` '
            'shows them), or --model CONFIG --checkpoint FILE'
        )
    return found
