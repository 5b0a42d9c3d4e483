"""Pairs of points that are ordered by depth, for the benchmark on photographs."""

import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from ..scripts import ROOT

FILE = ROOT / 'tools/benchmark/data/depth_pairs.json'


@pytest.fixture(scope='module')
def table():
    return json.loads(FILE.read_text(encoding='utf-8'))


def test_counts_equal_the_pairs(table):
    pairs = table['pairs']
    assert table['count'] == len(pairs) == 200
    assert list(table['sizes']) == sorted({name for name, *_ in pairs}) and len(table['sizes']) == table['photographs']
    assert len({person for *_, people in pairs for person in people}) == table['people']
    assert max(Counter(name for name, *_ in pairs).values()) <= 8


def test_points_are_whole_pixels_of_their_photograph(table):
    for pair in table['pairs']:
        assert len(pair) == len(table['fields'])
        name, first, second, nearer, people = pair
        width, height = table['sizes'][name]
        for x, y in (first, second):
            assert type(x) is int and type(y) is int and 0 <= x < width and 0 <= y < height
        assert first != second and nearer in (0, 1)
        assert len(people) in (1, 2) and len(set(people)) == len(people)


def test_no_rule_without_the_image_orders_the_pairs(table):
    firsts = [nearer == 0 for *_, nearer, _ in table['pairs']]
    lower = [
        (first, second)[nearer][1] > (first, second)[1 - nearer][1] for _, first, second, nearer, _ in table['pairs']
    ]
    assert 0.4 <= np.mean(firsts) <= 0.6
    assert 0.4 <= np.mean(lower) <= 0.6


def test_no_pair_occurs_twice(table):
    # Not with the points swapped either.
    assert len({(name, *sorted(map(tuple, points))) for name, *points, _, _ in table['pairs']}) == len(table['pairs'])


def test_points_lie_on_the_polygons_of_their_people(table):
    root = os.environ.get('SAPIENS_TEST_DATA')
    if not root:
        pytest.skip('SAPIENS_TEST_DATA is not set')
    file = Path(root) / 'real/people_val.json'
    if not file.is_file():
        pytest.skip('SAPIENS_TEST_DATA has no real/people_val.json')
    data = json.loads(file.read_text(encoding='utf-8'))
    images = {image['id']: image for image in data['images']}
    annotations = {annotation['id']: annotation for annotation in data['annotations']}
    sizes = {image['file_name']: [image['width'], image['height']] for image in data['images']}
    assert table['sizes'].items() <= sizes.items()
    for name, *points, _, people in table['pairs']:
        for (x, y), person in zip(points, (people[0], people[-1]), strict=True):
            annotation = annotations[person]
            image = images[annotation['image_id']]
            assert image['file_name'] == name
            polygons = coco_mask.frPyObjects(annotation['segmentation'], image['height'], image['width'])
            assert coco_mask.decode(coco_mask.merge(polygons))[y, x] == 1, (name, x, y, person)
