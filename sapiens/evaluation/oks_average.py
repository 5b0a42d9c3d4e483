"""Average precision and recall over OKS thresholds, for several groups of keypoints at once.

This module computes the similarities of all images and groups in a few array operations. faster-coco-eval matches detections
to people and averages.
"""

from collections.abc import Mapping

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

from .functional import keypoint_similarity, region_similarity
from .people import Detections, GroundTruth

__all__ = ['MAX_DETECTIONS', 'STATISTICS', 'average_oks']

STATISTICS = ('AP', 'AP .5', 'AP .75', 'AP (M)', 'AP (L)', 'AR', 'AR .5', 'AR .75', 'AR (M)', 'AR (L)')
MAX_DETECTIONS = 20  # per image, COCO's rule for people
_CHUNK = 1 << 20  # similarities of keypoints computed at a time: 8 MB each


def average_oks(
    people: GroundTruth,
    detections: Detections,
    areas: np.ndarray,
    sigmas: np.ndarray,
    groups: Mapping[str, np.ndarray],
) -> dict[str, dict[str, float]]:
    """COCO's ten numbers for each group of keypoints.

    As in COCO and COCO-WholeBody: crowds and people without a labeled keypoint in the group are ignored, together with the
    detections that match them. Detections without a positive score in the group are ignored. Each image counts its 20 best
    detections.

    Args:
        areas: (M,) square pixels of the detections: unmatched ones outside a range of areas do not count in it.
        sigmas: (K,).
        groups: {name: keypoint ids}.

    Returns:
        {group: {statistic: value in [0, 1]}}, keys :data:`STATISTICS`; -1 if there is no such person.
    """
    membership = np.zeros((len(sigmas), len(groups)))
    for column, ids in enumerate(groups.values()):
        membership[ids, column] = 1
    order = np.lexsort((-detections.scores, detections.image))  # stable: equal scores keep their order
    detections, areas = detections.select(order), areas[order]
    counted = _best(detections.image, (detections.keypoint_scores > 0) @ membership > 0)
    chosen = counted.any(1)
    detections, areas, counted = detections.select(chosen), areas[chosen], counted[chosen]
    labelled = people.visible @ membership
    pairs = _Pairs(people, detections)
    similarity = _group_similarity(people, detections, pairs, sigmas, membership, labelled)
    return {
        name: _evaluate(people, detections, areas, labelled[:, g] > 0, counted[:, g], pairs, similarity[:, g])
        for g, name in enumerate(groups)
    }


def _best(image: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """(M, G) bool: among the first valid ones of their image. ``image`` (M,) ascends, ``valid`` is (M, G)."""
    before = np.cumsum(valid, 0) - valid
    first = np.searchsorted(image, image)
    return valid & (before - before[first] < MAX_DETECTIONS)


class _Pairs:
    """Pairs of each detection and each person of its image, image by image and detection by detection.

    Attributes:
        detection, person: (P,) ids.
        blocks: {image: (first pair, first detection, detections, people)} of images that have both.
    """

    def __init__(self, people: GroundTruth, detections: Detections):
        count = len(people.image_ids)
        people_in = np.bincount(people.image, minlength=count)
        found_in = np.bincount(detections.image, minlength=count)
        first_person, first_found = np.cumsum(people_in) - people_in, np.cumsum(found_in) - found_in
        each = people_in[detections.image]
        self.detection = np.repeat(np.arange(len(detections)), each)
        start = np.cumsum(each) - each
        self.person = np.arange(len(self.detection)) - np.repeat(start - first_person[detections.image], each)
        size = people_in * found_in
        first_pair = np.cumsum(size) - size
        self.blocks = {
            int(i): (int(first_pair[i]), int(first_found[i]), int(found_in[i]), int(people_in[i]))
            for i in np.flatnonzero(size)
        }


def _group_similarity(
    people: GroundTruth,
    detections: Detections,
    pairs: _Pairs,
    sigmas: np.ndarray,
    membership: np.ndarray,
    labelled: np.ndarray,
) -> np.ndarray:
    """(P, G) OKS of every pair; similarity to the person's region if no keypoint of the group is labeled."""
    result = np.zeros((len(pairs.detection), membership.shape[1]))
    step = max(1, _CHUNK // len(sigmas))
    for start in range(0, len(result), step):
        chunk = slice(start, start + step)
        found, person = pairs.detection[chunk], pairs.person[chunk]
        points, area, count = detections.keypoints[found], people.areas[person], labelled[person]
        each = keypoint_similarity(points, people.keypoints[person], area, sigmas) * people.visible[person]
        result[chunk] = each @ membership / np.maximum(count, 1)
        bare = np.flatnonzero((count == 0).any(1))
        if len(bare):
            # As in COCO's tools, a keypoint that was not predicted is at (0, 0).
            placed = np.nan_to_num(points[bare], nan=0.0)
            each = region_similarity(placed, people.boxes[person[bare]], area[bare], sigmas)
            region = each @ membership / membership.sum(0)
            result[start + bare] = np.where(count[bare] == 0, region, result[start + bare])
    return result


def _evaluate(
    people: GroundTruth,
    detections: Detections,
    areas: np.ndarray,
    labelled: np.ndarray,
    counted: np.ndarray,
    pairs: _Pairs,
    similarity: np.ndarray,
) -> dict[str, float]:
    """The ten numbers of one group. ``labelled`` (N,), ``counted`` (M,), ``similarity`` (P,)."""
    # Ids start at 1: 0 means unmatched. Detections that this group ignores are not passed on.
    targets = _rows(
        image_id=people.image,
        area=people.areas,
        iscrowd=people.crowd.astype(int),
        num_keypoints=labelled.astype(int),
        bbox=np.zeros((len(labelled), 4), int),
    )
    found = _rows(image_id=detections.image[counted], area=areas[counted], score=detections.scores[counted])
    images = [dict(id=int(i)) for i in np.union1d(people.image, detections.image)]
    category = [dict(id=1, name='person')]
    evaluation = _Evaluation(
        COCO(dict(images=images, annotations=targets, categories=category)),
        COCO(dict(images=images, annotations=found, categories=category)),
        iouType='keypoints',
        print_function=lambda *_: None,
    )
    evaluation.blocks, evaluation.similarity, evaluation.counted = pairs.blocks, similarity, counted
    evaluation.params.maxDets = [MAX_DETECTIONS]
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return dict(zip(STATISTICS, map(float, evaluation.stats), strict=True))


def _rows(**columns: np.ndarray) -> list[dict]:
    values = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [dict(zip(columns, row, strict=True), id=i, category_id=1) for i, row in enumerate(values, start=1)]


class _Evaluation(COCOeval_faster):
    """Looks similarities up in a table."""

    def computeOks(self, imgId, catId):
        if imgId not in self.blocks:
            return []
        first, detection, found, people = self.blocks[imgId]
        rows = self.similarity[first : first + found * people].reshape(found, people)
        rows = rows[self.counted[detection : detection + found]]
        return rows if len(rows) else []
