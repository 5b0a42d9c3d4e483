"""Panels of segmentation, depth and normals: the meaning of every color."""

import cv2
import numpy as np
import pytest

from sapiens.metainfo import get_classes
from sapiens.metainfo.palettes import with_palette
from sapiens.visualization import (
    DenseRow,
    draw_depth_panel,
    draw_legend,
    draw_map_panel,
    draw_normal_panel,
    draw_seg_panel,
    draw_wrong_pixels,
    tiles,
)
from sapiens.visualization.depth import depth_limits
from sapiens.visualization.labels import NOTHING, draw_depth, draw_normals, draw_segmentation
from sapiens.visualization.layout import GAP, LINE
from sapiens.visualization.maps import draw_map
from sapiens.visualization.segmentation import WRONG

CLASSES = with_palette(get_classes('goliath28'), 'distinct')
SIDE = 40


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)


def tile(picture, column, row=0, below=0):
    """The pixels of a tile of 40 x 30. ``below``: height of the bar under each."""
    top = 2 * LINE + row * (40 + LINE + below + GAP)
    left = column * (30 + GAP)
    return picture[top : top + 40, left : left + 30]


def test_segmentation_rows(image):
    truth, prediction = np.zeros((40, 30), np.uint8), np.zeros((40, 30), np.int64)
    truth[:10], prediction[5:15], truth[30:] = 3, 3, 255
    rows = [DenseRow(image, prediction, truth, name='a.png'), DenseRow(image, prediction)]
    picture = draw_seg_panel(rows, CLASSES, side=SIDE)
    assert (tile(picture, 0) == image).all()
    assert (tile(picture, 1) == draw_segmentation(image, truth, CLASSES.palette)).all()
    assert (tile(picture, 2) == draw_segmentation(image, prediction, CLASSES.palette)).all()
    wrong = tile(picture, 3)
    assert (wrong[:5] == WRONG).all() and (wrong[10:15] == WRONG).all() and (wrong[30:] == NOTHING).all()
    grey = wrong[5:10]
    assert (grey[..., 0] == grey[..., 1]).all() and grey.max() <= 0.6 * 255
    # Without labels there is nothing to compare with.
    assert (tile(picture, 1, 1) == 255).all() and (tile(picture, 3, 1) == 255).all()
    assert (tile(picture, 2, 1) == tile(picture, 2)).all()
    # One class beside the background occurs: the legend is one line.
    assert picture.shape == (2 * LINE + 40 + GAP + LINE + 40 + GAP + LINE, 4 * 30 + 3 * GAP, 3)
    assert (picture[-LINE + 6, 6] == CLASSES.palette[3]).all()
    with pytest.raises(ValueError, match='no rows'):
        draw_seg_panel([], CLASSES)


def test_legend_names_each_class_once_and_breaks_lines():
    wide = draw_legend(CLASSES, [2, 3, 4], 400)
    narrow = draw_legend(CLASSES, [2, 3, 4], 90)
    assert wide.shape == (LINE, 400, 3) and narrow.shape == (3 * LINE, 90, 3)
    for line, index in enumerate((2, 3, 4)):
        assert (narrow[line * LINE + 6, 6] == CLASSES.palette[index]).all()
        assert (wide == CLASSES.palette[index]).all(-1).sum() >= 40
    assert draw_legend(CLASSES, [], 90).shape == (0, 90, 3)


def test_wrong_pixels_do_not_modify_the_image(image):
    before = image.copy()
    draw_wrong_pixels(image, np.zeros((40, 30), np.uint8), np.ones((40, 30), np.uint8))
    assert (image == before).all()


def test_limits_of_large_depth_maps():
    depth = np.linspace(2, 4, 1600 * 1200, dtype=np.float32).reshape(1600, 1200)
    valid = depth > 3
    few = np.random.default_rng(0).random(depth.shape) < 0.001  # outliers do not decide
    outliers = np.where(few, np.float32(1000), depth)
    assert depth_limits(depth, valid) == pytest.approx((3.005, 3.995), abs=0.006)
    assert depth_limits(outliers, valid) == pytest.approx((3.005, 3.995), abs=0.006)
    depth[~valid] = np.nan  # nor what is not valid
    assert depth_limits(depth, valid) == pytest.approx((3.005, 3.995), abs=0.006)
    # A person of two pixels, beside those that large maps are judged by.
    valid[:] = False
    valid[1201, 7], valid[1303, 11] = True, True
    expected = np.percentile([depth[1201, 7], depth[1303, 11]], (0.5, 99.5))
    assert depth_limits(depth, valid) == pytest.approx(expected)
    valid[:] = False
    assert depth_limits(depth, valid) == (0.0, 1.0)


