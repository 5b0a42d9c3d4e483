"""The reader of annotated people."""

import json
import os

import numpy as np
import pytest

from sapiens.coco import images_without_people, json_stream, people, read_people, read_results
from sapiens.datasets import KeypointDataset, instances
from sapiens.evaluation import KeypointMetric
from sapiens.metainfo import get_skeleton

from ..datasets.people import person, write_people


@pytest.fixture
def reads(monkeypatch):
    """Record the paths of parsed files."""
    reads = []
    stream = json_stream.stream_items
    monkeypatch.setattr(
        people, 'stream_items', lambda path, keys, **more: (reads.append(path), stream(path, keys, **more))[1]
    )
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
    assert found.same_category(listed).tolist() == [True, True, False]


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


def test_stored_annotations_are_read_only(tmp_path, reads):
    found = read_people(write_people(tmp_path, [person(0)], pictures=False))
    assert people._kept == {}
    with pytest.raises(ValueError, match='read-only'):
        found.points(get_skeleton('coco17'))[0][0, 0, 0] = 7


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(image_id='1'), 'no integer image_id'),
        (dict(bbox=['a', 2, 3, 4]), 'annotation 100 has values that are not numbers'),
        (dict(keypoints=['a'] * 51), 'annotation 100 has values that are not numbers'),
        (dict(area='large'), 'annotation 100 has values that are not numbers'),
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
    with pytest.raises(ValueError, match='not a COCO results file: expected a list of objects with bbox, image_id'):
        read_results(str(file), {'image_id', 'bbox'})
    file.write_text('[')
    with pytest.raises(ValueError, match='is not JSON'):
        read_results(str(file), set())
    with pytest.raises(FileNotFoundError, match='no results file'):
        read_results(str(tmp_path / 'none.json'), set())


RESULT = dict(image_id=1, category_id=1, bbox=[1, 2, 30, 40], score=0.5, keypoints=[1.0, 2.0, 0.5] * 17)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(image_id=[1]), r'result 1: image_id \[1\] is not an integer'),
        (dict(image_id=None), 'result 1: image_id None'),
        (dict(category_id='person'), "result 1: category_id 'person'"),
        (dict(score=None), 'result 1: score None is not a finite number'),
        (dict(score=float('nan')), 'result 1: score nan'),
        (dict(bbox=5), 'result 1: bbox 5 is not a list of 4 finite numbers'),
        (dict(bbox=[1, 2, 3]), 'result 1: bbox'),
        (dict(bbox=[1, 2, 3, float('inf')]), 'result 1: bbox'),
        (dict(bbox=[1, 2, 3, '4']), 'result 1: bbox'),
        (dict(keypoints=['a'] * 51), 'result 1: keypoints'),
        (dict(keypoints={}), 'result 1: keypoints'),
    ],
)
def test_results_of_other_types(tmp_path, change, message):
    file = tmp_path / 'r.json'
    file.write_text(json.dumps([RESULT, RESULT | change]))
    with pytest.raises(ValueError, match=f'r.json.*{message}'):
        read_results(str(file), {'image_id', 'score'})


def test_null_is_no_box(tmp_path):
    file = tmp_path / 'r.json'
    file.write_text(json.dumps([RESULT | dict(bbox=None)]))
    assert 'bbox' not in read_results(str(file), {'image_id'})[0]
    with pytest.raises(ValueError, match='result 0: bbox None is not a list of 4 finite numbers'):
        read_results(str(file), {'image_id', 'bbox'})


def test_detections_that_show_nothing_are_counted(tmp_path):
    file = write_people(tmp_path, [person(0)], pictures=False)
    boxes = tmp_path / 'boxes.json'
    wrong = [5, 5, 0, 10], [5, 5, 9, -1], [5, 1e10, 9, 9], [-1e308, 5, 9, 9], [500, 5, 9, 9]
    boxes.write_text(json.dumps([*(RESULT | dict(bbox=box) for box in wrong), RESULT]))
    dataset = KeypointDataset(file, 'coco17', boxes=str(boxes), test_mode=True)
    assert [dataset.load(index)['id'] for index in range(len(dataset))] == [4, 5]
    assert {what: finding.count for what, finding in dataset.instances.findings.items()} == {
        'a box without width or height': 2,
        'a box beyond the precision of float32': 2,
        'detection outside of its image': 1,
    }


