"""Average precision of boxes against pycocotools, and recall by height."""

import copy
import json

import numpy as np
import pytest

from sapiens.evaluation import BoxMetric, rule_of
from sapiens.evaluation.boxes import match_boxes
from tools.benchmark.real_scores import average_precision, match, recall_by_height


def truth(seed=0, images=12):
    """People of random sizes, some of them crowds, and a cat in each image."""
    random = np.random.default_rng(seed)
    annotations = []
    for image in range(images):
        for _ in range(int(random.integers(0, 5)) if image else 0):  # nobody in the first image
            size = random.uniform(12, 260, 2)
            box = [*random.uniform(0, 500 - size), *size]
            annotations.append(
                dict(
                    image_id=10 + image,
                    category_id=1,
                    bbox=box,
                    area=0.6 * size.prod(),
                    iscrowd=int(random.random() < 0.1),
                )
            )
        annotations.append(dict(image_id=10 + image, category_id=3, bbox=[5, 5, 90, 80], area=7000, iscrowd=0))
    return dict(
        images=[dict(id=10 + i, file_name=f'{i}.jpg', width=500, height=500) for i in range(images)],
        annotations=[dict(one, id=7 + number) for number, one in enumerate(annotations)],
        categories=[dict(id=1, name='person'), dict(id=3, name='cat')],
    )


def detections(file, seed=1):
    """(image id, boxes x1, y1, x2, y2, scores) near the people, and elsewhere."""
    random, found = np.random.default_rng(seed), []
    for image in file['images']:
        own = [
            one['bbox'] for one in file['annotations'] if one['image_id'] == image['id'] and one['category_id'] == 1
        ]
        own = [box for box in own if random.random() < 0.8] + [
            random.uniform(20, 200, 4) for _ in range(random.integers(3))
        ]
        boxes = np.array(own).reshape(-1, 4)
        boxes = boxes + boxes[:, 2:].repeat(2, 1).reshape(-1, 4) * random.normal(0, 0.06, boxes.shape)
        boxes[:, 2:] += boxes[:, :2]
        found.append((image['id'], boxes, random.random(len(boxes))))
    return found


def sample(image_id, boxes, scores):
    return dict(img_id=image_id, pred_instances=dict(bboxes=np.float32(boxes), scores=np.float32(scores)))


def evaluated(path, found, **options):
    metric = BoxMetric(str(path), **options)
    for one in found:
        metric.process({}, [sample(*one)])
    return metric.evaluate(len(found))


@pytest.fixture
def file(tmp_path):
    content = truth()
    path = tmp_path / 'people.json'
    path.write_text(json.dumps(content))
    return path, content


def of_people(content):
    content = copy.deepcopy(content)
    content['annotations'] = [one for one in content['annotations'] if one['category_id'] == 1]
    return content


def test_pycocotools_agrees(file):
    path, content = file
    found = detections(content)
    numbers = evaluated(path, found)
    results = [
        dict(image_id=image, category_id=1, score=float(np.float32(score)), bbox=[*box[:2], *(box[2:] - box[:2])])
        for image, boxes, scores in found
        for box, score in zip(np.float32(boxes).astype(float), scores, strict=True)
    ]
    wanted = average_precision(of_people(content), results, 'bbox')
    assert (numbers['person/AP'], numbers['person/AP .5']) == pytest.approx(wanted, abs=1e-9)
    assert 0.1 < wanted[0] < wanted[1] < 0.95
    assert [*numbers] == [f'person/{name}' for name in BoxMetric.names]


def test_recall_counts_people_by_height(file):
    path, content = file
    found = detections(content)
    people, matched = [], []
    for image, boxes, scores in found:
        own = [one for one in of_people(content)['annotations'] if one['image_id'] == image and not one['iscrowd']]
        order = np.argsort(-scores)[: (scores >= 0.4).sum()]
        sizes = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)[order]
        people += own
        matched += (match(own, sizes) >= 0).tolist()
    numbers = evaluated(path, found, score_threshold=0.4)
    rows = recall_by_height(people, matched)
    wanted = {name.replace('192-10000', '192+'): hits / total for name, (hits, total) in rows.items()}
    assert {name: numbers[f'person/recall {name}'] for name in wanted} == pytest.approx(wanted)
    assert len(set(wanted.values())) > 1


def test_a_perfect_detector_and_one_that_finds_nobody(file):
    path, content = file
    people = of_people(content)['annotations']
    perfect, nobody = [], []
    for image in content['images']:
        boxes = np.array([one['bbox'] for one in people if one['image_id'] == image['id']]).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        perfect.append((image['id'], boxes, np.full(len(boxes), 0.9)))
        nobody.append((image['id'], np.zeros((0, 4)), np.zeros(0)))
    numbers = evaluated(path, perfect)
    assert all(value == pytest.approx(1) for value in numbers.values() if value >= 0)
    numbers = evaluated(path, nobody)
    assert all(value == 0 for value in numbers.values())
    # Images that a loader repeats count once, and images without predictions count.
    assert evaluated(path, [*perfect, *perfect])['person/AP'] == pytest.approx(1)
    assert 0 < evaluated(path, perfect[: len(perfect) // 2])['person/AR'] < 1


def test_each_box_takes_one_person():
    people = np.array([[0.0, 0, 10, 10], [2, 0, 12, 10]])
    assert match_boxes(people, np.array([[0.0, 0, 10, 10]])).tolist() == [0]
    assert match_boxes(people, np.array([[0.0, 0, 10, 10]] * 3)).tolist() == [0, 1, -1]
    assert match_boxes(people, np.array([[0.0, 0, 10, 4.9]])).tolist() == [-1]
    assert match_boxes(people, np.zeros((0, 4))).tolist() == []
    assert match_boxes(np.zeros((0, 4)), people).tolist() == [-1, -1]


def test_wrong_files_and_predictions_are_refused(tmp_path, file):
    path, content = file
    with pytest.raises(ValueError, match='1 image.* does not list: 999'):
        evaluated(path, [(999, np.zeros((0, 4)), np.zeros(0))])
    with pytest.raises(ValueError, match='score_threshold=2'):
        BoxMetric(str(path), score_threshold=2)
    content['annotations'] = [one for one in content['annotations'] if one['category_id'] == 3]
    (tmp_path / 'cats.json').write_text(json.dumps(content))
    with pytest.raises(ValueError, match='has no box of a person'):
        BoxMetric(str(tmp_path / 'cats.json'))
    with pytest.raises(FileNotFoundError):
        BoxMetric(str(tmp_path / 'nothing.json'))


def test_more_is_better():
    assert {rule_of(f'person/{name}') for name in BoxMetric.names} == {'greater'}
