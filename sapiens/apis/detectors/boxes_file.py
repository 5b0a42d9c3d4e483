"""Precomputed boxes from a file in COCO format."""

import json
import re
from collections import defaultdict
from pathlib import Path, PurePosixPath

import numpy as np

from ..inputs import Item
from .base import PersonDetector

__all__ = ['BoxesFile']

PERSON = 1


class BoxesFile:
    """Boxes of a file, looked up by image.

    The file is a list of COCO results, [{image_id, bbox [x, y, w, h], score, category_id}, ...], or a COCO dataset {images,
    annotations}, whose crowds are skipped. An image is found by ``file_name`` of the entry or of ``images``; else by
    ``image_id``: the file name without suffix, or the number in it, as in 000000397133.jpg.

    Args:
        path: of the file.
        detector: cleans the boxes; its ``find`` is not called. By default all boxes are kept.

    Raises:
        FileNotFoundError, ValueError: the file does not exist or has another format.
    """

    def __init__(self, path: str | Path, detector: PersonDetector | None = None) -> None:
        self.path = Path(path).expanduser()
        if not self.path.is_file():
            raise FileNotFoundError(f'no file of boxes {self.path}')
        self.detector = detector or PersonDetector(None, threshold=0.0, nms_threshold=1.0)
        try:
            content = json.loads(self.path.read_bytes())
            names = {}
            if isinstance(content, dict):
                names = {image['id']: image['file_name'] for image in content['images']}
                content = content['annotations']
            self.boxes: dict[str, list] = defaultdict(list)
            self.scores: dict[str, list] = defaultdict(list)
            self.ids: dict[str, object] = {}
            for name in names.values():
                self.boxes[_key(name)] = []
            for entry in content:
                if entry.get('category_id', PERSON) != PERSON or entry.get('iscrowd'):
                    continue
                image_id = entry.get('image_id')
                name = entry.get('file_name') or names.get(image_id)
                key = _key(name) if name is not None else _number(str(image_id))
                x, y, w, h = (float(value) for value in entry['bbox'])
                self.boxes[key].append([x, y, x + w, y + h])
                self.scores[key].append(float(entry.get('score', 1.0)))
                self.ids[key] = image_id
            self.ids.update({_key(name): image_id for image_id, name in names.items()})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f'{self.path} is no file of boxes ({type(error).__name__}: {error}): expected COCO detections, '
                '[{"image_id": ..., "bbox": [x, y, w, h], "score": ..., "category_id": 1}, ...]'
            ) from error

    def find(self, item: Item) -> str | None:
        """Return the key of an image; None if the file does not contain it."""
        path = PurePosixPath(item.source)
        for key in (_key(item.source), path.name, path.stem, _number(path.stem)):
            if key in self.boxes:
                return key
        return None

    def image_id(self, item: Item):
        """Return the id of an image in the file; None if there is none."""
        return self.ids.get(self.find(item) or '')

    def __call__(self, item: Item, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return boxes (N, 4) and scores (N,) of an image; N is 0 if the file does not contain it."""
        key = self.find(item)
        boxes = self.boxes[key] if key else []
        return self.detector.clean((boxes, self.scores[key] if key else []), image)


def _key(name: str) -> str:
    return PurePosixPath(name).name


def _number(text: str) -> str:
    """Strip leading zeros: '000000397133' and '397133' are the same image."""
    return re.sub(r'^0+(?=\d)', '', text) if text.isdigit() else text
