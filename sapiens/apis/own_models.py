"""Weights of the package: which are taken where a command names no model, and who finds people for them."""

from collections.abc import Iterable
from pathlib import Path

from sapiens.checkpoints import ZOO, Entry
from sapiens.tasks import get_task

__all__ = ['DETECTOR', 'PARTS', 'automatic_for', 'has_detector', 'is_here', 'own_models']

DETECTOR, PARTS = 'sapiens-tiny-person', 'sapiens-tiny-seg28'


def is_here(entry: Entry) -> bool:
    """Whether the file of own weights is in this version of the package."""
    return entry.places(Path())[0].is_file()


def has_detector() -> bool:
    """Whether the own detector of people, and the parts that refine its boxes, are in this version of the package."""
    return all(is_here(ZOO[name]) for name in (DETECTOR, PARTS))


def automatic_for(models: Iterable[str | Path | None]) -> str:
    """The detector that ``'auto'`` means for models: ``'embedded'``, which needs no network either, where all of them are weights
    of the package by name and its detector is here; else ``'auto'``."""
    entries = [ZOO.get(str(model)) for model in models]
    is_own = all(entry is not None and entry.is_own for entry in entries)
    return 'embedded' if is_own and has_detector() else 'auto'


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
