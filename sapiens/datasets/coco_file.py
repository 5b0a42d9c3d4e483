"""COCO-format JSON as arrays: boxes and keypoints of the people that can be used, and what was left out.

Legend: N instances, M images, K keypoints. Boxes are x1, y1, x2, y2, clipped as mmpose's data sets clip them: to the centres
of the outermost pixels.
"""

import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from sapiens.metainfo import Skeleton, get_skeleton, skeleton_names

from .checks import Findings
from .json_stream import BrokenJson, NotAnObject, stream_items
from .path_table import PathTable

__all__ = ['Instances', 'read_annotations', 'read_detections']

# COCO-WholeBody keeps the keypoints of a person in five lists.
_WHOLEBODY = ('keypoints', 'foot_kpts', 'face_kpts', 'lefthand_kpts', 'righthand_kpts')
_GOLIATH = 'goliath_wholebody_kpts'


@dataclass
class Instances:
    """People of a file, as tensors: workers share them, forked or spawned, whatever their number.

    Attributes:
        names: of the M images.
        image_ids, image_sizes: (M,) int64 and (M, 2) int32 w, h.
        image: (N,) int64, the position of each instance's image.
        ids: (N,) int64, annotation ids; of detections, the position among the people of their file.
        boxes, scores, areas: (N, 4), (N,), (N,) float32; pixels and square pixels.
        categories: (N,) int64.
        keypoints, visible: (N, K, 2) float32 pixels and (N, K) uint8, 1 where labelled; None for detections.
        findings: annotations that were left out, by reason, and what is odd about the file.
    """

    names: PathTable
    image_ids: torch.Tensor
    image_sizes: torch.Tensor
    image: torch.Tensor
    ids: torch.Tensor
    boxes: torch.Tensor
    scores: torch.Tensor
    areas: torch.Tensor
    categories: torch.Tensor
    keypoints: torch.Tensor | None
    visible: torch.Tensor | None
    findings: Findings

    def __len__(self) -> int:
        return len(self.ids)


def read_annotations(
    path: str, skeleton: Skeleton, source: Skeleton, ids: np.ndarray, min_keypoints: int = 1
) -> Instances:
    """Read annotated people, in the order of the images and, within one, of the file.

    Left out are crowds, annotations without box or keypoints or whose ``num_keypoints`` is 0, boxes that are empty within
    their image, and people with fewer than ``min_keypoints`` labelled points of ``skeleton``.

    Args:
        path: of the JSON file.
        skeleton: of the result.
        source: of the file.
        ids: (K,), for each keypoint its id in ``source``, -1 where it has none: never labelled.
        min_keypoints: see above.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not COCO's format, or an annotation with another number of keypoints than ``source``.
    """
    findings = Findings()
    images, people = {}, {}
    for kind, item in _stream(path):
        if kind == 'images':
            _add_image(images, item, path, findings)
        else:
            person = _Person.read(item, source, path)
            people.setdefault(person.image_id, []).append(person)
    rows, points, seen = [], [], set()
    for position, (image_id, image) in enumerate(images.items()):
        for person in people.pop(image_id, ()):
            if person.id in seen:
                findings.add('repeated annotation id', person.id)
            seen.add(person.id)
            found = person.usable(image, ids, min_keypoints)
            if isinstance(found, str):
                findings.add(found, f'annotation {person.id}', wrong=found in _WRONG)
                continue
            box, labelled = found
            _look_at(person, image, labelled, findings)
            # mmpose's estimate where the file does not say: a person covers about half of the box.
            area = max((box[2] - box[0]) * (box[3] - box[1]) * 0.53, 1.0) if person.area is None else person.area
            points.append(labelled)
            rows.append((position, person.id, *box, area, person.category))
    for image_id, others in people.items():
        for person in others:
            findings.add('annotation of an image that is not listed', f'{person.id} of image {image_id}')
    points = np.stack(points) if points else np.empty((0, len(skeleton), 3), np.float32)
    return _instances(images, rows, findings, points)


