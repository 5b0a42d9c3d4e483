"""COCO files: annotated people, results, and JSON read item by item."""

from .json_stream import BrokenJson, NotAnObject, stream_items
from .people import WHOLEBODY_LISTS, AnnotatedPeople, read_people
from .results import BOX_THRESHOLD, read_results

__all__ = [
    'BOX_THRESHOLD',
    'WHOLEBODY_LISTS',
    'AnnotatedPeople',
    'BrokenJson',
    'NotAnObject',
    'read_people',
    'read_results',
    'stream_items',
]
