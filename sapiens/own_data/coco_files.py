"""COCO files of a folder: what is in them, and which part is held out."""

import copy
import json
import os
import re
from collections import Counter
from dataclasses import dataclass, field

from sapiens.coco import BrokenJson, NotAnObject, stream_items
from sapiens.coco.columns import Columns, read_category, read_image

from .boxes import has_box, is_extent
from .labelme import is_labelme, labelme_to_coco

__all__ = [
    'HELD_OUT', 'CocoFile', 'category_of', 'find_coco_files', 'held_out', 'last_part', 'relative_to',
    'split_document', 'split_of',
]  # fmt: skip

HELD_OUT = 0.1
_SPLITS = {'train': 'train', 'training': 'train', 'val': 'val', 'valid': 'val', 'validation': 'val', 'test': 'test'}
# Roboflow writes several augmented copies of an image as NAME_jpg.rf.HASH.jpg.
_COPY = re.compile(r'\.rf\.[0-9A-Za-z]+(?=\.)')


@dataclass
class CocoFile:
    """A COCO file, or what Labelme's files of a folder become.

    Attributes:
        path: of the file; of the folder for Labelme.
        split: 'train', 'val', 'test', or '' where the path does not say.
        names: file names of the images.
        categories: {id: the category's object}.
        people, segments: {category id: annotations with a labeled keypoint, with a segment}.
        unboxed, tight: {category id: people whose box is missing or empty, or exactly the extent of the keypoints}.
        whole_body: people with COCO-WholeBody's lists.
        lengths: {category id: counts of the lengths of keypoint lists}.
        document: the whole content, if it has been made; otherwise it is in the file.
        left_out: {what Labelme's files have that cannot be used: how often}.
    """

    path: str
    split: str
    names: list[str] = field(default_factory=list)
    categories: dict[int, dict] = field(default_factory=dict)
    people: Counter = field(default_factory=Counter)
    segments: Counter = field(default_factory=Counter)
    unboxed: Counter = field(default_factory=Counter)
    tight: Counter = field(default_factory=Counter)
    whole_body: int = 0
    lengths: dict[int, Counter] = field(default_factory=dict)
    document: dict | None = None
    left_out: dict[str, int] = field(default_factory=dict)
    _columns: Columns = field(default_factory=Columns, repr=False)

    def add(self, kind: str, item: object) -> None:
        """Check and count an item of one of the three lists.

        Raises:
            ValueError: an item of another form.
        """
        if kind == 'images':
            number, name, *_ = read_image(item, len(self.names))
            if not name:
                raise ValueError(f'image {number} has no file_name')
            self.names.append(name)
        elif kind == 'categories':
            read_category(item, len(self.categories))
            if type(item.get('id')) is not int:
                raise ValueError(f'category {str(item)[:80]} has no integer id')
            self.categories[item['id']] = item
        else:
            self._columns.add(item)
            points, box = item.get('keypoints') or [], item.get('bbox')
            category = category_of(item)
            if len(points) % 3:
                raise ValueError(
                    f'annotation {item["id"]}: {len(points)} numbers in keypoints, expected three for each'
                )
            if any(points[2::3]):
                self.people[category] += 1
                self.lengths.setdefault(category, Counter())[len(points)] += 1
                self.unboxed[category] += not has_box(box)
                self.tight[category] += has_box(box) and is_extent(box, points)
            self.whole_body += 'face_kpts' in item
            self.segments[category] += bool(item.get('segmentation'))

    def content(self) -> dict:
        """The whole document, to change."""
        if self.document is not None:
            return copy.deepcopy(self.document)
        with open(self.path, encoding='utf-8-sig') as file:
            return dict(json.load(file), categories=list(self.categories.values()))

    def describe(self) -> str:
        """What is in it, in words."""
        names = {number: str(category.get('name')) for number, category in self.categories.items()}
        counts = ', '.join(
            f'{names[number]!r}: {self.people[number]} with keypoints, {self.segments[number]} with segments'
            for number in names
        )
        return f'{self.path}: {len(self.names)} images; {counts or "no categories"}'


def category_of(item: dict) -> int:
    """The category of an annotation; 1 where it has none, as for the reader of people."""
    return 1 if item.get('category_id') is None else item['category_id']


