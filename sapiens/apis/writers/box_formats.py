"""Formats of boxes of people: JSON for one image, COCO results for many. Coordinates are in pixels of the image."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from .pose_formats import plain_numbers

if TYPE_CHECKING:
    from ..results.person import PersonResult

__all__ = ['box_document', 'box_entries', 'read_boxes']


def box_document(result: 'PersonResult') -> dict:
    """Return the people of an image as plain values for JSON.

    ``instance_info`` is a list of people with ``bbox`` [x1, y1, x2, y2] and ``bbox_score``, as in the files of poses.
    """
    people = [
        dict(bbox=plain_numbers(box), bbox_score=score)
        for box, score in zip(result.boxes, plain_numbers(result.scores), strict=True)
    ]
    return dict(instance_info=people)


def read_boxes(path: Path) -> list[dict]:
    """Read the people of a file of :func:`box_document`.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        people = json.loads(path.read_bytes())['instance_info']
        for person in people:
            x1, y1, x2, y2 = person['bbox']
            for value in (x1, y1, x2, y2, person['bbox_score']):
                if not isinstance(value, int | float) or not abs(value) < 1e12:
                    raise ValueError(f'{value!r} where a number belongs')
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f'{path} is damaged ({type(error).__name__}: {error}): remove it and run again') from error
    return people


def box_entries(people: Iterable[Mapping], image_id: int | str, file_name: str) -> Iterator[dict]:
    """Yield entries of a COCO results file, which ``--boxes`` takes, for the people of one image."""
    for person in people:
        x1, y1, x2, y2 = person['bbox']
        box = [round(value, 3) for value in (x1, y1, x2 - x1, y2 - y1)]
        yield dict(image_id=image_id, file_name=file_name, category_id=1, bbox=box, score=person['bbox_score'])
