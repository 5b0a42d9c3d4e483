"""Predicted people as labels, in plain values."""

from collections.abc import Iterator

import numpy as np

from sapiens.metainfo import Skeleton

from ..results import PoseResult
from ..writers.pose_formats import coco_entries, pose_document

__all__ = ['category_of', 'coco_annotations', 'people_of']

# As mmpose estimates the area of a person from the box.
AREA_OF_BOX = 0.53


def people_of(result: PoseResult) -> list[dict]:
    """Return the people of an image as :func:`.pose_document` has them, each with ``score``: that of the published evaluation."""
    people = pose_document(result)['instance_info']
    scores = [entry['score'] for entry in coco_entries(people, 0, '')]
    return [dict(person, score=round(score, 6)) for person, score in zip(people, scores, strict=True)]


def coco_annotations(result: PoseResult, threshold: float) -> Iterator[dict]:
    """Yield annotations of COCO's format without ids.

    A keypoint is labeled (v = 2) where its score reaches the threshold. ``score`` is that of the person and
    ``keypoint_scores`` are all scores. People without a labeled keypoint are kept, as data sets leave them out themselves.
    """
    for person in people_of(result):
        points = np.array([[np.nan if value is None else value for value in xy] for xy in person['keypoints']])
        scores = np.array(person['keypoint_scores'], np.float64)
        labeled = (scores >= threshold) & np.isfinite(points).all(1)
        rows = np.where(labeled[:, None], np.column_stack([points, np.full(len(points), 2)]), 0)
        x1, y1, x2, y2 = person['bbox']
        yield dict(
            category_id=1,
            bbox=[x1, y1, round(x2 - x1, 4), round(y2 - y1, 4)],
            area=round((x2 - x1) * (y2 - y1) * AREA_OF_BOX, 2),
            iscrowd=0,
            num_keypoints=int(labeled.sum()),
            keypoints=[int(value) if value == int(value) else value for value in rows.ravel().tolist()],
            keypoint_scores=person['keypoint_scores'],
            bbox_score=person['bbox_score'],
            score=person['score'],
        )


def category_of(skeleton: Skeleton) -> dict:
    """Return the category of people, which names the keypoints."""
    links = (np.asarray(skeleton.links) + 1).tolist()
    return dict(id=1, name='person', supercategory='person', keypoints=list(skeleton.keypoints), skeleton=links)
