"""A table of an earlier run, to whose scores thresholds are applied again."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from .filters import Filter
from .scoring import FILE_COLUMNS
from .shards import TABLE
from .sources import InputList
from .verdicts import require_columns

__all__ = ['GivenTable']


class GivenTable:
    """Reads a table one unit at a time.

    Args:
        path: of the table.
        filters: whose scores it has to have.

    Raises:
        FileNotFoundError: no such table.
        ValueError: another file, one without the scores of a filter, or one whose row groups are not the units.
    """

    def __init__(self, path: Path, filters: Sequence[Filter]) -> None:
        self.path = path
        if not path.is_file():
            raise FileNotFoundError(f'--from-table {path}: no such file; a run of sapiens curate writes {TABLE}')
        try:
            self.file = pq.ParquetFile(path)
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f'--from-table {path} cannot be read: {error}') from error
        names = self.file.schema_arrow.names
        require_columns(names, filters, str(path))
        missing = [name for name in FILE_COLUMNS if name not in names]
        if missing:
            raise ValueError(f'--from-table {path} has no column {missing[0]!r}: it is not a table of sapiens curate')
        # (unit, first path) of each row group.
        self.units = [self._unit(group) for group in range(self.file.num_row_groups)]
        if len({unit for unit, _ in self.units}) < len(self.units):
            self._refuse_groups()

    def parts(self) -> Iterator[pa.Table]:
        """Yield the rows of each unit."""
        return map(self._read, range(len(self.units)))

    def check_inputs(self, lists: Sequence[InputList]) -> None:
        """Raise ValueError if the table is of other inputs than the lists of an output folder, whose table it would replace."""
        firsts = {one.unit: one for one in lists}
        for unit, path in self.units if lists else ():
            first = firsts[unit].read()[0] if unit in firsts else None
            if first is None or not (path == first or path.startswith(f'{first}/')):
                raise ValueError(
                    f'--from-table {self.path} is of other inputs than those of --out {lists[0].path.parents[1]}, such as '
                    f'{path}: choose another --out'
                )

    def _unit(self, group: int) -> tuple[str, str]:
        part = self._read(group, ['unit', 'path'])
        if not len(part) or len(part['unit'].unique()) > 1:
            self._refuse_groups()
        return part['unit'][0].as_py(), part['path'][0].as_py()

    def _read(self, group: int, columns: list[str] | None = None) -> pa.Table:
        try:
            return self.file.read_row_group(group, columns)
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f'--from-table {self.path} is damaged: {" ".join(str(error).split())}') from error

    def _refuse_groups(self) -> None:
        raise ValueError(
            f'--from-table {self.path} was written again by another program: its row groups are not the units. Give the table '
            'that sapiens curate has written'
        )
