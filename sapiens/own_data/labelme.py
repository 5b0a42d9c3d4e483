"""Labelme's files, one JSON for each image, as one COCO document."""

import base64
import binascii
import json
import math
import os
from collections.abc import Iterable

import cv2
import numpy as np
from pycocotools import mask as masks

__all__ = ['is_labelme', 'labelme_to_coco']


def is_labelme(path: str) -> bool:
    """Whether a JSON file is one of Labelme: an object with ``shapes`` and ``imagePath``."""
    with open(path, encoding='utf-8-sig') as file:
        head = file.read(1 << 16)
        if '"shapes"' not in head and '"imagePath"' not in head and '"imageData"' not in head:
            return False
        try:
            content = json.loads(head + file.read())
        except ValueError:
            return False
    return isinstance(content, dict) and isinstance(content.get('shapes'), list) and 'imagePath' in content


def labelme_to_coco(paths: Iterable[str], root: str) -> tuple[dict, dict[str, int]]:
    """Convert Labelme's files.

    A polygon, rectangle, circle or mask becomes an annotation of the category of its label, in the order of the file. Points of
    one ``group_id`` become the keypoints of one person, named by their labels; those without one are of one person too. The
    rectangle or polygon of the same group is that person's box.

    Args:
        paths: the JSON files.
        root: folder that file names become relative to.

    Returns:
        The COCO document, and {what was left out: how often}.

    Raises:
        ValueError: a file without a size, a shape without a label, or two points of one name for one person.
    """
    images, shapes, left_out = [], [], {}
    for path in sorted(paths):
        with open(path, encoding='utf-8-sig') as file:
            content = json.load(file)
        size = content.get('imageWidth'), content.get('imageHeight')
        if not all(type(side) is int and side > 0 for side in size):
            raise ValueError(f'{path} has no imageWidth and imageHeight: open and save it in Labelme')
        photo = os.path.normpath(os.path.join(os.path.dirname(path), str(content['imagePath']).replace('\\', '/')))
        number = len(images) + 1
        images.append(dict(id=number, file_name=os.path.relpath(photo, root), width=size[0], height=size[1]))
        for shape in content['shapes']:
            if not isinstance(shape, dict) or not isinstance(shape.get('label'), str):
                raise ValueError(f'{path}: a shape without a label: {str(shape)[:80]}')
            shapes.append((number, size, path, shape))
    points = sorted({shape['label'] for *_, shape in shapes if shape.get('shape_type') == 'point'})
    regions = sorted({shape['label'] for *_, shape in shapes if shape.get('shape_type') != 'point'})
    person = (regions[0] if len(regions) == 1 else 'person') if points else None
    names = sorted({*regions, *([person] if person else [])})
    ids = {name: index + 1 for index, name in enumerate(names)}
    annotations, people = [], {}
    for number, size, path, shape in shapes:
        group, corners = str(shape.get('group_id')), _points(shape, path)
        if shape.get('shape_type') == 'point':
            place = people.setdefault((number, group), {'points': {}})['points']
            if shape['label'] in place:
                raise ValueError(
                    f'{path}: two points {shape["label"]!r} of one person: give those of each person one group_id'
                )
            place[shape['label']] = corners[0]
            continue
        region = _region(shape, corners, size, path)
        if region is None:
            what = f'{shape.get("shape_type")} of {shape["label"]!r}, which encloses no pixels'
            left_out[what] = left_out.get(what, 0) + 1
            continue
        item = dict(id=len(annotations) + 1, image_id=number, category_id=ids[shape['label']], iscrowd=0, **region)
        annotations.append(item)
        if points and shape['label'] == person:
            people.setdefault((number, group), {'points': {}}).setdefault('items', []).append((item, path))
    if points:
        _add_people(people, points, ids[person], annotations, left_out)
    categories = [dict(id=ids[name], name=name) for name in names]
    for category in categories:
        if category['name'] == person:
            category.update(keypoints=points, skeleton=[])
    return dict(images=images, annotations=annotations, categories=categories), left_out


def _add_people(people: dict, names: list[str], category: int, annotations: list, left_out: dict) -> None:
    """Add keypoints to the annotations of people, or new annotations."""
    for (number, _), person in people.items():
        if not person['points']:
            continue
        values = []
        for name in names:
            values += [*map(float, person['points'][name]), 2] if name in person['points'] else [0, 0, 0]
        labelled = dict(keypoints=values, num_keypoints=len(person['points']))
        items = person.get('items', [])
        if len(items) > 1:
            raise ValueError(f'{items[1][1]}: two shapes of one person: give those of each person one group_id')
        if items:
            items[0][0].update(labelled)
            continue
        item = dict(id=len(annotations) + 1, image_id=number, category_id=category, iscrowd=0, segmentation=[])
        annotations.append(item | labelled)
        what = 'person without a rectangle of the same group'
        left_out[what] = left_out.get(what, 0) + 1


def _points(shape: dict, path: str) -> list[tuple[float, float]]:
    """The points of a shape. Raises ValueError for anything but pairs of finite numbers."""
    try:
        points = [(float(x), float(y)) for x, y in shape.get('points')]
    except (TypeError, ValueError, OverflowError):
        points = []
    if not points or not all(math.isfinite(value) for point in points for value in point):
        raise ValueError(f'{path}: the points of a shape of {shape["label"]!r} are not pairs of finite numbers')
    return points


def _region(shape: dict, points: list, size: tuple[int, int], path: str) -> dict | None:
    """Segment, box and area of a shape; None for one without an inside."""
    kind = shape.get('shape_type', 'polygon')
    if kind == 'mask':
        return _mask(shape, points, size, path)
    if kind == 'rectangle' and len(points) == 2:
        (x1, y1), (x2, y2) = points
        points = [(x1, y1), (x2, y1), (x2, y2), (x1, y2)]
    elif kind == 'circle' and len(points) == 2:
        (x, y), edge = points
        radius = math.dist((x, y), edge)
        angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
        points = [(x + radius * math.cos(angle), y + radius * math.sin(angle)) for angle in angles]
    elif kind not in ('polygon', 'rectangle') or len(points) < 3:
        return None
    corners = np.array(points)
    x, y = corners.T
    area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    low, high = corners.min(0), corners.max(0)
    box = [*low.tolist(), *(high - low).tolist()]
    return dict(segmentation=[corners.ravel().tolist()], bbox=box, area=float(area))


def _mask(shape: dict, points: list, size: tuple[int, int], path: str) -> dict:
    """A shape of kind 'mask': a PNG in base64, whose top-left corner is the first point."""
    try:
        data = base64.b64decode(shape.get('mask') or '', validate=True)
        inner = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE) if data else None
    except (binascii.Error, TypeError):
        inner = None
    if inner is None or not points:
        raise ValueError(f'{path}: the mask of a shape of {shape["label"]!r} cannot be decoded')
    x, y = (round(value) for value in points[0])
    whole = np.zeros((size[1], size[0]), np.uint8)
    rows, columns = slice(max(y, 0), max(y + inner.shape[0], 0)), slice(max(x, 0), max(x + inner.shape[1], 0))
    target = whole[rows, columns]
    target[:] = inner[max(-y, 0) :, max(-x, 0) :][: target.shape[0], : target.shape[1]] > 0
    runs = masks.encode(np.asfortranarray(whole))
    box, area = masks.toBbox(runs).tolist(), int(masks.area(runs))
    return dict(segmentation=dict(size=[size[1], size[0]], counts=runs['counts'].decode()), bbox=box, area=area)
