"""Scores of people on photographs: average precision by pycocotools, shares of correct keypoints, recall, overlap.

Boxes are x, y, width, height in pixels. Keypoints are (K, 3): x, y in pixels and a visibility, 0 where there is no label.
"""

import contextlib
import copy
import io
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

HEIGHTS = ((40, 96), (96, 192), (192, 10_000))
"""Ranges of a person's height in pixels."""


def average_precision(
    truth: Mapping, results: Sequence[Mapping], kind: str, counted: Iterable[int] | None = None
) -> tuple:
    """COCO's AP and AP .5.

    Args:
        truth: a COCO file.
        results: dicts with image_id, category_id, score, and keypoints or bbox.
        kind: ``'keypoints'`` or ``'bbox'``.
        counted: ids of the annotations that count; predictions of others are neither right nor wrong. Default: all.
    """
    truth = copy.deepcopy(truth)
    kept = None if counted is None else set(counted)
    for one in truth['annotations']:
        if kept is not None and one['id'] not in kept:
            # What pycocotools ignores: in keypoints people without any, in boxes crowds.
            one.update(dict(num_keypoints=0) if kind == 'keypoints' else dict(iscrowd=1))
    if not results:
        return 0.0, 0.0
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(copy.deepcopy(list(results))), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0]), float(evaluation.stats[1])


def correct_keypoints(people: Sequence[Mapping], points: Sequence[np.ndarray], share: float) -> float:
    """PCK: share of the labeled keypoints within a share of the longer side of the annotated box.

    Args:
        people: annotations with keypoints and bbox.
        points: (K, 2) of each; NaN is wrong.
        share: of the longer side.
    """
    right = total = 0
    for person, found in zip(people, points, strict=True):
        labels = np.asarray(person['keypoints'], np.float64).reshape(-1, 3)
        labeled = labels[:, 2] > 0
        distance = np.linalg.norm(np.asarray(found)[labeled] - labels[labeled, :2], axis=1)
        right += int((distance <= share * max(person['bbox'][2:])).sum())
        total += int(labeled.sum())
    return right / max(total, 1)


def overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """IoU (N, M) of boxes (N, 4) and (M, 4)."""
    first, second = boxes[:, None], others[None]
    low = np.maximum(first[..., :2], second[..., :2])
    high = np.minimum(first[..., :2] + first[..., 2:], second[..., :2] + second[..., 2:])
    shared = np.maximum(high - low, 0).prod(-1)
    return shared / np.maximum(first[..., 2:].prod(-1) + second[..., 2:].prod(-1) - shared, 1e-9)


def match(people: Sequence[Mapping], boxes: np.ndarray, least: float = 0.5) -> np.ndarray:
    """For each person the index of its box, -1 without one. Boxes, best first, take the person that they overlap most.

    Args:
        people: annotations of one image.
        boxes: (N, 4).
        least: IoU.
    """
    found = np.full(len(people), -1)
    if len(people) and len(boxes):
        table = overlaps(np.array([one['bbox'] for one in people], np.float64), np.asarray(boxes, np.float64))
        for index in range(len(boxes)):
            open_ = np.where(found < 0, table[:, index], -1.0)
            best = int(open_.argmax())
            if open_[best] >= least:
                found[best] = index
    return found


def recall_by_height(people: Sequence[Mapping], matched: Sequence[bool]) -> dict[str, tuple[int, int]]:
    """{range of heights: (people found, people)}."""
    rows = {}
    for low, high in HEIGHTS:
        inside = [bool(found) for one, found in zip(people, matched, strict=True) if low <= one['bbox'][3] < high]
        rows[f'{low}+' if high == HEIGHTS[-1][1] else f'{low}-{high}'] = (sum(inside), len(inside))
    return rows


def median_pose(people: Sequence[Mapping]) -> np.ndarray:
    """The constant pose (K, 2): the median of each keypoint, as fractions of the box, over people that have it."""
    rows = []
    for person in people:
        labels = np.asarray(person['keypoints'], np.float64).reshape(-1, 3)
        x, y, width, height = person['bbox']
        places = (labels[:, :2] - (x, y)) / (width, height)
        rows.append(np.where(labels[:, 2:] > 0, places, np.nan))
    return np.nanmedian(np.stack(rows), 0)


def place_pose(pose: np.ndarray, box: Sequence[float]) -> np.ndarray:
    """A pose (K, 2) of fractions of a box in pixels."""
    return pose * box[2:] + box[:2]
