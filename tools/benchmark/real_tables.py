"""Tables of tools/benchmark/real.py: on the terminal, as rows of JSON, and in a document."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prettytable import PrettyTable, TableStyle

from sapiens.utils.files import replace_between

Rows = Mapping[tuple[str, str], Mapping[str, Any]]
"""By model and kind of pictures; of the gap by model and score."""
GAP = {
    'pose': ('all: AP', 'all: PCK@0.1', 'enough: PCK@0.1'),
    'seg': ('person IoU',),
    'depth': ('pairs in order',),
    'detector': ('AP .5',),
}
"""Scores whose values on rendered people and on photographs are compared."""
MARKERS = '<!-- begin of {} -->', '<!-- end of {} -->'


def gap(tables: Mapping[str, Rows]) -> dict[tuple[str, str], dict[str, float]]:
    """Rows of scores on rendered people, on photographs, and their difference."""
    rows = {}
    for title, names in GAP.items():
        for model, pictures in tables[title]:
            other = tables[title].get((model, 'rendered'))
            if pictures != 'photographs' or other is None:
                continue
            for name in names:
                values = {'rendered': other.get(name), 'photographs': tables[title][model, pictures].get(name)}
                if None not in values.values():
                    rows[model, name] = values | {'gap': values['rendered'] - values['photographs']}
    return rows


def columns_of(title: str) -> tuple[str, str]:
    """Names of the first two columns of a table."""
    return 'model', 'score' if title == 'gap' else 'pictures'


def as_rows(title: str, rows: Rows) -> list[dict[str, Any]]:
    """Rows of a table with names for all their values."""
    return [dict(zip(columns_of(title), key, strict=True)) | dict(row) for key, row in rows.items()]


def table(title: str, rows: Rows, is_markdown: bool = False) -> str:
    """A row for each model and kind of pictures."""
    first = columns_of(title)
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    head = [first[0] if title in columns else title, first[1]]
    made = PrettyTable([*head, *columns])
    made.align = 'r'
    made.align[head[0]] = made.align[head[1]] = 'l'
    if is_markdown:
        made.set_style(TableStyle.MARKDOWN)
    for key, row in rows.items():
        cells = [row.get(name, '') for name in columns]
        made.add_row([*key, *(f'{cell:.3f}' if isinstance(cell, float) else cell for cell in cells)])
    return made.get_string()


def into_document(tables: Mapping[str, Rows], file: Path) -> None:
    """Write each table with rows between its markers.

    Raises:
        ValueError: the document lacks markers, which the message gives.
    """
    for title, rows in tables.items():
        if rows:
            begin, end = (marker.format(title) for marker in MARKERS)
            replace_between(file, begin, end, table(title, rows, is_markdown=True))