def test_depth_rows_use_the_range_of_the_ground_truth(image):
    truth = np.linspace(2, 4, 1200).reshape(40, 30).astype(np.float32)
    valid = np.ones((40, 30), bool)
    valid[:, :10] = False
    prediction = truth + 0.25
    prediction[:, :10], truth[:, :10] = 1000, -7  # neither decides a range
    bar = 9 + LINE
    rows = [DenseRow(image, prediction, truth, valid, name='a.png', note='alignment: none'), DenseRow(image, truth)]
    picture = draw_depth_panel(rows, side=SIDE)
    limits = depth_limits(truth, valid)
    assert limits == pytest.approx((2.02, 3.99), abs=0.02)
    assert (tile(picture, 1) == draw_depth(truth, valid, limits)).all()
    assert (tile(picture, 2) == draw_depth(prediction, valid, limits)).all()
    near, far = tile(picture, 1)[0, 15].astype(int).sum(), tile(picture, 1)[-1, 15].astype(int).sum()
    assert near > 500 and far < 30 and (tile(picture, 1)[:, :10] == NOTHING).all()
    # 0.25 of the quarter of the range, everywhere.
    share = 0.25 / ((limits[1] - limits[0]) / 4)
    expected = cv2.applyColorMap(np.uint8([[round(255 * share)]]), tiles.ERROR_COLORS)[0, 0, ::-1]
    error = tile(picture, 3)
    assert (error[:, 10:] == expected).all() and (error[:, :10] == NOTHING).all()
    assert (tile(picture, 1, 1, bar) == 255).all() and (tile(picture, 3, 1, bar) == 255).all()
    with pytest.raises(ValueError, match='no rows'):
        draw_depth_panel([])


@pytest.mark.parametrize('draw', [draw_depth_panel, draw_map_panel, draw_normal_panel])
def test_the_longer_side_of_a_tile_is_384_pixels(draw):
    image = np.random.default_rng(0).integers(0, 256, (64, 48, 3), dtype=np.uint8)
    values = image + np.float32(1) if draw is draw_normal_panel else image[..., 0] + np.float32(1)
    picture = draw([DenseRow(image, values, values)])
    assert picture.shape[1] == 4 * 288 + 3 * GAP
    assert (picture == draw([DenseRow(image, values, values)], side=384)).all()


def test_depth_without_people_and_with_non_finite_values(image):
    truth = np.full((40, 30), 3.0, np.float32)
    nobody = DenseRow(image, truth, truth, np.zeros((40, 30), bool))
    broken = DenseRow(image, np.full_like(truth, np.nan), truth, np.ones((40, 30), bool))
    for row in (nobody, broken):
        picture = draw_depth_panel([row], side=SIDE)
        assert (tile(picture, 2) == NOTHING).all() and (tile(picture, 3) == NOTHING).all()


def test_normal_rows(image):
    truth = np.zeros((40, 30, 3), np.float32)
    truth[..., 2] = 1
    prediction = truth[..., [2, 0, 1]]  # to the right
    valid = np.zeros((40, 30), bool)
    valid[:, :15] = True
    error = np.full((40, 30), 30.0, np.float32)
    row = DenseRow(image, prediction, truth, valid, error, 'a.png')
    picture = draw_normal_panel([row, DenseRow(image, prediction)], side=SIDE, limit=60)
    assert (tile(picture, 1) == draw_normals(truth, valid)).all()
    assert tile(picture, 1)[0, 0].tolist() == [128, 128, 255] and tile(picture, 2)[0, 0].tolist() == [255, 128, 128]
    half = cv2.applyColorMap(np.uint8([[128]]), tiles.ERROR_COLORS)[0, 0, ::-1]
    assert (tile(picture, 3)[:, :15] == half).all()
    assert all((tile(picture, column)[:, 15:] == NOTHING).all() for column in (1, 2, 3))
    bar = 9 + LINE
    assert (tile(picture, 2, 1, bar) == draw_normals(prediction)).all() and (tile(picture, 1, 1, bar) == 255).all()
    with pytest.raises(ValueError, match='no rows'):
        draw_normal_panel([])


def test_errors_are_clipped_at_the_limit_and_nan_is_white():
    error = np.array([[0.0, 1.0, 2.0, 50.0, np.nan, 1.0]])
    valid = np.array([[True, True, True, True, True, False]])
    colors = tiles.draw_error(error, valid, 2.0)[0]
    assert (colors[2] == colors[3]).all() and not (colors[1] == colors[2]).all() and not (colors[0] == colors[1]).all()
    assert colors[4].tolist() == [255] * 3 and colors[5].tolist() == [NOTHING] * 3
    # Brighter is worse.
    assert colors[0].astype(int).sum() < colors[1].astype(int).sum() < colors[2].astype(int).sum()


def test_bars_go_from_the_first_colour_to_the_last():
    bar = tiles.color_bar(200, 'low', 'high', tiles.ERROR_COLORS)
    ends = cv2.applyColorMap(np.uint8([[0, 255]]), tiles.ERROR_COLORS)[0, :, ::-1]
    assert bar.shape == (9 + LINE, 200, 3)
    assert (bar[0, 0] == ends[0]).all() and (bar[0, -1] == ends[1]).all()
    letters = (bar[9:] < 128).any((0, 2))
    assert letters[:40].any() and letters[-40:].any() and not letters[60:140].any()
    assert (tiles.color_bar(10, 'low', 'high', tiles.ERROR_COLORS)[9:] == 255).all()  # no room