def split_of(path: str) -> str:
    """'train', 'val', 'test' or '', by the last word of a path that names one."""
    words = re.findall(r'[a-z]+', path.lower())
    return next((_SPLITS[word] for word in reversed(words) if word in _SPLITS), '')


def find_coco_files(data: str) -> list[CocoFile]:
    """The COCO files in a folder at any depth, or the one file; Labelme's files count as one per split.

    Raises:
        FileNotFoundError: no such file or folder.
    """
    if os.path.isfile(data) and data.lower().endswith(('.zip', '.tar', '.gz', '.7z', '.rar')):
        raise ValueError(f'{data} is an archive: unpack it, and give the folder')
    if os.path.isfile(data):
        paths, root = [data], os.path.dirname(data) or '.'
    elif os.path.isdir(data):
        walk = [(folder, name) for folder, _, names in os.walk(data) for name in names if not name.startswith('.')]
        paths, root = sorted(os.path.join(*item) for item in walk if item[1].lower().endswith('.json')), data
    else:
        raise FileNotFoundError(f'no file or folder {data}')
    files, labelme = [], []
    for path in paths:
        file = CocoFile(path, split_of(os.path.relpath(path, root)))
        try:
            for kind, item in stream_items(path, ('images', 'annotations'), optional=('categories',)):
                file.add(kind, item)
            if not file.categories:  # a file of people needs none
                file.categories = {number: dict(id=number, name='person') for number in file.people}
            files.append(file)
        except NotAnObject:
            if is_labelme(path):
                labelme.append(path)
        except BrokenJson as error:
            raise ValueError(f'{path} is not JSON: {error}') from None
        except ValueError as error:
            raise ValueError(f'{path}: {error}') from error
    return files + _labelme_files(labelme, root)


def _labelme_files(paths: list[str], root: str) -> list[CocoFile]:
    """Labelme's files as one COCO file for each split, all with the same categories."""
    if not paths:
        return []
    document, left_out = labelme_to_coco(paths, root)
    images = {}
    for path, image in zip(sorted(paths), document['images'], strict=True):
        # The name of a file is that of its image and says nothing about the split.
        images.setdefault(split_of(os.path.relpath(os.path.dirname(path), root)), []).append(image)
    files = []
    for split, own in images.items():
        ids = {image['id'] for image in own}
        annotations = [item for item in document['annotations'] if item['image_id'] in ids]
        part = dict(images=own, annotations=annotations, categories=document['categories'])
        file = CocoFile(root, split, document=part, left_out=left_out)
        for kind, items in part.items():
            for item in items:
                file.add(kind, item)
        files.append(file)
    return files


def last_part(name: str) -> str:
    """The last part of a path of any system."""
    return re.split(r'[/\\]', name)[-1]


def held_out(names: list[str], fraction: float = HELD_OUT) -> set[str]:
    """The last part of some file names, in their order, that validation gets: at least one, at most half of them.

    Frames of one video lie together that way, and augmented copies of one image (Roboflow's) stay together.

    Raises:
        ValueError: only one image.
    """
    groups: dict[str, list[str]] = {}
    for name in sorted(names):
        groups.setdefault(_COPY.sub('', name), []).append(name)
    if len(groups) < 2:
        raise ValueError(
            f'{len(names)} labeled image(s): nothing to hold out for validation. Give another file with --val'
        )
    last = max(1, round(fraction * len(groups)))
    return {name for group in list(groups)[-last:] for name in groups[group]}


def split_document(document: dict, held: set[str], count: int) -> tuple[dict[str, dict], str]:
    """The document without and with the held-out images, and a sentence that says so.

    Args:
        held: file names of the held-out images.
        count: of the labeled images, for the sentence.
    """
    parts = {}
    for split in ('train', 'val'):
        images = [image for image in document['images'] if (image['file_name'] in held) == (split == 'val')]
        ids = {image['id'] for image in images}
        kept = [item for item in document['annotations'] if item['image_id'] in ids]
        parts[split] = dict(images=images, annotations=kept, categories=document['categories'])
    return parts, f'the last {len(held)} of {count} labeled images by name are held out for validation'


def relative_to(path: str, root: str) -> str:
    """A path relative to the data's folder if it lies there, otherwise absolute; '' for the folder itself."""
    relative = os.path.relpath(path, root)
    return os.path.abspath(path) if relative.startswith('..') else '' if relative == '.' else relative
