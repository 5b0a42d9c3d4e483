"""The reader of annotated people."""

import json
import os

import numpy as np
import pytest

from sapiens.coco import json_stream, people, read_people, read_results
from sapiens.datasets import KeypointDataset
from sapiens.evaluation import KeypointMetric
from sapiens.metainfo import get_skeleton

from ..datasets.people import person, write_people


@pytest.fixture
def reads(monkeypatch):
    """Record the paths of parsed files."""
    reads = []
    stream = json_stream.stream_items
    monkeypatch.setattr(people, 'stream_items', lambda path, keys: (reads.append(path), stream(path, keys))[1])
    monkeypatch.setattr(people, '_kept', {})
    return reads


def test_columns(tmp_path):
    items = [person(0), person(1, image=9, bbox=None, area=None, iscrowd=1), person(2, image=2, category_id=3)]
    del items[2]['keypoints'], items[2]['num_keypoints']
    found = read_people(write_people(tmp_path, items, pictures=False))
    assert found.names == ['1.jpg', '2.jpg', '3.jpg'] and found.image_ids.tolist() == [1, 2, 3]
    assert found.image_sizes.tolist() == [[120, 90]] * 3 and found.repeated_images == []
    assert found.ids.tolist() == [100, 101, 102] and found.image.tolist() == [0, -1, 1]
    assert found.image_id.tolist() == [1, 9, 2] and found.crowd.tolist() == [False, True, False]
    assert found.boxes[0].tolist() == items[0]['bbox'] and np.isnan(found.boxes[1]).all()
    assert found.areas[0] == 3000.5 and np.isnan(found.areas[1])
    assert found.num_keypoints.tolist() == [17, 17, -1] and found.categories.tolist() == [1, 1, 3]
    points, listed = found.points(get_skeleton('coco17'))
    assert points.shape == (3, 17, 3) and listed.tolist() == [True, True, False]
    assert np.array_equal(points[0].ravel(), np.float32(items[0]['keypoints'])) and not points[2].any()
    assert found.in_keypoint_category.tolist() == [True, True, False]


def test_data_set_and_metric_read_a_file_once(tmp_path, reads):
    file = write_people(tmp_path, [person(0), person(1)], pictures=False)
    KeypointDataset(file, 'coco17', test_mode=True)
    KeypointMetric('coco17', os.path.relpath(file))
    KeypointMetric('coco17', file, groups=['whole'])
    assert reads == [file]


def test_detected_boxes_and_another_skeleton_read_it_once_too(tmp_path, reads):
    file = write_people(tmp_path, [person(0)], pictures=False)
    (tmp_path / 'boxes.json').write_text(json.dumps([dict(image_id=1, category_id=1, bbox=[1, 2, 3, 4], score=0.5)]))
    KeypointDataset(file, 'goliath308', boxes=str(tmp_path / 'boxes.json'), test_mode=True)
    KeypointMetric('goliath308', file, common_with='coco17')
    assert reads == [file]


def test_a_changed_file_is_read_again_and_training_keeps_nothing(tmp_path, reads):
    file = write_people(tmp_path, [person(0)], pictures=False)
    KeypointDataset(file, 'coco17')
    assert people._kept == {}
    assert len(KeypointDataset(file, 'coco17', test_mode=True)) == 1
    write_people(tmp_path, [person(0), person(1)], pictures=False)
    assert len(KeypointDataset(file, 'coco17', test_mode=True)) == 2
    assert len(reads) == 3 and len(people._kept) == 1
    for number in range(5):
        read_people(write_people(tmp_path, [person(0)], name=f'{number}.json', pictures=False), keep=True)
    assert len(people._kept) == 4


def test_stored_annotations_are_read_only(tmp_path):
    found = read_people(write_people(tmp_path, [person(0)], pictures=False))
    with pytest.raises(ValueError, match='read-only'):
        found.points(get_skeleton('coco17'))[0][0, 0, 0] = 7


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(image_id='1'), 'no integer image_id'),
        (dict(bbox=['a', 2, 3, 4]), 'annotation 100 has values that are no numbers'),
        (dict(keypoints=['a'] * 51), 'annotation 100 has values that are no numbers'),
        (dict(area='large'), 'annotation 100 has values that are no numbers'),
    ],
)
def test_values_of_other_types(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        read_people(write_people(tmp_path, [person(0, **changes)], pictures=False))


def test_annotations_of_other_categories_are_allowed(tmp_path):
    dog = dict(id=7, image_id=1, category_id=18, bbox=[1, 2, 30, 40])
    findings = KeypointDataset(write_people(tmp_path, [person(0), dog]), 'coco17').instances.findings
    assert findings['a category without keypoints'].count == 1 and findings.wrong == 0


def test_results(tmp_path):
    file = tmp_path / 'r.json'
    file.write_text('[{"image_id": 1, "score": 0.5}]')
    assert read_results(str(file), {'image_id', 'score'}) == [dict(image_id=1, score=0.5)]
    with pytest.raises(ValueError, match='no COCO results file: expected a list of objects with bbox, image_id'):
        read_results(str(file), {'image_id', 'bbox'})
    file.write_text('[')
    with pytest.raises(ValueError, match='is no JSON'):
        read_results(str(file), set())
    with pytest.raises(FileNotFoundError, match='no results file'):
        read_results(str(tmp_path / 'none.json'), set())
