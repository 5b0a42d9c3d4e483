"""The variants of a grid: the product of the values of several options."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from .entries import check_kind

__all__ = ['expand_grid']


def expand_grid(grid: Any, exclude: Sequence[Mapping[str, Any]], source: str) -> list[dict]:
    """Make a variant of each combination of values.

    Args:
        grid: {option: [values]} or {option: {name: value}}. The names of variants consist of those of their values, by default
            the last part of the option and the value: ``lr-0.001_batch_size-16``.
        exclude: combinations that are left out: {option: value, or name of a value}. A variant that has all of them is left out.
        source: the study, for messages.

    Returns:
        dicts with ``name`` and ``options``, the last option changing first.

    Raises:
        ValueError: an empty grid, two values of one name, an exclusion that fits nothing, or a grid of which nothing is left.
    """
    if not isinstance(grid, Mapping) or not grid:
        raise ValueError(f'{source}: its grid is empty (grid={grid!r}): give each option a list of values')
    axes = {key: _named(key, values, source) for key, values in grid.items()}
    for one in exclude:
        check_kind(one, dict, 'an entry of exclude', source)
    unused = [dict(one) for one in exclude]
    found = []
    for combination in itertools.product(*(axis.items() for axis in axes.values())):
        chosen = dict(zip(axes, combination, strict=True))
        hits = [one for one in exclude if _fits(one, chosen, source)]
        unused = [one for one in unused if one not in hits]
        if not hits:
            options = {key: value for key, (_, value) in chosen.items()}
            found.append(dict(name='_'.join(name for name, _ in combination), options=options))
    if unused:
        raise ValueError(
            f'{source}: exclude has {unused[0]}, which fits no combination of the grid: correct or remove it'
        )
    if not found:
        raise ValueError(f'{source}: its grid is empty, since exclude leaves nothing of it: remove an exclusion')
    return found


def _named(key: str, values: Any, source: str) -> dict[str, Any]:
    if isinstance(values, Mapping) and values:
        return dict(values)
    if not isinstance(values, list | tuple) or not values:
        raise ValueError(
            f'{source}: its grid is empty (no values for {key}, but {values!r}): give each option a list of values'
        )
    last = key.rpartition(':')[2].rpartition('.')[2]
    named: dict[str, Any] = {}
    for value in values:
        name = f'{last}-{_text(value)}'
        if name in named:
            raise ValueError(
                f'{source}: its grid has the values {named[name]!r} and {value!r} of {key}, which are both called {name}: remove '
                'one, or name them ({name: value})'
            )
        named[name] = value
    return named


def _text(value: Any) -> str:
    """A value as part of a name: '0.75', '128x96'."""
    if isinstance(value, list | tuple):
        return 'x'.join(map(_text, value))
    return f'{value:g}' if isinstance(value, float) else str(value)


def _fits(exclusion: Mapping[str, Any], chosen: Mapping[str, tuple[str, Any]], source: str) -> bool:
    for key in exclusion:
        if key not in chosen:
            raise ValueError(f'{source}: exclude names {key}, not an option of the grid ({", ".join(chosen)})')
    return all(value in chosen[key] for key, value in exclusion.items())
