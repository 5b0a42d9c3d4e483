"""COCO files: annotated people, segments, results, and JSON read item by item."""

from .columns import WHOLEBODY_LISTS
from .json_stream import BrokenJson, NotAnObject, stream_items, stream_list
from .nobody import images_without_people
from .people import AnnotatedPeople, read_people
from .results import BOX_THRESHOLD, read_results
from .segments import AnnotatedSegments, BadSegment, paint_segments, read_segments

__all__ = [
    'BOX_THRESHOLD',
    'WHOLEBODY_LISTS',
    'AnnotatedPeople',
    'AnnotatedSegments',
    'BadSegment',
    'BrokenJson',
    'NotAnObject',
    'images_without_people',
    'paint_segments',
    'read_people',
    'read_results',
    'read_segments',
    'stream_items',
    'stream_list',
]
