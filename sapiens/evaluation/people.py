"""Ground truth and predictions of a keypoint evaluation, and COCO results files."""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

import numpy as np

from sapiens.coco import WHOLEBODY_LISTS, read_people, read_results
from sapiens.metainfo import Skeleton
from sapiens.utils.files import atomic_path

from .functional import keypoint_areas

__all__ = ['Detections', 'GroundTruth', 'read_detections', 'read_ground_truth', 'write_detections']

# Coordinates and scores of results are held as float32.
_LARGEST = float(np.finfo(np.float32).max)
# Columns of people in images.
_ROWS = ('image', 'keypoints', 'visible', 'boxes', 'areas', 'crowd')


@dataclass
class GroundTruth:
    """N annotated people, by image.

    Attributes:
        image_ids: the ids of all images of the file, sorted; ``image`` refers to positions in it.
        image: (N,) int64, ascending.
        keypoints: (N, K, 2) float64, pixels.
        visible: (N, K) bool: labeled, whether seen or occluded.
        boxes: (N, 4) float64: x, y, width, height in pixels; zeros without a box.
        areas: (N,) float64, square pixels.
        crowd: (N,) bool.
        category_id: of people in the file.
    """

    image_ids: list
    image: np.ndarray
    keypoints: np.ndarray
    visible: np.ndarray
    boxes: np.ndarray
    areas: np.ndarray
    crowd: np.ndarray
    category_id: int

    def positions(self, image_ids: list, origin: str) -> np.ndarray:
        """Positions of image ids in ``image_ids``.

        Raises:
            ValueError: unknown ids; ``origin`` says where they come from.
        """
        known = {image_id: position for position, image_id in enumerate(self.image_ids)}
        unknown = sorted({str(image_id) for image_id in image_ids if image_id not in known})
        if unknown:
            some = ', '.join(unknown[:10]) + (', ...' if len(unknown) > 10 else '')
            raise ValueError(
                f'{origin} has people in {len(unknown)} image(s) that the annotation file does not list: {some}. '
                'Evaluate on the annotation file that the predicted images come from'
            )
        return np.array([known[image_id] for image_id in image_ids], np.int64)

    def of_images(self, image_ids: Iterable) -> 'GroundTruth':
        """The people of some images."""
        wanted = set(image_ids)
        kept = np.array([image_id in wanted for image_id in self.image_ids], bool)
        rows = kept[self.image]
        columns = {name: getattr(self, name)[rows] for name in _ROWS}
        columns['image'] = (np.cumsum(kept) - 1)[columns['image']]
        return replace(
            self, image_ids=[one for one, keep in zip(self.image_ids, kept, strict=True) if keep], **columns
        )

    def redrawn(self, draw: np.ndarray) -> 'GroundTruth':
        """The people of drawn images, each draw an image of its own. ``draw``: (D,) positions in ``image_ids``."""
        rows, image = _rows_of(self.image, draw)
        columns = {name: getattr(self, name)[rows] for name in _ROWS} | dict(image=image)
        return replace(self, image_ids=list(range(len(draw))), **columns)


@dataclass
class Detections:
    """M detected people.

    Attributes:
        image: (M,) int64, see :class:`GroundTruth`.
        keypoints: (M, K, 2) float32, pixels; NaN where a keypoint was not predicted.
        keypoint_scores: (M, K) float32; 0 there.
        boxes: (M, 4) float32: x, y, width, height in pixels; NaN without a box.
        scores: (M,) float64, the confidence in the whole person.
    """

    image: np.ndarray
    keypoints: np.ndarray
    keypoint_scores: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray

    def __post_init__(self):
        # A results file has 0, 0, 0 instead of NaN. Treating both alike gives a file the same score when it is read back.
        # Such a keypoint is similar to nothing.
        missing = np.isnan(self.keypoints).any(-1) | np.isnan(self.keypoint_scores)
        missing |= (self.keypoints == 0).all(-1) & (self.keypoint_scores == 0)
        self.keypoints[missing] = np.nan
        self.keypoint_scores[missing] = 0

    def __len__(self) -> int:
        return len(self.image)

    def select(self, index: np.ndarray) -> 'Detections':
        return Detections(*(getattr(self, field.name)[index] for field in fields(self)))

    def redrawn(self, draw: np.ndarray) -> 'Detections':
        """The detections in drawn images, see :meth:`GroundTruth.redrawn`. They are sorted by image."""
        rows, image = _rows_of(self.image, draw)
        return replace(self.select(rows), image=image)

    def areas(self, ids: np.ndarray | None) -> np.ndarray:
        """(M,) float64 square pixels: of the box, or where there is none or ``ids`` are given, of (these) keypoints.

        As in COCO's tools, keypoints that were not predicted are at (0, 0) there.
        """
        points = np.nan_to_num(self.keypoints if ids is None else self.keypoints[:, ids], nan=0.0)
        extent = keypoint_areas(points).astype(np.float64)
        if ids is not None:
            return extent
        boxes = self.boxes.astype(np.float64)
        return np.where(np.isnan(boxes).any(-1), extent, boxes[:, 2] * boxes[:, 3])


