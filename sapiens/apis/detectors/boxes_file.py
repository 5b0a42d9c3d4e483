"""Precomputed boxes from a file in COCO format."""

import itertools
import json
import math
import os
import re
import urllib.parse
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from sapiens.datasets.transforms.decoding import BadImage

from ..inputs import Item
from .base import PersonDetector, find_outside, leave_out

__all__ = ['BoxesFile']

PERSON = 1


class BoxesFile:
    """Boxes of a file, looked up by image.

    The file is a list of COCO results, [{image_id, bbox [x, y, w, h], score, category_id}, ...], or a COCO dataset {images,
    annotations, categories}, whose crowds are skipped. An image is named by ``file_name`` of the entry or of ``images``; else by
    ``image_id``: its name, with or without suffix, or the number in it, as in 000000397133.jpg. Folders count as far as both the
    file and the input have them: ``cam1/1.jpg`` is not ``cam2/1.jpg``. Boxes belong to people if their category is 1, or the
    one that ``categories`` calls person.

    Args:
        path: of the file.
        detector: cleans the boxes; its ``find`` is not called. By default all boxes are kept.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file of another format, a wrong value (with the number of its entry), or no box of a person.
    """

    def __init__(self, path: str | Path, detector: PersonDetector | None = None) -> None:
        self.path = Path(path).expanduser()
        if not self.path.is_file():
            raise FileNotFoundError(f'no file of boxes {self.path}')
        self.detector = detector or PersonDetector(None, threshold=0.0, nms_threshold=1.0)
        self.boxes: dict[str, list] = defaultdict(list)
        self.scores: dict[str, list] = defaultdict(list)
        self.ids: dict[str, int | str] = {}
        self.left_out: Counter[str] = Counter()
        self._other = ''
        try:
            content = json.loads(self.path.read_bytes())
        except (ValueError, RecursionError) as error:
            raise self._wrong(f'{type(error).__name__}: {error}') from error
        names, person = {}, PERSON
        if isinstance(content, dict):
            names, person = self._images(content), self._person(content.get('categories'))
            content = content.get('annotations')
        if not isinstance(content, list):
            raise self._wrong(f'found {"no list of annotations" if names else type(content).__name__}')
        for number, entry in enumerate(content):
            self._add(f'entry {number}', entry, names, person)
        if (content or names) and not any(self.boxes.values()):
            reasons = self._reasons() or 'it has no annotations'
            raise ValueError(f'no entry of {self.path} is the box of a person: {reasons}')
        self._by_last: dict[str, list[str]] = defaultdict(list)
        for name in self.boxes:
            self._by_last[_number(PurePosixPath(name).name)].append(name)

    def _images(self, content: dict) -> dict:
        """Names of the images of a COCO dataset by id."""
        names, images = {}, content.get('images')
        if not isinstance(images, list):
            raise self._wrong("found an object without a list 'images'")
        for number, image in enumerate(images):
            name, image_id = (image.get('file_name'), image.get('id')) if isinstance(image, dict) else (None, None)
            if not (_is_text(name) and _is_id(image_id)):
                raise self._wrong(f'image {number} is {_short(image)}, without file_name or id')
            if self.ids.setdefault(_clean(name), image_id) != image_id:
                raise self._wrong(f'{name} has the ids {self.ids[_clean(name)]} and {image_id}')
            names[image_id] = _clean(name)
            self.boxes[names[image_id]] = []
        return names

    def _person(self, categories: object) -> object:
        """Id of the category of people."""
        listed = [one for one in categories if isinstance(one, dict)] if isinstance(categories, list) else []
        named = [one for one in listed if str(one.get('name')).lower() == 'person']
        if len(listed) > 1 and not named:
            names = ', '.join(_short(one.get('name')) for one in listed[:5])
            raise ValueError(f'no category of {self.path} is called person: {names}')
        return next((one.get('id') for one in named or listed), PERSON)

    def _add(self, where: str, entry: object, names: dict, person: object) -> None:
        if not isinstance(entry, dict):
            raise self._wrong(f'{where} is {_short(entry)}')
        image_id, category = entry.get('image_id'), entry.get('category_id')
        if category is not None and category != person:
            self._other = self._other or f'another category than {person}, such as {_short(category)}'
            self.left_out[self._other] += 1
            return
        if entry.get('iscrowd'):
            self.left_out['iscrowd'] += 1
            return
        name = entry.get('file_name')
        if not _is_text(name):
            if not _is_id(image_id):
                raise self._wrong(f'{where} has the image_id {_short(image_id)}')
            if names and image_id not in names:
                self.left_out['an image_id that is not among the images'] += 1
                return
            name = names.get(image_id, str(image_id))
        box, score = entry.get('bbox'), entry.get('score', 1.0)
        if not (isinstance(box, list) and len(box) == 4 and all(map(_is_number, box))):
            raise self._wrong(f'{where} (image {_short(image_id)}) has the bbox {_short(box)}')
        if not _is_number(score):
            raise self._wrong(f'{where} (image {_short(image_id)}) has the score {_short(score)}')
        x, y, w, h = map(float, box)
        key = _clean(name)
        boxes, scores = self.boxes[key], self.scores[key]
        if _is_id(image_id):
            self.ids.setdefault(key, image_id)
        if w <= 0 or h <= 0:
            self.left_out['a bbox without area'] += 1
            return
        boxes.append([x, y, x + w, y + h])
        scores.append(float(score))

    def _wrong(self, found: str) -> ValueError:
        return ValueError(
            f'{self.path} is not a file of boxes ({found}): expected COCO detections, '
            '[{"image_id": ..., "bbox": [x, y, w, h], "score": ..., "category_id": 1}, ...]'
        )

    def find(self, item: Item) -> str | None:
        """Return the name of an image in the file; None if the file does not contain it.

        Raises:
            ValueError: several images of the file could be meant.
        """
        return self._match(item)[0]

    def _match(self, item: Item) -> tuple[str | None, bool]:
        """Return the name of an image in the file, and whether its folders differ from those of the input."""
        parts, given = _parts_of(item.source), len(PurePosixPath(item.name).parts)
        for last in (parts[-1], PurePosixPath(parts[-1]).stem):
            shared = {}
            for name in self._by_last.get(_number(last), ()):
                theirs = PurePosixPath(name).parts
                same = _common_end(parts, theirs)
                if same >= min(len(theirs), given):
                    shared[name] = same
            # An equal name comes before one that differs in leading zeros.
            best = [name for name in shared if shared[name] == max(shared.values())]
            exact = [name for name in best if PurePosixPath(name).name == last]
            best = exact or best
            if len(best) > 1:
                raise ValueError(
                    f'{item.source} could be {" or ".join(best[:3])} of {self.path}: give the folder that holds their folders'
                )
            if best:
                return best[0], shared[best[0]] < len(PurePosixPath(best[0]).parts)
        return None, False

    def check(self, items: Iterable[Item]) -> str:
        """Look up the images of a run, and say in a line how many have boxes.

        Raises:
            ValueError: the file has none of the images or boxes for none, two images share an entry, or one could be several.
        """
        users: dict[str, Item] = {}
        count = moved = filled = 0
        missing = None
        for item in items:
            count += 1
            name, differs = self._match(item)
            if name is None:
                missing = missing or item
                continue
            if name in users:
                raise ValueError(
                    f'{users[name].source} and {item.source} are both {name!r} in {self.path}: its names need the folders that '
                    'tell them apart'
                )
            users[name] = item
            moved, filled = moved + differs, filled + bool(self.boxes[name])
        if count and not users:
            known = ', '.join(list(self.boxes)[:3]) or 'no images'
            raise ValueError(
                f'{self.path} has none of the {count} images: it has {known}, the first image is {missing.source}'
            )
        if count and not filled:
            raise ValueError(
                f'{self.path} has boxes for none of the {count} images: {self._reasons() or "none is listed for them"}; without '
                '--boxes each image is one person'
            )
        text = f'{self.path}: boxes for {filled} of {count} images'
        if count > len(users):
            text += f', {count - len(users)} are not in the file, such as {missing.source}'
        if moved:
            text += f'; for {moved} of them the file has other folders'
        return text + (f'; entries left out: {self._reasons()}' if self.left_out else '')

    def _reasons(self) -> str:
        return ', '.join(f'{number} with {reason}' for reason, number in self.left_out.items())

    def image_id(self, item: Item) -> int | str | None:
        """Return the id of an image in the file; None if there is none."""
        return self.ids.get(self.find(item) or '')

    def __call__(self, item: Item, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return boxes (N, 4) and scores (N,) of an image; N is 0 if the file does not contain it.

        Raises:
            BadImage: all boxes of the image lie outside it. If some do, a warning says how many.
        """
        name = self.find(item)
        boxes = np.array(self.boxes[name] if name else [], np.float32).reshape(-1, 4)
        outside, sentence = find_outside(boxes, image)
        if len(boxes) and outside.all():
            raise BadImage(f'{self.path}: {sentence}')
        found = leave_out((boxes, self.scores[name] if name else []), image, f'{item.source}, {self.path}')
        return self.detector.clean(found, image)


def _parts_of(source: str) -> tuple[str, ...]:
    """Folders and name of a path or URL."""
    path = (
        urllib.parse.unquote(source.partition('://')[2]).partition('?')[0]
        if '://' in source
        else os.path.abspath(source)
    )
    return PurePosixPath(_clean(path)).parts or ('',)


def _common_end(parts: Sequence[str], others: Sequence[str]) -> int:
    """Number of parts that two paths of one name have in common from the end, at least 1."""
    pairs = zip(reversed(parts[:-1]), reversed(others[:-1]), strict=False)
    return 1 + sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _clean(name: str) -> str:
    """The name of an image in a file, without what leads to its folders."""
    return re.sub(r'^(?:\.{0,2}/)+', '', name.replace('\\', '/'))


def _number(text: str) -> str:
    """Strip leading zeros: '000000397133' and '397133' are the same image."""
    return re.sub(r'^0+(?=\d)', '', text) if text.isdecimal() else text


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_id(value: object) -> bool:
    return _is_text(value) or (isinstance(value, int) and not isinstance(value, bool))


def _is_number(value: object) -> bool:
    # A float holds up to 1.8e308; comparing does not overflow for larger integers.
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9 and not math.isnan(value)
    )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f'{text[:57]}...'
