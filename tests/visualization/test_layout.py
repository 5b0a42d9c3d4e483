import numpy as np
import pytest

from sapiens.visualization.layout import LINE, caption, join, resized_points, write


def test_a_caption_keeps_its_ends_and_its_width():
    strip = caption(120, 'short', 'a_very_long_name_of_a_file_that_never_ends_0001.jpg #12')
    assert strip.shape == (2 * LINE, 120, 3) and strip.dtype == np.uint8
    assert (strip[:LINE] < 128).any() and (strip[LINE:] < 128).any()
    assert (strip[:, 118:] == 255).all(), 'nothing is cut in the middle of a letter'
    # What is short is written whole: more room changes nothing.
    np.testing.assert_array_equal(caption(60, 'short'), caption(120, 'short')[:, :60])
    # Two names that differ at their ends stay different.
    one, two = (caption(90, f'a_very_long_name_of_a_file_{end}.jpg') for end in ('0001', '0002'))
    assert (one != two).any()
    assert caption(3, 'no room').shape == (LINE, 3, 3)


def test_letters_grow_with_the_line():
    small, large = caption(200, 'image'), caption(200, 'image', line=3 * LINE)
    assert large.shape == (3 * LINE, 200, 3)
    extents = [np.ptp(np.nonzero((strip < 128).any(2)), axis=1) for strip in (small, large)]
    assert (extents[1] > 2.5 * extents[0]).all()
    assert caption(40, 'normal', line=60).shape == (60, 40, 3), 'no letter is cut, and none fits'


def test_letters_go_into_a_view():
    picture = np.zeros((40, 60, 3), np.uint8)
    write(picture[20:, 30:], 'i', (0, 0), (9, 200, 30))
    assert picture[20:, 30:].any() and not picture[:20].any() and not picture[:, :30].any()
    assert (picture.reshape(-1, 3).max(0) <= (9, 200, 30)).all()


def test_tiles_are_joined_with_white_between():
    a, b = np.full((4, 6, 3), 10, np.uint8), np.full((2, 3, 3), 20, np.uint8)
    row = join([a, b], axis=1, gap=2)
    assert row.shape == (4, 11, 3)
    assert (row[:, :6] == 10).all() and (row[:2, 8:] == 20).all()
    assert (row[:, 6:8] == 255).all() and (row[2:, 6:] == 255).all()
    np.testing.assert_array_equal(join([a.transpose(1, 0, 2), b.transpose(1, 0, 2)], 0, 2), row.transpose(1, 0, 2))
    assert join([a, b], axis=0, gap=0).shape == (6, 6, 3)


@pytest.mark.parametrize('size', [(50, 20), (200, 80)])
def test_resized_points_stay_at_their_place_in_the_image(size):
    before, after = np.zeros((40, 100, 3)), np.zeros((size[1], size[0], 3))
    points = resized_points([[-0.5, -0.5], [99.5, 39.5], [49.5, 19.5]], before, after)
    expected = [[-0.5, -0.5], [size[0] - 0.5, size[1] - 0.5], [(size[0] - 1) / 2, (size[1] - 1) / 2]]
    np.testing.assert_allclose(points, expected)
