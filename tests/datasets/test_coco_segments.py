"""Label maps from the polygons and run lengths of a COCO file."""

import json
import random
import time
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as masks

from sapiens.coco import BadSegment, paint_segments, read_segments
from sapiens.datasets import Draw, SegmentationDataset
from sapiens.datasets.checks import Findings

from .folders import write_png
from .helpers import smooth_image

SIZE = (40, 30)
CLASSES = dict(name='gear', classes=['background', 'coat', 'button'])
PIPELINE = [dict(type='LoadLabels'), dict(type='LoadResize', size=SIZE), dict(type='PackDense')]
TRAIN = [
    dict(type='LoadLabels', fields=['sem_seg']),
    dict(
        type='LoadDense',
        steps=[dict(type='RandomResize', size=SIZE, ratio=(1, 2)), dict(type='RandomCrop', size=SIZE)],
    ),
    dict(type='PackDense'),
]


def square(x, y, side) -> list:
    return [[x, y, x + side, y, x + side, y + side, x, y + side]]


def run_lengths(mask, text=True) -> dict:
    """COCO's run lengths of a mask (H, W), column by column, beginning with zeros."""
    if text:
        encoded = masks.encode(np.asfortranarray(mask.astype(np.uint8)))
        return dict(size=list(mask.shape), counts=encoded['counts'].decode())
    flat = mask.T.ravel().astype(int)
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *edges, flat.size]).tolist()
    return dict(size=list(mask.shape), counts=[0, *counts] if flat[0] else counts)


def write(root, annotations, images=2, categories=('coat', 'button'), name='train.json'):
    for i in range(images):
        write_png(root / f'images/{i}.jpg', smooth_image(*SIZE, seed=i))
    content = dict(
        images=[dict(id=i + 5, file_name=f'{i}.jpg', width=SIZE[0], height=SIZE[1]) for i in range(images)],
        annotations=[dict(id=number, iscrowd=0, **item) for number, item in enumerate(annotations)],
        categories=[dict(id=number + 1, name=label) for number, label in enumerate(categories)],
    )
    (root / name).write_text(json.dumps(content))
    return str(root / name)


def item(category, segmentation, image=5) -> dict:
    return dict(image_id=image, category_id=category, segmentation=segmentation)


def dataset(root, classes=CLASSES, **options):
    options = dict(pipeline=PIPELINE, **options) if 'pipeline' not in options else options
    return SegmentationDataset(classes, str(root), ann_file='train.json', **options)


def labels_of(data, index=0):
    return data[index]['data_samples'].gt_sem_seg.numpy()


def test_polygons_and_both_kinds_of_run_lengths(tmp_path):
    mask = np.zeros(SIZE[::-1], bool)
    mask[3:9, 20:33] = True
    expected = np.zeros(SIZE[::-1], int)
    expected[2:12, 2:12] = 1
    expected[mask] = 2
    for text in (True, False):
        write(tmp_path, [item(1, square(2, 2, 10)), item(2, run_lengths(mask, text))])
        data = dataset(tmp_path)
        assert len(data) == 1 and np.array_equal(labels_of(data), expected)
        assert 'train.json' in repr(data)
    several = [square(2, 2, 10)[0], square(20, 20, 5)[0]]
    write(tmp_path, [item(1, several)])
    assert (labels_of(dataset(tmp_path)) == 1).sum() == 125


def test_the_smaller_or_the_later_of_two_lies_on_top(tmp_path):
    write(tmp_path, [item(2, square(5, 5, 4)), item(1, square(2, 2, 20))])
    assert (labels_of(dataset(tmp_path)) == 2).sum() == 16
    assert not (labels_of(dataset(tmp_path, overlap='later')) == 2).any()


def test_unlabeled_pixels_and_images(tmp_path):
    write(tmp_path, [item(1, square(2, 2, 10), image=6), item(2, square(4, 4, 5), image=6)])
    data = dataset(tmp_path, unlabeled=255)
    sample = data[0]['data_samples']
    assert data.path(0).endswith('images/1.jpg') and sample.valid_mask.sum() == 100
    findings = Findings()
    data.check(findings, read=True)
    assert {what: finding.wrong for what, finding in findings.items()} == {
        'image without a segment of any class': False
    }


def test_trains_and_takes_parts(tmp_path):
    write(tmp_path, [item(1, square(2, 2, 10), image=5 + i) for i in range(4)], images=4)
    data = dataset(tmp_path, pipeline=TRAIN)
    assert data[Draw(1, 3)]['data_samples'].gt_sem_seg.max() <= 1
    parts = [dataset(tmp_path, part=part) for part in ((0, 0.75), (0.75, 1))]
    assert [len(part) for part in parts] == [3, 1] and parts[1].path(0).endswith('3.jpg')


