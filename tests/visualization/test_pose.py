import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sapiens.metainfo import build_metainfo, get_skeleton
from sapiens.metainfo.palettes import with_palette
from sapiens.visualization import PosePanelRow, draw_heatmaps, draw_pose, draw_pose_panel, skeleton_of
from sapiens.visualization.layout import GAP, LINE
from sapiens.visualization.pose_panel import mean_error

COCO = with_palette(get_skeleton('coco17'), 'distinct')
NOSE, LEFT_EYE, LEFT_EAR = 0, 1, 3


def person(**points):
    """(1, 17, 2) and scores (1, 17), zero but for the named points."""
    keypoints, scores = np.zeros((1, 17, 2)), np.zeros((1, 17))
    for name, point in points.items():
        keypoints[0, COCO.index(name)], scores[0, COCO.index(name)] = point, 1
    return keypoints, scores


def black(height=60, width=80):
    return np.zeros((height, width, 3), np.uint8)


def test_points_and_links_have_their_colours_and_places():
    keypoints, scores = person(right_shoulder=(20, 10), right_elbow=(60, 10))
    image = black()
    picture = draw_pose(image, keypoints, scores, 'coco17', radius=4, thickness=1)
    assert not image.any() and picture.dtype == np.uint8
    link = COCO.links.tolist().index([6, 8])
    assert (picture[10, 20] == COCO.colors[6]).all() and (picture[10, 60] == COCO.colors[8]).all()
    assert abs(picture[10, 40].astype(int) - COCO.link_colors[link]).max() < 40  # anti-aliased
    assert not picture[20:].any()  # nothing of the points at (0, 0), whose score is 0
    bare = draw_pose(image, keypoints, scores, 'coco17', radius=4, thickness=0)
    assert not bare[10, 40].any()
    rows, columns = np.nonzero(bare[:, :40].any(-1))
    assert (rows.mean(), columns.mean()) == pytest.approx((10, 20), abs=0.1)  # whole numbers are pixel centers
    np.testing.assert_array_equal(draw_pose(image, keypoints[0], scores[0], 'coco17', radius=4, thickness=1), picture)
    published = draw_pose(image, keypoints, scores, 'coco17', radius=4, thickness=1, palette='published')
    assert (published[10, 20] == (255, 128, 0)).all()


def test_left_limbs_are_dashed():
    for side, is_dashed in (('left', True), ('right', False)):
        keypoints, scores = person(**{f'{side}_shoulder': (20, 30), f'{side}_elbow': (180, 30)})
        picture = draw_pose(black(60, 200), keypoints, scores, 'coco17', radius=6, thickness=9)
        link = COCO.link_colors[COCO.links.tolist().index([5, 7] if side == 'left' else [6, 8])]
        middle, edge = (picture[y, 30:170] for y in (30, 34))
        assert (edge == link).all(), 'the color shows on both sides of a dash'
        white = (middle == 255).all(-1)
        assert 0.5 < white.mean() < 0.75 if is_dashed else not white.any()
        assert (np.diff(white.astype(int)) == 1).sum() == (4 if is_dashed else 0), 'dashes and gaps of two widths each'
        published = draw_pose(black(60, 200), keypoints, scores, 'coco17', radius=6, thickness=9, palette='published')
        assert not (published[30, 30:170] == 255).all(-1).any()


def test_the_head_of_the_body_leaves_room_for_the_face():
    skeleton = get_skeleton('goliath308')
    points = np.full((1, 308, 2), np.nan)
    points[0, skeleton.groups['body']] = np.random.default_rng(1).uniform(50, 550, (17, 2))
    points[0, skeleton.index('nose')] = (300, 300)
    face = skeleton.groups['face']
    points[0, face] = 200 + np.stack(np.divmod(np.arange(len(face)), 16), -1) * 5.0
    with_face = draw_pose(black(600, 600), points, None, skeleton, thickness=0)
    alone = points.copy()
    alone[0, face] = np.nan
    without = draw_pose(black(600, 600), alone, None, skeleton, thickness=0)
    around = np.s_[285:316, 295:316]
    assert with_face[around].any(-1).sum() < 0.3 * without[around].any(-1).sum()


