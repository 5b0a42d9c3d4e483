"""Pictures of all sizes look alike: what is drawn grows with the picture."""

import cv2
import numpy as np
import pytest

from sapiens.metainfo import get_skeleton
from sapiens.visualization import draw_people
from sapiens.visualization.legend import legend_height
from sapiens.visualization.point_labels import Labels

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
    inked = (np.abs(small - background).max(-1) > 40).mean(), (np.abs(large - background).max(-1) > 40).mean()
    assert inked[1] == pytest.approx(inked[0], rel=0.08), 'the same share of the picture is drawn on'
    blurred = [cv2.blur(one, (9, 9)) for one in (small, large)]
    difference, drawn = np.abs(blurred[0] - blurred[1]).mean(), np.abs(blurred[1] - background).mean()
    assert difference < 0.25 * drawn


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
