"""What a table shows: the funnel, histograms of scores, and examples."""

import heapq
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sapiens.utils.counting import count_of

from .filters import Filter, People, numbers
from .verdicts import UNREADABLE, UNSCORED

__all__ = ['BINS', 'Statistics', 'collect', 'describe']

BINS = 40
_EXAMPLE_COLUMNS = ('key', 'path', 'tar', 'offset', 'bytes')
Example = tuple[float, str, dict]


@dataclass
class Statistics:
    """Sums over a table.

    Attributes:
        inputs, kept: numbers of rows.
        removed: reason -> number of rows.
        first_unreadable: path and error of the first row that is unreadable; '' without any.
        people: number of people -> number of kept rows.
        histograms: name of a filter -> counts (2, BINS): rows that pass it, and rows that it removed.
        examples: (name of a filter, ``'removed'`` or ``'kept'``) -> rows nearest to its threshold as (score, key, row); with the
            name '' a random sample of what is kept. Of a filter that compares images, rows have the key of the original, ``of``.
        originals: key -> row, of these originals.
    """

    inputs: int = 0
    kept: int = 0
    removed: Counter = field(default_factory=Counter)
    first_unreadable: str = ''
    people: Counter = field(default_factory=Counter)
    histograms: dict[str, np.ndarray] = field(default_factory=dict)
    examples: dict[tuple[str, str], list[Example]] = field(default_factory=dict)
    originals: dict[str, dict] = field(default_factory=dict)


def collect(table: Path, filters: Sequence[Filter], examples: int = 0) -> Statistics:
    """Read a table once.

    Args:
        examples: number of rows to return for each filter.
    """
    found, file = Statistics(), pq.ParquetFile(table)
    for group in range(file.num_row_groups):
        part = file.read_row_group(group)
        kept = part['kept'].to_numpy(zero_copy_only=False)
        reasons = np.asarray(part['reason'].to_numpy(zero_copy_only=False), str)
        found.inputs += len(part)
        found.kept += int(kept.sum())
        found.removed.update(reasons[~kept].tolist())
        if not found.first_unreadable and (reasons == UNREADABLE).any():
            row = part.slice(int(np.argmax(reasons == UNREADABLE)), 1).to_pylist()[0]
            found.first_unreadable = f'{row["path"]}: {row["error"] or row["model_error"]}'
        for one in filters:
            if isinstance(one, People):
                found.people.update(one.counts(part)[kept].tolist())
            if one.score:
                _add_scores(found, one, part, kept, reasons, examples)
        # A sample that does not change with the order of the units.
        order = np.array([zlib.crc32(key.encode()) for key in part['key'].to_pylist()], float)
        _add_examples(found, ('', 'kept'), part, np.flatnonzero(kept), order, np.full(len(part), np.nan), examples)
    for name, heap in found.examples.items():
        found.examples[name] = [(score, key, row) for _, _, key, score, row in sorted(heap, reverse=True)]
    rows = (row for listed in found.examples.values() for _, _, row in listed)
    found.originals = _rows_of_keys(file, {row['of'] for row in rows if row.get('of')})
    return found


def _rows_of_keys(file: pq.ParquetFile, keys: set[str]) -> dict[str, dict]:
    found = {}
    for group in range(file.num_row_groups if keys else 0):
        part = file.read_row_group(group, columns=list(_EXAMPLE_COLUMNS))
        rows = part.filter(pc.is_in(part['key'], pa.array(sorted(keys), pa.string()))).to_pylist()
        found |= {row['key']: row for row in rows}
    return found


def _add_scores(found, one: Filter, part: pa.Table, kept: np.ndarray, reasons: np.ndarray, examples: int) -> None:
    scores = numbers(part, one.column(one.score))
    removed = reasons == one.name
    low, high = one.limits
    counts = found.histograms.setdefault(one.name, np.zeros((2, BINS), np.int64))
    for row, mask in enumerate((~removed, removed)):
        values = np.clip(scores[mask & np.isfinite(scores)], low, high)
        counts[row] += np.histogram(values, BINS, (low, high))[0]
    distance = np.abs(scores - one.threshold)
    for what, mask in (('removed', removed), ('kept', kept)):
        rows = np.flatnonzero(mask & np.isfinite(scores))
        of = part[one.column('of')] if 'of' in one.columns else None
        _add_examples(found, (one.name, what), part, rows, distance, scores, examples, of)


def _add_examples(
    found, name: tuple[str, str], part: pa.Table, rows: np.ndarray, distance: np.ndarray, scores: np.ndarray, most: int,
    of: pa.ChunkedArray | None = None,
):  # fmt: skip
    """Keep the rows of least distance, with the keys ``of`` their originals."""
    heap = found.examples.setdefault(name, [])
    if not most:
        return
    nearest = rows[np.argsort(distance[rows], kind='stable')[:most]]
    part = part.select(_EXAMPLE_COLUMNS)
    part = part if of is None else part.append_column('of', of)
    for index, row in zip(nearest.tolist(), part.take(nearest).to_pylist(), strict=True):
        # The number before the row is unique, so that rows are never compared.
        item = (-distance[index], -found.inputs + index, row['key'], float(scores[index]), row)
        if len(heap) < most:
            heapq.heappush(heap, item)
        else:
            heapq.heappushpop(heap, item)


def describe(found: Statistics, filters: Sequence[Filter]) -> list[str]:
    """Return the funnel as lines of text."""
    left, lines = found.inputs, [f'{found.inputs:>14,}  inputs']
    for name in (UNREADABLE, *(one.name for one in filters), UNSCORED):
        if name == UNSCORED and not found.removed[name]:
            continue
        left -= found.removed[name]
        lines.append(f'{-found.removed[name]:>14,}  {name:12} {left:>14,} left')
    if found.people:
        several = sum(count for number, count in found.people.items() if number > 1)
        lines.append(f'{found.kept:>14,}  kept, {several:,} of them with several people')
    else:
        lines.append(f'{found.kept:>14,}  kept')
    if found.removed[UNSCORED]:
        lines.append(
            f'{count_of(found.removed[UNSCORED], "image")} passed, but have no score yet: run without --from-table'
        )
    return lines
