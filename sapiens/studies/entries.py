"""Checks of the entries of a study's file: their types, keys and names."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sapiens.utils.config_keys import did_you_mean

__all__ = ['check_keys', 'check_kind', 'check_names', 'check_options']

NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9._+=,-]{0,199}')
WORDS = {dict: 'a dict', list: 'a list', str: 'a text'}


def check_kind(value: Any, kind: type, what: str, file: Path) -> Any:
    """The value, or an error if it is not a ``dict``, ``list`` (or tuple) or ``str``, whichever is wanted; None passes."""
    kinds = {dict: Mapping, list: list | tuple}.get(kind, kind)
    if value is not None and not isinstance(value, kinds):
        raise ValueError(f'{file}: {what} is {value!r}, expected {WORDS[kind]}')
    return value


def check_options(options: Any, what: str, file: Path) -> dict[str, Any]:
    """Options by flat keys."""
    options = dict(check_kind(options, dict, f'options of {what}', file) or {})
    for key in options:
        check_kind(key, str, f'an option of {what}', file)
    return options


def check_keys(entry: Any, known: Sequence[str], what: str, file: Path) -> None:
    """Refuse what is no dict, and unknown keys."""
    if not isinstance(entry, Mapping):
        raise ValueError(f'{file}: {what} is {entry!r}, expected a dict with {", ".join(known)}')
    for key in entry:
        if key not in known:
            raise ValueError(f'{file}: {what} has an unknown key {key!r}{did_you_mean(key, known)}')


def check_names(names: Iterable[Any], what: str, file: Path, taken: Mapping[str, str] | None = None) -> None:
    """Refuse names that are no names of folders, equal ones, and those of folders that have another use.

    Args:
        taken: {name: what has it}.
    """
    seen = set()
    for name in names:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise ValueError(
                f'{file}: {what} is called {name!r}, which would write outside of its folder or is no name: use letters, '
                'digits and ._+=,- (at most 200)'
            )
        if name in seen:
            raise ValueError(f'{file}: two of its entries are called {name!r} ({what}): rename one')
        if name in (taken or {}):
            raise ValueError(f'{file}: {what} is called {name!r}, as {taken[name]} of the study: rename it')
        seen.add(name)
