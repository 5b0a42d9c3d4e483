"""Alpha of people, cuts by the border, and what is pasted in front of people and behind them."""

import cv2
import numpy as np
import pytest
from PIL import Image

from sapiens.datasets.transforms import (
    BadImage,
    CutByBorder,
    HoldObjects,
    LoadMatte,
    LoadPerson,
    PasteObjects,
    PastePeople,
    RandomBackground,
)

from .helpers import smooth_image

SIZE = (60, 80)  # (w, h)


@pytest.fixture
def people(tmp_path):
    """Two people to paste, red with class 3, of full alpha in a box."""
    for folder in ('rgb', 'alpha', 'seg'):
        (tmp_path / 'people' / folder).mkdir(parents=True)
    for index in range(2):
        alpha = np.zeros((50, 40), np.uint8)
        alpha[5:45, 10:30] = 255
        colors = np.full((50, 40, 3), 20, np.uint8)
        colors[alpha > 0] = 250, 0, 0
        Image.fromarray(colors).save(tmp_path / f'people/rgb/{index}.png')
        Image.fromarray(alpha).save(tmp_path / f'people/alpha/{index}.png')
        Image.fromarray(np.where(alpha > 0, 3, 0).astype(np.uint8)).save(tmp_path / f'people/seg/{index}.png')
    return tmp_path / 'people'


@pytest.fixture
def photographs(tmp_path):
    (tmp_path / 'photographs').mkdir()
    for index in range(3):
        noise = np.random.default_rng(index).integers(0, 255, (90, 120, 3)).astype(np.uint8)
        Image.fromarray(noise).save(tmp_path / f'photographs/{index}.png')
    return tmp_path / 'photographs'


def crop():
    """A crop with a person in the middle: alpha, classes, depth, keypoints on a grid."""
    alpha = np.zeros(SIZE[::-1], np.float32)
    alpha[20:60, 20:40] = 1
    grid = np.stack(np.meshgrid([22.0, 30, 38], [22.0, 40, 58]), -1).reshape(1, -1, 2).astype(np.float32)
    return dict(
        img=smooth_image(*SIZE),
        gt_alpha=alpha,
        transformed_keypoints=grid,
        transformed_visible=np.ones((1, 9), np.float32),
    )


def dense():
    results = crop()
    person = results['gt_alpha'] > 0
    return dict(
        img=results['img'],
        gt_alpha=results['gt_alpha'],
        gt_mask=person.copy(),
        gt_sem_seg=np.where(person, 5, 0).astype(np.uint8),
        valid_mask=np.ones(SIZE[::-1], bool),
    )


def many(transform, make, number=30):
    for seed in range(number):
        np.random.seed(seed)
        before = make()
        copies = {key: np.array(value) for key, value in before.items()}
        after = transform(dict(before))
        for key, value in before.items():
            assert np.array_equal(value, copies[key]), f'{key} of the given sample was written to'
        yield before, after


def test_seeds_decide(people, photographs):
    for transform in (PastePeople(str(people), prob=0.5), PasteObjects(str(photographs), prob=0.5)):
        images, ends = [], []
        for _ in range(2):
            np.random.seed(5)
            images.append([transform(crop())['img'] for _ in range(6)])
            ends.append(np.random.random())
        assert np.array_equal(images[0], images[1]) and ends[0] == ends[1]
        assert len({image.tobytes() for image in images[0]}) > 1


def test_behind_a_person_nothing_of_the_person_changes(people, photographs):
    changed = 0
    for transform in (
        PastePeople(str(people), prob=1.0, front=0.0),
        PasteObjects(str(photographs), prob=1.0, front=0.0),
    ):
        for before, after in many(transform, crop):
            inside = before['gt_alpha'] == 1
            assert np.array_equal(after['img'][inside], before['img'][inside])
            assert np.array_equal(after['gt_alpha'], before['gt_alpha'])
            assert np.array_equal(after['transformed_visible'], before['transformed_visible'])
            changed += (after['img'] != before['img']).any(-1).sum()
    assert changed > 5000