@pytest.mark.parametrize('spoil', ['score', 'nan', 'nan score', 'outside', 'far'])
def test_links_need_both_ends(spoil):
    keypoints, scores = person(left_shoulder=(20, 10), left_elbow=(60, 10), left_wrist=(60, 50))
    if spoil == 'score':
        scores[0, 7] = 0.29
    elif spoil == 'nan score':
        scores[0, 7] = np.nan
    else:
        keypoints[0, 7] = dict(nan=(np.nan, 10), outside=(80, 10), far=(1e12, -1e12))[spoil]
    picture = draw_pose(black(), keypoints, scores, 'coco17', threshold=0.3, radius=2, thickness=1)
    assert picture[10, 20].any() and picture[50, 60].any()  # the others are there
    assert not picture[10, 30:].any() and not picture[20:45].any()
    if spoil == 'score':
        assert draw_pose(black(), keypoints, scores, 'coco17', threshold=0.29, radius=2)[10, 40].any()
        assert draw_pose(black(), keypoints, None, 'coco17', radius=2)[10, 40].any()


def test_people_are_drawn_together_or_not_at_all():
    keypoints, scores = person(nose=(20, 20))
    two = np.concatenate([keypoints, keypoints + np.array([30, 10])]), np.concatenate([scores, scores])
    picture = draw_pose(black(), *two, 'coco17', radius=2)
    assert picture[20, 20].any() and picture[30, 50].any()
    nobody = draw_pose(black(), np.zeros((0, 17, 2)), np.zeros((0, 17)), 'coco17')
    assert not nobody.any()


def test_boxes_are_drawn_below_people_and_clipped():
    keypoints, scores = person(nose=(20, 20))
    boxes = np.array([[10, 20, 40, 50], [-30, -30, 1e9, 25], [np.nan, 0, 1, 1]])
    picture = draw_pose(black(), keypoints, scores, 'coco17', boxes=boxes, radius=3, box_color=(9, 9, 200))
    assert (picture[20, 20] == COCO.colors[0]).all()
    assert (picture[20, 35] == (9, 9, 200)).all() and (picture[40, 10] == (9, 9, 200)).all()
    assert (picture[25, 60] == (9, 9, 200)).all()
    assert not picture[40, 25].any() and not picture[0, 60].any()


def test_sizes_follow_the_person_and_the_density_of_its_points():
    keypoints, scores = person(left_shoulder=(30, 30), left_hip=(30, 60), nose=(20, 10))

    def amount(scale):
        picture = draw_pose(black(80 * scale, 80 * scale), keypoints * scale, scores, 'coco17', thickness=0)
        return picture.any(-1).sum()

    assert amount(8) > 4 * amount(1)
    skeleton = get_skeleton('goliath308')
    points = np.random.default_rng(0).uniform(0, 600, (308, 2))
    face = skeleton.groups['face']
    points[face] = 100 + np.stack(np.divmod(np.arange(len(face)), 16), -1) * 3.0  # a grid with 3 pixels between points
    scores = np.zeros(308)
    scores[face] = 1
    scores[skeleton.groups['body'][-2:]] = 1
    picture = draw_pose(black(600, 600), points, scores, skeleton, thickness=0)
    between = picture[102:140:3, 102:140:3]  # half way between four points
    assert between.shape[0] > 10 and between.mean() < 40, 'the points of a face run into each other'


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match=r"'coco17' are \(N, 17, 2\) or \(17, 2\), found \(1, 133, 2\)"):
        draw_pose(black(), np.zeros((1, 133, 2)), None, 'coco17')
    with pytest.raises(ValueError, match=r'scores are \(17,\), expected \(2, 17\)'):
        draw_pose(black(), np.zeros((2, 17, 2)), np.zeros(17), 'coco17')
    with pytest.raises(ValueError, match='16 heatmaps'):
        draw_heatmaps(black(), np.zeros((16, 8, 6)), 'coco17')
    with pytest.raises(ValueError, match='1 transforms for the heatmaps of 2'):
        draw_heatmaps(black(), np.zeros((2, 17, 8, 6)), transforms=np.zeros((1, 2, 3)))
    with pytest.raises(ValueError, match='no rows'):
        draw_pose_panel([], 'coco17')


