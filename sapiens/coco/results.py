"""COCO results files: a list of objects, one for each detected person."""

import json
import math
from pathlib import Path

from sapiens.utils.paths import require_file

from .columns import whole

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
        ValueError: not a list of objects with ``keys``, or one whose ids, score, box or keypoints are of other types.
    """
    path = require_file(path, 'results file')
    try:
        results = json.loads(Path(path).read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{path!r} is not JSON: {error}') from error
    if not isinstance(results, list) or not all(isinstance(item, dict) and keys <= item.keys() for item in results):
        annotated = isinstance(results, dict) and 'annotations' in results
        hint = ". It holds annotations, not results: boxes='gt' uses those of ann_file" if annotated else ''
        listing = ', '.join(sorted(keys))
        raise ValueError(f'{path!r} is not a COCO results file: expected a list of objects with {listing}{hint}')
    for position, item in enumerate(results):
        if wrong := _wrong(item, keys):
            raise ValueError(f'{path!r}: result {position}: {wrong}')
    return results


def _wrong(item: dict, keys: set[str]) -> str:
    """The first value of a result that is of another type; '' without any."""
    for key in ('image_id', 'category_id'):
        try:
            item |= {key: whole(item[key])} if key in item else {}
        except TypeError as error:
            return f'{key} {error}'
    if 'score' in item and not _is_number(item['score'], finite=True):
        return f'score {item["score"]!r} is not a finite number'
    box, points = item.get('bbox'), item.get('keypoints')
    if box is None and 'bbox' not in keys:
        item.pop('bbox', None)
    elif not (isinstance(box, list) and len(box) >= 4 and all(_is_number(value, finite=True) for value in box[:4])):
        return f'bbox {str(box)[:80]} is not a list of 4 finite numbers'
    if points is not None and not (isinstance(points, list) and all(map(_is_number, points))):
        return f'keypoints {str(points)[:80]} are not a list of numbers'
    return ''


def _is_number(value: object, finite: bool = False) -> bool:
    if not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value) or not finite
    except OverflowError:  # an integer beyond the largest float
        return False
