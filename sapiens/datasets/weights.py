"""Weights of samples, from a table beside the data."""

import math
from collections import Counter
from collections.abc import Iterable

import torch

from sapiens.utils.paths import require_file

__all__ = ['check_weights', 'read_weights']

_COLUMNS, _SHARD = ('image', 'weight'), 'shard'
_SUFFIXES = ('.csv', '.parquet')


def read_weights(path: str, names: Iterable[str | tuple[str, str]]) -> torch.Tensor:
    """Read the weights of images.

    Args:
        path: table with the columns ``image`` and ``weight``: CSV with these names in its first line, or parquet. Rows of other
            images are not used.
        names: of the N images, as the table has them; of images in tar shards (file name of the shard, name in it). A table with
            the column ``shard`` too has a row for each of these pairs. Without it, names in different shards must differ.

    Returns:
        (N,) float32.

    Raises:
        FileNotFoundError: no such table.
        ValueError: another format or other columns; an image that is not there, or twice; a weight that is not a number of 0 or
            more; weights that are all 0.
    """
    import pyarrow as pa

    path = require_file(path, 'table of weights')
    if not path.lower().endswith(_SUFFIXES):
        raise ValueError(f'the table of weights {path!r} ends in none of {", ".join(_SUFFIXES)}')
    try:
        table = _read(path)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f'the table of weights {path!r} cannot be read: {error}') from error
    lacking = [name for name in _COLUMNS if name not in table.column_names]
    if lacking:
        raise ValueError(
            f'{path!r} has no column {" and ".join(map(repr, lacking))} (columns: {", ".join(table.column_names)}): expected '
            'image and weight'
        )
    names = list(names)
    in_shards = any(isinstance(name, tuple) for name in names)
    by_shard = in_shards and _SHARD in table.column_names
    columns = [table[column].to_pylist() for column in (*_COLUMNS, *[_SHARD] * by_shard)]
    given: dict[object, object] = {}
    for name, weight, *shard in zip(*columns, strict=True):
        name = (*shard, name) if by_shard else name
        if name in given:
            raise ValueError(f'{path!r} has two weights of {_shown(name)!r}')
        given[name] = weight
    if in_shards and not by_shard:
        names = [name for _, name in names]
        if len(set(names)) < len(names):
            (name, _), *_ = Counter(names).most_common(1)
            raise ValueError(f'{path!r} has no column {_SHARD!r}, and several shards have an image {name!r}')
    found, missing = [], []
    for name in names:
        missing += [] if name in given else [name]
        found.append((f'image {_shown(name)!r}', given.get(name)))
    if missing:
        raise ValueError(
            f'{path!r} has no weight of {len(missing)} of {len(found)} images, such as {_shown(missing[0])!r}. Its names, such '
            f'as {_shown(next(iter(given), "none"))!r}, must be those of the data set'
        )
    return check_weights(path, found)


def check_weights(path: str, weights: Iterable[tuple[str, object]]) -> torch.Tensor:
    """Check weights that a file gives.

    Args:
        path: of the file, for messages.
        weights: (name of the sample, weight) of each.

    Raises:
        ValueError: a weight that is not a number of 0 or more, or all are 0.
    """
    found = []
    for name, weight in weights:
        number = _number(weight)
        if number is None:
            raise ValueError(f'{path!r}: {name} has the weight {weight!r}: expected a number, 0 or more')
        found.append(number)
    if found and not any(found):
        raise ValueError(f'{path!r}: the weights of all {len(found)} samples are 0: nothing to learn from')
    return torch.tensor(found, dtype=torch.float32)


def _read(path: str):
    if path.lower().endswith('.parquet'):
        import pyarrow.parquet as pq

        return pq.read_table(path)
    import pyarrow as pa
    from pyarrow import csv

    # As text: a wrong value is reported as it stands there.
    return csv.read_csv(
        path, convert_options=csv.ConvertOptions(column_types=dict.fromkeys((*_COLUMNS, _SHARD), pa.string()))
    )


def _shown(name: str | tuple[str, str]) -> str:
    """A name for messages, with its shard."""
    return '/'.join(map(str, name)) if isinstance(name, tuple) else name


def _number(weight: object) -> float | None:
    if isinstance(weight, bool):
        return None
    try:
        number = float(weight)
    except (TypeError, ValueError, OverflowError):
        return None
    # Sums of weights are float32.
    return number if math.isfinite(number) and 0 <= number < 1e30 else None
