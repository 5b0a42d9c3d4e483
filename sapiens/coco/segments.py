"""Segments of a COCO file, polygons and run lengths, and the label maps that they make.

Coordinates are pixels as pycocotools rasterizes them: (0, 0) is the corner of the top-left pixel.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from pycocotools import mask as masks

from sapiens.utils.paths import require_file

from .columns import read_image
from .json_stream import BrokenJson, NotAnObject, stream_items

__all__ = ['OVERLAPS', 'AnnotatedSegments', 'BadSegment', 'paint_segments', 'read_segments']

# What lies on top where segments overlap: the smaller one, or the one that is later in the file.
OVERLAPS = ('smaller', 'later')
# The rasterizer's memory grows with the length of an outline, so points farther outside than this many images are refused.
_FAR = 10


class BadSegment(ValueError):
    """A segment that cannot be rasterized. The text is the reason."""


@dataclass
class AnnotatedSegments:
    """All segments of a file, by image in the order of the file names.

    Attributes:
        path: of the file.
        categories: {id: name}.
        image_ids, names, sizes: of the M images: id, file name, (width, height).
        items: for each image JSON of a list of [category id, segment].
        left_out: {reason: ids of the annotations}.
    """

    path: str
    categories: dict[int, str]
    image_ids: list = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    items: list[str] = field(default_factory=list)
    left_out: dict[str, list] = field(default_factory=dict)


def read_segments(path: str) -> AnnotatedSegments:
    """Read and check the segments of a COCO file, one annotation at a time.

    Left out and counted are annotations without a segment, of an image or category that is not listed, and those that
    :func:`encode_segment` refuses.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not COCO's format; an image without id, file name or size; a category without id or name.
    """
    path = require_file(path, 'annotation file')
    images, items, left_out, categories = {}, {}, {}, {}
    try:
        for kind, item in stream_items(path, ('images', 'annotations', 'categories')):
            if kind == 'images':
                number, name, *size = read_image(item, len(images))
                if not name or not all(0 < side < 1 << 16 for side in size):
                    raise ValueError(f'image {number} has no file_name, or no width and height in pixels')
                images[number] = name, tuple(size)
            elif kind == 'categories':
                number = _key(item)
                categories[number] = str(item.get('name'))
            else:
                _add(item, items, left_out)
    except NotAnObject as error:
        raise ValueError(
            f"{path!r} is not an annotation file of COCO's format: expected an object with 'images', 'annotations' and "
            f"'categories', found {error}"
        ) from None
    except BrokenJson as error:
        raise ValueError(f'{path!r} is not JSON: {error}') from None
    except ValueError as error:
        raise ValueError(f'{path!r}: {error}') from error
    result = AnnotatedSegments(path, categories, left_out=left_out)
    for image_id in sorted(images, key=lambda number: images[number][0]):
        name, size = images[image_id]
        result.image_ids.append(image_id)
        result.names.append(name)
        result.sizes.append(size)
        result.items.append(_checked(items.pop(image_id, []), size, categories, left_out))
    for unlisted in items.values():
        left_out.setdefault('an image that is not listed', []).extend(number for number, *_ in unlisted)
    return result


def paint_segments(
    segments: Sequence[tuple[int, object]], size: tuple[int, int], unlabeled: int = 0, overlap: str = 'smaller'
) -> np.ndarray:
    """Rasterize the segments of an image.

    Args:
        segments: (label, segment) pairs, each a list of polygons or run lengths of ``size``.
        size: (width, height) of the image.
        unlabeled: label of pixels in no segment.
        overlap: 'smaller': a smaller segment lies on a larger one; 'later': one that is later in ``segments``.

    Returns:
        (H, W) uint8.

    Raises:
        BadSegment: see :func:`encode_segment`.
    """
    runs = [(label, encode_segment(segment, size)) for label, segment in segments]
    if overlap == 'smaller':
        runs.sort(key=lambda pair: -int(masks.area(pair[1])))
    ids = np.full(size[::-1], unlabeled, np.uint8, order='F')  # as the decoder returns masks
    for label, run in runs:
        np.copyto(ids, np.uint8(label), where=masks.decode(run).view(bool))
    return np.ascontiguousarray(ids)


def encode_segment(segment: object, size: tuple[int, int]) -> dict:
    """A segment as pycocotools' run lengths.

    Every value is checked before: the rasterizer reads and writes outside its memory otherwise.

    Args:
        segment: list of polygons [x1, y1, x2, y2, ...], or a dict with ``size`` and ``counts`` (numbers, or COCO's text).
        size: (width, height) of the image.

    Raises:
        BadSegment: another type, fewer than three points, a number that is not finite or far outside the image, or run lengths
            of another size.
    """
    width, height = size
    if isinstance(segment, Mapping):
        counts = segment.get('counts')
        counts = _counts_of_text(counts) if isinstance(counts, str | bytes) else counts
        if not isinstance(counts, list) or not all(type(count) is int and count >= 0 for count in counts):
            raise BadSegment('run lengths that are not whole numbers')
        if segment.get('size') != [height, width] or sum(counts) != width * height:
            raise BadSegment('run lengths of another size than the image')
        return masks.frPyObjects(dict(size=[height, width], counts=counts), height, width)
    if not isinstance(segment, list) or not all(isinstance(polygon, list) for polygon in segment):
        raise BadSegment('a segment that is neither polygons nor run lengths')
    far = _FAR * max(size)
    for polygon in segment:
        if len(polygon) < 6 or len(polygon) % 2:
            raise BadSegment('a polygon of fewer than three points, or of an odd number of values')
        if not all(type(value) in (int, float) and math.isfinite(value) and abs(value) <= far for value in polygon):
            raise BadSegment('a polygon with values that are not finite or far outside its image')
    if not segment:
        raise BadSegment('no segment')
    return masks.merge(masks.frPyObjects(segment, height, width))


def _counts_of_text(text: str | bytes) -> list[int]:
    """Run lengths from COCO's text: six-bit groups, of which five are data, as differences to the last run but one."""
    data = text.encode() if isinstance(text, str) else text
    counts, value, shift = [], 0, 0
    for byte in data:
        bits = byte - 48
        if not 0 <= bits < 64 or shift > 60:
            raise BadSegment('run lengths that cannot be decoded')
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value, shift = 0, 0
    if shift:
        raise BadSegment('run lengths that cannot be decoded')
    return counts


def _key(category: object) -> int:
    number = category.get('id') if isinstance(category, dict) else None
    if type(number) is not int:
        raise ValueError(f'category {str(category)[:80]} has no integer id')
    return number


def _add(item: object, items: dict, left_out: dict) -> None:
    number = item.get('id') if isinstance(item, dict) else None
    image, category = (item.get('image_id'), item.get('category_id')) if isinstance(item, dict) else (None, None)
    if type(image) is not int or type(category) is not int:
        left_out.setdefault('no integer image_id or category_id', []).append(number)
    else:
        items.setdefault(image, []).append((number, category, json.dumps(item.get('segmentation'))))


def _checked(found: list, size: tuple[int, int], categories: Mapping, left_out: dict) -> str:
    """JSON of the segments of an image that can be rasterized."""
    good = []
    for number, category, text in found:
        segment = json.loads(text)
        if category not in categories:
            reason = 'a category that is not listed'
        elif segment in (None, []):
            reason = 'no segment'
        else:
            try:
                encode_segment(segment, size)
                good.append(f'[{category}, {text}]')
                continue
            except BadSegment as error:
                reason = str(error)
        left_out.setdefault(reason, []).append(number)
    return f'[{", ".join(good)}]'
