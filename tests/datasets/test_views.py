"""Views of an image as matrices, by hand."""

import numpy as np
import pytest

from sapiens.datasets.transforms.view import (
    View,
    chain,
    fit_size,
    invert,
    sample_labels,
    shown_box,
    transform_intrinsics,
    visible_box,
    zoom_matrix,
)
from sapiens.frames import to_published
from sapiens.utils.crop import crop_to_image, fit_aspect, heatmap_to_image, transform_points

SHIFT = np.array([[1.0, 0, -10], [0, 1, -20]])
MIRROR = np.array([[-1.0, 0, 39], [0, 1, 0]])


def test_edges_of_a_resized_image_stay_edges():
    matrix = zoom_matrix(2, 0.5, 3, 7)
    np.testing.assert_allclose(
        transform_points(np.array([[-0.5, -0.5], [9.5, 9.5]]), matrix), [[2.5, 6.5], [22.5, 11.5]]
    )
    assert zoom_matrix(1, 1).tolist() == [[1, 0, 0], [0, 1, 0]]


def test_steps_follow_each_other():
    first = zoom_matrix(2, 4, 1, 2)
    point = np.array([[3.0, 5.0]])
    both = transform_points(transform_points(point, first), SHIFT)
    np.testing.assert_allclose(transform_points(point, chain(SHIFT, first)), both)
    np.testing.assert_allclose(transform_points(both, invert(chain(SHIFT, first))), point)
    view = View((40, 30)).then(SHIFT, (20.0, 10.9)).then(MIRROR, (40, 30), np.diag([-1.0, 1]))
    assert view.size == (40, 30) and view.mirrored and view.angle == 0
    np.testing.assert_allclose(view.matrix, chain(MIRROR, SHIFT))
    assert not View((4, 3)).mirrored and View((4, 3)).then(SHIFT, (20.0, 10.9)).size == (20, 10)


@pytest.mark.parametrize('degrees', [-170.0, -30, 0, 45, 120])
def test_the_angle_is_that_of_the_turn(degrees):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.array([[c, -s], [s, c]])
    assert View((4, 3), turn=turn).angle == pytest.approx(degrees)
    assert View((4, 3), turn=turn @ np.diag([-1.0, 1])).angle == pytest.approx(degrees)


def test_detail_is_lost_where_a_reduced_view_is_enlarged():
    view = View((40, 30))
    assert view.resize((40, 30)) is view
    small = view.resize((20, 15))
    assert small.stops == () and small.matrix.tolist() == zoom_matrix(0.5, 0.5).tolist()
    again = small.resize((20, 30))
    ((matrix, size),) = again.stops
    assert size == (20, 15) and matrix is small.matrix
    assert (
        view.resize((80, 60)).stops == ()
        and small.resize((10, 15)).stops == ()
        and view.resize((80, 30)).resize((160, 30)).stops == ()
    )


def test_sizes_that_fit():
    assert fit_size((40, 30), (64, 48)) == (64, 48) and fit_size((30, 40), (64, 48)) == (48, 64)
    assert fit_size((100, 10), (64, 48)) == (64, 6) and fit_size((1000, 1), (64, 48)) == (64, 1)
    assert fit_size((3, 2), (5, 4)) == (5, 3)


def test_boxes_of_pixels():
    image = (100, 80)
    assert visible_box(SHIFT, (20, 30), image) == (10, 20, 20, 30)
    assert visible_box(SHIFT, (20, 30), image, margin=2) == (8, 18, 24, 34)
    assert visible_box(SHIFT, (200, 300), image, margin=5) == (5, 15, 95, 65)
    assert visible_box(np.array([[1.0, 0, 50], [0, 1, 0]]), (50, 30), image) is None
    assert visible_box(np.array([[1.0, 0, 49], [0, 1, 0]]), (50, 30), image) == (0, 0, 1, 30)
    assert shown_box(View((20, 30), SHIFT), image) == (10, 20, 20, 30)
    assert shown_box(View((50, 40), zoom_matrix(0.5, 0.5)), image) == (0, 0, 100, 80)
    assert shown_box(View((21, 30), chain(zoom_matrix(2, 2), SHIFT)), image) == (10, 20, 11, 15)
    assert shown_box(View((50, 30), np.array([[1.0, 0, 50], [0, 1, 0]])), image) == (0, 0, 0, 0)


def test_the_camera_of_a_mirrored_view():
    camera = np.array([[50.0, 0, 21], [0, 60, 14], [0, 0, 1]])
    mirrored = transform_intrinsics(camera, View((40, 30), MIRROR, np.diag([-1.0, 1])))
    np.testing.assert_allclose(mirrored, [[50, 0, 18], [0, 60, 14], [0, 0, 1]])


def test_labels_of_a_view():
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert sample_labels(View((4, 3)), labels).tolist() == labels.tolist()
    outside = sample_labels(View((3, 3), np.array([[1.0, 0, -2], [0, 1, 1]])), labels)
    assert outside.tolist() == [[255, 255, 255], [2, 3, 255], [6, 7, 255]]
    assert sample_labels(View((4, 3)), labels, stride=2).shape == (2, 2)


def test_boxes_of_crops():
    for scale, fitted in (([30, 10], [30, 40]), ([10, 80], [60, 80]), ([0, 0], [1, 4 / 3]), ([60, 80], [60, 80])):
        np.testing.assert_allclose(fit_aspect(np.array(scale, np.float32), (3, 4)), fitted, rtol=1e-6)
    center, scale = np.array([50.0, 40]), np.array([30.0, 20])
    found = crop_to_image(np.array([[0.0, 0], [6, 8]]), np.array([6.0, 8]), center, scale)
    np.testing.assert_allclose(found, [[35, 30], [65, 50]])
    matrix = heatmap_to_image((17, 5, 7), center, scale)
    np.testing.assert_allclose(transform_points(np.array([[0, 0], [6, 4]]), matrix), [[35, 30], [65, 50]])


def test_frames():
    vectors = np.array([[1.0, 2, 3], [4, 5, 6]], np.float32)
    assert to_published(vectors).tolist() == [[1, -2, -3], [4, -5, -6]] and to_published(vectors).dtype == np.float32
    assert to_published(vectors.T, dim=0).tolist() == to_published(vectors).T.tolist()
