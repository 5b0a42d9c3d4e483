"""Tar shards of what is kept, in WebDataset's layout."""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sapiens.bulk import Unit
from sapiens.datasets.transforms.decoding import BadImage

from .hashes import content_hash
from .reading import read_ahead, read_row

__all__ = ['ShardWorker', 'shard_part', 'shard_units']

SUFFIXES = dict(
    JPEG='jpg', MPO='jpg', PNG='png', WEBP='webp', BMP='bmp', TIFF='tif', GIF='gif', AVIF='avif', HEIF='heic'
)
TABLE = 'table.parquet'


def shard_part(unit: str) -> str:
    """Return the path of a unit's shard, in the output folder."""
    return f'shards/{unit}.tar'


def shard_units(table: Path) -> Iterator[Unit]:
    """Yield a unit for each row group of the table: the rows that are kept."""
    file = pq.ParquetFile(table)
    for group in range(file.num_row_groups):
        rows = _kept(file, group)
        name = file.read_row_group(group, columns=['unit'])['unit'][0].as_py()
        yield Unit(name, dict(group=group, count=len(rows), digest=_digest(rows)))


class ShardWorker:
    """Writes the files that are kept of a unit to a shard: each as it is, with a JSON of its row.

    The same rows give the same bytes. Files that can no longer be read are listed in ``missing/UNIT.txt``.

    Args:
        out: output folder, with the table.
    """

    def __init__(self, out: str) -> None:
        self.out = Path(out)

    def __call__(self, unit: Unit, folder: Path) -> dict[str, int]:
        rows = _kept(pq.ParquetFile(self.out / TABLE), unit.data['group']).to_pylist()
        missing, count, size = [], 0, 0
        if rows:
            path = folder / shard_part(unit.name)
            path.parent.mkdir()
            with tarfile.open(path, 'w', format=tarfile.USTAR_FORMAT) as tar:
                for row, data in read_ahead(rows, _read):
                    if isinstance(data, BadImage):
                        missing.append(f'{row["path"]}\t{data}')
                        continue
                    count, size = count + 1, size + len(data)
                    _add(tar, f'{row["key"]}.{SUFFIXES.get(row["format"], "jpg")}', data)
                    _add(tar, f'{row["key"]}.json', json.dumps(_sidecar(row)).encode())
            if not count:
                path.unlink()
        if missing:
            path = folder / 'missing' / f'{unit.name}.txt'
            path.parent.mkdir()
            path.write_text(''.join(f'{line}\n' for line in missing))
        return dict(images=count, bytes=size, missing=len(missing))


def _kept(file: pq.ParquetFile, group: int) -> pa.Table:
    # Embeddings stay in the table.
    names = [column.name for column in file.schema_arrow if not pa.types.is_binary(column.type)]
    return file.read_row_group(group, columns=names).filter(pc.field('kept'))


def _digest(rows: pa.Table) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for row in rows.to_pylist():
        digest.update(json.dumps(row, sort_keys=True).encode())
    return digest.hexdigest()


def _read(row: dict) -> tuple[dict, bytes | BadImage]:
    try:
        data = read_row(row)
        if _has_changed(row, data):
            return row, BadImage('has changed since it was measured: measure it in another --out')
        return row, data
    except BadImage as error:
        return row, error
    except OSError as error:
        return row, BadImage(f'{type(error).__name__}: {error}')


def _has_changed(row: dict, data: bytes) -> bool:
    """Whether a file is another one than that of the scores, by its size and the hash of a filter of duplicates."""
    hashes = [value for name, value in row.items() if name.endswith('_content') and isinstance(value, int)]
    return len(data) != row['bytes'] or any(content_hash(data) != value for value in hashes)


def _sidecar(row: dict) -> dict[str, Any]:
    left_out = ('key', 'unit', 'tar', 'offset', 'error', 'model_error', 'kept', 'reason')
    return {name: value for name, value in row.items() if name not in left_out and value is not None}


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)  # time 0 and no owner: the bytes depend on the content alone
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))
