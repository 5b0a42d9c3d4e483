"""Legends below the pictures of results."""

import numpy as np
import pytest

from sapiens.apis.results import DepthResult, NormalResult, PoseResult, Saving, SegResult
from sapiens.apis.results.features import FeatureResult
from sapiens.apis.results.image_results import ImageResults
from sapiens.metainfo import get_classes, get_skeleton
from sapiens.metainfo.palettes import with_palette
from sapiens.visualization.legend import (
    NORMALS,
    Entry,
    class_entries,
    draw_entries,
    legend_height,
    skeleton_entries,
)

SIZE = (300, 400)  # h, w
IMAGE = np.full((*SIZE, 3), 90, np.uint8)


def seg(*labels):
    values = np.zeros(SIZE, np.uint8)
    for index, label in enumerate(labels):
        values[10 * index : 10 * index + 5] = label
    return SegResult(IMAGE, labels=values, classes=get_classes('goliath29'))


def people(name, drawn, score=1.0):
    skeleton = get_skeleton(name)
    scores = np.zeros((1, len(skeleton)), np.float32)
    scores[0, [skeleton.index(one) for one in drawn]] = score
    points = np.random.default_rng(0).uniform(20, 280, (1, len(skeleton), 2)).astype(np.float32)
    return PoseResult(IMAGE, keypoints=points, scores=scores, boxes=np.zeros((1, 4)), skeleton=skeleton)


def depth(relative=True):
    values = np.linspace(1.5, 4.5, SIZE[0] * SIZE[1], dtype=np.float32).reshape(SIZE)
    return DepthResult(IMAGE, depth=values, relative=relative)


def has(picture, color):
    return (picture == np.array(color, np.uint8)).all(-1).any()


def test_a_legend_is_below_the_picture_or_left_out():
    normal = NormalResult(IMAGE, normals=np.tile(np.float32([0, 0, -1]), (*SIZE, 1)))
    for result in (seg(3, 4), people('coco17', ['nose', 'left_eye']), depth(), depth(False), normal):
        plain, whole = result.picture(Saving(legend=False)), result.picture(Saving())
        assert plain.shape == IMAGE.shape and whole.shape[1] == SIZE[1]
        lines = (whole.shape[0] - SIZE[0]) / legend_height(SIZE)
        assert 0.9 < lines < 3, 'one line or two'
        np.testing.assert_array_equal(whole[: SIZE[0]], plain), 'nothing is covered'
        assert (whole[SIZE[0] :] == 255).all(-1).mean() > 0.5
        np.testing.assert_array_equal(result.frame_picture(Saving(depth_limits=(1, 5))).shape, IMAGE.shape)
    features = FeatureResult(IMAGE, features=np.random.default_rng(0).random((4, 8, 8)))
    assert features.picture(Saving()).shape == IMAGE.shape


def test_the_legend_of_parts_names_the_classes_that_are_there():
    result = seg(3, 4)
    colors = with_palette(result.classes, 'distinct').palette
    legend = result.picture(Saving())[SIZE[0] :]
    assert has(legend, colors[3]) and has(legend, colors[4]) and not has(legend, colors[5])
    published = result.picture(Saving(palette='published'))[SIZE[0] :]
    assert has(published, result.classes.palette[3]) and not has(published, colors[3])
    assert seg().picture(Saving()).shape == IMAGE.shape, 'nothing there, no legend'
    assert [entry.name for entry in class_entries('goliath29', [4, 3])] == ['Hair', 'Face_Neck']