def read_detections(path: str, ann_file: str, score_thr: float = 0.0) -> Instances:
    """Read detected people (COCO's list of results: image_id, category_id, bbox x, y, w, h, score), in their order.

    Kept are those of category 1 with a score of at least ``score_thr``. Boxes are not clipped.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a list of results.
    """
    _require_file(path)
    try:
        detections = json.loads(Path(path).read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'{path!r} is no JSON: {error}') from error
    keys = {'image_id', 'category_id', 'bbox', 'score'}
    if not isinstance(detections, list) or not all(
        isinstance(item, dict) and keys <= item.keys() for item in detections
    ):
        is_coco = isinstance(detections, dict) and 'annotations' in detections
        hint = " It holds annotations, not results: boxes='gt' uses those of ann_file" if is_coco else ''
        raise ValueError(f'{path!r}: expected a list of dicts with {", ".join(sorted(keys))}.{hint}')
    findings, images = Findings(), {}
    for kind, item in _stream(ann_file):
        if kind == 'images':
            _add_image(images, item, ann_file, findings)
    positions = {image_id: position for position, image_id in enumerate(images)}
    rows, number = [], -1
    for detection in detections:
        if detection['category_id'] != 1:
            findings.add('another category than 1, person', f'image {detection["image_id"]}', wrong=False)
            continue
        number += 1  # counted before the threshold, as mmpose does
        if detection['score'] < score_thr:
            findings.add(f'a score below {score_thr:g}', f'detection {number}', wrong=False)
        elif detection['image_id'] not in positions:
            findings.add('detection in an image that is not listed', f'image {detection["image_id"]}')
        else:
            x, y, w, h = (np.float32(value) for value in detection['bbox'][:4])
            box = x, y, x + w, y + h
            area = w * h
            rows.append((positions[detection['image_id']], number, *box, area, 1, detection['score']))
    return _instances(images, rows, findings, None)


# What is wrong with a file, as opposed to what is merely of no use.
_NO_BOX, _NO_POINTS, _EMPTY = 'no box', 'no list of keypoints', 'a box that is empty within its image'
_NOT_FINITE = 'numbers that are not finite'
_WRONG = (_NO_BOX, _NO_POINTS, _EMPTY, _NOT_FINITE)


class _Person(NamedTuple):
    """What is kept of an annotation until all images are known."""

    id: int
    image_id: int
    box: list | None
    points: np.ndarray | None
    crowd: bool
    num_keypoints: int | None
    area: float | None
    category: int

    @classmethod
    def read(cls, annotation: dict, source: Skeleton, path: str) -> '_Person':
        if not isinstance(annotation.get('id'), int) or 'image_id' not in annotation:
            raise ValueError(f'{path!r}: annotation {str(annotation)[:80]} has no integer id, or no image_id')
        return cls(
            annotation['id'],
            annotation['image_id'],
            annotation.get('bbox'),
            _points(annotation, source, path),
            bool(annotation.get('iscrowd')),
            annotation.get('num_keypoints'),
            annotation.get('area'),
            annotation.get('category_id', 1),
        )

    def usable(self, image: dict, ids: np.ndarray, min_keypoints: int) -> tuple | str:
        """Box and (K, 3) points x, y, labelled; or the reason to leave the person out."""
        points = self.points
        if points is None:
            return _NO_POINTS
        if self.box is None or len(self.box) != 4:
            return _NO_BOX
        if self.crowd:
            return 'a crowd'
        if self.num_keypoints == 0 or points[:, :2].max() <= 0:
            return 'no labelled keypoint'
        x, y, w, h = self.box
        if not (all(map(math.isfinite, (x, y, w, h))) and np.isfinite(points).all()):
            return _NOT_FINITE
        right, bottom = image['width'] - 1, image['height'] - 1
        limits = ((x, right), (y, bottom), (x + w, right), (y + h, bottom))
        box = tuple(min(max(value, 0), limit) for value, limit in limits)
        if np.float32(box[2]) - np.float32(box[0]) <= 0 or np.float32(box[3]) - np.float32(box[1]) <= 0:
            return _EMPTY
        points = np.where(ids[:, None] < 0, np.float32(0), points[ids])
        points[:, 2] = points[:, 2] > 0
        if points[:, 2].sum() < min_keypoints:
            return f'fewer than {min_keypoints} labelled keypoints' if min_keypoints > 1 else 'no labelled keypoint'
        return box, points


def _points(annotation: dict, source: Skeleton, path: str) -> np.ndarray | None:
    """(K, 3) x, y, v, from whichever field holds as many points as the skeleton has."""
    wanted = 3 * len(source)
    plain = annotation.get('keypoints')
    parts = [annotation[key] for key in _WHOLEBODY] if all(key in annotation for key in _WHOLEBODY) else None
    for numbers in (plain, annotation.get(_GOLIATH)):
        if numbers is not None and len(numbers) == wanted:
            return np.array(numbers, np.float32).reshape(-1, 3)
    if parts is not None and sum(map(len, parts)) == wanted:
        return np.array([number for part in parts for number in part], np.float32).reshape(-1, 3)
    if plain is None and annotation.get(_GOLIATH) is None:
        return None
    found = {key: len(annotation[key]) for key in ('keypoints', _GOLIATH) if annotation.get(key) is not None}
    if parts is not None:
        found['+'.join(_WHOLEBODY)] = sum(map(len, parts))
    raise ValueError(_wrong_count(annotation, found, source, path))