def test_heatmaps_lie_where_they_belong_in_a_given_range():
    image = np.full((61, 81, 3), 100, np.uint8)
    maps = np.zeros((17, 16, 21), np.float32)  # cells of 4 pixels, corner on corner
    maps[NOSE, 15, 20], maps[LEFT_EYE, 5, 10] = 1, 0.2
    picture = draw_heatmaps(image, maps).astype(int)
    assert (picture[5, 5] == 50).all()  # nothing there: the image at half its brightness
    assert picture[60, 80].sum() > 3 * 200 and picture[60, 80].sum() > picture[20, 40].sum()
    changed = (picture != 50).any(-1)
    rows, columns = np.nonzero(changed[:40, :60])
    assert (rows.mean(), columns.mean()) == (20, 40)
    assert (image == 100).all()
    # Twice the values give another picture, since the range is fixed; above 1 nothing more comes.
    assert (draw_heatmaps(image, maps * 2) != picture).any()
    assert abs(draw_heatmaps(image, maps / 20, limit=0.05) - picture).max() <= 1
    full = np.ones((17, 16, 21))
    np.testing.assert_array_equal(draw_heatmaps(image, full), draw_heatmaps(image, full * 2))
    # Peaks in the keypoints' colors, above the threshold.
    peaks = draw_heatmaps(image, maps, 'coco17', threshold=0.1, radius=1)
    assert (peaks[20, 40] == COCO.colors[LEFT_EYE]).all() and (peaks[60, 80] == COCO.colors[NOSE]).all()
    np.testing.assert_array_equal(
        draw_heatmaps(image, maps, 'coco17', threshold=0.5, radius=1)[20, 40], picture[20, 40]
    )
    assert (draw_heatmaps(image, np.zeros((17, 16, 21)), 'coco17', threshold=0) == 50).all()


def test_heatmaps_of_several_people_by_their_transforms():
    image = np.full((61, 81, 3), 100, np.uint8)
    maps = np.zeros((2, 17, 8, 8), np.float16)
    maps[0, NOSE, 4, 4], maps[1, LEFT_EAR, 0, 7] = 1, 1
    transforms = [[[2, 0, 10], [0, 2, 20]], [[1, 0, 60], [0, 1, 5]]]
    picture = draw_heatmaps(image, maps, 'coco17', transforms=transforms, radius=1)
    assert (picture[28, 18] == COCO.colors[NOSE]).all() and (picture[5, 67] == COCO.colors[LEFT_EAR]).all()
    assert (draw_heatmaps(image, [], 'coco17') == 50).all()


def row(size=(64, 48), **kwargs):
    rng = np.random.default_rng(0)
    height, width = size
    points = rng.uniform(5, 40, (17, 2))
    kwargs = (
        dict(true_keypoints=points + np.array([3, 4]), visible=np.ones(17), heatmaps=np.zeros((17, 16, 12)), name='x')
        | kwargs
    )
    return PosePanelRow(np.full((height, width, 3), 100, np.uint8), points, np.full(17, 0.4), **kwargs)


def test_a_panel_has_a_row_for_each_crop():
    first, second = row(), row(true_keypoints=None, visible=None)
    picture = draw_pose_panel([first, second], 'coco17', side=64)
    block = 64 + LINE
    assert picture.shape == (2 * block + LINE + GAP, 4 * 48 + 3 * GAP, 3)
    tiles = [picture[2 * LINE : 2 * LINE + 64, i * (48 + GAP) : i * (48 + GAP) + 48] for i in range(4)]
    assert (tiles[0] == 100).all() and (tiles[3] == 50).all()
    truth = draw_pose(first.image, first.true_keypoints, np.ones(17), 'coco17', threshold=0.5)
    np.testing.assert_array_equal(tiles[1], truth)
    np.testing.assert_array_equal(tiles[2], draw_pose(first.image, first.keypoints, first.scores, 'coco17'))
    below = picture[-64:, 48 + GAP : 2 * 48 + GAP]
    assert (below == 255).all(), 'no labels, no drawing of them'
    hidden = draw_pose_panel([first], 'coco17', threshold=0.5, side=64)[2 * LINE :, 2 * (48 + GAP) :]
    assert (hidden[:, :48] == 100).all()
    assert draw_pose_panel([row(heatmaps=None)], 'coco17', side=64).shape[1] == 3 * 48 + 2 * GAP