def test_small_images_are_upsampled_without_mixing_labels(image):
    labels = np.array([[0, 27], [1, 255]], np.uint8)
    large = tiles.resize_map(labels, np.zeros((40, 30, 3)))
    assert large.shape == (40, 30) and (large[:20, :15] == 0).all() and (large[20:, 15:] == 255).all()
    assert set(np.unique(large)) == {0, 1, 27, 255}
    mask = tiles.resize_map(np.array([[True, False]]), np.zeros((4, 4)))
    assert mask.dtype == bool and mask[:, :2].all() and not mask[:, 2:].any()
    assert tiles.resize_map(np.zeros((5, 5, 3), np.float32), np.zeros((10, 10, 3))).shape == (10, 10, 3)


def test_given_limits_decide_the_colours_of_depth():
    depth, valid = np.array([[1.0, 2.0, 3.0, 9.0]]), np.ones((1, 4), bool)
    colors = draw_depth(depth, valid, (1.0, 3.0))
    assert (colors[0, :3] == draw_depth(depth[:, :3], valid[:, :3])[0]).all()
    assert (colors[0, 3] == colors[0, 2]).all()  # beyond the farthest
    assert not (colors == draw_depth(depth, valid)).all()


def test_maps_without_a_drawing_of_their_own(image):
    truth = np.linspace(2, 4, 1200).reshape(40, 30).astype(np.float32)
    valid = np.ones((40, 30), bool)
    valid[:, :10] = False
    prediction = truth + 0.25
    prediction[:, :10], prediction[0, 29] = 1000, np.nan
    rows = [DenseRow(image, prediction, truth, valid, name='a.png'), DenseRow(image, truth)]
    picture = draw_map_panel(rows, side=SIDE)
    known = valid & np.isfinite(prediction)
    limits = depth_limits(truth, known)
    assert (tile(picture, 0) == image).all()
    assert (tile(picture, 1) == draw_map(truth, 'values', known, limits)).all()
    assert (tile(picture, 2) == draw_map(prediction, 'values', known, limits)).all()
    low, high = tile(picture, 1)[1, 15].astype(int).sum(), tile(picture, 1)[-1, 15].astype(int).sum()
    assert low < 30 and high > 500 and (tile(picture, 1)[:, :10] == NOTHING).all()
    error = tile(picture, 3)
    fraction = 0.25 / ((limits[1] - limits[0]) / 4)
    expected = cv2.applyColorMap(np.uint8([[round(255 * fraction)]]), tiles.ERROR_COLORS)[0, 0, ::-1]
    assert (error[known] == expected).all() and (error[~known] == NOTHING).all()
    bar = 9 + LINE
    assert (tile(picture, 1, 1, bar) == 255).all() and (tile(picture, 3, 1, bar) == 255).all()
    own = depth_limits(truth, truth > 0)
    assert (tile(picture, 2, 1, bar) == draw_map(truth, 'values', truth > 0, own)).all()
    with pytest.raises(ValueError, match='no rows'):
        draw_map_panel([])


def test_maps_of_three_channels_are_colours(image):
    truth = np.zeros((40, 30, 3), np.float32)
    truth[:20] = 1, 0.5, 0
    given = np.full((40, 30), 0.125, np.float32)
    picture = draw_map_panel([DenseRow(image, truth * 0.5, truth)], side=SIDE)
    assert tile(picture, 1)[0, 0].tolist() == [255, 128, 0] and tile(picture, 2)[0, 0].tolist() == [128, 64, 0]
    # The mean over channels of a quarter of the range is the end of the bar. An error in the row is drawn instead.
    end, half = (cv2.applyColorMap(np.uint8([[value]]), tiles.ERROR_COLORS)[0, 0, ::-1] for value in (255, 128))
    assert (tile(picture, 3)[:20] == end).all()
    assert (tile(draw_map_panel([DenseRow(image, truth, truth, error=given)], side=SIDE), 3) == half).all()


def test_labels_and_vectors_without_a_drawing_of_their_own(image):
    truth = np.zeros((40, 30), np.uint8)
    truth[:20] = 200
    prediction = np.zeros((40, 30), np.uint8)
    prediction[:10] = 200
    picture = draw_map_panel([DenseRow(image, prediction, truth)], side=SIDE, kind='labels')
    low, high = (cv2.applyColorMap(np.uint8([[value]]), tiles.ERROR_COLORS)[0, 0, ::-1] for value in (0, 255))
    error = tile(picture, 3)
    assert (error[10:20] == high).all() and (error[:10] == low).all() and (error[20:] == low).all()
    assert (tile(picture, 2) == draw_map(prediction, 'labels')).all()
    two = np.stack([truth, prediction], -1).astype(np.float32)  # drawn by the first channel, compared by both
    picture = draw_map_panel([DenseRow(image, two * 0, two)], side=SIDE, kind='vectors')
    assert (tile(picture, 1) == draw_map(two, 'vectors')).all()
    assert (tile(picture, 3)[:20] == high).all() and (tile(picture, 3)[20:] == low).all()
