"""Small files in COCO's format."""

import json

import numpy as np

from .helpers import encode, smooth_image

SIZE = (120, 90)


def person(number, image=1, count=17, **changes) -> dict:
    """An annotation with all keypoints visible inside its box."""
    rng = np.random.default_rng(number)
    x, y, w, h = 10 + number % 7, 5, 60.5, 70.25
    points = np.column_stack([rng.uniform(x, x + w, count), rng.uniform(y, y + h, count), np.full(count, 2)])
    annotation = dict(
        id=100 + number,
        image_id=image,
        category_id=1,
        bbox=[x, y, w, h],
        area=3000.5 + number,
        iscrowd=0,
        num_keypoints=count,
        keypoints=np.round(points, 2).ravel().tolist(),
        segmentation=[],
    )
    annotation.update(changes)
    return {key: value for key, value in annotation.items() if value is not None}


def write_people(root, annotations, images=3, name='people.json', pictures=True) -> str:
    """Write images 1 .. n (``img/<id>.jpg``) and an annotation file; returns its path."""
    entries = [dict(id=i, file_name=f'{i}.jpg', width=SIZE[0], height=SIZE[1]) for i in range(1, images + 1)]
    if pictures:
        (root / 'img').mkdir(exist_ok=True)
        for i in range(1, images + 1):
            (root / f'img/{i}.jpg').write_bytes(encode(smooth_image(*SIZE, seed=i)))
    categories = [dict(id=1, name='person', supercategory='person')]
    content = dict(info={}, licenses=[], images=entries, annotations=annotations, categories=categories)
    (root / name).write_text(json.dumps(content))
    return str(root / name)