def test_in_front_labels_follow_what_is_covered(people):
    covered = 0
    for before, after in many(PastePeople(str(people), prob=1.0, front=1.0, least=1), crop):
        moved = (after['img'] == (250, 0, 0)).all(-1)
        assert (after['gt_alpha'][moved] == 0).all() and (after['gt_alpha'] <= before['gt_alpha']).all()
        same = (after['img'] == before['img']).all(-1)
        assert np.array_equal(after['gt_alpha'][same & ~moved], before['gt_alpha'][same & ~moved])
        at = np.rint(before['transformed_keypoints'][0]).astype(int)
        hidden = moved[at[:, 1], at[:, 0]]
        assert (after['transformed_visible'][0][hidden] == 0).all() and after['transformed_visible'].sum() >= 1
        assert (after['transformed_visible'][0][same[at[:, 1], at[:, 0]]] == 1).all()
        covered += hidden.sum()
    assert covered > 10
    kept = PastePeople(str(people), prob=1.0, front=1.0, covered=0.5, least=1)
    weights = np.unique(np.concatenate([after['transformed_visible'] for _, after in many(kept, crop)]))
    assert {0.5, 1.0} <= set(weights.tolist()) <= {0.25, 0.5, 1.0}


def test_objects_are_held_by_the_hands_that_show(photographs):
    """They lie over a labeled wrist, whose label they do not take away, and nowhere without one."""

    def sample(*labeled):
        results = crop()
        results['transformed_visible'][0] = 0
        results['transformed_visible'][0, list(labeled)] = 1
        return results

    held = HoldObjects(str(photographs), prob=1.0, most=1, height=(0.2, 0.2), front=1.0, hands=(2, 7))
    for hand, other in ((2, 7), (7, 2)):
        over = 0
        for before, after in many(held, lambda hand=hand: sample(hand, 0)):
            changed = (after['img'] != before['img']).any(-1)
            x, y = np.rint(before['transformed_keypoints'][0]).astype(int).T
            over += changed[y[hand], x[hand]]
            rows, columns = np.nonzero(changed)
            assert abs(rows - y[hand]).max() <= 0.9 * 16 + 1 and abs(columns - x[hand]).max() <= 0.9 * 16 + 1
            assert not changed[y[other], x[other]]
            assert np.array_equal(after['transformed_visible'], before['transformed_visible'])
        assert over > 20
    for before, after in many(held, lambda: sample(0, 4)):
        assert np.array_equal(after['img'], before['img'])


def test_least_keypoints_stay(people):
    for _, after in many(PastePeople(str(people), prob=1.0, front=1.0, height=(1.0, 1.5), least=8), crop):
        assert after['transformed_visible'].sum() >= 8


@pytest.mark.parametrize('front', [0.0, 1.0])
def test_classes_are_those_of_the_pasted_people(people, front):
    for before, after in many(PastePeople(str(people), prob=1.0, front=front, labels='seg'), dense):
        moved = (after['img'] == (250, 0, 0)).all(-1)
        assert (after['gt_sem_seg'][moved] == 3).all() and after['valid_mask'].all()
        assert (after['gt_mask'] <= before['gt_mask']).all() and (
            after['gt_mask'][moved & before['gt_mask']] == 0
        ).all()
        same = (after['img'] == before['img']).all(-1) & ~moved
        assert np.array_equal(after['gt_sem_seg'][same], before['gt_sem_seg'][same])


def test_people_without_labels_are_not_valid_and_objects_are_background(people, photographs):
    for _, after in many(PastePeople(str(people), prob=1.0, front=1.0), dense):
        moved = (after['img'] == (250, 0, 0)).all(-1)
        assert not after['valid_mask'][moved].any()
    covered = 0
    for before, after in many(PasteObjects(str(photographs), prob=1.0, front=1.0), dense):
        gone = (before['gt_sem_seg'] == 5) & (after['gt_sem_seg'] == 0)
        assert after['valid_mask'].all()
        assert not gone.any() or (after['img'][gone] != before['img'][gone]).any(-1).mean() > 0.9
        covered += gone.sum()
    assert covered > 500


def test_depth_is_not_valid_where_people_are_covered(photographs):
    def make():
        results = dense()
        del results['gt_sem_seg']
        return dict(results, gt_depth=np.full(SIZE[::-1], 2, np.float32), valid_mask=results['gt_mask'].copy())

    for front in (0.0, 1.0):
        lost = 0
        for before, after in many(PasteObjects(str(photographs), prob=1.0, front=front), make):
            assert (after['valid_mask'] <= before['valid_mask']).all()
            assert (after['valid_mask'] <= after['gt_mask']).all()
            lost += (before['valid_mask'] & ~after['valid_mask']).sum()
        assert (lost > 500) == (front == 1.0)