@pytest.mark.parametrize('name, drawn, expected', [
    ('coco17', ['left_knee', 'left_ankle'], ['left']),
    ('coco17', ['left_knee', 'left_ankle', 'right_wrist', 'nose', 'left_eye'], ['left', 'right', 'head and trunk']),
    ('coco17', ['right_wrist'], ['right']),
    ('coco17', ['left_eye', 'left_ear', 'right_ear'], ['head and trunk']),
    ('coco17', ['left_shoulder', 'left_hip'], ['left', 'head and trunk']),
    ('wholebody133', ['left_hand_root', 'left_thumb1', 'left_pinky_finger1', 'face-3'], ['thumb', 'pinky', 'face']),
    ('goliath308', ['right_forefinger2', 'right_forefinger_third_joint'], ['forefinger']),
    ('goliath308', ['nose', 'tip_of_nose', 'tip_of_nose_bridge', 'r_center_of_iris', 'tip_of_chin', 'l_tip_of_ear_lobe'],
     ['head and trunk', 'right eye', 'brows, bridge of the nose, chin', 'nose', 'left ear']),
    ('coco17', [], []),
])  # fmt: skip
def test_the_legend_of_keypoints_names_what_is_drawn(name, drawn, expected):
    result = people(name, drawn)
    for palette, sides in (
        ('distinct', dict(left=(0, 150, 255), right=(255, 150, 0), **{'head and trunk': (200, 60, 125)})),
        ('published', dict(left=(0, 255, 0), right=(255, 128, 0), **{'head and trunk': (51, 153, 255)})),
    ):
        skeleton = with_palette(result.skeleton, palette)
        entries = {entry.name: entry for entry in skeleton_entries(skeleton, result.scores > 0)}
        assert set(entries) == set(expected)
        for side in set(sides) & set(expected):
            assert entries[side].color == sides[side]
            assert has(result.picture(Saving(palette=palette))[SIZE[0] :], sides[side])


@pytest.mark.parametrize('name, drawn, expected', [
    ('goliath308', ['right_heel'], dict(right=(51, 153, 255))),
    ('goliath308', ['right_heel', 'right_big_toe', 'right_ankle'], dict(right=(255, 128, 0))),
    ('goliath308', ['left_shoulder', 'left_hip'], {'head and trunk': (51, 153, 255)}),
    ('goliath308', ['left_heel', 'left_ankle', 'right_olecranon'], dict(left=(0, 255, 0), right=(51, 153, 255))),
    ('wholebody133', ['left_heel', 'left_ankle'], dict(left=(0, 255, 0))),
    ('wholebody133', ['left_heel'], dict(left=(255, 128, 0))),
])  # fmt: skip
def test_published_colors_that_contradict_the_side_of_a_keypoint(name, drawn, expected):
    """All keypoints of the body have one color in 308 keypoints, those of both feet in 133."""
    skeleton = get_skeleton(name)
    entries = skeleton_entries(skeleton, np.isin(skeleton.keypoints, drawn))
    assert {entry.name: entry.color for entry in entries} == expected
    assert not any(entry.others for entry in entries)


def test_links_of_the_legend_are_those_of_the_picture():
    skeleton = with_palette(get_skeleton('coco17'), 'distinct')
    knee, ankle = skeleton.index('left_knee'), skeleton.index('left_ankle')
    drawn = np.zeros((2, 17), bool)
    drawn[0, knee] = drawn[1, ankle] = True
    assert [entry.kind for entry in skeleton_entries(skeleton, drawn)] == ['point'], 'ends of two people'
    drawn[0, ankle] = True
    assert [entry.kind for entry in skeleton_entries(skeleton, drawn)] == ['dashed']
    drawn[0] = True
    assert [entry.kind for entry in skeleton_entries(skeleton, drawn)] == ['dashed', 'line', 'line']
    outside = people('coco17', ['left_knee', 'left_ankle'])
    outside.keypoints[...] = -40
    assert outside.picture(Saving()).shape == IMAGE.shape, 'nothing is drawn, nothing to explain'