def rewrite(file, edit) -> str:
    """Change the content of an annotation file; returns its path."""
    with open(file) as opened:
        content = json.load(opened)
    edit(content)
    with open(file, 'w') as opened:
        json.dump(content, opened)
    return file


def perfect_ap(file, dataset, skeleton='coco17') -> float:
    """AP of predictions that equal what the data set reads."""
    metric = KeypointMetric(skeleton, file)
    for index in range(len(dataset)):
        sample = dataset.load(index)
        predicted = dict(
            keypoints=sample['keypoints'], keypoint_scores=sample['keypoints_visible'], bboxes=sample['bbox']
        )
        metric.process({}, [dict(img_id=sample['img_id'], id=sample['id'], pred_instances=predicted)])
    return metric.compute_metrics(metric.results)['AP']


def named(order):
    """An edit: the file stores and names its keypoints in this order of coco17's."""
    names = get_skeleton('coco17').keypoints

    def edit(content):
        content['categories'][0]['keypoints'] = [names[index] for index in order]
        for annotation in content['annotations']:
            points = np.array(annotation['keypoints']).reshape(-1, 3)
            annotation['keypoints'] = points[list(order)].ravel().tolist()

    return edit


@pytest.mark.parametrize('order', [list(range(17))[::-1], [3, 1, 2, 0, *range(4, 17)]])
def test_keypoints_in_another_order_are_found_by_their_names(tmp_path, order):
    file = write_people(tmp_path, [person(0), person(1, image=2)], pictures=False)
    expected = KeypointDataset(file, 'coco17').load(1)['keypoints']
    rewrite(file, named(order))
    dataset = KeypointDataset(file, 'coco17', test_mode=True)
    assert np.array_equal(dataset.load(1)['keypoints'], expected)
    assert KeypointMetric('coco17', file).people.keypoints[1].tolist() == expected[0].tolist()
    assert perfect_ap(file, dataset) == 1
    mapped = KeypointDataset(file, 'goliath308', source_skeleton='coco17').load(1)
    assert mapped['keypoints'][0, get_skeleton('goliath308').index('nose')].tolist() == expected[0, 0].tolist()


def test_letter_case_and_separators_of_names_do_not_matter_and_more_keypoints_are_dropped(tmp_path):
    file = write_people(tmp_path, [person(0)], pictures=False)
    first = KeypointDataset(file, 'coco17').load(0)['keypoints']

    def edit(content):
        content['categories'][0]['keypoints'] = [
            'Tail',
            *(name.title().replace('_', '-') for name in get_skeleton('coco17').keypoints),
        ]
        content['annotations'][0]['keypoints'][:0] = [7, 8, 2]

    assert np.array_equal(KeypointDataset(rewrite(file, edit), 'coco17').load(0)['keypoints'], first)


def test_other_names_are_refused(tmp_path):
    def edit(content):
        content['categories'][0]['keypoints'] = [f'point {number}' for number in range(17)]

    file = rewrite(write_people(tmp_path, [person(0)], pictures=False), edit)
    message = r"annotation 100 of .*category 1 names its keypoints point 0, .* not nose, .*remove 'keypoints'"
    with pytest.raises(ValueError, match=message):
        KeypointDataset(file, 'coco17')
    with pytest.raises(ValueError, match=message):
        KeypointMetric('coco17', file)
    own = dict(name='own', keypoints=[f'k{number}' for number in range(17)])
    with pytest.raises(ValueError, match="Did you mean skeleton='coco17'"):
        KeypointDataset(rewrite(file, named(range(17))), own)
    rewrite(file, lambda content: content['categories'][0].update(keypoints=['a', 'a']))
    with pytest.raises(ValueError, match=r"category 1: its keypoints, \['a', 'a'\], are not different names"):
        KeypointDataset(file, 'coco17')


@pytest.mark.parametrize('area', ['absent', None, 0, -3, float('nan')])
def test_areas_that_are_not_stated_are_a_part_of_the_box(tmp_path, area):
    def edit(content):
        for annotation in content['annotations']:
            annotation.pop('area')
            annotation |= {} if area == 'absent' else dict(area=area)

    file = rewrite(write_people(tmp_path, [person(0), person(1, image=2)], pictures=False), edit)
    dataset = KeypointDataset(file, 'coco17', test_mode=True)
    assert dataset.load(0)['area'] == pytest.approx(0.53 * 60.5 * 70.25)
    assert KeypointMetric('coco17', file).people.areas == pytest.approx([0.53 * 60.5 * 70.25] * 2)
    finding = dataset.instances.findings['no area: 0.53 of the box is taken']
    assert finding.count == 2 and not finding.wrong
    assert perfect_ap(file, dataset) == 1