@pytest.mark.parametrize('size', [(512, 384), (32, 24)])
def test_crops_are_resized_before_they_are_drawn_on(size):
    maps = np.zeros((17, 8, 6))
    maps[NOSE, 2, 4] = 1
    crop = row(size, heatmaps=maps)
    picture = draw_pose_panel([crop], 'coco17', side=128, threshold=0.35)[2 * LINE :]
    assert picture.shape == (128, 4 * 96 + 3 * GAP, 3)
    points = (crop.keypoints + 0.5) * 128 / size[0] - 0.5
    expected = draw_pose(np.full((128, 96, 3), 100, np.uint8), points, crop.scores, 'coco17')
    np.testing.assert_array_equal(picture[:, 2 * (96 + GAP) : 3 * 96 + 2 * GAP], expected)
    # The cell is a certain pixel of the crop, with the corners on each other, and that pixel moves as keypoints do.
    x, y = (np.array([4 / 5 * (size[1] - 1), 2 / 7 * (size[0] - 1)]) + 0.5) * 128 / size[0] - 0.5
    rows, columns = np.nonzero((picture[:, -96:] == COCO.colors[NOSE]).all(-1))
    assert abs(rows.mean() - y) < 0.6 and abs(columns.mean() - x) < 0.6


def test_mean_error_is_over_labelled_keypoints():
    truth = np.zeros((4, 2))
    points = np.array([[3, 4], [6, 8], [np.nan, 0], [100, 0]])
    assert mean_error(points, truth, [1, 1, 1, 0]) == 7.5
    assert np.isnan(mean_error(points, truth, np.zeros(4)))


@pytest.mark.parametrize('name', ['coco17', 'wholebody133', 'goliath308'])
def test_skeletons_come_back_from_the_metainfo_of_data_sets(name):
    skeleton = get_skeleton(name)
    parsed = dict(
        dataset_name='own',
        keypoint_id2name=dict(enumerate(skeleton.keypoints)),
        keypoint_colors=skeleton.colors,
        skeleton_links=skeleton.links.tolist(),
        skeleton_link_colors=skeleton.link_colors,
        flip_indices=skeleton.flip_indices.tolist(),
    )
    for metainfo in (build_metainfo(skeleton), parsed):
        found = skeleton_of(metainfo)
        assert found.keypoints == skeleton.keypoints
        np.testing.assert_array_equal(found.links, skeleton.links)
        np.testing.assert_array_equal(found.link_colors, skeleton.link_colors)
        np.testing.assert_array_equal(found.colors, skeleton.colors)
    assert skeleton_of(dict(dataset_name='ImageFolder')) is None and skeleton_of(None) is None


@pytest.mark.skipif('SAPIENS_TEST_DATA' not in os.environ, reason='SAPIENS_TEST_DATA names no folder of photographs')
def test_people_of_a_photograph():
    root = Path(os.environ['SAPIENS_TEST_DATA']) / 'coco'
    data = json.loads((root / 'annotations/person_keypoints_val2017.json').read_text())
    for entry in data['images']:
        image = np.array(Image.open(root / 'val2017' / entry['file_name']).convert('RGB'))
        people = [item for item in data['annotations'] if item['image_id'] == entry['id']]
        points = np.array([item['keypoints'] for item in people], float).reshape(-1, 17, 3)
        picture = draw_pose(image, points[..., :2], points[..., 2] > 0, 'coco17', threshold=0.5)
        changed = (picture != image).any(-1)
        assert 0.001 < changed.mean() < 0.2
        for item in people:
            x, y, w, h = (int(number) for number in item['bbox'])
            assert changed[y : y + h, x : x + w].any() == (item['num_keypoints'] > 0)
