"""Formats of keypoints: JSON for one image, COCO results or CSV for many.

Coordinates are in pixels of the image. NaN is written as ``null`` in JSON and as an empty cell in CSV.
"""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sapiens.metainfo import Skeleton
from sapiens.utils.files import atomic_path

if TYPE_CHECKING:
    from ..results.pose import PoseResult

__all__ = [
    'LAYOUTS',
    'check_person',
    'coco_entries',
    'csv_header',
    'meta_info',
    'plain_numbers',
    'pose_document',
    'read_people',
    'write_coco',
    'write_csv',
]

LAYOUTS = ('plain', 'published', 'lite')
# The score of a person is a mean over keypoints with a higher score than this, as in KeypointMetric.
SCORE_THRESHOLD = 0.2


def pose_document(result: 'PoseResult', layout: str = 'plain') -> dict:
    """Return the people of an image as plain values for JSON.

    Args:
        result: of one image.
        layout: 'plain': ``meta_info`` (the skeleton) and ``instance_info``, a list of people with ``keypoints`` [[x, y], ...],
            ``keypoint_scores``, ``bbox`` [x1, y1, x2, y2], ``bbox_score``, and in a video ``track_id``. 'published': the same,
            but boxes are nested, [[x1, y1, x2, y2]], as in files of the published demo. 'lite': keypoints and scores only.

    Raises:
        ValueError: an unknown layout.
    """
    if layout not in LAYOUTS:
        raise ValueError(f'layout={layout!r} is not one of {LAYOUTS}')
    people = []
    for index in range(len(result)):
        person = dict(
            keypoints=[plain_numbers(point) for point in result.keypoints[index]],
            keypoint_scores=plain_numbers(result.scores[index]),
        )
        if layout != 'lite':
            box = plain_numbers(result.boxes[index])
            person['bbox'] = [box] if layout == 'published' else box
            person['bbox_score'] = plain_numbers(result.box_scores[index : index + 1])[0]
        if result.track_ids is not None:
            person['track_id'] = int(result.track_ids[index])
        people.append(person)
    header = {} if layout == 'lite' else dict(meta_info=meta_info(result.skeleton))
    return dict(**header, instance_info=people)


def meta_info(skeleton: Skeleton) -> dict:
    """Describe a skeleton in plain values, under MMPose's names."""
    names = skeleton.keypoints
    return dict(
        dataset_name=skeleton.dataset_name,
        num_keypoints=len(skeleton),
        keypoint_id2name={str(index): name for index, name in enumerate(names)},
        keypoint_name2id={name: index for index, name in enumerate(names)},
        upper_body_ids=skeleton.upper.tolist(),
        lower_body_ids=skeleton.lower.tolist(),
        flip_indices=skeleton.flip_indices.tolist(),
        flip_pairs=[[index, other] for index, other in enumerate(skeleton.flip_indices.tolist()) if index < other],
        keypoint_colors=skeleton.colors.tolist(),
        num_skeleton_links=len(skeleton.links),
        skeleton_links=skeleton.links.tolist(),
        skeleton_link_colors=skeleton.link_colors.tolist(),
        dataset_keypoint_weights=skeleton.weights.tolist(),
        sigmas=skeleton.sigmas.tolist(),
    )


def read_people(path: Path) -> list[dict]:
    """Read the people of a file in any layout of :func:`pose_document`; boxes become flat.

    Raises:
        ValueError: the file is damaged.
    """
    try:
        people = json.loads(path.read_bytes())['instance_info']
        for person in people:
            box = person.get('bbox')
            if box and isinstance(box[0], list):
                person['bbox'] = box[0]
            check_person(person)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
        raise ValueError(f'{path} is damaged ({type(error).__name__}: {error}): remove it and run again') from error
    return people


