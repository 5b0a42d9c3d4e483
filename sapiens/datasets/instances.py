"""People that a pose model trains on or is evaluated on: chosen from a COCO file or a file of detections.

Legend: N instances, M images, K keypoints. Boxes are x1, y1, x2, y2, clipped as in mmpose: to the centers of the outermost
pixels.
"""

import logging
from dataclasses import dataclass

import numpy as np
import torch
from mmengine.logging import print_log

from sapiens.coco import AnnotatedPeople, read_results
from sapiens.metainfo import Skeleton

from .checks import Findings
from .path_table import PathTable

__all__ = ['Instances', 'annotated_instances', 'detected_instances']

# Keypoints are in one place if their extent is below this fraction of the box; a box of so few pixels shows no person; and fewer
# people than these may be equal by chance.
_ONE_PLACE, _SMALL_BOX, _MANY = 0.01, 4, 10


@dataclass
class Instances:
    """People as tensors, which forked and spawned workers share without copying.

    Attributes:
        names: of the M images.
        image_ids, image_sizes: (M,) int64 and (M, 2) int32 w, h.
        image: (N,) int64, the position of each instance's image.
        ids: (N,) int64, annotation ids; of detections, the position among the people of their file.
        boxes, scores, areas: (N, 4), (N,), (N,) float32; pixels and square pixels.
        categories: (N,) int64.
        keypoints, visible: (N, K, 2) float32 pixels and (N, K) uint8, 1 where labeled; None for detections.
        findings: annotations that are left out, by reason, and suspicious values.
        weights: (N,) float32; None for no weights.
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
    weights: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.ids)


def annotated_instances(
    people: AnnotatedPeople,
    skeleton: Skeleton,
    source: Skeleton,
    ids: np.ndarray,
    min_keypoints: int = 1,
    for_evaluation: bool = False,
) -> Instances:
    """Choose annotated people, in the order of the images and, within one, of the file.

    Left out are other categories, crowds, annotations without box or keypoints or whose ``num_keypoints`` is 0, boxes that are
    empty within their image, and people with fewer than ``min_keypoints`` labeled keypoints of ``skeleton``.

    Args:
        skeleton, source: of the result and of the file.
        ids: (K,), for each keypoint its id in ``source``, -1 where it has none: never labeled.

        for_evaluation: refuse what :meth:`sapiens.coco.AnnotatedPeople.check_for_evaluation` refuses.

    Raises:
        ValueError: no annotation has the keypoints of ``source``, an image has no name or size, or the file cannot be evaluated.
    """
    people.check_images()
    findings = Findings()
    for image_id in people.repeated_images:
        findings.add('repeated image id', image_id)
    points, listed = people.points(source)
    same = people.same_category(listed)
    if for_evaluation:
        people.check_for_evaluation(points, same)
    visible = (points[:, ids, 2] > 0) & (ids >= 0)
    rows = np.argsort(people.image, kind='stable')
    rows = rows[people.image[rows] >= 0]
    repeated = np.ones(len(rows), bool)
    repeated[np.unique(people.ids[rows], return_index=True)[1]] = False
    for row in rows[repeated]:
        findings.add('repeated annotation id', people.ids[row])
    boxes = _clipped_boxes(people)
    few = f'fewer than {min_keypoints} labeled keypoints' if min_keypoints > 1 else 'no labeled keypoint'
    with np.errstate(invalid='ignore'):
        empty = ~(np.float32(boxes[:, 2:]) > np.float32(boxes[:, :2])).all(1)
        nothing = people.has_empty_list | (people.num_keypoints == 0)
        nothing |= listed & (points[..., :2].max((1, 2), initial=-np.inf) <= 0)
        # (reason, where it holds, whether the file is wrong); the first reason counts.
        reasons = (
            ('a category without keypoints', ~same & ~people.same_category(people.has_keypoints), False),
            ('a category with other keypoints', ~same, False),
            *((f'a box that is {problem}', holds, True) for problem, holds in people.bad_boxes.items()),
            ('a crowd', people.crowd, False),
            (f'another number of keypoints than {len(source)}', ~listed & people.has_keypoints, True),
            ('no labeled keypoint', nothing, False),
            ('no list of keypoints', ~listed, True),
            ('no box', np.isnan(people.boxes).all(1), True),
            ('numbers that are not finite', ~_finite(points), True),
            ('a box that is empty within its image', empty, True),
            (few, visible.sum(1) < min_keypoints, False),
        )
    lost = {}
    for text, holds, wrong in reasons:
        for row in rows[holds[rows]]:
            findings.add(text, f'annotation {people.ids[row]}', wrong=wrong)
            lost |= {text: lost.get(text, 0) + 1} if wrong else {}
        rows = rows[~holds[rows]]
    if lost and len(rows):
        listing = ', '.join(f'{count} with {text}' for text, count in lost.items())
        text = f'{people.path!r}: {sum(lost.values())} of {len(people)} annotations are left out: {listing}'
        print_log(f'{text}. `sapiens check CONFIG` lists them', 'current', logging.WARNING)
    for row in np.flatnonzero(people.image < 0):
        findings.add('annotation of an image that is not listed', f'{people.ids[row]} of image {people.image_id[row]}')
    boxes, visible = boxes[rows], visible[rows]
    keypoints = np.where((ids >= 0)[:, None], points[rows][:, ids, :2], np.float32(0))
    _find_outside(people, rows, keypoints, visible, findings)
    _find_misplaced(people, rows, boxes, keypoints, visible, findings)
    areas = people.person_areas(points)[rows]
    for row in rows[~people.has_area[rows]]:
        findings.add('no area: 0.53 of the box is taken', f'annotation {people.ids[row]}', wrong=False)
    return _instances(
        people,
        findings,
        image=people.image[rows],
        ids=people.ids[rows],
        boxes=boxes,
        scores=np.ones(len(rows)),
        areas=areas,
        categories=people.categories[rows],
        keypoints=torch.from_numpy(keypoints),
        visible=torch.from_numpy(visible.astype(np.uint8)),
        weights=None if people.weights is None else torch.from_numpy(people.weights[rows].astype(np.float32)),
    )


def detected_instances(path: str, people: AnnotatedPeople, score_thr: float = 0.0) -> Instances:
    """Read detected people (COCO's list of results: image_id, category_id, bbox x, y, w, h, score), in their order.

    Kept are those of category 1 with a score of at least ``score_thr``. Boxes are not clipped.

    ``people`` is the annotation file, which lists the images.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a list of results, or an image without name or size.
    """
    people.check_images()
    people.check_boxes(people.same_category(people.has_keypoints))  # the metric reads them
    findings = Findings()
    positions = {image_id: position for position, image_id in enumerate(people.image_ids.tolist())}
    rows, number = [], -1
    for detection in read_results(path, {'image_id', 'category_id', 'bbox', 'score'}):
        image_id, score = detection['image_id'], detection['score']
        if detection['category_id'] != 1:
            findings.add('another category than 1, person', f'image {image_id}', wrong=False)
            continue
        number += 1  # counted before the threshold, as mmpose does
        if score < score_thr:
            findings.add(f'a score below {score_thr:g}', f'detection {number}', wrong=False)
        elif image_id not in positions:
            findings.add('detection in an image that is not listed', f'image {image_id}')
        elif min(detection['bbox'][2:4]) <= 0:
            findings.add('a box without width or height', f'detection {number}')
        else:
            with np.errstate(over='ignore', invalid='ignore'):
                x, y, w, h = np.array(detection['bbox'][:4], np.float64).astype(np.float32)
                box, area = (x, y, x + w, y + h), w * h
            if not (np.isfinite((*box, area)).all() and box[0] < box[2] and box[1] < box[3]):
                findings.add('a box beyond the precision of float32', f'detection {number}: {detection["bbox"]}')
                continue
            rows.append((positions[image_id], number, box, area, score))
            width, height = people.image_sizes[positions[image_id]]
            if not (box[0] < width and box[1] < height and box[2] > 0 and box[3] > 0):
                findings.add('detection outside of its image', f'detection {number}: {detection["bbox"]}')
    image, ids, boxes, areas, scores = zip(*rows, strict=True) if rows else [()] * 5
    return _instances(
        people,
        findings,
        image=np.array(image, np.int64),
        ids=np.array(ids, np.int64),
        boxes=np.array(boxes).reshape(-1, 4),
        scores=scores,
        areas=areas,
        categories=np.ones(len(rows), np.int64),
        keypoints=None,
        visible=None,
    )


def _clipped_boxes(people: AnnotatedPeople) -> np.ndarray:
    """(N, 4) float64 x1, y1, x2, y2 inside the image."""
    if not len(people):
        return np.empty((0, 4))
    corners = np.concatenate([people.boxes[:, :2], people.boxes[:, :2] + people.boxes[:, 2:]], 1)
    limits = np.tile(people.image_sizes[people.image] - 1, 2) if len(people.image_sizes) else 0
    return np.minimum(np.maximum(corners, 0), limits)


def _finite(values: np.ndarray) -> np.ndarray:
    """(N,) bool: whether all numbers of a row are finite."""
    return np.isfinite(values).all(tuple(range(1, values.ndim)))


def _find_outside(people, rows, keypoints, visible, findings: Findings) -> None:
    """Count boxes and keypoints that reach out of their image by more than a pixel; they are used nevertheless."""
    sizes = people.image_sizes[people.image[rows]].reshape(-1, 2) + 1
    corners = people.boxes[rows]
    beyond = (corners[:, :2] < -1).any(1) | (corners[:, :2] + corners[:, 2:] > sizes).any(1)
    outside = ((keypoints < -1) | (keypoints > sizes[:, None])).any(2) & visible
    for index in np.flatnonzero(beyond | outside.any(1)):
        where = f'annotation {people.ids[rows[index]]}'
        if beyond[index]:
            findings.add('box that reaches out of its image', f'{where}: {corners[index].tolist()}')
        if outside[index].any():
            first = int(np.flatnonzero(outside[index])[0])
            point = keypoints[index, first].tolist()
            findings.add('labeled keypoint outside of its image', f'{where}: keypoint {first} at {point}')


def _find_misplaced(people, rows, boxes, keypoints, visible, findings: Findings) -> None:
    """Count people whose labels contradict each other, and values that all people share; they are used nevertheless."""
    if not len(rows):
        return
    labelled = dict(axis=1, where=visible[..., None])  # reduces without a copy of all keypoints
    low, high = keypoints.min(initial=np.inf, **labelled), keypoints.max(initial=-np.inf, **labelled)
    size = boxes[:, 2:] - boxes[:, :2]
    some = visible.any(1)
    beside = some & ((low > boxes[:, 2:] + size / 2) | (high < boxes[:, :2] - size / 2)).any(1)
    one_place = (visible.sum(1) > 2) & ((high - low).max(1, where=some[:, None], initial=0) < size.max(1) * _ONE_PLACE)
    for text, holds in (
        ('keypoints that all lie beside their box', beside),
        ('keypoints that are all in one place', one_place),
    ):
        for index in np.flatnonzero(holds):
            findings.add(
                text,
                f'annotation {people.ids[rows[index]]}: keypoints {low[index]} to {high[index]}, box {boxes[index]}',
            )
    if np.median(size.max(1)) < _SMALL_BOX:
        findings.add(
            f'boxes of less than {_SMALL_BOX} pixels: are they fractions of the image?',
            f'half of {len(rows)} annotations, such as {people.ids[rows[0]]}: {people.boxes[rows[0]].tolist()}',
        )
    if len(rows) < _MANY:
        return
    part = size.prod(1) / np.maximum(people.image_sizes[people.image[rows]].prod(1), 1)
    for text, values, holds in (
        ('the same box for all people', boxes, part.max() < 0.5),  # boxes of whole images may be equal
        ('the same keypoints for all people', keypoints, True),
    ):
        if holds and (values == values[0]).all():
            findings.add(text, f'{len(rows)} annotations, such as {people.ids[rows[0]]}')


def _instances(people: AnnotatedPeople, findings: Findings, **columns) -> Instances:
    for name in ('boxes', 'scores', 'areas'):
        columns[name] = torch.from_numpy(np.array(columns[name], np.float32))
    for name in ('image', 'ids', 'categories'):
        columns[name] = torch.from_numpy(columns[name])
    return Instances(
        names=PathTable.from_strings(people.names),
        image_ids=torch.from_numpy(people.image_ids),
        image_sizes=torch.from_numpy(people.image_sizes),
        findings=findings,
        **columns,
    )