def test_areas_of_people_without_a_box_come_from_their_labeled_keypoints(tmp_path):
    """0.53 of the extent of the keypoints with v of 1 or 2, at least one square pixel."""
    lists = [np.zeros((17, 3)) for _ in range(4)]
    lists[0][[2, 5, 9]] = (10, 40, 2), (30.5, 20, 1), (25, 80, 2)
    lists[0][3] = 300, 300, 0
    lists[1][4] = 50, 60, 2
    lists[2][[0, 1]] = (10, 40, 2), (40, 40, 2)
    bare = [
        person(index, bbox=None, area=None, keypoints=points.ravel().tolist()) for index, points in enumerate(lists)
    ]
    found = read_people(write_people(tmp_path, [*bare, person(4), person(5, area=None)], pictures=False))
    points, _ = found.points(get_skeleton('coco17'))
    box = 0.53 * 60.5 * 70.25
    assert found.person_areas(points).tolist() == pytest.approx([0.53 * 20.5 * 60, 1, 1, 1, 3004.5, box])
    assert found.person_areas(points, stated=False).tolist() == pytest.approx([0.53 * 20.5 * 60, 1, 1, 1, box, box])


def test_people_without_keypoints_and_other_categories_are_left_out(tmp_path):
    empty = person(1, keypoints=[], num_keypoints=0, bbox=[0, 0, 0, 0], area=0)
    dog = person(2, category_id=2, count=3)
    ball = dict(person(3, category_id=3), keypoints=None)
    other = person(4, count=16)
    crowd = dict(person(5, iscrowd=1), keypoints=None)
    file = write_people(tmp_path, [person(0), empty, dog, ball, other, crowd])
    dataset = KeypointDataset(file, 'coco17', test_mode=True)
    counts = {what: (finding.count, finding.wrong) for what, finding in dataset.instances.findings.items()}
    assert counts == {
        'a category with other keypoints': (1, False),
        'a category without keypoints': (1, False),
        'no labeled keypoint': (1, False),
        'another number of keypoints than 17': (1, True),
        'a crowd': (1, False),
    }
    assert len(dataset) == 1 and len(KeypointMetric('coco17', file).people.image) == 4
    assert perfect_ap(file, dataset) == 1


@pytest.mark.parametrize('value', [None, float('nan'), float('inf')])
def test_coordinates_of_unlabelled_keypoints_mean_nothing(tmp_path, value):
    def edit(content):
        content['annotations'][0]['keypoints'][:3] = [value, value, 0]
        content['annotations'][0]['keypoints'][6:9] = [None, None, None]

    file = rewrite(write_people(tmp_path, [person(0)], pictures=False), edit)
    dataset = KeypointDataset(file, 'coco17', test_mode=True)
    sample = dataset.load(0)
    assert sample['keypoints_visible'][0].tolist() == [0, 1, 0] + [1] * 14
    assert sample['keypoints'][0, :3:2].tolist() == [[0, 0], [0, 0]]
    assert perfect_ap(file, dataset) == 1


def test_the_data_set_of_an_evaluation_refuses_what_the_metric_refuses(tmp_path):
    unlisted = write_people(tmp_path, [person(0), person(1, image=9)], pictures=False)
    endless = write_people(
        tmp_path, [person(0), person(1, bbox=[1, 2, float('inf'), 4])], name='b.json', pictures=False
    )
    nan = write_people(tmp_path, [person(0), person(1, bbox=[1, 2, float('nan'), 4])], name='d.json', pictures=False)
    negative = write_people(tmp_path, [person(0), person(1, bbox=[9, 9, -3, 4])], name='e.json', pictures=False)
    bad = person(1)
    bad['keypoints'][0] = float('nan')
    broken = write_people(tmp_path, [person(0), bad], name='c.json', pictures=False)
    for file, message in (
        (unlisted, 'annotations of images that it does not list: 9'),
        (endless, 'annotation 101 has a box that is not finite'),
        (nan, 'annotation 101 has a box that is not finite'),
        (negative, r'annotation 101 has a box that is of negative size: \[9.0, 9.0, -3.0, 4.0\]'),
        (broken, 'annotation 101 has keypoints that are not finite'),
    ):
        with pytest.raises(ValueError, match=message):
            KeypointMetric('coco17', file)
        with pytest.raises(ValueError, match=message):
            KeypointDataset(file, 'coco17', test_mode=True)
        assert len(KeypointDataset(file, 'coco17')) == 1


