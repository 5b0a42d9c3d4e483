"""Verdicts: thresholds applied to the scores of a unit's rows."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .collection import Collection
from .filters import Filter

__all__ = ['UNREADABLE', 'UNSCORED', 'add_originals', 'add_verdicts', 'require_columns']

UNREADABLE, UNSCORED = 'unreadable', 'unscored'


def require_columns(names: Sequence[str], filters: Sequence[Filter], table: str) -> None:
    """Require the scores of all filters in a table.

    Raises:
        ValueError: a filter was not measured.
    """
    for one in filters:
        missing = [one.column(name) for name in one.columns if one.column(name) not in names]
        if missing:
            raise ValueError(
                f'{table} has no column {missing[0]!r}: the filter {one.name!r} was not measured. Run without --from-table'
            )


def add_originals(table: pa.Table, one: Filter | None, found: Collection | None) -> pa.Table:
    """Set the columns of a filter that compares images in the rows of a unit: the original, and the distance to it.

    Args:
        one: a :class:`.filters.Duplicates` or :class:`.filters.Similar`; None for none.
        found: by it.
    """
    if one is None:
        return table
    for name, values in zip(
        (one.column('of'), one.column(one.score)), found.columns(table['unit'][0].as_py()), strict=True
    ):
        if name in table.column_names:
            table = table.set_column(table.column_names.index(name), name, values)
        else:
            table = table.append_column(name, values)
    return table


def add_verdicts(table: pa.Table, filters: Sequence[Filter]) -> pa.Table:
    """Set the columns ``kept`` and ``reason``.

    The reason is the name of the first filter that a row does not pass, ``unreadable``, or ``unscored`` for a row that a filter
    has not measured though it passed those before it; '' for one that is kept.
    """
    reason = np.full(len(table), '', object)
    left = np.ones(len(table), bool)

    def remove(rows: np.ndarray, why: str) -> None:
        reason[left & rows] = why
        left[rows] = False

    bad = pc.not_equal(table['error'], '')
    if 'model_error' in table.column_names:
        bad = pc.or_(bad, pc.is_valid(table['model_error']))
    remove(bad.to_numpy(zero_copy_only=False), UNREADABLE)
    for one in filters:
        if one.stage == 'model':
            first = one.column(next(iter(one.columns)))
            remove(pc.is_null(table[first]).to_numpy(zero_copy_only=False), UNSCORED)
        remove(~one.passes(table), one.name)
    table = table.drop_columns([name for name in ('kept', 'reason') if name in table.column_names])
    return table.append_column('kept', pa.array(left)).append_column('reason', pa.array(reason, pa.string()))
