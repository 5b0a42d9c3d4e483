"""Pictures of all sizes look alike: what is drawn grows with the picture."""

import cv2
import numpy as np
import pytest

from sapiens.apis.results import DepthResult, NormalResult, SegResult
from sapiens.apis.results.saving import Saving
from sapiens.metainfo import get_classes, get_skeleton
from sapiens.visualization import draw_people
from sapiens.visualization.legend import legend_height
from sapiens.visualization.point_labels import Labels
from sapiens.visualization.pose import draw_box

WHOLE = get_skeleton('wholebody133')
SMALL, LARGE = 640, 3840


def scene(side, **options):
    """Two people on white in a picture whose shorter side is ``side``, resized to the smaller of both sizes."""
    rng, unit = np.random.default_rng(3), side / 640
    centers = np.array([[[200.0, 420]], [[450, 460]]])
    points = centers + rng.normal(0, 1, (2, len(WHOLE), 2)) * (70, 150)
    for group in ('face', 'left_hand', 'right_hand'):
        ids = WHOLE.groups[group]
        points[:, ids] = points[:, ids[:1]] + rng.normal(0, 14, (2, len(ids), 2))
    points = np.clip(points, 8, (632, 844))
    boxes = np.concatenate([points.min(1) - 4, points.max(1) + 4], 1)
    image = np.full((side * 852 // 640, side, 3), 255, np.uint8)
    picture = draw_people(
        image,
        points * unit,
        np.ones(points.shape[:2]),
        WHOLE,
        boxes=boxes * unit,
        ids=np.arange(2),
        show_boxes=True,
        **options,
    )
    return cv2.resize(picture, (SMALL, SMALL * 852 // 640), interpolation=cv2.INTER_AREA).astype(float)


@pytest.mark.parametrize('style', ['default', 'openpose'])
def test_a_picture_of_4k_looks_like_a_small_one(style):
    small, large = scene(SMALL, style=style), scene(LARGE, style=style)
    background = 255 if style == 'default' else 0
    ink = [np.abs(picture - background).mean() for picture in (small, large)]
    assert ink[0] == pytest.approx(ink[1], rel=0.03 if style == 'default' else 0.08), 'as much is drawn'
    blurred = [cv2.blur(one, (9, 9)) for one in (small, large)]
    difference, drawn = np.abs(blurred[0] - blurred[1]).mean(), np.abs(blurred[1] - background).mean()
    assert difference < 0.25 * drawn


@pytest.mark.parametrize('task', ['seg', 'depth', 'normal'])
def test_dense_results_of_4k_look_like_small_ones(task):
    pictures = []
    for side in (SMALL, LARGE):
        height = side * 852 // 640
        y, x = np.mgrid[:height, :side].astype(np.float32) / side
        image = np.full((height, side, 3), 90, np.uint8)
        person = np.hypot((x - 0.5) / 0.3, (y - 0.7) / 0.5) < 1
        if task == 'seg':
            labels = np.where(person, 1 + (5 * y).astype(int), 0)
            result = SegResult(image, labels=labels, classes=get_classes('goliath29'))
        elif task == 'depth':
            result = DepthResult(image, depth=x + y, relative=False, mask=person)
        else:
            normals = np.dstack([x - 0.5, y - 0.5, -np.ones_like(x)])
            result = NormalResult(image, normals=normals, mask=person)
        picture = result.picture(Saving())
        pictures.append(cv2.resize(picture, None, fx=SMALL / side, fy=SMALL / side, interpolation=cv2.INTER_AREA))
    small, large = pictures
    assert len(small) > 852 + 20, 'there is a legend'
    assert len(small) == pytest.approx(len(large), abs=3), 'of as many lines'
    assert np.abs(cv2.blur(small[:852], (9, 9)) - cv2.blur(large[:852], (9, 9)).astype(float)).mean() < 2
    assert np.sum(255.0 - small[852:]) == pytest.approx(np.sum(255.0 - large[852:]), rel=0.15)


def test_lines_of_boxes_are_a_share_of_the_picture():
    pictures = {}
    for side in (360, SMALL, 1280, LARGE):
        picture = np.full((side, side, 3), 128, np.uint8)
        draw_box(picture, (np.array([100.3, 60, 400, 550]) + 0.5) * side / SMALL - 0.5)
        pictures[side] = cv2.resize(picture, (SMALL, SMALL), interpolation=cv2.INTER_AREA).astype(float) - 128
    for side in (SMALL, 1280):
        assert np.abs(pictures[side] - pictures[LARGE]).mean() < 0.1 * np.abs(pictures[LARGE]).mean(), side
    assert -np.minimum(pictures[360], 0).sum() > -1.3 * np.minimum(pictures[LARGE], 0).sum(), (
        'a rim has at least a pixel'
    )


def test_a_box_over_the_border_is_drawn_as_in_a_larger_picture():
    box, large = np.array([-3.5, 10, 40, 205]), np.full((300, 300, 3), 128, np.uint8)
    draw_box(large, box + 50)
    small = np.full((300, 300, 3), 128, np.uint8)
    draw_box(small, box)
    np.testing.assert_array_equal(small[:200, :200], large[50:250, 50:250])
    for hostile in ([-1e9, -1e9, 1e9, 1e9], [400, 400, 500, 500], [20, 20, 20, 20]):
        draw_box(small, np.array(hostile, float))


def test_legends_of_wide_pictures_can_be_read_on_a_phone():
    for height, width in ((1000, 665), (1080, 1920), (2160, 3840), (600, 2000)):
        assert legend_height((height, width)) * 390 / width >= 13, 'pixels of a line where the picture has 390'
    assert legend_height((1200, 900)) == 38, 'by the shorter side'


def test_boxes_and_texts_show_on_white_and_on_black():
    for level in (0, 255):
        image = np.full((300, 300, 3), level, np.uint8)
        picture = draw_people(
            image, np.full((1, 133, 2), np.nan), np.ones((1, 133)), WHOLE,
            boxes=np.array([[100, 100, 200, 200.0]]), ids=[7], show_boxes=True,
        )  # fmt: skip
        edge, text = picture[95:106, 150], picture[104:118, 102:116]
        for part in (edge, text):
            assert part.min() < 60 and part.max() > 195, 'light lines with a dark rim'


def test_indices_do_not_cover_each_other():
    canvas = np.zeros((400, 300, 3), np.uint8)
    labels = Labels(canvas)
    points = np.random.default_rng(0).uniform(100, 200, (60, 2))
    placed = [labels.add(str(index), point) for index, point in enumerate(points)]
    assert 20 < sum(placed) < 60, 'a crowd of points has no place for all'
    boxes = labels.taken
    assert len(boxes) == sum(placed)
    for index, (left, top, right, bottom) in enumerate(boxes):
        assert min(left, top) >= 0 and right <= 300 and bottom <= 400
        for other in boxes[:index]:
            assert left >= other[2] or right <= other[0] or top >= other[3] or bottom <= other[1]


def test_a_text_in_the_corner_goes_inwards():
    labels = Labels(np.zeros((60, 60, 3), np.uint8))
    assert labels.add('12', np.array([59.0, 0.0]))
    assert labels.canvas.any()
    assert not Labels(np.zeros((4, 4, 3), np.uint8)).add('12', np.array([1.0, 1.0])), 'no place at all'