def test_mirrored_classes_swap_sides(people):
    table = np.arange(256, dtype=np.uint8)
    table[3], table[4] = 4, 3
    paste = PastePeople(str(people), prob=1.0, front=1.0, labels='seg')
    seen = {
        int(value)
        for _, after in many(paste, lambda: dict(dense(), flip_table=table))
        for value in np.unique(after['gt_sem_seg'])
    }
    assert seen == {0, 3, 4, 5}


def test_samples_that_would_get_wrong_labels_are_refused(people, tmp_path):
    with pytest.raises(ValueError, match='foreground'):
        PastePeople(str(people), prob=1.0)(dict(crop(), gt_foreground=np.zeros((80, 60, 3), np.float32)))
    with pytest.raises(ValueError, match="none of its images has alpha in 'mattes'"):
        PastePeople(str(people), mattes='mattes')
    with pytest.raises(FileNotFoundError, match='folder of people to paste'):
        PastePeople(str(tmp_path / 'nowhere'))


def test_nothing_is_pasted_outside_of_the_image(people, photographs):
    """The crop shows 20 columns of the image and black beside them."""

    def make():
        matrix = np.array([[1.0, 0, 0], [0, 1, 0]])
        return dict(crop(), warp_matrix=matrix, ori_shape=(80, 20), img=np.zeros((80, 60, 3), np.uint8))

    for transform in (PastePeople(str(people), prob=1.0), PasteObjects(str(photographs), prob=1.0)):
        images = np.stack([after['img'] for _, after in many(transform, make)])
        assert (images[:, :, 20:] == 0).all() and (images[:, :, :20] > 0).any()


def test_mattes_lie_beside_images(people, tmp_path):
    results = LoadMatte()(dict(img_path=str(people / 'rgb/0.png')))
    assert results['gt_alpha'].shape == (50, 40) and results['gt_alpha'].sum() == 800
    for path in (people / 'rgb/9.png', tmp_path / 'x.jpg'):
        with pytest.raises(BadImage, match='set optional=True'):
            LoadMatte()(dict(img_path=str(path)))
        assert 'gt_alpha' not in LoadMatte(optional=True)(dict(img_path=str(path)))


def person():
    alpha = np.zeros((80, 60), np.float32)
    alpha[10:70, 15:45] = 1
    points = np.stack(np.meshgrid([16.0, 30, 44], [11.0, 40, 69]), -1).reshape(1, -1, 2).astype(np.float32)
    return dict(
        img=np.full((80, 60, 3), 200, np.uint8),
        img_path='p',
        bbox=np.array([[15, 10, 44, 69]], np.float32),
        keypoints=points,
        keypoints_visible=np.ones((1, 9), np.float32),
        flip_indices=list(range(9)),
        gt_alpha=alpha,
    )


@pytest.mark.parametrize(('side', 'axis'), [(0, 0), (1, 1), (2, 0), (3, 1)])
def test_a_cut_person_ends_at_the_border(side, axis):
    sides = [float(index == side) for index in range(4)]
    for seed in range(10):
        np.random.seed(seed)
        results = CutByBorder(prob=1.0, sides=sides, least=1)(person())
        box, border = results['bbox'][0], results['image_border']
        line = border[axis + 2 * (side >= 2)]
        assert np.isfinite(border).sum() == 1 and line % 1 == 0.5
        other = 1 - axis
        assert box[other] == person()['bbox'][0][other] and box[2 + other] == person()['bbox'][0][2 + other]
        assert abs(box[axis + 2 * (side >= 2)] - line) == 0.5, 'the box ends at the last pixel that shows'
        share = (box[2 + axis] - box[axis] + 1) / (person()['bbox'][0][2 + axis] - person()['bbox'][0][axis] + 1)
        assert 0.33 <= share <= 0.93
        beyond = person()['keypoints'][0, :, axis] > line if side >= 2 else person()['keypoints'][0, :, axis] < line
        assert np.array_equal(results['keypoints_visible'][0] == 0, beyond)
        results.update(bbox_center=np.array([[29.5, 39.5]]), bbox_scale=np.array([[59.0, 79.0]]))
        shown = LoadPerson(size=SIZE)(results)
        rows = np.arange(80)[:, None] if axis else np.arange(60)[None]
        outside = np.broadcast_to(rows > line if side >= 2 else rows < line, (80, 60))
        assert (shown['img'][outside] == 0).all() and (shown['img'][~outside] > 150).all()
        assert shown['gt_alpha'][outside].max(initial=0) == 0 and shown['gt_alpha'].sum() > 100


