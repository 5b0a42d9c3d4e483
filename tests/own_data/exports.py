"""Small exports as annotation tools write them, in their documented formats, with generated images."""

import json

import numpy as np
from PIL import Image

from ..datasets.folders import write_png
from ..datasets.helpers import smooth_image

SIZE = (64, 48)


def write_json(path, content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def picture(path, seed=0, size=SIZE) -> None:
    write_png(path, smooth_image(*size, seed=seed))


def polygon(x, y, w, h) -> list:
    return [x, y, x + w, y, x + w, y + h, x, y + h]


def labelme(root, count=4, shapes=None) -> None:
    """Labelme: ``0.json`` beside ``0.jpg``, with shapes or by default a coat and a hat."""
    for i in range(count):
        picture(root / f'{i}.jpg', seed=i)
        default = [
            shape('coat', [[8, 10], [40, 10], [40, 40], [8, 40]]),
            shape('hat', [[12, 4], [24, 12]], 'rectangle'),
        ]
        write_json(
            root / f'{i}.json',
            dict(
                version='5.5.0',
                flags={},
                shapes=default if shapes is None else shapes,
                imagePath=f'{i}.jpg',
                imageData=None,
                imageHeight=SIZE[1],
                imageWidth=SIZE[0],
            ),
        )


def shape(label, points, kind='polygon', group=None, mask=None) -> dict:
    return dict(label=label, points=points, group_id=group, description='', shape_type=kind, flags={}, mask=mask)


def cvat_masks(root, count=4, split='default') -> np.ndarray:
    """CVAT's "Segmentation mask 1.1", saved with images; returns the classes of a mask."""
    ids = np.zeros(SIZE[::-1], np.uint8)
    ids[10:40, 8:40], ids[4:12, 12:24] = 1, 2
    colours = np.array([[0, 0, 0], [250, 50, 83], [51, 221, 255]], np.uint8)
    for i in range(count):
        picture(root / f'JPEGImages/frame_{i}.jpg', seed=i)
        for folder in ('SegmentationClass', 'SegmentationObject'):
            path = root / folder / f'frame_{i}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(colours[ids]).save(path)
    (root / 'ImageSets/Segmentation').mkdir(parents=True)
    (root / f'ImageSets/Segmentation/{split}.txt').write_text('\n'.join(f'frame_{i}' for i in range(count)))
    names = ('background', 'coat', 'hat')
    lines = [f'{name}:{",".join(map(str, colour))}::' for name, colour in zip(names, colours.tolist(), strict=True)]
    (root / 'labelmap.txt').write_text('\n'.join(['# label:color_rgb:parts:actions', *lines]) + '\n')
    return ids
