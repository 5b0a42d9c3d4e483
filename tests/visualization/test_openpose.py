import cv2
import numpy as np
import pytest

from sapiens.metainfo import convert_keypoints, get_skeleton
from sapiens.metainfo.openpose import openpose_skeleton, to_openpose
from sapiens.visualization.openpose import draw_openpose
from sapiens.visualization.people import draw_part, draw_people, part_box

COCO, WHOLE = get_skeleton('coco17'), get_skeleton('wholebody133')


def person(skeleton, **points):
    keypoints, scores = np.zeros((1, len(skeleton), 2)), np.zeros((1, len(skeleton)))
    for name, point in points.items():
        keypoints[0, skeleton.index(name)], scores[0, skeleton.index(name)] = point, 1
    return keypoints, scores


def test_the_order_and_the_colours_of_openpose():
    body, whole = openpose_skeleton(), openpose_skeleton(True)
    assert len(body) == 18 and len(body.links) == 17 and body.keypoints[:3] == ('nose', 'neck', 'right_shoulder')
    assert body.keypoints[13:] == ('left_ankle', 'right_eye', 'left_eye', 'right_ear', 'left_ear')
    hue = cv2.cvtColor(body.colors[None], cv2.COLOR_RGB2HSV)[0, :, 0].astype(int)
    assert (np.diff(hue) == 10).all(), 'once around the wheel in steps of 20 degrees'
    assert len(whole) == 134 and len(whole.links) == 63 and whole.keypoints[:18] == body.keypoints
    assert whole.keypoints[18:] == WHOLE.keypoints[17:]
    np.testing.assert_array_equal(whole.links[:17], body.links)
    np.testing.assert_array_equal(whole.flip_indices[whole.flip_indices], np.arange(134))
    assert (whole.colors[18:24] == [255, 128, 0]).all() and (whole.colors[24:92] == 255).all()


@pytest.mark.parametrize('skeleton', ['coco17', 'wholebody133', 'goliath308', 'openpose25', 'openpose135'])
def test_keypoints_change_places_by_name(skeleton):
    source = get_skeleton(skeleton)
    rng = np.random.default_rng(0)
    points, scores = rng.uniform(0, 100, (2, len(source), 2)), rng.uniform(0.4, 1, (2, len(source)))
    scores[1, source.index('left_shoulder')] = 0.2
    moved, values, target = to_openpose(points, scores, source)
    assert len(target) == (134 if skeleton in ('wholebody133', 'goliath308', 'openpose135') else 18)
    partners = None if skeleton != 'goliath308' else convert_keypoints(points, scores, source, 'wholebody133')
    for index, name in enumerate(target.keypoints):
        if name == 'neck':
            shoulders = points[:, [source.index('left_shoulder'), source.index('right_shoulder')]]
            np.testing.assert_allclose(moved[:, index], shoulders.mean(1))
            assert values[:, index].tolist() == [1, 0]
        elif partners:
            at = WHOLE.index(name)
            np.testing.assert_array_equal(moved[:, index], partners[0][:, at])
            np.testing.assert_array_equal(values[:, index], partners[1][:, at])
        else:
            name = name if name in source else name.replace('hand_root', 'wrist')
            np.testing.assert_array_equal(moved[:, index], points[:, source.index(name)])
            np.testing.assert_array_equal(values[:, index], scores[:, source.index(name)])


def test_the_308_keypoints_carry_feet_face_and_hands_joined_to_the_wrists():
    source = get_skeleton('goliath308')
    points, scores = np.random.default_rng(0).uniform(0, 100, (1, 308, 2)), np.ones((1, 308))
    moved, values, target = to_openpose(points, scores, source)
    known = {name for name, value in zip(target.keypoints, values[0], strict=True) if value}
    for group, count in (('foot', 6), ('left_hand', 21), ('right_hand', 21)):
        assert len(known & {WHOLE.keypoints[index] for index in WHOLE.groups[group]}) == count
    assert len(known & {f'face-{index}' for index in range(68)}) >= 20
    for side in ('left', 'right'):
        root, wrist = (target.index(f'{side}_{name}') for name in ('hand_root', 'wrist'))
        np.testing.assert_array_equal(moved[0, root], moved[0, wrist])
        assert sum(root in link for link in target.links.tolist()) == 5, 'a link to each finger'


def test_a_link_is_an_ellipse_of_the_published_size_and_opacity():
    keypoints, scores = person(COCO, left_shoulder=(40.7, 30), left_elbow=(100.2, 30.9))
    picture = draw_openpose(np.full((60, 140, 3), 77, np.uint8), keypoints, scores, COCO, radius=0, thickness=5)
    expected = np.zeros((60, 140, 3), np.uint8)
    # Between whole pixels: (40, 30) and (100, 30), so 30 to either side of the middle.
    cv2.fillConvexPoly(expected, cv2.ellipse2Poly((70, 30), (30, 5), 180, 0, 360, 1), (170, 255, 0))
    expected = cv2.addWeighted(np.zeros_like(expected), 0.4, expected, 0.6, 0)
    differing = (picture != expected).any(-1)
    assert set(map(tuple, np.argwhere(differing).tolist())) <= {(30, 40), (30, 100)}  # but for the discs of one pixel
    assert picture[30, 70].tolist() == [102, 153, 0] and not picture[:24].any() and not picture[37:].any()


