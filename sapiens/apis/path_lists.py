"""Lists of images: text files with a path per line, and a column of parquet files."""

import os
from collections.abc import Iterator

__all__ = ['LIST_SUFFIXES', 'PATH_COLUMN', 'list_entries', 'read_list']

LIST_SUFFIXES = ('.txt', '.parquet')
PATH_COLUMN = 'path'


def read_list(path: str, column: str = PATH_COLUMN) -> Iterator[str]:
    """Yield the entries of a list one by one: lines of a text file that are not blank, or a column of a parquet file.

    Raises:
        ValueError: a parquet file without that column of strings, or with an empty entry.
    """
    if path.lower().endswith('.parquet'):
        yield from _read_column(path, column)
        return
    # Names are split at line feeds only: they may hold other characters that separate lines in Unicode.
    with open(path, encoding='utf-8-sig', errors='surrogateescape', newline='\n') as file:
        yield from (line for text in file if (line := text.strip()))


def list_entries(path: str, column: str = PATH_COLUMN) -> Iterator[tuple[str, str]]:
    """Yield (source, entry) of each entry of a list: a URL, or a path relative to the folder of the list."""
    folder = os.path.dirname(path)
    for entry in read_list(path, column):
        yield (entry if '://' in entry else os.path.join(folder, os.path.expanduser(entry))), entry


def _read_column(path: str, column: str) -> Iterator[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            kinds = {field.name: field.type for field in file.schema_arrow}
            if column not in kinds or not (
                pa.types.is_string(kinds[column]) or pa.types.is_large_string(kinds[column])
            ):
                listing = ', '.join(f'{name} ({kind})' for name, kind in kinds.items())
                raise ValueError(f'{path} has no column {column!r} of strings (--column); its columns: {listing}')
            for number, batch in enumerate(file.iter_batches(columns=[column])):
                entries = batch.column(0).to_pylist()
                if not all(entries):
                    raise ValueError(f'{path}: an entry of column {column!r}, part {number}, is empty')
                yield from entries
    except pa.ArrowException as error:
        raise ValueError(f'{path} is not a parquet file that can be read: {error}') from error
