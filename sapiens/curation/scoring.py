"""Workers that measure images: one row of the table for each input."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sapiens.bulk import Unit
from sapiens.datasets.transforms.decoding import BadImage

from .filters import Filter, build_filters
from .photo import Photo
from .reading import Content, read_ahead, read_inputs, read_row
from .sources import list_path

__all__ = ['FILE_COLUMNS', 'ModelWorker', 'ScoreWorker', 'model_part', 'score_part']

FILE_COLUMNS = dict(
    key=pa.string(),
    unit=pa.string(),
    generation=pa.int32(),  # number of the run that found the input
    path=pa.string(),
    tar=pa.string(),
    offset=pa.int64(),
    bytes=pa.int64(),
    format=pa.string(),
    width=pa.int32(),
    height=pa.int32(),
    error=pa.string(),
)


def score_part(unit: str) -> str:
    """Return the path of a unit's scores, in the output folder."""
    return f'scores/{unit}.parquet'


def model_part(unit: str) -> str:
    """Return the path of the scores of models."""
    return f'models/{unit}.parquet'


def columns_of(filters: Sequence[Filter], skip: Sequence[str] = ()) -> dict[str, pa.DataType]:
    """Return the columns that filters measure."""
    return {one.column(name): kind for one in filters for name, kind in one.columns.items() if name not in skip}


class ScoreWorker:
    """Reads each input once and measures it with the filters that need nothing else.

    Args:
        filters: options of all filters, see :func:`.filters.build_filters`.
        max_megapixels: larger images are unreadable.
        out: output folder.
    """

    def __init__(self, filters: Mapping[str, Any], max_megapixels: float, out: str) -> None:
        self.filters, self.out = [one for one in build_filters(filters) if one.stage != 'model'], Path(out)
        for one in self.filters:
            one.setup()
        self.max_megapixels = max_megapixels
        measured = columns_of(self.filters, skip=('of', 'distance'))  # which the comparison of the collection finds
        self.schema = pa.schema(list((FILE_COLUMNS | measured).items()))

    def __call__(self, unit: Unit, folder: Path) -> dict[str, int]:
        paths = pq.read_table(list_path(self.out, unit.name), columns=['path'])['path'].to_pylist()
        rows = []
        for content in read_inputs(paths):
            key = f'{unit.name}-{len(rows):06d}'
            row = dict(key=key, unit=unit.name, generation=unit.data['generation'], **self.describe(content))
            rows.append(row)
        path = folder / score_part(unit.name)
        path.parent.mkdir()
        pq.write_table(pa.Table.from_pylist(rows, self.schema), path, compression='zstd')
        return dict(images=len(rows), unreadable=sum(bool(row['error']) for row in rows))

    def describe(self, content: Content) -> dict[str, Any]:
        """Return the columns of one input, without key and unit."""
        row = dict(
            path=content.path, tar=content.tar, offset=content.offset, bytes=len(content.data), error=content.error
        )
        if content.error:
            return row
        try:
            photo = Photo(content.data, self.max_megapixels)
            row['format'] = photo.format
            photo.small  # noqa: B018, all of the file is decoded here
            row['width'], row['height'] = photo.size
            for one in self.filters:
                if one.columns:
                    [values] = one.measure([photo])
                    row |= {one.column(name): value for name, value in values.items()}
        except BadImage as error:
            row['error'] = str(error)
        return row


