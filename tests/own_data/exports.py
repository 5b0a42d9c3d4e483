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
    colors = np.array([[0, 0, 0], [250, 50, 83], [51, 221, 255]], np.uint8)
    for i in range(count):
        picture(root / f'JPEGImages/frame_{i}.jpg', seed=i)
        for folder in ('SegmentationClass', 'SegmentationObject'):
            path = root / folder / f'frame_{i}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(colors[ids]).save(path)
    (root / 'ImageSets/Segmentation').mkdir(parents=True)
    (root / f'ImageSets/Segmentation/{split}.txt').write_text('\n'.join(f'frame_{i}' for i in range(count)))
    names = ('background', 'coat', 'hat')
    lines = [f'{name}:{",".join(map(str, color))}::' for name, color in zip(names, colors.tolist(), strict=True)]
    (root / 'labelmap.txt').write_text('\n'.join(['# label:color_rgb:parts:actions', *lines]) + '\n')
    return ids


THREE = ['nose', 'left_hand', 'right_hand']
POINTS = dict(nose=(30, 12), left_hand=(42, 30), right_hand=(18, 32))


def keypoints(names=THREE, hidden=()) -> list:
    return [value for name in names for value in ((0, 0, 0) if name in hidden else (*POINTS[name], 2))]


def people(images, start=1, category=1, names=THREE, **changes) -> list[dict]:
    """One person in each of some images."""
    person = dict(category_id=category, bbox=[12, 6, 36, 34], area=1224.0, iscrowd=0, num_keypoints=len(names))
    person |= dict(segmentation=[], keypoints=keypoints(names)) | changes
    return [dict(person, id=start + i, image_id=image) for i, image in enumerate(images)]


def entries(count, name='{}.jpg', first=1) -> list[dict]:
    return [
        dict(
            id=first + i,
            file_name=name.format(i),
            width=SIZE[0],
            height=SIZE[1],
            license=0,
            flickr_url='',
            coco_url='',
        )
        for i in range(count)
    ]


def segments(images, ids=(1, 2)) -> list[dict]:
    """A coat and a hat in each of some images: a polygon, and run lengths (CVAT's is_crowd)."""
    hat = np.zeros(SIZE[::-1], np.uint8)
    hat[4:12, 12:24] = 1
    flat = hat.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = dict(size=[SIZE[1], SIZE[0]], counts=np.diff([0, *edges.tolist(), flat.size]).tolist())
    found = []
    for image in images:
        coat = dict(segmentation=[polygon(8, 10, 32, 30)], area=960.0, bbox=[8, 10, 32, 30], iscrowd=0)
        for category, shape in zip(
            ids, (coat, dict(segmentation=runs, area=96.0, bbox=[12, 4, 12, 8], iscrowd=1)), strict=True
        ):
            found.append(dict(id=len(found) + 1, image_id=image, category_id=category, attributes={}, **shape))
    return found


def cvat_keypoints(root, count=4, names=THREE) -> None:
    """CVAT's "COCO Keypoints 1.0" of a task without subsets, beside the boxes of "COCO 1.0"."""
    for i in range(count):
        picture(root / f'images/default/{i}.jpg', seed=i)
    person = dict(id=1, name='person', supercategory='', keypoints=list(names), skeleton=[[1, 2], [1, 3]])
    common = dict(licenses=[dict(name='', id=0, url='')], info=dict(contributor='', version=''), images=entries(count))
    write_json(
        root / 'annotations/person_keypoints_default.json',
        dict(common, categories=[person], annotations=people(range(1, count + 1), names=names)),
    )
    boxes = [dict(id=1, image_id=1, category_id=1, segmentation=[], area=4.0, bbox=[1, 1, 2, 2], iscrowd=0)]
    categories = [dict(id=1, name='hat', supercategory='')]
    write_json(root / 'annotations/instances_default.json', dict(common, categories=categories, annotations=boxes))


