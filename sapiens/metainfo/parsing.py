"""Reading and checking the short forms: Python files, keys, names, numbers and colors."""

import runpy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .naming import near, not_known

__all__ = ['build_from_file', 'check_keys', 'name_of', 'names_of', 'numbers_of', 'rgb_of']


def build_from_file(path: str | Path, variables: tuple[str, ...], build: Callable) -> Any:
    """Run a Python file and build from the first of ``variables`` that it sets.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file sets none of them, or ``build`` refuses the value.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        files = sorted(item.name for item in path.parent.glob('*.py')) if path.parent.is_dir() else []
        raise FileNotFoundError(f'{path} does not exist{near(path.name, files)}')
    namespace = runpy.run_path(str(path))
    data = next((namespace[variable] for variable in variables if variable in namespace), None)
    if data is None:
        raise ValueError(f'{path} sets none of {", ".join(variables)}; write {variables[0]} = dict(name=..., ...)')
    try:
        return build(data)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error


def check_keys(data: Mapping, required: Sequence[str], optional: Sequence[str], owner: str) -> None:
    """Raise ValueError for anything but a dict with the required and optional keys and a ``name`` that is not a path."""
    if not isinstance(data, Mapping):
        raise ValueError(f'{owner}: expected a dict, found {type(data).__name__}')
    known = [*required, *optional]
    for key in data:
        if key not in known:
            raise ValueError(not_known(f'{owner}: key', key, known))
    if missing := [key for key in required if key not in data]:
        raise ValueError(f'{owner} lacks {", ".join(missing)}')
    name = data['name']
    if not isinstance(name, str) or not name or '/' in name or name.endswith('.py'):
        raise ValueError(f'{owner}: name must be a word, not a path')


def name_of(data: Mapping) -> str:
    """Name of a short form, for messages."""
    return str(data.get('name', '(without a name)')) if isinstance(data, Mapping) else '(not a dict)'


def names_of(names: Sequence[str], owner: str) -> tuple[str, ...]:
    """Check that names are distinct, and return them as a tuple."""
    if isinstance(names, str) or not names or not all(isinstance(item, str) and item for item in names):
        raise ValueError(f'{owner}: expected a list of names, not {names!r}')
    if len(set(names)) != len(names):
        twice = sorted({item for item in names if list(names).count(item) > 1})
        raise ValueError(f'{owner}: names appear more than once: {", ".join(twice)}')
    return tuple(names)


def numbers_of(values: float | Sequence[float], count: int, what: str, zero: bool = False) -> np.ndarray:
    """(count,) float64 from ``count`` numbers or one for all; above 0, or with ``zero`` at least 0."""
    try:
        array = np.array(values, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f'{what}: expected one number or a list of {count}, found {values!r}') from error
    if array.ndim == 0:
        array = np.full(count, array)
    if array.shape != (count,):
        raise ValueError(f'{what}: expected one number or {count} of them, found shape {array.shape}')
    if not np.isfinite(array).all() or (array < 0).any() or (not zero and (array == 0).any()):
        raise ValueError(f'{what} must be {"at least" if zero else "above"} 0, found {array.min()}')
    return array


def rgb_of(color: Sequence[int], what: str) -> tuple[int, ...]:
    """R, G, B as integers from 0 to 255."""
    values = tuple(color) if isinstance(color, Sequence | np.ndarray) and not isinstance(color, str) else ()
    if len(values) != 3 or not all(0 <= value <= 255 and int(value) == value for value in values):
        raise ValueError(f'{what} must be three integers R, G, B from 0 to 255, not {color!r}')
    return tuple(int(value) for value in values)
