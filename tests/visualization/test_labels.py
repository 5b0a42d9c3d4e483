import numpy as np
import pytest

from sapiens.metainfo import get_classes, get_skeleton
from sapiens.metainfo.palettes import with_palette
from sapiens.visualization import labels as draw
from sapiens.visualization.layout import contact_sheet, fit


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)


def test_segmentation_mixes_and_leaves_background_and_ignored(image):
    palette = get_classes('goliath28').palette
    labels = np.zeros((40, 30), np.uint8)
    labels[10:20], labels[30:] = 3, 255
    before = image.copy()
    picture = draw.draw_segmentation(image, labels, palette, alpha=0.25)
    assert (image == before).all() and picture.dtype == np.uint8
    assert (picture[:10] == image[:10]).all() and (picture[30:] == image[30:]).all()
    expected = 0.25 * palette[3] + 0.75 * image[10:20]
    assert abs(picture[10:20] - expected).max() <= 0.5
    assert (draw.draw_segmentation(image, labels, palette, 1.0)[10:20] == palette[3]).all()
    with pytest.raises(ValueError, match=r'\(4, 4\)'):
        draw.draw_segmentation(image, labels[:4, :4], palette)


def test_near_is_bright_and_unknown_is_grey():
    depth = np.zeros((4, 3), np.float32)
    depth[0], depth[1], depth[2] = 1, 2, 3
    picture = draw.draw_depth(depth)
    brightness = picture.astype(int).sum(-1)
    assert (brightness[0] > brightness[1]).all() and (brightness[1] > brightness[2]).all()
    assert picture[2, 0].max() < 10 and (picture[3] == draw.NOTHING).all()
    # Only valid pixels decide the range.
    far = np.where(depth == 0, 1000, depth)
    np.testing.assert_array_equal(draw.draw_depth(far, depth > 0), picture)
    assert (draw.draw_depth(np.zeros((2, 2))) == draw.NOTHING).all()
    assert draw.draw_depth(np.full((2, 2), 5.0)).shape == (2, 2, 3)  # a plane has no range to divide by
    plane = draw.draw_depth(np.full((2, 2), 5.0))
    assert (plane == draw.draw_depth(np.array([[1.0, 9.0]]))[0, 0]).all(), 'a plane is as near as can be'


def test_normals_as_published_colours():
    normal = np.array([[[0, 0, 1], [1, 0, 0], [0, -1, 0], [0, 0, 0]]], np.float32)
    picture = draw.draw_normals(normal)
    assert picture[0].tolist() == [[128, 128, 255], [255, 128, 128], [128, 0, 128], [draw.NOTHING] * 3]
    np.testing.assert_array_equal(draw.draw_normals(normal.astype(np.float16)), picture)


def test_visible_points_are_discs_and_hidden_ones_rings():
    skeleton = with_palette(get_skeleton('coco17'), 'distinct')
    black = np.zeros((60, 60, 3), np.uint8)
    points = np.zeros((17, 3))
    points[0], points[1], points[2] = (10, 20, 2), (40, 20, 1), (30, 50, 0)
    picture = draw.draw_keypoints(black, points, skeleton, radius=5, thickness=0)
    assert (picture[20, 10] == skeleton.colors[0]).all()
    assert not picture[20, 40].any() and picture[20, 45].any()  # a ring's middle and its rim
    assert not picture[40:].any() and not black.any()
    # Whole numbers are pixel centers.
    disc = picture[:40, :25].sum(-1)
    center = np.array([(disc.sum(1) * np.arange(40)).sum(), (disc.sum(0) * np.arange(25)).sum()]) / disc.sum()
    np.testing.assert_allclose(center, [20, 10], atol=0.05)
    with_links = draw.draw_keypoints(black, points, 'coco17', radius=1)
    assert with_links[20, 25].any() and not with_links[35, 20].any()  # nose to eye; none to what is unknown


def test_points_without_visibility_or_far_away():
    points = np.full((308, 2), np.nan)
    points[3], points[4] = (5, 5), (1e7, -1e9)
    picture = draw.draw_keypoints(np.zeros((20, 20, 3), np.uint8), points, 'goliath308', radius=2)
    assert picture[5, 5].any() and not picture[12:].any()
    with pytest.raises(ValueError, match=r'\(17, 2 or 3\), found \(308, 2\)'):
        draw.draw_keypoints(picture, points, 'coco17')


def test_boxes_enclose_their_pixels():
    picture = draw.draw_boxes(np.zeros((50, 60, 3), np.uint8), [[10, 5, 20, 30]], (255, 0, 9), thickness=1)
    rows, columns = np.nonzero(picture.any(-1))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (5, 34, 10, 29)
    assert (picture[5, 15] == (255, 0, 9)).all() and not picture[15, 15].any()
    named = draw.draw_boxes(np.zeros((50, 60, 3), np.uint8), [[10, 5, 20, 30]], (255, 0, 9), ['1'], thickness=1)
    assert named[7:20, 12:28].any() and (named[5] == picture[5]).all()
    assert not draw.draw_boxes(np.zeros((5, 6, 3), np.uint8), np.zeros((0, 4))).any()


def test_sheet_places_tiles_row_by_row():
    tiles = [np.full((10, 8, 3), value, np.uint8) for value in (10, 20, 30)] + [np.full((6, 12, 3), 40, np.uint8)]
    sheet = contact_sheet(tiles, columns=3, gap=2)
    assert sheet.shape == (2 * 12 - 2, 3 * 14 - 2, 3)
    assert (sheet[:10, 14:22] == 20).all() and (sheet[12:18, :12] == 40).all() and (sheet[18:] == 255).all()
    named = contact_sheet(tiles, columns=6, names='abcd', gap=2)
    assert named.shape[0] == 26 and (named[10:] < 255).any()
    with pytest.raises(ValueError, match='at least one'):
        contact_sheet([])


def test_fit_shrinks_and_keeps_labels():
    labels = np.kron(np.array([[0, 7], [200, 3]], np.uint8), np.ones((50, 40), np.uint8))
    small = fit(labels, 20, nearest=True)
    assert small.shape == (20, 16) and set(np.unique(small)) == {0, 3, 7, 200}
    assert fit(labels, 100) is labels


def test_palette_is_distinct():
    palette = draw.distinct_palette(30)
    assert palette.shape == (30, 3) and len(np.unique(palette, axis=0)) == 30 and not palette[0].any()
