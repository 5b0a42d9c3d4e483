"""Panels of pointmaps, mattes and albedo: the meaning of every color."""

import cv2
import numpy as np
import pytest

from sapiens.frames import to_published
from sapiens.utils.pinhole import pixel_rays
from sapiens.visualization import (
    DenseRow,
    MattingRow,
    draw_albedo,
    draw_albedo_panel,
    draw_inverse_depth,
    draw_matting_panel,
    draw_pointmap_panel,
    tiles,
)
from sapiens.visualization.labels import draw_normals
from sapiens.visualization.layout import GAP, LINE, NOTHING
from sapiens.visualization.matting import CHROMA_GREEN, checkerboard, draw_alpha, over
from sapiens.visualization.pointmap import point_normals

from .test_dense_panels import tile

SIDE, SIZE = 40, (40, 30)
BAR = 9 + LINE


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def wall(depth=2.0, slope=0.0):
    """Points of a wall whose distance grows downward."""
    rays = pixel_rays(np.array([[40.0, 0, 15], [0, 40, 20], [0, 0, 1]]), SIZE)
    return (rays * (depth + slope * np.arange(SIZE[0]))[:, None, None]).astype(np.float32)


def color(map_, fraction):
    return cv2.applyColorMap(np.uint8([[round(255 * fraction)]]), map_)[0, 0, ::-1].tolist()


def test_inverse_depth():
    depth = np.array([[1.0, 2.0, 4.0, 0.0, -1.0, np.nan, np.inf, 1000.0]])
    drawn = draw_inverse_depth(depth, limits=(1.0, 4.0))
    # 1 / 2 is a third of the way from 1 / 4 to 1 / 1.
    expected = [color(cv2.COLORMAP_TURBO, fraction) for fraction in (1, 1 / 3, 0)]
    assert drawn[0, :3].tolist() == expected and drawn[0, 7].tolist() == expected[2]
    assert (drawn[0, 3:7] == NOTHING).all()
    hidden = draw_inverse_depth(depth, depth != 2, (1.0, 4.0), background=0)
    assert (hidden[0, 1] == 0).all() and (hidden[0, 0] == drawn[0, 0]).all()
    # By default the range of the map, and never beyond 0.1 and 250 m.
    assert (draw_inverse_depth(depth[:, :3])[0, [0, 2]] == drawn[0, [0, 2]]).all()
    far = draw_inverse_depth(np.array([[0.05, 0.1, 250.0, 900.0]]), limits=(0.01, 5000.0))[0]
    assert (far[0] == far[1]).all() and (far[2] == far[3]).all() and (far[1] != far[2]).any()
    assert (draw_inverse_depth(np.zeros((2, 2))) == NOTHING).all()


def test_normals_of_points_stay_inside_the_mask():
    points = wall(slope=0.01)
    valid = np.zeros(SIZE, bool)
    valid[10:25, 8:] = True
    points[~valid] = np.nan
    normals = point_normals(points, valid)
    known = (normals != 0).any(-1)
    # Two pixels from other points; the border of the image repeats its own.
    expected = np.zeros(SIZE, bool)
    expected[12:23, 10:] = True
    assert (known == expected).all()
    assert np.allclose(np.linalg.norm(normals[known], axis=-1), 1, atol=1e-5)
    assert (normals[known][:, 2] < 0).all() and (normals[known][:, 1] > 0.1).all()  # of a ceiling: down
    assert (point_normals(points) == normals).all()  # points that are not finite are not valid in any case
    assert np.allclose(point_normals(wall()), [0, 0, -1], atol=1e-5)


def test_pointmap_rows(image):
    truth, valid = wall(slope=0.02), np.ones(SIZE, bool)
    valid[:, :10] = False
    prediction = truth + np.float32([0, 0, 0.15])
    truth[:, :10] = 0
    rows = [DenseRow(image, prediction, truth, valid, name='a.png'), DenseRow(image, prediction)]
    figure = draw_pointmap_panel(rows, side=SIDE, limit=0.3)
    limits = tuple(np.percentile(truth[valid][:, 2], (0.5, 99.5)).tolist())
    assert (tile(figure, 0) == image).all()
    assert (tile(figure, 1) == draw_inverse_depth(truth[..., 2], valid, limits)).all()
    assert (tile(figure, 2) == draw_inverse_depth(prediction[..., 2], valid, limits)).all()
    assert (tile(figure, 3) == draw_normals(to_published(point_normals(truth, valid)))).all()
    assert (tile(figure, 4) == draw_normals(to_published(point_normals(prediction, valid)))).all()
    assert (tile(figure, 5)[:, 10:] == color(tiles.ERROR_COLORS, 0.5)).all() and (
        tile(figure, 5)[:, :10] == NOTHING
    ).all()
    # Without labels only the prediction, in its own range.
    own = tuple(np.percentile(prediction[..., 2], (0.5, 99.5)).tolist())
    assert (tile(figure, 2, 1, BAR) == draw_inverse_depth(prediction[..., 2], None, own)).all()
    assert all((tile(figure, column, 1, BAR) == 255).all() for column in (1, 3, 5))
    assert (tile(figure, 4, 1, BAR) != NOTHING).any(-1).all() and figure.shape[1] == 6 * 30 + 5 * GAP
    with pytest.raises(ValueError, match='no rows'):
        draw_pointmap_panel([])


