"""Scores of people on photographs (tools/benchmark/real_scores.py) by hand."""

import numpy as np
import pytest

from tools.benchmark.real_scores import (
    average_precision,
    correct_keypoints,
    match,
    median_pose,
    overlaps,
    place_pose,
    recall_by_height,
)


def person(number, box, labels, image=1, **fields):
    area = box[2] * box[3]
    keypoints = [value for point in labels for value in point]
    base = dict(id=number, image_id=image, category_id=1, bbox=box, area=area, keypoints=keypoints, iscrowd=0)
    return base | dict(num_keypoints=sum(point[2] > 0 for point in labels), **fields)


FULL = [(float(10 * k), float(5 * k), 2) for k in range(17)]


def truth(*people):
    return dict(
        images=[dict(id=one, width=400, height=400) for one in (1, 2)],
        categories=[dict(id=1, name='person')],
        annotations=list(people),
    )


def result(labels, score=0.9, image=1):
    keypoints = [value for x, y, _ in labels for value in (x, y, 1.0)]
    return dict(image_id=image, category_id=1, keypoints=keypoints, score=score)


def test_share_of_correct_keypoints_counts_labeled_ones_within_a_share_of_the_longer_side():
    one = person(1, [0, 0, 50, 100], [(0, 0, 2), (20, 20, 1), (40, 40, 0)])
    points = np.array([[9.9, 0], [20, 30.1], [500, 500]])  # within 10 pixels, beyond, not labeled
    assert correct_keypoints([one], [points], 0.1) == 0.5
    assert correct_keypoints([one], [points], 0.05) == 0.0
    assert correct_keypoints([one], [np.full((3, 2), np.nan)], 0.1) == 0.0
    assert correct_keypoints([], [], 0.1) == 0.0


def test_precision_of_exact_keypoints_is_one_and_others_do_not_count():
    near, far = person(1, [0, 0, 170, 90], FULL), person(2, [0, 0, 170, 90], FULL, image=2)
    assert average_precision(truth(near, far), [result(FULL), result(FULL, image=2)], 'keypoints') == pytest.approx(
        (1.0, 1.0)
    )
    half = average_precision(truth(near, far), [result(FULL)], 'keypoints')
    assert half == pytest.approx((0.505, 0.505), abs=0.001)
    # Without the second person, a prediction of it is neither right nor wrong.
    wrong = [(x + 300, y, v) for x, y, v in FULL]
    assert average_precision(
        truth(near, far), [result(FULL), result(FULL, 0.99, 2)], 'keypoints', [1]
    ) == pytest.approx((1.0, 1.0))
    assert average_precision(truth(near, far), [result(FULL), result(wrong, 0.99, 1)], 'keypoints', [1])[0] < 1
    assert average_precision(truth(near), [], 'keypoints') == (0.0, 0.0)


def test_precision_of_boxes_ignores_crowds():
    people = truth(person(1, [0, 0, 100, 200], FULL), person(2, [200, 0, 100, 200], FULL, iscrowd=1))
    found = [
        dict(image_id=1, category_id=1, bbox=box, score=score)
        for box, score in (([0, 0, 100, 200], 0.5), ([200, 0, 100, 200], 0.9))
    ]
    assert average_precision(people, found, 'bbox') == pytest.approx((1.0, 1.0))


def test_overlaps_and_matches():
    boxes = np.array([[0, 0, 10, 10], [5, 0, 10, 10], [100, 100, 1, 1]])
    assert overlaps(boxes[:1], boxes)[0] == pytest.approx([1, 1 / 3, 0])
    people = [dict(bbox=[0, 0, 10, 10]), dict(bbox=[30, 0, 10, 10])]
    # The best box takes the person, a second one of the same person is left over.
    assert match(people, np.array([[0, 0, 10, 9], [0, 0, 10, 10], [28, 0, 10, 10]])).tolist() == [0, 2]
    assert match(people, np.zeros((0, 4))).tolist() == [-1, -1]
    assert match([], boxes).tolist() == []


def test_recall_by_height():
    people = [dict(bbox=[0, 0, 10, height]) for height in (39, 40, 95, 96, 192, 500)]
    assert recall_by_height(people, [True, True, False, True, False, True]) == {
        '40-96': (1, 2),
        '96-192': (1, 1),
        '192+': (1, 2),
    }


def test_the_constant_pose_is_the_median_in_the_box():
    people = [
        person(number, [10, 20, 100, 200], [(10 + 100 * place, 20 + 200 * place, 2), (0, 0, 0)])
        for number, place in enumerate((0.1, 0.2, 0.9))
    ] + [person(9, [0, 0, 10, 10], [(0, 0, 0), (5, 2, 1)])]
    pose = median_pose(people)
    assert pose == pytest.approx(np.array([[0.2, 0.2], [0.5, 0.2]]))
    assert place_pose(pose, [100, 100, 10, 20]) == pytest.approx(np.array([[102, 104], [105, 104]]))