def test_a_person_who_shows_too_little_is_not_cut():
    np.random.seed(0)
    results = CutByBorder(prob=1.0, kept=(0.35, 0.4), least=9)(person())
    assert 'image_border' not in results and np.array_equal(results['bbox'], person()['bbox'])


def test_alpha_moves_as_the_image(photographs):
    """A white person on black: the crop of the picture is the crop of its alpha."""
    results = person()
    results['img'] = (255 * results['gt_alpha'][..., None]).astype(np.uint8).repeat(3, -1)
    results.update(
        bbox_center=np.array([[28.0, 44.0]]), bbox_scale=np.array([[50.0, 60.0]]), bbox_rotation=np.array([25.0])
    )
    np.random.seed(1)
    shown = LoadPerson(size=(48, 64), flip_prob=1.0)(results)
    assert abs(shown['gt_alpha'] * 255 - shown['img'][..., 0]).max() < 9 and 0.1 < shown['gt_alpha'].mean() < 0.9
    with pytest.raises(BadImage, match='the alpha is 60 x 79'):
        LoadPerson(size=(48, 64))(dict(results, img=person()['img'], gt_alpha=np.zeros((79, 60), np.float32)))


def test_a_background_stays_inside_of_the_image(photographs):
    options = dict(prob=1.0, color_transfer=0.0, random_part=True, memory=64)
    for inside_only in (1.0, 0.0):
        np.random.seed(2)
        cut = CutByBorder(prob=1.0, sides=(0, 0, 0, 1), least=1)(person())
        line = cut['image_border'][3]
        cut.update(bbox_center=np.array([[30.0, 40.0]]), bbox_scale=np.array([[120.0, 160.0]]))
        shown = LoadPerson(size=(121, 161))(cut)
        before = shown['img'].copy()
        shown = RandomBackground(str(photographs), inside_only=inside_only, **options)(shown)
        center = cv2.transform(
            np.array([[[30.0, line]]]), np.linalg.inv(np.vstack([shown['warp_matrix'], [0, 0, 1]]))[:2]
        )
        assert center.shape == (1, 1, 2)
        inside = shown['gt_alpha'] == 1
        assert np.array_equal(shown['img'][inside], before[inside])
        far = shown['img'][140:]
        assert (far == 0).all() == (inside_only == 1)
        assert shown['img'][45:80, 35:40].std() > 5, 'the photograph shows beside the person'


def test_a_background_goes_beyond_the_image_with_a_probability(photographs):
    make = RandomBackground(str(photographs), prob=1.0, random_part=True, memory=64, inside_only=0.3)
    shown = person()
    shown.update(
        bbox_center=np.array([[30.0, 40.0]]), bbox_scale=np.array([[120.0, 160.0]]), bbox_rotation=np.zeros(1)
    )
    shown = LoadPerson(size=(120, 160))(shown)
    np.random.seed(0)
    black = [(make(dict(shown, img=shown['img'].copy()))['img'][:30] == 0).all() for _ in range(100)]
    assert 15 <= sum(black) <= 45
    # A person who is cut is at the border of the photograph.
    cut = dict(shown, image_border=np.array([-np.inf, -np.inf, np.inf, 70.5]))
    assert all((make(dict(cut, img=shown['img'].copy()))['img'][:30] == 0).all() for _ in range(10))
    with pytest.raises(ValueError, match='inside_only=1.5: expected a number from 0 to 1'):
        RandomBackground(str(photographs), inside_only=1.5)


def test_parts_of_photographs_are_kept_and_not_written_to(photographs):
    background = RandomBackground(str(photographs), prob=1.0, random_part=True, memory=64)
    np.random.seed(0)
    for _ in range(12):
        background(dict(person(), img_path='p'))['img'][:] = 0
    kept = background.backgrounds._kept
    assert {max(pixels.shape) for pixels in kept.values()} == {64} and min(
        pixels.std() for pixels in kept.values()
    ) > 5
    with pytest.raises(ValueError, match='memory=4'):
        RandomBackground(str(photographs), memory=4)
