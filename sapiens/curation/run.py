"""A run of curation: its stages over the units of an output folder."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sapiens.bulk import Engine, OutputFolder, Stage, Unit, follow
from sapiens.datasets.shard_index import INDEX_SUFFIX, scan_shards, write_index
from sapiens.utils.counting import count_of
from sapiens.utils.files import atomic_path

from .collection import Collection, alive
from .filters import Duplicates, Filter, Similar
from .given_table import GivenTable
from .scoring import ModelWorker, ScoreWorker, columns_of, model_part, score_part
from .settings import Settings
from .shards import TABLE, ShardWorker, shard_units
from .sources import InputList, input_lists
from .verdicts import add_originals, add_verdicts

__all__ = ['Curation']


class Curation:
    """Runs the stages that are not done.

    Args:
        settings: what is done.
        out: entered, so that it is locked.
        engine: runs the units.
        gpus: that each worker of the stage of models holds.
    """

    def __init__(self, settings: Settings, out: OutputFolder, engine: Engine, gpus: float = 0) -> None:
        self.settings, self.out, self.engine, self.gpus = settings, out, engine, gpus
        self.filters = settings.build()
        self.folder = out.path
        self.failed = 0

    @property
    def table(self) -> Path:
        return self.folder / TABLE

    def measure(self) -> None:
        """Measure the inputs of all lists: scores, duplicates, models. Writes the table."""
        lists = input_lists(self.folder)
        self._measure_files(lists)
        lists = [one for one in lists if (self.folder / score_part(one.unit)).is_file()]
        found = Collection.compare(self._score_parts(lists), self.filters)
        if any(one.stage == 'model' for one in self.filters):
            self._measure_with_models(lists, found)
        self._write_table(lambda: map(self._joined, self._score_parts(lists)), found)

    def judge(self, table: Path) -> None:
        """Apply the thresholds to the scores in a table, without a look at the images. Writes the table again.

        Raises:
            FileNotFoundError: no such table.
            ValueError: see :class:`.given_table.GivenTable`; or a table of other inputs than those of the output folder.
        """
        given = GivenTable(table, self.filters)
        given.check_inputs(input_lists(self.folder))
        found = Collection.compare(given.parts(), self.filters)
        self._write_table(given.parts, found)

    def write_shards(self) -> list[Path]:
        """Write shards of what is kept, and their index. Returns the shards."""
        stage = Stage('shards', partial(ShardWorker, str(self.folder)))
        units = []

        def noted() -> Iterator[Unit]:
            for unit in shard_units(self.table):
                units.append(unit.name)
                yield unit

        total = pq.read_metadata(self.table).num_row_groups
        sums = follow(self.engine.run(stage, noted(), self.out), stage, total)
        self.failed += len(sums.failed)
        if sums.counts['missing']:
            self.failed += 1
            print(f'{count_of(sums.counts["missing"], "file")} could not be read again: {self.folder / "missing"}')
        shards = [path for path in self.out.files(stage, units) if path.suffix == '.tar']
        index = self.folder / 'shards' / f'index{INDEX_SUFFIX}'
        if shards:
            write_index(str(index), [str(path) for path in shards], scan_shards([str(path) for path in shards]))
        else:
            index.unlink(missing_ok=True)
        return shards

    def _measure_files(self, lists: list[InputList]) -> None:
        cheap = [one for one in self.filters if one.stage != 'model']
        version = f'{[one.version for one in cheap]} {self.settings.max_megapixels}'
        factory = partial(ScoreWorker, self.settings.filters, self.settings.max_megapixels, str(self.folder))
        stage = Stage('scores', factory, version)
        units = (Unit(one.unit, dict(digest=one.digest, generation=one.generation)) for one in lists)
        sums = follow(self.engine.run(stage, units, self.out), stage, len(lists))
        self.failed += len(sums.failed)

    def _measure_with_models(self, lists: list[InputList], found: Collection) -> None:
        models = [one for one in self.filters if one.stage == 'model']
        before = [one for one in self.filters if one.stage != 'model']
        # Thresholds decide what the next filter sees.
        version = f'{[(one.version, one.options) for one in models]} {self.settings.max_megapixels}'
        factory = partial(ModelWorker, self.settings.filters, self.settings.max_megapixels, str(self.folder))
        stage = Stage('models', factory, version, gpus=self.gpus)

        def units() -> Iterator[Unit]:
            for part in self._score_parts(lists):
                part = add_originals(part, self._filter(Duplicates), found)
                rows = np.flatnonzero(alive(part, before)).tolist()
                yield Unit(part['unit'][0].as_py(), dict(rows=rows))

        sums = follow(self.engine.run(stage, units(), self.out), stage, len(lists))
        self.failed += len(sums.failed)

    def _score_parts(self, lists: Sequence[InputList]) -> Iterator[pa.Table]:
        for one in lists:
            table = pq.read_table(self.folder / score_part(one.unit))
            if len(table):
                yield table

    def _joined(self, part: pa.Table) -> pa.Table:
        """Add the columns of models to the scores of a unit; nulls where the stage of models has failed."""
        models = [one for one in self.filters if one.stage == 'model']
        if not models:
            return part
        path = self.folder / model_part(part['unit'][0].as_py())
        columns = columns_of(models) | {'model_error': pa.string()}
        table = pq.read_table(path) if path.is_file() else None
        for name, kind in columns.items():
            part = part.append_column(name, pa.nulls(len(part), kind) if table is None else table[name])
        return part

    def _filter(self, kind: type[Filter]) -> Filter | None:
        """Return the filter of a class, of which there is one at most."""
        return next((one for one in self.filters if isinstance(one, kind)), None)

    def _write_table(self, read: Callable[[], Iterable[pa.Table]], found: Collection) -> None:
        """Write the table with duplicates and verdicts: a row group for each unit.

        Args:
            read: iterates over the parts.
        """
        duplicates, similar, alike = self._filter(Duplicates), self._filter(Similar), None

        def parts() -> Iterator[pa.Table]:
            return (add_originals(part, duplicates, found) for part in read())

        if similar:
            alike = Collection.compare_embeddings(parts(), self.filters, similar)
        writer = None
        with atomic_path(self.table) as temporary:
            try:
                for part in parts():
                    part = add_verdicts(add_originals(part, similar, alike), self.filters)
                    writer = writer or pq.ParquetWriter(temporary, part.schema, compression='zstd')
                    writer.write_table(part, row_group_size=len(part))
            finally:
                if writer:
                    writer.close()
            if writer is None:
                raise ValueError(f'{self.folder}: no input could be listed; the tar shards are empty')