def check_person(person: dict) -> None:
    """Check the values of a person of a JSON file, with a flat box.

    Raises:
        KeyError, TypeError, ValueError: values that :func:`coco_entries` cannot take.
    """
    points, scores = person['keypoints'], person['keypoint_scores']
    if len(points) != len(scores):
        raise ValueError(f'{len(points)} keypoints and {len(scores)} scores')
    values = [value for x, y in points for value in (x, y)] + scores
    values = [value for value in values if value is not None] + [
        person.get('bbox_score', 1.0),
        person.get('track_id', 0),
    ]
    if 'bbox' in person:
        x1, y1, x2, y2 = person['bbox']
        values += [x1, y1, x2, y2]
    for value in values:
        if not isinstance(value, int | float) or not abs(value) < 1e12:
            raise ValueError(f'{value!r} where a number belongs')


def coco_entries(people: Iterable[Mapping], image_id: int | str, file_name: str) -> Iterator[dict]:
    """Yield entries of a COCO results file for the people of one image.

    The score of a person is the box score times the mean of the keypoint scores above 0.2, as in the published evaluation.
    Keypoints that were not predicted are 0, 0, 0.
    """
    for person in people:
        points = np.array([[np.nan if value is None else value for value in point] for point in person['keypoints']])
        scores = np.array(person['keypoint_scores'], float)
        good = scores > SCORE_THRESHOLD
        rows = np.nan_to_num(np.column_stack([points.reshape(-1, 2), scores]))
        entry = dict(
            image_id=image_id,
            file_name=file_name,
            category_id=1,
            keypoints=[round(value, 3) for value in rows.ravel().tolist()],
            score=float(person.get('bbox_score', 1.0) * (scores[good].mean() if good.any() else 0)),
        )
        if 'bbox' in person:
            x1, y1, x2, y2 = person['bbox']
            entry['bbox'] = [round(value, 3) for value in (x1, y1, x2 - x1, y2 - y1)]
        if 'track_id' in person:
            entry['track_id'] = person['track_id']
        yield entry


def write_coco(
    path: Path, images: Iterable[tuple[int | str, str, list[dict]]], entries: Callable = coco_entries
) -> int:
    """Write one COCO results file. Memory does not grow with the number of images.

    Args:
        path: of the results file.
        images: id, name, and people (:func:`read_people`) of each.
        entries: makes the entries of an image from its people, id and name.

    Returns:
        Number of people.
    """
    count = 0
    with atomic_path(path) as temporary, open(temporary, 'w', encoding='utf-8') as file:
        file.write('[')
        for image_id, name, people in images:
            for entry in entries(people, image_id, name):
                file.write((',\n' if count else '\n') + json.dumps(entry, allow_nan=False))
                count += 1
        file.write('\n]\n')
    return count


def csv_header(names: Iterable[str]) -> list[str]:
    """Columns of a table: of the image and the box, then three for each keypoint."""
    leading = ['image_id', 'file_name', 'person', 'x1', 'y1', 'x2', 'y2', 'bbox_score']
    return leading + [f'{name}_{part}' for name in names for part in ('x', 'y', 'score')]


def write_csv(path: Path, images: Iterable[tuple[int | str, str, list[dict]]], skeleton: Skeleton) -> int:
    """Write a table with one row per person. Arguments and result as for :func:`write_coco`."""
    count = 0
    with (
        atomic_path(path) as temporary,
        open(temporary, 'w', newline='', encoding='utf-8', errors='surrogateescape') as file,
    ):
        writer = csv.writer(file)
        writer.writerow(csv_header(skeleton.keypoints))
        for image_id, name, people in images:
            for index, person in enumerate(people):
                box = person.get('bbox', [None] * 4)
                scored = zip(person['keypoints'], person['keypoint_scores'], strict=True)
                cells = [cell for point, score in scored for cell in (*point, score)]
                number = person.get('track_id', index)
                writer.writerow([image_id, name, number, *box, person.get('bbox_score'), *cells])
                count += 1
    return count


def plain_numbers(values: np.ndarray) -> list:
    """Round to four decimals; None for values that are not finite."""
    return [round(value, 4) if np.isfinite(value) else None for value in np.asarray(values, np.float64).tolist()]
