"""COCO results files: a list of objects, one for each detected person."""

import json
from pathlib import Path

from sapiens.utils.paths import require_file

__all__ = ['BOX_THRESHOLD', 'read_results']

# Published: boxes with a lower score are not used.
BOX_THRESHOLD = 0.3


def read_results(path: str, keys: set[str]) -> list[dict]:
    """Read a list of results.

    Args:
        path: JSON file.
        keys: that every result must have.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a list of objects with ``keys``.
    """
    path = require_file(path, 'results file')
    try:
        results = json.loads(Path(path).read_bytes())
    except ValueError as error:
        raise ValueError(f'{path!r} is no JSON: {error}') from error
    if not isinstance(results, list) or not all(isinstance(item, dict) and keys <= item.keys() for item in results):
        annotated = isinstance(results, dict) and 'annotations' in results
        hint = ". It holds annotations, not results: boxes='gt' uses those of ann_file" if annotated else ''
        listing = ', '.join(sorted(keys))
        raise ValueError(f'{path!r} is no COCO results file: expected a list of objects with {listing}{hint}')
    return results
