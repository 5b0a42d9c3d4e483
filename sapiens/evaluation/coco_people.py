"""People of a COCO annotation file as arrays, and detected people from and to a COCO results file."""

import json
import os
from dataclasses import dataclass, fields

import numpy as np

from sapiens.metainfo import Skeleton

from .functional import keypoint_areas

__all__ = ['PARTS', 'Detections', 'People', 'read_detections', 'read_people', 'require_file', 'write_detections']

# COCO-WholeBody keeps its 133 keypoints in five lists.
PARTS = {'keypoints': 17, 'foot_kpts': 6, 'face_kpts': 68, 'lefthand_kpts': 21, 'righthand_kpts': 21}


@dataclass
class People:
    """N annotated people, by image.

    Attributes:
        image_ids: the ids of all images of the file, sorted; ``image`` refers to positions in it.
        image: (N,) int64, ascending.
        keypoints: (N, K, 2) float64, pixels.
        visible: (N, K) bool: labelled, whether seen or occluded.
        boxes: (N, 4) float64: x, y, width, height in pixels.
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
        """Positions of image ids in ``image_ids``; ValueError with the unknown ones, told as coming from ``origin``."""
        known = {image_id: position for position, image_id in enumerate(self.image_ids)}
        unknown = sorted({str(image_id) for image_id in image_ids if image_id not in known})
        if unknown:
            some = ', '.join(unknown[:10]) + (', ...' if len(unknown) > 10 else '')
            raise ValueError(
                f'{origin} has people in {len(unknown)} image(s) that the annotation file does not list: {some}. '
                'Evaluate on the annotation file that the predicted images come from'
            )
        return np.array([known[image_id] for image_id in image_ids], np.int64)


@dataclass
class Detections:
    """M detected people.

    Attributes:
        image: (M,) int64, see :class:`People`.
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
        # A results file cannot hold NaN and has 0, 0, 0 instead: both mean the same from the start, so that what is
        # read back scores the same. Such a keypoint has no similarity to anything.
        missing = np.isnan(self.keypoints).any(-1) | np.isnan(self.keypoint_scores)
        missing |= (self.keypoints == 0).all(-1) & (self.keypoint_scores == 0)
        self.keypoints[missing] = np.nan
        self.keypoint_scores[missing] = 0

    def __len__(self) -> int:
        return len(self.image)

    def select(self, index: np.ndarray) -> 'Detections':
        return Detections(*(getattr(self, field.name)[index] for field in fields(self)))

    def areas(self, ids: np.ndarray | None) -> np.ndarray:
        """(M,) float64 square pixels: of the box, or where there is none or ``ids`` are given, of (these) keypoints."""
        extent = keypoint_areas(self.keypoints if ids is None else self.keypoints[:, ids]).astype(np.float64)
        if ids is not None:
            return extent
        boxes = self.boxes.astype(np.float64)
        return np.where(np.isnan(boxes).any(-1), extent, boxes[:, 2] * boxes[:, 3])


def require_file(path: str, what: str) -> str:
    """``path`` with ``~`` expanded; FileNotFoundError that says where it was looked for."""
    path = os.path.expanduser(path)
    if not os.path.isfile(path):
        root = os.environ.get('DATA_ROOT', 'not set; configs then use data/')
        raise FileNotFoundError(f'no {what} {path!r} (DATA_ROOT is {root}). What is expected there: data/README.md')
    return path