def test_the_legend_of_308_keypoints_explains_the_groups():
    skeleton = with_palette(get_skeleton('goliath308'), 'distinct')
    entries = skeleton_entries(skeleton, np.ones((1, 308), bool))
    assert [(entry.heading, entry.name) for entry in entries] == [
        ('body and feet', 'left'),
        ('', 'right'),
        ('', 'head and trunk'),
        ('hands', 'thumb'),
        ('', 'forefinger'),
        ('', 'middle finger'),
        ('', 'ring finger'),
        ('', 'pinky'),
        ('face', 'left eye'),
        ('', 'right eye'),
        ('', 'brows, bridge of the nose, chin'),
        ('', 'nose'),
        ('', 'lips'),
        ('', 'left ear'),
        ('', 'right ear'),
    ]
    explained = [color for entry in entries for color in (entry.color, *entry.others)]
    assert len(set(explained)) == len(explained), 'a color has one meaning'
    assert set(explained) == {tuple(color) for color in [*skeleton.colors.tolist(), *skeleton.link_colors.tolist()]}
    legend = draw_entries(entries, 900, 30)
    assert all(has(legend, color) for color in explained)
    right = [index in skeleton.groups['right_hand'] for index in range(308)]
    assert [entry.name for entry in skeleton_entries(skeleton, right)] == [entry.name for entry in entries[3:8]]
    body = [index in (*skeleton.groups['right_hand'], *skeleton.groups['body']) for index in range(308)]
    assert [entry.heading for entry in skeleton_entries(skeleton, body) if entry.heading] == ['body', 'right hand']


def test_weak_keypoints_and_the_style_of_openpose_have_no_legend():
    assert people('coco17', ['left_knee'], score=0.2).picture(Saving()).shape == IMAGE.shape
    assert people('coco17', ['left_knee']).picture(Saving(style='openpose')).shape == IMAGE.shape


def test_depth_tells_which_end_is_near():
    """Bright is near, in the picture and at the right end of the bar."""
    result = depth()
    picture = result.picture(Saving())
    bar, line = picture[SIZE[0] + 2].astype(int).sum(-1), legend_height(SIZE)
    assert bar[-1] > 500 > 50 > bar[0]
    assert picture[0, 0].sum() > picture[SIZE[0] - 1, -1].sum(), 'the first pixel is the nearest'
    texts = picture[-line:].min(-1) < 128
    assert texts[:, :60].any() and texts[:, -60:].any() and not texts[:, 80:-80].any()
    meters = depth(False).picture(Saving())[-line:].min(-1) < 128
    assert meters.sum() > 1.5 * texts.sum(), 'with the distances'


def test_the_legend_of_normals_has_the_colors_of_the_axes():
    directions = dict(
        [('to the right', (1, 0, 0)), ('up', (0, -1, 0)), ('to the camera', (0, 0, -1)), ('down', (0, 1, 0))]
    )
    for entry in NORMALS:
        if entry.name in directions:
            normals = np.tile(np.float32(directions[entry.name]), (*SIZE, 1))
            picture = NormalResult(IMAGE, normals=normals).picture(Saving())
            assert (picture[0, 0] == entry.color).all() and has(picture[SIZE[0] :], entry.color)


def test_entries_fill_lines_and_long_names_are_cut():
    entries = [Entry(f'class {index}', (10 * index, 5, 250)) for index in range(12)]
    for width in (60, 200, 2000):
        legend = draw_entries(entries, width, 20)
        assert legend.shape[1] == width and legend.shape[0] % 20 == 0
        assert all(has(legend, entry.color) for entry in entries)
    assert draw_entries(entries, 2000, 20).shape[0] == 20 and draw_entries([], 100).shape == (0, 100, 3)


def test_a_figure_of_several_tasks_has_tiles_of_one_size():
    results = ImageResults(dict(seg=seg(*range(1, 20)), depth=depth()))
    figure = results.draw(side=200)
    top = figure[:40].min(-1)
    assert figure.shape[1] == 3 * 200 + 8
    starts = [np.flatnonzero((figure[:, x] != 255).any(-1)) for x in (190, 394, 598)]
    assert len({int(rows[0]) for rows in starts}) == 1, 'the images begin in one line'
    for x in (190, 394, 598):
        assert (figure[20 : 20 + 140, x] != 255).any(-1).all(), 'each is 150 pixels high, whatever is below'
    assert (top[:14] < 128).any(), 'with its name above'
