"""COCO annotations of the people: the entry of one image, and the three files assembled from many entries.

Coordinates are in pixels with the center of the top-left pixel at (0, 0), which is also what mmpose assumes when it
warps images. Boxes are x, y, w, h with x, y the first pixel's index and w, h counted in pixels, as pycocotools gives
them.
"""

import json
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryFile

import numpy as np
from pycocotools import mask as rle

from sapiens.metainfo import get_skeleton
from sapiens.utils.files import atomic_path

from .sample import SyntheticSample

__all__ = ['FILES', 'PEOPLE_PER_IMAGE', 'describe', 'write_annotation_files']

# Skeleton -> file of the standard layout.
FILES = {
    'coco17': 'annotations/person_keypoints.json',
    'wholebody133': 'annotations/coco_wholebody.json',
    'goliath308': 'annotations/goliath308.json',
}
PEOPLE_PER_IMAGE = 256  # instance ids are bytes: annotation id = image id * 256 + instance

# Additional fields of COCO-WholeBody -> group of the skeleton.
_WHOLEBODY = {
    'foot_kpts': 'foot',
    'face_kpts': 'face',
    'lefthand_kpts': 'left_hand',
    'righthand_kpts': 'right_hand',
}


def describe(sample: SyntheticSample, image_id: int, file_name: str) -> dict:
    """Describe one image, without its arrays of pixels, as JSON-able values.

    Returns:
        dict(image=COCO's image entry, seed, people=[...], pixels={'goliath28' and 'lip20': {class id: pixels}}). A person has
        ``instance, bbox, area, segmentation`` (compressed RLE), ``attributes`` and ``keypoints`` {skeleton: 3 K numbers}.
    """
    height, width = sample.image.shape[:2]
    people = []
    for person in sample.people:
        mask = rle.encode(np.asfortranarray(sample.instance == person.instance, dtype=np.uint8))
        people.append(
            dict(
                instance=int(person.instance),
                bbox=_numbers(person.bbox),
                area=int(person.area),
                segmentation=dict(size=[height, width], counts=mask['counts'].decode('ascii')),
                keypoints={name: _numbers(person.keypoints[name]) for name in FILES},
                attributes=person.attributes,
            )
        )
    maps = {'goliath28': sample.part, 'lip20': sample.lip}
    counts = {name: np.bincount(labels.ravel(), minlength=256) for name, labels in maps.items()}
    return dict(
        image=dict(id=image_id, file_name=file_name, width=width, height=height, license=1),
        seed=int(sample.seed),
        people=people,
        pixels={name: {str(i): int(count[i]) for i in np.flatnonzero(count)} for name, count in counts.items()},
    )


def write_annotation_files(root: Path, entries: Iterable[dict], info: dict, licence: dict) -> None:
    """Write the files of COCO, COCO-WholeBody and 308 keypoints. Entries are streamed, so memory stays small.

    Args:
        root: folder of the dataset.
        entries: results of :func:`describe`, in order.
        info, licence: COCO's ``info`` and the only entry of its ``licenses``.
    """
    separator = comma = ''  # of people, and of images
    with ExitStack() as files:
        images = files.enter_context(TemporaryFile('w+', dir=root))
        paths = {name: files.enter_context(atomic_path(root / file)) for name, file in FILES.items()}
        streams = {name: files.enter_context(path.open('w')) for name, path in paths.items()}
        for name, stream in streams.items():
            head = dict(info=info, licenses=[licence], categories=[_category(name)])
            stream.write(json.dumps(head)[:-1] + ', "annotations": [')
        for entry in entries:
            images.write(comma + json.dumps(entry['image']))
            comma = ',\n'
            for person in entry['people']:
                for name, stream in streams.items():
                    stream.write(separator + json.dumps(_annotation(name, person, entry['image'])))
                separator = ',\n'
        for stream in streams.values():
            stream.write('],\n"images": [')
            images.seek(0)
            copyfileobj(images, stream)
            stream.write(']}\n')


def _annotation(name: str, person: dict, image: dict) -> dict:
    skeleton = get_skeleton(name)
    points = np.array(person['keypoints'][name]).reshape(len(skeleton), 3)
    annotation = dict(
        id=image['id'] * PEOPLE_PER_IMAGE + person['instance'],
        image_id=image['id'],
        category_id=1,
        iscrowd=0,
        bbox=person['bbox'],
        area=person['area'],
        segmentation=person['segmentation'],
    )
    if name == 'wholebody133':
        for field, group in _WHOLEBODY.items():
            part = points[skeleton.groups[group]]
            stem = field.removesuffix('_kpts')
            annotation[field] = _numbers(part)
            annotation[f'{stem}_valid'] = bool((part[:, 2] == 2).any())
            if stem != 'foot':
                annotation[f'{stem}_box'] = _box(part)
        points = points[skeleton.groups['body']]
    annotation['keypoints'] = _numbers(points)
    annotation['num_keypoints'] = int((points[:, 2] > 0).sum())
    return annotation


def _category(name: str) -> dict:
    # The file of COCO-WholeBody names only the 17 keypoints of the body, as COCO's does.
    skeleton = get_skeleton('goliath308' if name == 'goliath308' else 'coco17')
    links = (skeleton.links + 1).tolist()  # COCO counts from 1
    return dict(supercategory='person', id=1, name='person', keypoints=list(skeleton.keypoints), skeleton=links)


def _box(points: np.ndarray) -> list:
    """Return x, y, w, h around the known points; zeros if there are none."""
    known = points[points[:, 2] > 0, :2]
    if not len(known):
        return [0.0, 0.0, 0.0, 0.0]
    low, high = known.min(0), known.max(0)
    return _numbers([*low, *(high - low)])


def _numbers(values) -> list:
    """Flatten to a list of numbers with three decimals (a thousandth of a pixel); whole numbers become integers."""
    rounded = np.round(np.asarray(values, np.float64).ravel(), 3).tolist()
    return [int(value) if value == int(value) else value for value in rounded]
