"""Label maps from Labelme's files, colors and COCO files: ``sapiens labels``."""

import base64
import json
import runpy

import numpy as np
import pytest
from PIL import Image

from sapiens.datasets import SegmentationDataset
from sapiens.own_data.labelme import labelme_to_coco

from ..datasets.helpers import encode
from ..integration import status_of
from .exports import SIZE, cvat_masks, labelme, polygon, shape, write_json


def read(path):
    with Image.open(path) as image:
        return np.array(image)


def test_colors_of_cvat(tmp_path, capsys):
    ids = cvat_masks(tmp_path)
    assert status_of('labels', tmp_path / 'SegmentationClass', '--out', tmp_path / 'labels') == 0
    assert '4 label maps' in capsys.readouterr().out
    assert np.array_equal(read(tmp_path / 'labels/frame_3.png'), ids)
    data = SegmentationDataset(str(tmp_path / 'labels/classes.py'), str(tmp_path), images='JPEGImages')
    assert len(data) == 4 and data.classes.classes == ('background', 'coat', 'hat')
    Image.fromarray(np.full((*SIZE[::-1], 3), 7, np.uint8)).save(tmp_path / 'SegmentationClass/frame_0.png')
    assert status_of('labels', tmp_path / 'SegmentationClass', '--out', tmp_path / 'labels') == 2
    assert 'frame_0.png: the color (7, 7, 7) has no class (100.00%' in capsys.readouterr().err
    (tmp_path / 'labelmap.txt').write_text('coat;1;2\n')
    assert status_of('labels', tmp_path / 'SegmentationClass', '--out', tmp_path / 'labels') == 2
    assert 'name:red,green,blue::' in capsys.readouterr().err


def test_shapes_of_labelme(tmp_path, capsys):
    mask = base64.b64encode(encode(np.full((5, 6), 255, np.uint8), 'PNG')).decode()
    shapes = [
        shape('coat', [[8, 10], [40, 10], [40, 40], [8, 40]]),
        shape('hat', [[12, 4], [24, 12]], 'rectangle'),
        shape('ball', [[50, 20], [54, 20]], 'circle'),
        shape('patch', [[20, 20], [26, 25]], 'mask', mask=mask),
        shape('hem', [[8, 40], [40, 40]], 'line'),
        shape('__ignore__', [[0, 44], [64, 44], [64, 48], [0, 48]]),
    ]
    labelme(tmp_path / 'in', count=2, shapes=shapes)
    assert status_of('labels', tmp_path / 'in', '--out', tmp_path / 'out') == 0
    assert "left out: 2 with line of 'hem'" in capsys.readouterr().out
    names = runpy.run_path(str(tmp_path / 'out/classes.py'))['classes']['classes']
    assert names == ['background', 'ball', 'coat', 'hat', 'patch']
    ids = read(tmp_path / 'out/0.png')
    counts = {name: int((ids == label).sum()) for label, name in enumerate(names)}
    assert counts['hat'] == 12 * 8 and counts['patch'] == 30 and counts['coat'] == 32 * 30 - 2 * 12 - 30
    assert abs(counts['ball'] - np.pi * 16) < 6 and (ids == 255).sum() == 64 * 4


def test_points_of_labelme_become_people(tmp_path):
    points = [
        shape('person', [[2, 2], [30, 40]], 'rectangle', group=1),
        shape('left_hand', [[3, 4]], 'point', group=1),
        shape('right_hand', [[20, 30]], 'point', group=1),
        shape('right_hand', [[50, 20]], 'point', group=2),
    ]
    labelme(tmp_path, count=1, shapes=points)
    content, left_out = labelme_to_coco([str(tmp_path / '0.json')], str(tmp_path))
    first, second = content['annotations']
    assert content['categories'] == [dict(id=1, name='person', keypoints=['left_hand', 'right_hand'], skeleton=[])]
    assert first['bbox'] == [2, 2, 28, 38] and first['keypoints'] == [3, 4, 2, 20, 30, 2]
    assert second['keypoints'] == [0, 0, 0, 50, 20, 2] and 'bbox' not in second
    assert left_out == {'person without a rectangle of the same group': 1}


def test_people_without_groups_are_not_mixed(tmp_path):
    points = [shape('nose', [[3, 4]], 'point'), shape('nose', [[40, 4]], 'point')]
    labelme(tmp_path, count=1, shapes=points)
    with pytest.raises(
        ValueError, match="0.json: two points 'nose' of one person: give those of each person one group_id"
    ):
        labelme_to_coco([str(tmp_path / '0.json')], str(tmp_path))
    boxes = [shape('nose', [[3, 4]], 'point')] + [shape('person', [[2, 2], [30, 40]], 'rectangle')] * 2
    labelme(tmp_path, count=1, shapes=boxes)
    with pytest.raises(ValueError, match='0.json: two shapes of one person'):
        labelme_to_coco([str(tmp_path / '0.json')], str(tmp_path))


def test_run_lengths_and_folders_of_coco(tmp_path):
    images = [dict(id=0, file_name='../a/one.jpg', width=8, height=6)]
    whole = dict(size=[6, 8], counts=[6, 6, 36])
    annotations = [
        dict(id=1, image_id=0, category_id=4, segmentation=whole, iscrowd=1),
        dict(id=2, image_id=0, category_id=2, segmentation=[polygon(4, 0, 2, 6)], iscrowd=0),
    ]
    categories = [dict(id=number, name=name) for number, name in ((0, 'all'), (2, 'hat'), (4, 'coat'))]
    write_json(tmp_path / 'x.json', dict(images=images, annotations=annotations, categories=categories))
    assert status_of('labels', tmp_path / 'x.json', '--out', tmp_path / 'out') == 0
    assert read(tmp_path / 'out/a/one.png')[2].tolist() == [0, 2, 0, 0, 1, 1, 0, 0]


def test_nothing_to_write_is_an_error(tmp_path, capsys):
    boxes = dict(id=1, image_id=0, category_id=2, segmentation=[], bbox=[1, 1, 2, 2])
    images = [dict(id=0, file_name='one.jpg', width=8, height=6)]
    content = dict(images=images, annotations=[boxes], categories=[dict(id=2, name='hat')])
    write_json(tmp_path / 'x.json', content)
    assert status_of('labels', tmp_path / 'x.json', '--out', tmp_path / 'out') == 2
    assert 'no image has a segment' in capsys.readouterr().err
    assert status_of('labels', tmp_path, '--out', tmp_path / 'out') == 2
    assert 'neither Labelme files nor a labelmap.txt' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('damage', 'text'),
    [
        (dict(imageWidth=None), 'no imageWidth and imageHeight'),
        (dict(shapes=[dict(points=[])]), 'a shape without a label'),
        (dict(shapes=[shape('hat', [[1, None], [2, 3], [4, 5]])]), 'are not pairs of finite numbers'),
        (dict(shapes=[shape('hat', [[1, 1], [2, 2]], 'mask', mask='?')]), 'mask of a shape'),
    ],
)
def test_damaged_labelme_files_are_named(damage, text, tmp_path, capsys):
    labelme(tmp_path, count=1)
    path = tmp_path / '0.json'
    path.write_text(json.dumps({**json.loads(path.read_text()), **damage}))
    assert status_of('labels', tmp_path, '--out', tmp_path / 'out') == 2
    error = capsys.readouterr().err
    assert '0.json' in error and text in error