def _rows_of(image: np.ndarray, draw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the drawn images, one after the other, and for each row the number of its draw. ``image`` ascends."""
    first, last = np.searchsorted(image, draw), np.searchsorted(image, draw, side='right')
    count = last - first
    start = np.cumsum(count) - count
    rows = np.arange(count.sum()) + np.repeat(first - start, count)
    return rows, np.repeat(np.arange(len(draw)), count)


def read_ground_truth(path: str, skeleton: Skeleton, use_area: bool = True) -> GroundTruth:
    """Read the people of a COCO file for an evaluation.

    The annotations are those of the categories that have the keypoints of the skeleton; together they are one class. People
    without these keypoints count as unlabeled.

    Args:
        path: COCO file annotated with ``skeleton``.
        use_area: take ``area`` of the annotations; otherwise 0.53 of the box, as for annotations without one above 0.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no such keypoints in it, keypoints that are not finite, or images that it does not list.
    """
    people = read_people(path, keep=True)
    points, listed = people.points(skeleton)
    chosen = people.same_category(listed)
    if not chosen.any():
        raise ValueError(f'{path} has no annotation with keypoints: nothing to evaluate against')
    people.check_for_evaluation(points, chosen)
    rows = np.flatnonzero(chosen)
    image_ids = np.sort(people.image_ids)
    rows = rows[np.argsort(people.image_id[rows], kind='stable')]
    areas, points = people.person_areas(points, use_area)[rows], points[rows]
    return GroundTruth(
        image_ids=image_ids.tolist(),
        image=np.searchsorted(image_ids, people.image_id[rows]),
        keypoints=points[..., :2].astype(np.float64),
        visible=points[..., 2] > 0,
        boxes=np.where(np.isnan(people.boxes[rows]), 0, people.boxes[rows]),
        areas=areas,
        crowd=people.crowd[rows],
        category_id=int(people.categories[rows].min()),
    )


def read_detections(path: str, truth: GroundTruth, skeleton: Skeleton) -> Detections:
    """Read a COCO results file, such as :func:`write_detections` or mmpose writes.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a list of results, another number of keypoints, or images that ``truth`` does not have.
    """
    found = read_results(path, {'image_id', 'score'})
    points = np.zeros((len(found), len(skeleton), 3), np.float32)
    for index, item in enumerate(found):
        values = item.get('keypoints')
        if values is not None and len(values) != points[0].size and len(skeleton) == sum(WHOLEBODY_LISTS.values()):
            values = [number for part in WHOLEBODY_LISTS for number in item.get(part, ())]
        if values is None:
            continue
        if len(values) != points[0].size:
            raise ValueError(
                f'{path}: result {index} of image {item["image_id"]} has {len(values) / 3:g} keypoints, but skeleton '
                f'{skeleton.name!r} has {len(skeleton)}'
            )
        points[index] = np.clip(np.reshape(np.array(values, np.float64), (-1, 3)), -_LARGEST, _LARGEST)
    boxes = np.array([item.get('bbox', [np.nan] * 4)[:4] for item in found], np.float64).reshape(-1, 4)
    return Detections(
        image=truth.positions([item['image_id'] for item in found], path),
        keypoints=points[..., :2].copy(),
        keypoint_scores=points[..., 2].copy(),
        boxes=boxes.clip(-_LARGEST, _LARGEST).astype(np.float32),
        scores=np.array([item['score'] for item in found], np.float64),
    )


def write_detections(path: str, detections: Detections, truth: GroundTruth, with_boxes: bool) -> None:
    """Write a COCO results file, one line per person; 133 keypoints go into COCO-WholeBody's five lists.

    Args:
        path: the file; folders are created.
        truth: gives the ids; annotated with the skeleton of the detections.
        with_boxes: also write the boxes. Tools that read the file take a person's area from the box if there is one.
    """
    points = np.concatenate([detections.keypoints, detections.keypoint_scores[..., None]], -1)
    points = np.nan_to_num(points, nan=0.0)
    names, cuts = ['keypoints'], []
    if points.shape[1] == sum(WHOLEBODY_LISTS.values()):
        names, cuts = list(WHOLEBODY_LISTS), np.cumsum(list(WHOLEBODY_LISTS.values()))[:-1]
    with atomic_path(os.path.expanduser(path)) as temporary, open(temporary, 'w', encoding='utf-8') as file:
        file.write('[')
        for index, position in enumerate(detections.image):
            parts = [part.reshape(-1).tolist() for part in np.split(points[index], cuts)]
            item = dict(image_id=truth.image_ids[position], category_id=truth.category_id)
            item |= dict(zip(names, parts, strict=True), score=float(detections.scores[index]))
            if with_boxes and not np.isnan(detections.boxes[index]).any():
                item['bbox'] = detections.boxes[index].tolist()
            file.write((',\n' if index else '\n') + json.dumps(item))
        file.write('\n]\n')