def read_people(path: str, skeleton: Skeleton, use_area: bool = True) -> People:
    """Read a COCO JSON file of people annotated with ``skeleton``.

    Args:
        path: the file. Keypoints are one list of 3 K numbers (x, y, v), or for the 133 of COCO-WholeBody its five lists.
            Categories without a keypoint anywhere are passed over; people of all others are one class.
        skeleton: gives K.
        use_area: take ``area`` of the annotations; otherwise 0.53 of the box, as for data sets without segments.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no keypoints in it, another number of keypoints, or no area, with the annotation's id.
    """
    with open(require_file(path, 'annotation file'), encoding='utf-8') as file:
        data = json.load(file)
    if not isinstance(data, dict) or 'images' not in data or 'annotations' not in data:
        raise ValueError(f'{path} is no COCO annotation file: expected a dict with images and annotations')
    image_ids = sorted({image['id'] for image in data['images']})
    position = {image_id: index for index, image_id in enumerate(image_ids)}
    categories = sorted({item['category_id'] for item in data['annotations'] if 'keypoints' in item})
    if not categories:
        raise ValueError(f'{path} has no annotation with keypoints: nothing to evaluate against')
    found = [item for item in data['annotations'] if item['category_id'] in categories]
    lost = sorted({str(item['image_id']) for item in found if item['image_id'] not in position})
    if lost:
        raise ValueError(f'{path} has annotations of images that it does not list: {", ".join(lost[:10])}')
    found.sort(key=lambda item: position[item['image_id']])
    boxes = np.array([item.get('bbox', (0, 0, 0, 0)) for item in found], np.float64)
    if use_area:
        without = next((item for item in found if 'area' not in item), None)
        if without is not None:
            raise ValueError(f'{path}: annotation {without.get("id")} has no area; set use_area=False to take the box')
        areas = np.array([item['area'] for item in found], np.float64)
    else:
        areas = boxes[:, 2] * boxes[:, 3] * 0.53
    points = np.array(_keypoint_lists(found, len(skeleton), f'{path}: annotation', skeleton), np.float64)
    return People(
        image_ids=image_ids,
        image=np.array([position[item['image_id']] for item in found], np.int64),
        keypoints=points[..., :2],
        visible=points[..., 2] > 0,
        boxes=boxes,
        areas=areas,
        crowd=np.array([bool(item.get('iscrowd', 0)) for item in found]),
        category_id=categories[0],
    )


def read_detections(path: str, people: People, skeleton: Skeleton) -> Detections:
    """Read a COCO results file, such as :func:`write_detections` or mmpose writes.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a list of results, another number of keypoints, or images that ``people`` does not have.
    """
    with open(require_file(path, 'results file'), encoding='utf-8') as file:
        found = json.load(file)
    if not isinstance(found, list) or any('score' not in item or 'image_id' not in item for item in found):
        raise ValueError(
            f'{path} is no COCO results file: expected a list of dicts with image_id, keypoints and score'
        )
    points = np.array(_keypoint_lists(found, len(skeleton), f'{path}: result', skeleton), np.float32)
    points = points.reshape(-1, len(skeleton), 3)
    return Detections(
        image=people.positions([item['image_id'] for item in found], path),
        keypoints=points[..., :2].copy(),
        keypoint_scores=points[..., 2].copy(),
        boxes=np.array([item.get('bbox', [np.nan] * 4) for item in found], np.float32).reshape(-1, 4),
        scores=np.array([item['score'] for item in found], np.float64),
    )


def write_detections(path: str, detections: Detections, people: People, with_boxes: bool) -> None:
    """Write a COCO results file, one line per person; 133 keypoints go into COCO-WholeBody's five lists.

    Args:
        path: the file; folders are made.
        detections: of the skeleton that ``people`` are annotated with.
        people: gives the ids.
        with_boxes: also write the boxes. Tools that read the file take a person's area from the box if there is one.
    """
    path = os.path.expanduser(path)
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    points = np.concatenate([detections.keypoints, detections.keypoint_scores[..., None]], -1)
    points = np.nan_to_num(points, nan=0.0)
    names, cuts = ['keypoints'], []
    if points.shape[1] == sum(PARTS.values()):
        names, cuts = list(PARTS), np.cumsum(list(PARTS.values()))[:-1]
    partial = f'{path}.partial'  # a run that is stopped here must not leave half a file under the name
    with open(partial, 'w', encoding='utf-8') as file:
        file.write('[')
        for index, position in enumerate(detections.image):
            parts = [part.reshape(-1).tolist() for part in np.split(points[index], cuts)]
            item = dict(image_id=people.image_ids[position], category_id=people.category_id)
            item |= dict(zip(names, parts, strict=True), score=float(detections.scores[index]))
            if with_boxes and not np.isnan(detections.boxes[index]).any():
                item['bbox'] = detections.boxes[index].tolist()
            file.write((',\n' if index else '\n') + json.dumps(item))
        file.write('\n]\n')
    os.replace(partial, path)


def _keypoint_lists(items: list[dict], count: int, what: str, skeleton: Skeleton) -> list:
    """(len(items), K, 3) nested as one array; people without any list count as unlabelled."""
    if not items:
        return np.zeros((0, count, 3))
    numbers = []
    for item in items:
        values = item.get('keypoints', [0] * 3 * count)
        if len(values) != 3 * count and count == sum(PARTS.values()):
            values = [number for part in PARTS for number in item.get(part, ())]
        if len(values) != 3 * count:
            label = item.get('id', f'of image {item.get("image_id")}')
            raise ValueError(
                f'{what} {label} has {len(values) / 3:g} keypoints, but skeleton {skeleton.name!r} has {count}'
            )
        numbers.append(values)
    return np.asarray(numbers).reshape(len(items), count, 3)
