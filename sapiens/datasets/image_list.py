"""Image files named by a list."""

import os

from sapiens.registry import DATASETS
from sapiens.utils.paths import require_file

from .base import PathDataset
from .path_table import PathTable

__all__ = ['ImageList']


@DATASETS.register_module()
class ImageList(PathDataset):
    """The files named by a text file (one path per line) or by a column of a parquet file.

    Entries are paths or fsspec URLs. Files are not checked before they are read: a missing one is a bad file.

    Args:
        ann_file: the list; parquet where its name ends in .parquet, UTF-8 text otherwise (blank lines are skipped).
        data_root: what relative entries are relative to; '' for the working directory.
        column: of the parquet file.
        pipeline, metainfo: see :class:`sapiens.datasets.base.PathDataset`.

    Raises:
        FileNotFoundError: no such list.
        ValueError: an empty list, or a parquet file without that column of strings.
    """

    def __init__(
        self,
        ann_file: str,
        data_root: str = '',
        column: str = 'path',
        pipeline: list = (),
        metainfo: dict | None = None,
    ):
        ann_file = require_file(ann_file, 'list')
        if ann_file.endswith('.parquet'):
            table = _read_parquet(ann_file, column)
        else:  # surrogateescape keeps names that are not valid UTF-8
            with open(ann_file, encoding='utf-8-sig', errors='surrogateescape') as file:
                table = PathTable.from_strings(path for line in file if (path := line.strip()))
        if not len(table):
            raise ValueError(f'the list {ann_file!r} is empty: expected one path per line')
        super().__init__(table, os.path.expanduser(data_root), pipeline, metainfo)


def _read_parquet(ann_file: str, column: str) -> PathTable:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pq.read_schema(ann_file)
    kinds = {field.name: field.type for field in schema}
    if column not in kinds or not (pa.types.is_string(kinds[column]) or pa.types.is_large_string(kinds[column])):
        listing = ', '.join(f'{name} ({kind})' for name, kind in kinds.items())
        raise ValueError(f'{ann_file!r} has no column {column!r} of strings; its columns: {listing}')
    try:
        return PathTable.from_arrow(pq.read_table(ann_file, columns=[column])[column])
    except ValueError as error:
        raise ValueError(f'column {column!r} of {ann_file!r}: {error}') from error
