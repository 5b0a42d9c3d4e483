"""Conversion of files of keypoints to another skeleton: JSON of an image or a video, COCO results, CSV tables."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sapiens.coco import WHOLEBODY_LISTS
from sapiens.metainfo import Skeleton, correspondences, get_skeleton, skeleton_names
from sapiens.metainfo.convert_keypoints import gather_keypoints
from sapiens.metainfo.skeleton import skeleton_from_dict
from sapiens.utils.files import atomic_path

from .files import write_file
from .pose_formats import check_person, csv_header, meta_info, plain_numbers

__all__ = ['SUFFIXES', 'KeypointFile', 'read_keypoint_file']

SUFFIXES = '.json', '.csv'
DAMAGE = ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError
# Columns of a table before those of the keypoints.
LEADING = len(csv_header(()))


def read_keypoint_file(path: Path) -> 'KeypointFile | None':
    """Read a file that ``sapiens infer`` has written, or COCO results; None for a file without keypoints.

    Raises:
        ValueError: a damaged file.
    """
    try:
        if path.suffix == '.csv':
            with open(path, newline='', encoding='utf-8', errors='surrogateescape') as file:
                return _Table.take(list(csv.reader(file)))
        content = json.loads(path.read_bytes())
        found = (kind.take(content) for kind in (_Image, _Video, _CocoResults))
        return next((file for file in found if file is not None), None)
    except (csv.Error, *DAMAGE) as error:
        raise ValueError(f'{path} is damaged ({type(error).__name__}: {error})') from error


class KeypointFile:
    """The content of a file.

    Attributes:
        skeleton: of its keypoints; None where it does not name them.
    """

    skeleton: Skeleton | None = None

    def write(self, path: Path, source: Skeleton, target: Skeleton) -> None:
        """Write the content with other keypoints to another file of the same suffix.

        Args:
            source: of its keypoints.
            target: to write. Keypoints without a partner in ``source`` are written as ``sapiens infer`` writes those that it
                does not compute.

        Raises:
            ValueError: skeletons without a common keypoint, or ``source`` does not have as many keypoints as the file.
        """
        raise NotImplementedError


class _Image(KeypointFile):
    """The people of an image, in any layout of :func:`pose_document`."""

    def __init__(self, document: dict, lists: list[dict]) -> None:
        self.document, self.lists = document, lists
        self.skeleton = _skeleton_of(document['meta_info']) if 'meta_info' in document else None
        for part in lists:
            for person in part['instance_info']:
                box = person.get('bbox')
                check_person(person | dict(bbox=box[0]) if box and isinstance(box[0], list) else person)

    @classmethod
    def take(cls, content: Any) -> '_Image | None':
        return cls(content, [content]) if isinstance(content, dict) and 'instance_info' in content else None

    def write(self, path: Path, source: Skeleton, target: Skeleton) -> None:
        for part in self.lists:
            for person in part['instance_info']:
                points, scores = _convert(person['keypoints'], person['keypoint_scores'], source, target)
                person.update(
                    keypoints=[plain_numbers(point) for point in points], keypoint_scores=plain_numbers(scores)
                )
        if 'meta_info' in self.document:
            self.document['meta_info'] = meta_info(target)
        write_file(path, self.document)


class _Video(_Image):
    """The people of each frame of a video."""

    @classmethod
    def take(cls, content: Any) -> '_Video | None':
        frames = content.get('frames') if isinstance(content, dict) else None
        if not isinstance(frames, list) or not frames or 'instance_info' not in frames[0]:
            return None
        return cls(content, frames)


class _CocoResults(KeypointFile):
    """A list of people with ``keypoints`` [x, y, score, ...]; 0, 0, 0 was not predicted. They keep their scores.

    The five lists of COCO-WholeBody become one.
    """

    def __init__(self, entries: list[dict]) -> None:
        if entries and all(entry.keys() >= WHOLEBODY_LISTS.keys() for entry in entries):
            self.skeleton = get_skeleton('wholebody133')
        lists = list(WHOLEBODY_LISTS) if self.skeleton else ['keypoints']
        joined = [[value for name in lists for value in entry[name]] for entry in entries]
        self.rows = [np.array(values, float).reshape(-1, 3) for values in joined]
        self.entries = [{key: value for key, value in entry.items() if key not in lists} for entry in entries]

    @classmethod
    def take(cls, content: Any) -> '_CocoResults | None':
        is_list = isinstance(content, list) and all(isinstance(entry, dict) for entry in content)
        return cls(content) if is_list and all('keypoints' in entry for entry in content) else None

    def write(self, path: Path, source: Skeleton, target: Skeleton) -> None:
        entries = []
        for entry, rows in zip(self.entries, self.rows, strict=True):
            points = np.where((rows == 0).all(1, keepdims=True), np.nan, rows[:, :2])
            points, scores = _convert(points, rows[:, 2], source, target)
            rows = np.nan_to_num(np.column_stack([points, scores]))
            entries.append(entry | dict(keypoints=[round(value, 3) for value in rows.ravel().tolist()]))
        write_file(path, entries)


class _Table(KeypointFile):
    """A row for each person; columns <keypoint>_x, _y and _score after those of the image and the box."""

    def __init__(self, rows: list[list[str]], names: Sequence[str]) -> None:
        self.rows = [row for row in rows if row]
        self.skeleton = _named(names)
        shape = len(names), 3
        self.values = [np.array([cell or 'nan' for cell in row[LEADING:]], float).reshape(shape) for row in self.rows]

    @classmethod
    def take(cls, rows: list[list[str]]) -> '_Table | None':
        names = tuple(cell.removesuffix('_x') for cell in rows[0][LEADING::3]) if rows else ()
        return cls(rows[1:], names) if names and rows[0] == csv_header(names) else None

    def write(self, path: Path, source: Skeleton, target: Skeleton) -> None:
        with (
            atomic_path(path, sync=False) as temporary,
            open(temporary, 'w', newline='', encoding='utf-8', errors='surrogateescape') as file,
        ):
            writer = csv.writer(file)
            writer.writerow(csv_header(target.keypoints))
            for row, values in zip(self.rows, self.values, strict=True):
                points, scores = _convert(values[:, :2], values[:, 2], source, target)
                writer.writerow([*row[:LEADING], *plain_numbers(np.column_stack([points, scores]).ravel())])


def _convert(points: Sequence, scores: Sequence, source: Skeleton, target: Skeleton) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints (K, 2) and scores (K,) of a person, with None or NaN for what is not known, as float64 of another skeleton."""
    points, scores = np.array(points, float).reshape(-1, 2), np.array(scores, float)
    if len(points) != len(source):
        raise ValueError(f'a person has {len(points)} keypoints, and {source.name} has {len(source)}')
    return gather_keypoints(points, scores, correspondences(source, target))


def _skeleton_of(info: dict) -> Skeleton:
    """The skeleton that ``meta_info`` describes."""
    names = info['keypoint_id2name']
    return _named(tuple(names[str(index)] for index in range(len(names))), info.get('dataset_name'))


def _named(names: Sequence[str], label: str | None = None) -> Skeleton:
    """The registered skeleton of these keypoints, or one of its own."""
    known = map(get_skeleton, skeleton_names())
    found = next((skeleton for skeleton in known if skeleton.keypoints == tuple(names)), None)
    # Mirror pairs have no part in a conversion.
    return found or skeleton_from_dict(dict(name=label or 'own', keypoints=list(names), flip=False))
