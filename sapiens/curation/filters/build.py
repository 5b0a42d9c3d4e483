"""Filters from the ``filters`` of a config."""

import inspect
import itertools
import re
from collections.abc import Mapping
from typing import Any

from sapiens.metainfo.naming import near

from .base import STAGES, Filter
from .custom import Function
from .duplicates import Duplicates
from .faces import Faces
from .image_text import ImageText
from .natural import Natural
from .people import People
from .similar import Similar
from .size import MinSize
from .text import Text

__all__ = ['FILTERS', 'build_filters']

_KINDS = (MinSize, Duplicates, Natural, Text, People, Faces, ImageText, Similar, Function)
FILTERS = {kind.__name__: kind for kind in _KINDS}


def build_filters(options: Mapping[str, Mapping[str, Any] | None]) -> list[Filter]:
    """Build filters.

    Args:
        options: name of a filter -> ``type`` and its arguments; None leaves one out. In the order in which they are applied.

    Raises:
        ValueError: a wrong name, class, argument or order.
    """
    for name, kind in options.items():
        if kind is not None and not isinstance(kind, Mapping):
            raise ValueError(f"filters.{name}={kind!r}: expected dict(type='...'), or None to leave it out")
    filters = [_build(name, dict(kind)) for name, kind in options.items() if kind is not None]
    if not filters:
        raise ValueError("'filters' is empty: expected one filter at least, such as dict(size=dict(type='MinSize'))")
    for before, after in itertools.pairwise(filters):
        if STAGES.index(before.stage) > STAGES.index(after.stage):
            raise ValueError(
                f'the filter {after.name!r} ({after.stage}) comes after {before.name!r} ({before.stage}): expected the order '
                f'{", ".join(STAGES)}'
            )
    if sum(one.stage == 'collection' for one in filters) > 1:
        raise ValueError('two filters of duplicates: expected one')
    for one in filters[:-1]:
        if isinstance(one, Similar):
            raise ValueError(
                f'the filter {filters[-1].name!r} comes after {one.name!r} (Similar): expected Similar last'
            )
    return filters


def _build(name: str, options: dict[str, Any]) -> Filter:
    if not re.fullmatch(r'[a-z][a-z0-9]*', name):
        raise ValueError(f'{name!r} cannot be the name of a filter: expected small letters and digits')
    where = f'filters.{name}'
    kind = options.pop('type', None)
    if kind not in FILTERS:
        raise ValueError(f'{where}.type={kind!r}: expected one of {", ".join(FILTERS)}{near(str(kind), FILTERS)}')
    known = set(inspect.signature(FILTERS[kind]).parameters)
    for key in options:
        if key not in known:
            raise ValueError(f'{where}: {kind} has no argument {key!r}{near(key, known)}')
    try:
        found = FILTERS[kind](**options)
    except (TypeError, ValueError) as error:
        raise ValueError(f'{where}: {error}') from error
    found.name, found.options = name, options
    return found
