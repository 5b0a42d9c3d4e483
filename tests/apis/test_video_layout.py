"""Sizes of the pictures of a video."""

import numpy as np
import pytest

from sapiens.apis.video.layout import MAX_AREA, MAX_SIDE, beside, reduced


@pytest.mark.parametrize(
    ('size', 'expected'),
    [
        ((720, 1280), (720, 2560)),  # fits side by side
        ((1080, 1920), (1080, 3840)),
        ((2160, 3840), (3258, 2896)),  # larger if stacked: 0.75 of the size instead of 0.53
        ((3840, 2160), (2896, 3258)),  # larger side by side
        ((1080, 2560), (2160, 2560)),  # only fits stacked
    ],
)
def test_the_larger_arrangement_within_the_limits(size, expected):
    image, picture = np.full((*size, 3), 50, np.uint8), np.full((*size, 3), 200, np.uint8)
    shown = beside(image, picture)
    assert shown.shape[:2] == expected
    assert max(expected) <= MAX_SIDE and np.prod(expected) <= MAX_AREA
    halves = np.array_split(shown, 2, axis=int(expected[1] / size[1] > expected[0] / size[0]))
    assert halves[0][5:-5, 5:-5].max() == 50 and halves[1][5:-5, 5:-5].min() == 200


def test_a_picture_with_a_legend_is_larger_than_its_image():
    shown = beside(np.full((40, 60, 3), 50, np.uint8), np.full((52, 60, 3), 200, np.uint8))
    assert shown.shape == (52, 120, 3)
    assert (shown[:40, :60] == 50).all() and (shown[40:, :60] == 0).all() and (shown[:, 60:] == 200).all()


def test_small_pictures_stay():
    picture = np.zeros((2304, 4096, 3), np.uint8)
    assert reduced(picture) is picture
    assert reduced(np.zeros((2305, 4096, 3), np.uint8)).shape == (2304, 4095, 3)
    assert reduced(np.zeros((10, 8192, 3), np.uint8)).shape == (5, 4096, 3)