def cvat_instances(root, splits=('train', 'val'), count=4) -> None:
    """CVAT's "COCO 1.0" with subsets: polygons, and run lengths of masks."""
    for number, split in enumerate(splits):
        for i in range(count):
            picture(root / f'images/{split}/{i}.jpg', seed=i + 10 * number)
        categories = [dict(id=1, name='coat', supercategory=''), dict(id=2, name='hat', supercategory='')]
        content = dict(images=entries(count), categories=categories, annotations=segments(range(1, count + 1)))
        write_json(root / f'annotations/instances_{split}.json', content)


def roboflow(root, splits=('train', 'valid', 'test'), count=4, kind='keypoints') -> None:
    """Roboflow's COCO export: a file and the images in each folder, a category that is only a placeholder."""
    for number, split in enumerate(splits):
        images = entries(count, name='IMG_{}_jpg.rf.0a1b2c3d4e.jpg', first=0)
        for i, image in enumerate(images):
            picture(root / split / image['file_name'], seed=i + 10 * number)
        if kind == 'keypoints':
            categories = [
                dict(id=0, name='people-Qg7R', supercategory='none'),
                dict(id=1, name='person', supercategory='people-Qg7R', keypoints=THREE, skeleton=[[1, 2], [1, 3]]),
            ]
            annotations = people(range(count), start=0)
        else:
            categories = [
                dict(id=0, name='clothes', supercategory='none'),
                dict(id=1, name='coat', supercategory='clothes'),
                dict(id=2, name='hat', supercategory='clothes'),
            ]
            annotations = segments(range(count))
        content = dict(info={}, licenses=[], categories=categories, images=images, annotations=annotations)
        write_json(root / split / '_annotations.coco.json', content)


def roboflow_masks(root, splits=('train', 'valid'), count=4) -> None:
    """Roboflow's "Semantic Segmentation Masks": ``x.jpg`` beside ``x_mask.png``, and ``_classes.csv``."""
    ids = np.zeros(SIZE[::-1], np.uint8)
    ids[10:40, 8:40], ids[4:12, 12:24] = 1, 2
    for number, split in enumerate(splits):
        for i in range(count):
            picture(root / split / f'{i}_jpg.rf.0a1b.jpg', seed=i + 10 * number)
            write_png(root / split / f'{i}_jpg.rf.0a1b_mask.png', ids)
        (root / split / '_classes.csv').write_text('Pixel Value, Class\n0, background\n1, coat\n2, hat\n')


def label_studio(root, count=4, kind='keypoints', names=THREE) -> None:
    """Label Studio's COCO export: ids from 0, ``images/`` in the names, for keypoints one category called default."""
    images = [
        dict(width=SIZE[0], height=SIZE[1], id=i, file_name=f'images/{i:04x}-photo_{i}.jpg') for i in range(count)
    ]
    for i, image in enumerate(images):
        picture(root / image['file_name'], seed=i)
    if kind == 'keypoints':
        points = keypoints()
        xs, ys = points[::3], points[1::3]
        box = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
        categories = [dict(id=0, name='default', supercategory='default', keypoints=list(names), skeleton=[])]
        annotations = [
            dict(id=i, image_id=i, category_id=0, keypoints=points, num_keypoints=3, bbox=box, iscrowd=0)
            for i in range(count)
        ]
    else:
        categories = [dict(id=0, name='coat'), dict(id=1, name='hat')]
        shapes = ((0, polygon(8, 10, 32, 30)), (1, polygon(12, 4, 12, 8)))
        annotations = [
            dict(id=2 * i + j, image_id=i, category_id=category, segmentation=[points], bbox=[8, 4, 32, 36], ignore=0, iscrowd=0,
                 area=1000.0)
            for i in range(count) for j, (category, points) in enumerate(shapes)
        ]  # fmt: skip
    info = dict(year=2026, version='1.0', description='', contributor='Label Studio', url='')
    write_json(root / 'result.json', dict(images=images, categories=categories, annotations=annotations, info=info))


def labelme_people(root, count=4, boxed=True) -> None:
    """Labelme with points of a person in one group, and its rectangle."""
    shapes = [shape(name, [list(point)], 'point', group=1) for name, point in POINTS.items()]
    if boxed:
        shapes.append(shape('person', [[12, 6], [48, 40]], 'rectangle', group=1))
    labelme(root, count, shapes)