def _wrong_count(annotation, found, source, path) -> str:
    counts = ', '.join(f'{key} has {count / 3:g} keypoints ({count} numbers)' for key, count in found.items())
    fitting = [repr(name) for name in skeleton_names() if 3 * len(get_skeleton(name)) in found.values()]
    if fitting:
        hint = f'Did you mean skeleton={" or ".join(fitting)}? To map such points by name, say source_skeleton={fitting[0]}'
    else:
        hint = 'State a skeleton with the names of these points (docs/add_a_dataset.md)'
    return (
        f'annotation {annotation["id"]} of {path!r}: {counts}, but skeleton {source.name!r} has {len(source)}. {hint}'
    )


def _look_at(person: _Person, image: dict, points: np.ndarray, findings: Findings) -> None:
    """Count what is odd about somebody who is used all the same."""
    x, y, w, h = person.box
    if x < -1 or y < -1 or x + w > image['width'] + 1 or y + h > image['height'] + 1:
        findings.add('box that reaches out of its image', f'annotation {person.id}: {person.box}')
    limit = np.array([image['width'], image['height']]) + 1
    outside = ((points[:, :2] < -1) | (points[:, :2] > limit)).any(1) & (points[:, 2] > 0)
    if outside.any():
        first = int(np.flatnonzero(outside)[0])
        where = f'annotation {person.id}: keypoint {first} at {points[first, :2].tolist()}'
        findings.add('labelled keypoint outside of its image', where)


def _instances(images, rows, findings, points) -> Instances:
    # A row: position of the image, id, x1, y1, x2, y2, area, category, and the score of a detection.
    table = np.array([row[2:7] for row in rows], np.float64).reshape(-1, 5)
    scores = [row[8] for row in rows] if points is None else np.ones(len(rows))
    return Instances(
        names=PathTable.from_strings(image['file_name'] for image in images.values()),
        image_ids=torch.tensor(list(images), dtype=torch.int64),
        image_sizes=torch.tensor([(image['width'], image['height']) for image in images.values()], dtype=torch.int32),
        image=torch.tensor([row[0] for row in rows], dtype=torch.int64),
        ids=torch.tensor([row[1] for row in rows], dtype=torch.int64),
        boxes=torch.from_numpy(table[:, :4].astype(np.float32)),
        scores=torch.from_numpy(np.array(scores, np.float32)),
        areas=torch.from_numpy(table[:, 4].astype(np.float32)),
        categories=torch.tensor([row[7] for row in rows], dtype=torch.int64),
        keypoints=None if points is None else torch.from_numpy(np.ascontiguousarray(points[..., :2])),
        visible=None if points is None else torch.from_numpy(points[..., 2].astype(np.uint8)),
        findings=findings,
    )


def _add_image(images: dict, image: dict, path: str, findings: Findings) -> None:
    missing = {'id', 'file_name', 'width', 'height'} - image.keys()
    if missing:
        raise ValueError(f'{path!r}: image {image.get("id", image)!r} has no {", ".join(sorted(missing))}')
    if not isinstance(image['id'], int):
        raise ValueError(f'{path!r}: image id {image["id"]!r} is no integer')
    if image['id'] in images:
        findings.add('repeated image id', image['id'])
    images[image['id']] = {key: image[key] for key in ('file_name', 'width', 'height')}


def _stream(path: str) -> Iterator[tuple[str, dict]]:
    """('images' or 'annotations', entry), one by one."""
    _require_file(path)
    try:
        yield from stream_items(path, ('images', 'annotations'))
    except NotAnObject as error:
        hint = '. Detections belong in boxes=' if "'score'" in str(error) else ''
        raise ValueError(
            f"{path!r} is no annotation file of COCO's format: expected an object with 'images' and 'annotations', found "
            f'{error}{hint}'
        ) from None
    except BrokenJson as error:
        raise ValueError(f'{path!r} is no JSON: {error}') from None


def _require_file(path: str) -> None:
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f'no file {path!r} (DATA_ROOT is {os.environ.get("DATA_ROOT", "not set; configs then use data/")}). What is '
            'expected there: data/README.md'
        )