class ModelWorker:
    """Measures the images that passed the cheap filters with the filters that need a model.

    A filter sees what passed those before it. Scores that an earlier run has measured with the same options are kept.

    Args:
        filters: options of all filters.
        max_megapixels: see :class:`ScoreWorker`.
        out: output folder.
    """

    def __init__(self, filters: Mapping[str, Any], max_megapixels: float, out: str) -> None:
        self.filters = [one for one in build_filters(filters) if one.stage == 'model']
        for one in self.filters:
            one.setup()
        self.max_megapixels, self.out = max_megapixels, Path(out)
        self.batch = max(one.batch for one in self.filters)
        self.schema = pa.schema(
            [('key', pa.string()), *columns_of(self.filters).items(), ('model_error', pa.string())]
        )

    def __call__(self, unit: Unit, folder: Path) -> dict[str, int]:
        table = pq.read_table(self.out / score_part(unit.name))
        wanted = set(unit.data['rows'])
        rows = {index: table.slice(index, 1).to_pylist()[0] for index in sorted(wanted)}
        results: list[dict] = [{'key': key} for key in table['key'].to_pylist()]
        for index, values in self._earlier(unit.name).items():
            results[index] |= values
        images = 0
        for batch in self._batches(self._unmeasured(rows, results)):
            images += len(batch)
            self._measure(batch, rows, results)
        path = folder / model_part(unit.name)
        path.parent.mkdir()
        versions = {one.name: one.version for one in self.filters}
        content = pa.Table.from_pylist(results, self.schema).replace_schema_metadata(versions)
        pq.write_table(content, path, compression='zstd')
        return dict(images=images)

    def _batches(self, rows: dict[int, dict]) -> Iterator[dict[int, Photo | BadImage]]:
        """Yield batches of images by row. Files are read and decoded ahead, by as many as a batch has."""

        def load(index: int) -> tuple[int, Photo | BadImage]:
            try:
                photo = Photo(read_row(rows[index]), self.max_megapixels)
                photo.pixels  # noqa: B018, decodes in this thread
                return index, photo
            except BadImage as error:
                return index, error

        batch = {}
        for index, photo in read_ahead(rows, load, ahead=self.batch, threads=2):
            batch[index] = photo
            if len(batch) == self.batch:
                yield batch
                batch = {}
        if batch:
            yield batch

    def _unmeasured(self, rows: dict[int, dict], results: list[dict]) -> dict[int, dict]:
        """Return the rows that a filter has to measure, by the scores that are there."""
        left, todo = list(rows), []
        for one in self.filters:
            name = one.column(next(iter(one.columns)))
            todo += [index for index in left if results[index].get(name) is None]
            left = self._passing(one, [index for index in left if results[index].get(name) is not None], rows, results)
        return {index: rows[index] for index in sorted(todo)}

    def _measure(self, batch: dict[int, Photo | BadImage], rows: dict[int, dict], results: list[dict]) -> None:
        for index, photo in batch.items():
            if isinstance(photo, BadImage):  # the file has changed since it was read first
                results[index]['model_error'] = str(photo)
        left = [index for index, photo in batch.items() if not isinstance(photo, BadImage)]
        for one in self.filters:
            names = [one.column(name) for name in one.columns]
            todo = [index for index in left if results[index].get(names[0]) is None]
            for begin in range(0, len(todo), one.batch):
                part = todo[begin : begin + one.batch]
                for index, values in zip(part, one.measure([batch[index] for index in part]), strict=True):
                    results[index] |= {one.column(name): value for name, value in values.items()}
            left = self._passing(one, left, rows, results)

    def _passing(self, one: Filter, indices: list[int], rows: dict[int, dict], results: list[dict]) -> list[int]:
        if not indices:
            return []
        schema = pa.schema(list((FILE_COLUMNS | columns_of([one])).items()))
        table = pa.Table.from_pylist([rows[index] | results[index] for index in indices], schema)
        return [index for index, passes in zip(indices, one.passes(table).tolist(), strict=True) if passes]

    def _earlier(self, unit: str) -> dict[int, dict]:
        """Return the scores of an earlier run by row: those of filters that are still the same."""
        path = self.out / model_part(unit)
        if not path.is_file():
            return {}
        table = pq.read_table(path)
        versions = table.schema.metadata or {}
        same = [one for one in self.filters if versions.get(one.name.encode()) == one.version.encode()]
        names = [name for name in columns_of(same) if name in table.column_names]
        return dict(enumerate(table.select(names).to_pylist()))
