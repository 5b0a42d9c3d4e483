"""What a run says it found."""

import numpy as np

from sapiens.apis.found import Found, describe_frames, describe_images
from sapiens.apis.results import PoseResult, Saving


def test_images():
    found = [('a.jpg', Found(2, 34, 11)), ('b.jpg', Found(0, 0, 0)), ('c.jpg', Found(1, 17, 4))]
    expected = '3 images, 3 people; nobody found in 1: b.jpg; 15 of 51 keypoints reach 0.3'
    assert describe_images(found, 0.3) == expected
    assert describe_images(found[:1] * 2, 0.5) == '2 images, 4 people; 22 of 68 keypoints reach 0.5'
    empty = [(f'{number}.jpg', Found(0, 0, 0)) for number in range(7)]
    assert describe_images(empty, 0.3) == (
        '7 images, 0 people; nobody found in 7: 0.jpg, 1.jpg, 2.jpg, 3.jpg, 4.jpg and 2 more'
    )
    assert describe_images([('a.jpg', Found(1, 17, 0))], 0.3) == '1 image, 1 person; 0 of 17 keypoints reach 0.3'


def test_frames():
    found = [Found(1, 17, 9), Found(2, 34, 10), Found(0, 0, 0)]
    assert describe_frames(found, 0.3) == (
        '3 frames, at most 2 people at once; nobody found in 1 frame; 19 of 51 keypoints reach 0.3'
    )
    assert describe_frames(found[:1], 0.3) == '1 frame, at most 1 person at once; 9 of 17 keypoints reach 0.3'


def test_keypoints_that_are_not_predicted_do_not_count():
    keypoints = np.zeros((2, 3, 2), np.float32)
    keypoints[0, 1] = np.nan
    scores = np.array([[0.9, 0.0, 0.3], [0.2, 0.5, 0.1]], np.float32)
    result = PoseResult(np.zeros((8, 8, 3), np.uint8), keypoints=keypoints, scores=scores)
    assert result.found(Saving(threshold=0.3)) == Found(people=2, keypoints=5, drawn=3)
    assert result.found(Saving(threshold=0.95)) == Found(people=2, keypoints=5, drawn=0)