def test_annotations_that_are_left_out_are_logged(tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr(instances, 'print_log', lambda text, *_: lines.append(text))
    file = write_people(tmp_path, [person(0), person(1, bbox=None), person(2, iscrowd=1)], pictures=False)
    KeypointDataset(file, 'coco17')
    assert len(lines) == 1
    assert lines[0].endswith('1 of 3 annotations are left out: 1 with no box. `sapiens check CONFIG` lists them')


@pytest.mark.parametrize(
    ('edit', 'message'),
    [
        (lambda c: c['annotations'].append(None), 'entry 1 of annotations is None, expected an object'),
        (lambda c: c['images'].append([1]), r'entry 3 of images is \[1\], expected an object'),
        (lambda c: c['categories'].append(5), 'entry 1 of categories is 5, expected an object'),
        (lambda c: c['annotations'][0].update(bbox=5), 'annotation 100 has .*bbox 5 is not a list'),
        (lambda c: c['annotations'][0].update(bbox=[[1], 2, 3, 4]), 'annotation 100 has values that are not numbers'),
        (lambda c: c['annotations'][0].update(id=None), 'has no integer id'),
        (lambda c: c['annotations'][0].update(id=1 << 70), 'has no integer id'),
        (lambda c: c['annotations'][0].update(num_keypoints='17'), "annotation 100 has .*'17' is not an integer"),
        (lambda c: c['annotations'][0].update(keypoints={}), 'annotation 100 has .*keypoints {} is not a list'),
        (lambda c: c['images'][0].update(id=1 << 70), 'image id 11.* is not an integer'),
        (lambda c: c['images'][0].update(width='wide'), "image 1: width 'wide' is not an integer"),
        (lambda c: c['images'][0].update(file_name=7), 'image 1: file_name 7 is not a name'),
        (lambda c: c['images'][0].update(file_name='\ud800'), 'image 1: file_name .* is not a name'),
    ],
)
def test_values_of_other_types_name_the_file_and_the_entry(tmp_path, edit, message):
    file = rewrite(write_people(tmp_path, [person(0)], pictures=False), edit)
    with pytest.raises(ValueError, match=f'people.json.*{message}'):
        KeypointDataset(file, 'coco17')


def test_whole_numbers_may_be_written_as_floats(tmp_path):
    def edit(content):
        content['annotations'][0].update(id=100.0, image_id=1.0, num_keypoints=17.0, iscrowd=0.0, category_id=None)
        content['images'][0].update(id=1.0, width=120.0, height=90.0)

    dataset = KeypointDataset(rewrite(write_people(tmp_path, [person(0)], pictures=False), edit), 'coco17')
    assert dataset.load(0)['id'] == 100 and dataset.load(0)['category_id'] == 1


def test_json_that_is_too_deep_or_has_endless_numbers(tmp_path):
    for text in ('{"images": ' + '[' * 100_000, '{"annotations": [], "images": [' + '9' * 5000 + ']}', '{1: 2}'):
        (tmp_path / 'a.json').write_text(text)
        with pytest.raises(ValueError, match=r'a.json. is not JSON: .*character'):
            read_people(str(tmp_path / 'a.json'))


def test_images_without_people_follow_the_names_of_the_categories(tmp_path):
    dog = dict(id=7, image_id=1, category_id=1, bbox=[1, 2, 30, 40])
    file = write_people(tmp_path, [dog, person(0, image=2, category_id=5, iscrowd=1)], pictures=False)
    rewrite(file, lambda content: content.pop('categories'))
    assert images_without_people(file) == ['2.jpg', '3.jpg']  # COCO's id
    rewrite(file, lambda content: content.update(categories=[dict(id=1, name='dog'), dict(id=5, name='Person')]))
    assert images_without_people(file) == ['1.jpg', '3.jpg']
    rewrite(file, lambda content: content['annotations'].append(5))
    with pytest.raises(ValueError, match=r'people.json.*entry 2 of annotations is not an object'):
        images_without_people(file)
