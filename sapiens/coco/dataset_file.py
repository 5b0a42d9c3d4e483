"""Writing of data sets of people in COCO's format."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from sapiens.utils.files import atomic_path

__all__ = ['write_dataset']


def write_dataset(path: Path, rows: Callable[[], Iterable[Mapping]], category: Mapping) -> int:
    """Write a data set. Memory does not grow with the number of images.

    Args:
        path: of the file.
        rows: called twice; gives ``image`` and ``annotations`` of each image, without ids. Images and annotations are numbered
            from 1, in this order.
        category: the only one, with ``id``.

    Returns:
        Number of annotations.
    """
    number = 0
    with atomic_path(path) as temporary, open(temporary, 'w', encoding='utf-8') as file:
        file.write('{"images": [')
        for index, row in enumerate(rows()):
            entry = {'id': index + 1, **row['image']}
            file.write((',\n' if index else '\n') + json.dumps(entry, allow_nan=False))
        file.write('\n], "annotations": [')
        for index, row in enumerate(rows()):
            for annotation in row['annotations']:
                number += 1
                entry = {'id': number, 'image_id': index + 1, **annotation}
                file.write((',\n' if number > 1 else '\n') + json.dumps(entry, allow_nan=False))
        file.write(f'\n], "categories": {json.dumps([dict(category)])}}}\n')
    return number
