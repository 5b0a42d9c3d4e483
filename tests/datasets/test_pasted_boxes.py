"""Boxes of people who are pasted, and of those whom pasted people and things cover."""

import json

import cv2
import numpy as np
import pytest

from sapiens.datasets.transforms import PackBoxes, PasteObjects, PastePeople

from .test_distractors import many, people, photographs  # noqa: F401 (fixtures)

WIDTH, HEIGHT = 90, 80
MATRIX = np.array([[-0.5, 0, 60], [0, 0.5, 4]])  # mirrored and at half the size
GREEN = 0, 250, 0


@pytest.fixture
def alone(people):  # noqa: F811
    """The people of the folder, listed: the first image shows one, the second one two."""
    images = [dict(id=index, file_name=f'rgb/{index}.png', width=40, height=50) for index in range(2)]
    boxes = [
        dict(id=number, image_id=image, bbox=[10, 5, 20, 40], category_id=1, area=800, iscrowd=0)
        for number, image in enumerate((0, 1, 1))
    ]
    content = dict(images=images, annotations=boxes, categories=[dict(id=1, name='person')])
    (people / 'people.json').write_text(json.dumps(content))
    return dict(root=str(people), ann_file='people.json', prob=1.0)


def sample(box=(30, 20, 50, 60)):
    """A green person of full alpha in a box of the input."""
    alpha = np.zeros((HEIGHT, WIDTH), np.float32)
    left, top, right, bottom = box
    alpha[top:bottom, left:right] = 1
    image = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)
    image[alpha > 0] = GREEN
    corners = cv2.transform(np.float64([[[left, top], [right, bottom]]]) - 0.5, cv2.invertAffineTransform(MATRIX))[0]
    original = np.concatenate([corners.min(0), corners.max(0)]) + 0.5
    return dict(
        img=image, gt_alpha=alpha, warp_matrix=MATRIX, ori_shape=(400, 400), img_shape=(HEIGHT, WIDTH),
        bbox=original[None].astype(np.float32), bbox_ignored=np.zeros(1, bool),
    )  # fmt: skip


def moved(results):
    """Boxes of a sample as the network gets them, in the order of the sample, and which of them are ignored."""
    packed = [
        PackBoxes(min_size=1, min_visible=0)(
            dict(results, bbox=box[None], bbox_ignored=results['bbox_ignored'][[index]])
        )
        for index, box in enumerate(results['bbox'])
    ]
    labels = [row['data_samples'].gt_instance_labels for row in packed]
    return [row.boxes[0, 0].numpy() for row in labels], [int(row.box_kinds[0, 0]) == 2 for row in labels]


def around(mask):
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])


def test_a_pasted_person_in_front_gets_the_box_of_its_pixels_and_hides_the_others(alone):
    kinds = set()
    for before, after in many(PastePeople(**alone, front=1.0, most=1, height=(0.2, 1.2)), sample, 60):
        red = after['img'][..., 0] > 175
        left = (after['img'] == GREEN).all(-1)
        boxes, ignored = moved(after)
        hidden = 1 - left.sum() / before['gt_alpha'].sum()
        if red.any():
            assert np.abs(boxes[-1] - around(red)).max() <= 1, 'the box of the pasted person'
            kinds.add(('pasted', ignored[-1]))
        if not red[before['gt_alpha'] > 0].any():
            assert np.array_equal(after['bbox'][0], before['bbox'][0]), 'a box that nothing covers moved'
        elif left.any():
            assert np.abs(boxes[0] - around(left)).max() <= 1.01
            assert abs(hidden - 0.75) < 0.1 or ignored[0] == (hidden > 0.75)
            kinds.add(('covered', ignored[0]))
        else:
            assert len(boxes) == 1, 'nothing shows of the first person'
            kinds.add(('gone', True))
    assert kinds == {('pasted', False), ('pasted', True), ('covered', False), ('covered', True), ('gone', True)}


def test_a_pasted_person_behind_gets_the_box_of_what_shows(alone):
    found = []
    for before, after in many(PastePeople(**alone, front=0.0, most=1, height=(0.3, 0.9)), sample, 60):
        assert np.array_equal(after['bbox'][0], before['bbox'][0]) and not after['bbox_ignored'][0]
        red = after['img'][..., 0] > 175
        assert not red[before['gt_alpha'] > 0].any()
        if red.any():
            boxes, ignored = moved(after)
            assert np.abs(boxes[1] - around(red)).max() <= 1
            found.append(ignored[1])
        else:
            assert len(after['bbox']) == 1
    assert 0 < sum(found) < len(found) / 2


def test_who_comes_later_covers_who_was_pasted_before(alone, photographs):  # noqa: F811
    """Of several people, alpha is that of all; objects cover pasted people too."""
    shrunk = 0
    for _, after in many(PastePeople(**alone, front=1.0, most=3), sample, 20):
        assert after['gt_alpha'].max() <= 1 + 1e-6
        shown = (after['img'][..., 0] > 175) | (after['img'] == GREEN).all(-1)
        assert (after['gt_alpha'][shown] > 0.5).all()
        np.random.seed(1)
        objects = PasteObjects(str(photographs), prob=1.0, front=1.0, height=(0.6, 0.9), most=1)
        covered = objects({**after, 'bbox': after['bbox'].copy()})
        for box, ignored in zip(*moved(covered), strict=True):
            assert ignored or (covered['gt_alpha'] > 0.5)[_pixels(box)].any(), 'a person of whom nothing shows'
        shrunk += len(covered['bbox']) < len(after['bbox']) or (covered['bbox'] != after['bbox']).any()
    assert shrunk > 5


def _pixels(box):
    left, top, right, bottom = np.rint(box).astype(int)
    return slice(top, bottom), slice(left, right)


def test_without_alpha_boxes_count_as_full(alone):
    def photograph():
        results = sample()
        del results['gt_alpha']
        return results

    seen = 0
    for before, after in many(PastePeople(**alone, front=0.0, most=1, height=(0.5, 1.2)), photograph):
        boxes, _ = moved(after)
        whole = moved(before)[0][0]
        left = (after['img'] == GREEN).all(-1)
        if left.any():
            assert np.abs(boxes[0] - around(left)).max() <= 1.01 and (boxes[0][:2] >= whole[:2] - 1e-4).all()
        seen += len(boxes) == 2
    assert seen > 10


def test_images_without_people_get_those_who_are_pasted(alone):
    def empty():
        results = sample()
        results.update(bbox=np.zeros((0, 4), np.float32), bbox_ignored=np.zeros(0, bool), img=results['img'] * 0)
        return dict(results, gt_alpha=results['gt_alpha'] * 0)

    counts = []
    for _, after in many(PastePeople(**alone, most=2), empty):
        assert (after['img'][..., 0] > 175).any() == bool(len(after['bbox']))
        counts.append(len(after['bbox']))
    assert set(counts) == {0, 1, 2}


def test_a_cut_out_is_one_person(alone, people):  # noqa: F811
    paste = PastePeople(**alone)
    assert [files[0] for files in paste.people.files] == [str(people / 'rgb/0.png')], 'the second image shows two'
    with pytest.raises(ValueError, match='each cut-out must be one person: give ann_file='):
        PastePeople(str(people), prob=1.0)(sample())
    (people / 'none.json').write_text(json.dumps(dict(images=[], annotations=[], categories=[])))
    with pytest.raises(ValueError, match="'none.json' has no image of one person there"):
        PastePeople(str(people), ann_file='none.json')