@pytest.mark.parametrize('small', ['left_big_toe', 'right_heel', 'face-0', 'left_thumb2', 'right_pinky_finger4'])
def test_keypoints_of_feet_face_and_hands_are_discs_of_half_the_radius(small):
    keypoints, scores = person(WHOLE, nose=(30, 30), **{small: (90, 30)})
    picture = draw_openpose(np.zeros((60, 140, 3)), keypoints, scores, WHOLE, radius=8, opacity=0.5)
    widths = [int(picture[30, start : start + 60].any(-1).sum()) for start in (0, 60)]
    assert widths == [17, 9]
    assert picture[30, 30].tolist() == [128, 0, 0]


@pytest.mark.parametrize('spoil', ['score', 'first column', 'outside', 'nan', 'far'])
def test_a_link_needs_both_ends_in_the_image(spoil):
    keypoints, scores = person(COCO, left_shoulder=(40, 30), left_elbow=(100, 30))
    elbow = COCO.index('left_elbow')
    if spoil == 'score':
        scores[0, elbow] = 0.29
    else:
        keypoints[0, elbow] = {'first column': (0, 30), 'outside': (141, 30), 'nan': np.nan, 'far': (1e12, 30)}[spoil]
    picture = draw_openpose(np.zeros((60, 140, 3)), keypoints, scores, COCO, radius=2)
    assert not picture[30, 50:90].any() and not picture[30, 5:35].any() and picture[30, 40].any()


def test_people_are_drawn_over_each_other_in_colour():
    image = np.full((60, 140, 3), 200, np.uint8)
    one, score = person(COCO, left_shoulder=(40, 30), left_elbow=(100, 30))
    two, other = person(COCO, left_shoulder=(70, 5), left_elbow=(70, 55))
    together = draw_openpose(image, np.concatenate([one, two]), np.concatenate([score, other]), COCO)
    for points, values in ((one, score), (two, other)):
        alone = draw_openpose(image, points, values, COCO)
        assert ((alone > 0).any(-1) <= (together > 0).any(-1)).all()
    assert not draw_openpose(image, np.zeros((0, 17, 2)), np.zeros((0, 17)), COCO).any()
    assert (image == 200).all()


def test_a_skeleton_without_the_body_is_refused():
    hand = get_skeleton(dict(name='hand', keypoints=['thumb', 'wrist'], flip=False))
    with pytest.raises(ValueError, match='has no nose'):
        draw_openpose(np.zeros((9, 9, 3)), np.zeros((1, 2, 2)), np.zeros((1, 2)), hand)


def test_the_style_can_be_chosen_with_its_sizes():
    keypoints, scores = person(COCO, left_shoulder=(40, 30), left_elbow=(100, 30))
    image = np.full((60, 140, 3), 90, np.uint8)
    picture = draw_people(image, keypoints, scores, COCO, style='openpose', radius=2, thickness=6)
    np.testing.assert_array_equal(picture, draw_openpose(image, keypoints, scores, COCO, radius=2, thickness=6))
    boxed = draw_people(
        image, keypoints, scores, COCO, style='openpose', boxes=np.array([[5, 5, 130, 50]]), show_boxes=True
    )
    assert (boxed[5, 5:130] == 255).all()


def test_faces_and_hands_are_cropped_and_enlarged():
    rng = np.random.default_rng(0)
    keypoints, scores = np.zeros((2, 133, 2)), np.zeros((2, 133))
    face = WHOLE.groups['face']
    keypoints[0, face] = rng.uniform((50, 20), (70, 45), (68, 2))
    scores[0, face] = 1
    image = np.zeros((100, 120, 3), np.uint8)
    image[20:46, 50:71] = (0, 0, 200)
    sheet = draw_part(image, keypoints, scores, WHOLE, 'face', side=256, radius=2)
    assert max(sheet.shape[:2]) == 256 and sheet.shape[2] == 3
    assert (sheet == (0, 0, 200)).all(-1).mean() > 0.4, 'the face fills the tile'
    assert (sheet == WHOLE.colors[face[0]]).all(-1).sum() > 68
    x1, y1, x2, y2 = part_box(keypoints[0], scores[0], face, image.shape, 0.3)
    assert x1 < 50 < 70 < x2 and y1 < 21 < 44 < y2 and x2 - x1 < 35
    assert draw_part(image, keypoints, scores, WHOLE, 'hand') is None
    assert part_box(keypoints[1], scores[1], face, image.shape, 0.3) is None
    with pytest.raises(ValueError, match="no group 'face'"):
        draw_part(image, np.zeros((1, 17, 2)), np.zeros((1, 17)), COCO, 'face')
    with pytest.raises(ValueError, match="part='foot'"):
        draw_part(image, keypoints, scores, WHOLE, 'foot')


def test_numbers_are_written_where_there_is_room():
    keypoints, scores = person(COCO, left_shoulder=(40, 30), left_elbow=(138, 1))
    image = np.full((60, 140, 3), 90, np.uint8)
    plain = draw_people(image, keypoints, scores, COCO)
    numbered = draw_people(image, keypoints, scores, COCO, show_indices=True)
    changed = (plain != numbered).any(-1)
    assert changed[19:30, 43:50].any() and not changed[40:].any()
    tracked = draw_people(image, keypoints, scores, COCO, boxes=np.array([[10, 35, 90, 55.0]]), ids=np.array([7]))
    assert (tracked != plain).any(-1)[37:48, 12:25].any()