def test_categories_by_name(tmp_path):
    # A placeholder without annotations, as some tools write, needs no class.
    write(tmp_path, [item(2, square(2, 2, 10)), item(3, square(20, 2, 5))], categories=('all', 'Coat', 'dog'))
    with pytest.raises(ValueError, match="category 'Coat' is not a class of 'gear'.*categories={'Coat': None}"):
        dataset(tmp_path)
    data = dataset(tmp_path, categories={'Coat': 'coat', 'dog': None})
    assert np.unique(labels_of(data)).tolist() == [0, 1] and (labels_of(data) == 1).sum() == 100
    with pytest.raises(ValueError, match="category 'Cota' does not exist; did you mean 'Coat'"):
        dataset(tmp_path, categories={'Cota': 'coat'})


def test_what_cannot_be_used_is_counted(tmp_path):
    bad = [
        ([], 'no segment'),
        ([[1, 2, 3, 4]], 'a polygon of fewer than three points'),
        ([[1, 2, 3, 4, 5, 1e9]], 'not finite or far outside'),
        (dict(size=[4, 4], counts=[16]), 'another size than the image'),
        (dict(size=[30, 40], counts=[5, 10]), 'another size than the image'),
        (dict(size=[30, 40], counts='zz'), 'another size than the image'),
        (dict(size=[30, 40], counts='~~'), 'cannot be decoded'),
        ('polygon', 'neither polygons nor run lengths'),
    ]
    write(tmp_path, [item(1, segmentation) for segmentation, _ in bad] + [item(1, square(1, 1, 3)), item(9, [])])
    data = dataset(tmp_path)
    assert (labels_of(data) == 1).sum() == 9
    findings = Findings()
    data.check(findings)
    for _, reason in bad:
        assert sum(reason in what for what in findings) == 1, reason
    assert findings['annotation with a category that is not listed'].examples == ['9']
    assert findings['annotation with no segment'].wrong is False
    write(tmp_path, [item(1, segmentation) for segmentation, _ in bad])
    with pytest.raises(ValueError, match='none of its 2 images can be used.*no segment'):
        dataset(tmp_path)


def test_arguments_that_have_no_effect_are_refused(tmp_path):
    write(tmp_path, [item(1, square(1, 1, 3))])
    for options in (dict(label_ending='_seg'), dict(mask='mask'), dict(values={0: 'background'})):
        with pytest.raises(ValueError, match=f'{next(iter(options))}=.* has no effect with ann_file'):
            dataset(tmp_path, **options)
    with pytest.raises(ValueError, match="overlap='larger'"):
        dataset(tmp_path, overlap='larger')
    with pytest.raises(ValueError, match='unlabeled=7'):
        dataset(tmp_path, unlabeled=7)


def test_any_damage_is_used_left_out_or_refused(tmp_path):
    """The rasterizer of pycocotools crashes on some of these; none reaches it."""
    rng = random.Random(0)
    values = [None, True, -1, 0, 3, 1e300, float('nan'), '', 'x', [], {}, [[]], [None], [[1, 2]], 10**30, '0' * 50]
    whole = np.zeros(SIZE[::-1], bool)
    whole[4:20, 4:20] = True
    good = [square(2, 2, 10), run_lengths(whole), run_lengths(whole, text=False)]
    end = time.monotonic() + 20
    for _ in range(600):
        path = write(tmp_path, [item(1, segment) for segment in good], images=1)
        content = json.loads(Path(path).read_text())
        node = content
        while isinstance(node, dict | list) and node and (node is content or rng.random() < 0.75):
            parent, key = node, rng.choice(list(node) if isinstance(node, dict) else range(len(node)))
            node = node[key]
        parent[key] = rng.choice(values)
        Path(path).write_text(json.dumps(content))
        try:
            found = read_segments(path)
            for size, text in zip(found.sizes, found.items, strict=True):
                if size == SIZE:
                    ids = paint_segments([(1, segment) for _, segment in json.loads(text)], size)
                    assert ids.max() <= 1
        except ValueError as error:
            assert path in str(error)
        assert time.monotonic() < end


def test_painting_refuses_what_it_cannot_rasterize():
    with pytest.raises(BadSegment, match='another size'):
        paint_segments([(1, dict(size=[5, 5], counts=[30]))], (5, 5))