def test_points_behind_the_camera_are_not_drawn(image):
    prediction = wall()
    prediction[:20] *= -1
    prediction[30:] = np.nan
    figure = draw_pointmap_panel([DenseRow(image, prediction, wall())], side=SIDE)
    assert (tile(figure, 2)[:20] == NOTHING).all() and (tile(figure, 2)[30:] == NOTHING).all()
    assert (tile(figure, 2)[20:30] != NOTHING).any() and (tile(figure, 5)[30:] == 255).all()
    nobody = DenseRow(image, wall(), wall(), np.zeros(SIZE, bool))
    assert (tile(draw_pointmap_panel([nobody], side=SIDE), 1) == NOTHING).all()


def test_matting_rows(image):
    truth, alpha = np.zeros(SIZE, np.float32), np.zeros(SIZE, np.float32)
    truth[:, 10:] = 1
    alpha[:, 10:], alpha[:10] = 0.5, 1
    foreground = np.full((*SIZE, 3), [0.5, 0, 0], np.float32) * alpha[..., None]
    valid = np.ones(SIZE, bool)
    valid[30:] = False
    rows = [MattingRow(image, alpha, foreground, truth, valid, 'a.png'), MattingRow(image, alpha, foreground)]
    figure = draw_matting_panel(rows, side=SIDE)
    assert (tile(figure, 0) == image).all()
    assert (tile(figure, 1)[:30] == draw_alpha(truth)[:30]).all() and (tile(figure, 1)[30:] == 0).all()
    assert (tile(figure, 2) == draw_alpha(alpha)).all() and tile(figure, 2)[20, 20].tolist() == [128] * 3
    error = tile(figure, 3)
    assert (error[:10, :10] == color(tiles.ERROR_COLORS, 1)).all() and (error[30:] == NOTHING).all()
    assert (error[10:30, 10:] == color(tiles.ERROR_COLORS, 0.5)).all()
    board, green = tile(figure, 4), tile(figure, 5)
    assert (board == over(foreground, alpha, checkerboard(SIZE))).all()
    assert green[20, 5].tolist() == list(CHROMA_GREEN) and green[5, 5].tolist() == [128, 0, 0]
    assert green[20, 20].tolist() == [
        64,
        88,
        32,
    ]  # half of each: 0.25 * 255 of the foreground, which is multiplied already
    assert (tile(figure, 1, 1, BAR) == 255).all() and (tile(figure, 3, 1, BAR) == 255).all()
    assert (tile(figure, 5, 1, BAR) == green).all()


def test_squares_that_show_transparency():
    board = checkerboard((25, 30), 10)
    assert board.shape == (25, 30, 3) and set(np.unique(board)) == {204, 255}
    assert (board[:10, :10] == 204).all() and (board[:10, 10:20] == 255).all() and (board[10:20, :10] == 255).all()


def test_albedo_rows(image):
    truth = np.full((*SIZE, 3), 0.4, np.float32)
    prediction = truth + np.float32([0.25, 0, 0.2027])
    valid = np.ones(SIZE, bool)
    valid[:8] = False
    figure = draw_albedo_panel([DenseRow(image, prediction, truth, valid), DenseRow(image, prediction)], side=SIDE)
    assert (tile(figure, 1)[8:] == 102).all() and (tile(figure, 1)[:8] == NOTHING).all()
    assert tile(figure, 2)[20, 20].tolist() == [166, 102, 154] and (tile(figure, 2)[:8] == NOTHING).all()
    assert (tile(figure, 3)[8:] == color(tiles.ERROR_COLORS, 0.1509 / 0.3)).all()
    assert (tile(figure, 2, 1, BAR) == tile(figure, 2)[20, 20]).all() and (tile(figure, 1, 1, BAR) == 255).all()
    albedo = np.array([[[np.nan, 0, 0], [2.0, -1, 0.5]]])
    assert draw_albedo(albedo, background=0)[0].tolist() == [[0, 0, 0], [255, 0, 128]]
