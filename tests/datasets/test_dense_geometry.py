"""Moved labels equal the labels of a moved camera."""

import cv2
import numpy as np
import pytest

from sapiens.datasets.transforms import (
    BadImage,
    Letterbox,
    LoadDense,
    PhotometricDistortion,
    RandomAreaCrop,
    RandomCrop,
    RandomFlip,
    RandomResize,
    RandomRotate,
    Resize,
)
from sapiens.datasets.transforms.label_geometry import is_map
from sapiens.metainfo import get_classes
from sapiens.tasks import map_fields

from .helpers import encode, smooth_image
from .scenes import SPHERES, agree, intrinsics, render

SIZE = (150, 200)
TABLE = np.asarray(get_classes('goliath28').flip_table)


def load(steps, seed=0, size=SIZE, decode='exact', **options) -> dict:
    np.random.seed(seed)
    return LoadDense(steps=steps, decode=decode, **options)(dict(render(size), flip_table=TABLE))


def test_flip_is_the_mirrored_scene():
    flipped = load([RandomFlip(prob=1)])
    mirrored = SPHERES * [-1, 1, 1, 1, 1]
    mirrored[:, 4] = TABLE[mirrored[:, 4].astype(int)]
    assert mirrored[0, 4] == 14
    agree(flipped, render(SIZE, spheres=mirrored) | dict(img=render(SIZE)['img'][:, ::-1]))
    assert flipped['flip'] is True and flipped['rotation'] == 0
    assert np.allclose(flipped['intrinsics'], intrinsics(SIZE))


@pytest.mark.parametrize('degrees', [-50, 33, 180])
def test_rotation_is_a_rolled_camera(monkeypatch, degrees):
    monkeypatch.setattr(np.random, 'uniform', lambda low, high: degrees)
    turned = load([RandomRotate(180, prob=1)])
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    agree(turned, render(SIZE, turn=turn))
    assert turned['rotation'] == pytest.approx(degrees) and not turned['flip']
    assert np.allclose(turned['intrinsics'], intrinsics(SIZE), atol=1e-9)


def test_crop_moves_the_principal_point():
    cropped = load([RandomCrop((70, 90))], seed=3)
    x, y = -cropped['warp_matrix'][:, 2]
    assert (x, y) != (0, 0) and cropped['crop'] == (x, y, 70, 90) and cropped['img'].shape == (90, 70, 3)
    matrix = intrinsics(SIZE)
    matrix[:2, 2] -= x, y
    agree(cropped, render((70, 90), matrix))
    whole = render(SIZE)
    for key in ('img', 'gt_depth', 'gt_sem_seg'):
        assert np.array_equal(cropped[key], whole[key][int(y) : int(y) + 90, int(x) : int(x) + 70]), key


def test_the_box_that_is_seen():
    cropped = load([RandomCrop((70, 90)), Resize((33, 300)), RandomFlip(prob=1)], seed=3)
    assert cropped['crop'] == load([RandomCrop((70, 90))], seed=3)['crop']
    x, y, w, h = load([RandomCrop((70, 90)), RandomRotate(40, prob=1)], seed=3)['crop']
    assert x < cropped['crop'][0] and w > 70 and y >= 0 and y + h <= SIZE[1]


@pytest.mark.parametrize('size', [(171, 250), (96, 128), (200, 100)])
def test_resize_changes_the_focal_lengths(size):
    resized = load([Resize(size)])
    zoom = np.array(size) / SIZE
    matrix = intrinsics(SIZE)
    matrix[0, 0], matrix[1, 1] = matrix[0, 0] * zoom[0], matrix[1, 1] * zoom[1]
    matrix[:2, 2] = (matrix[:2, 2] + 0.5) * zoom - 0.5
    agree(resized, render(size, matrix, samples=3))


@pytest.mark.parametrize(('target', 'box'), [((300, 200), (75, 0, 150, 200)), ((90, 200), (0, 40, 90, 120))])
def test_letterbox_is_a_centered_resize(target, box):
    boxed = load([Letterbox(target)])
    x, y, w, h = box
    assert boxed['img'].shape == (*target[::-1], 3) and np.allclose(
        boxed['warp_matrix'][:, :2], np.eye(2) * w / SIZE[0]
    )
    resized = load([Resize((w, h))])
    for key in ('img', 'gt_depth', 'gt_normal', 'gt_sem_seg', 'valid_mask'):
        assert np.array_equal(boxed[key][y : y + h, x : x + w], resized[key]), key
    outside = np.ones(target[::-1], bool)
    outside[y : y + h, x : x + w] = False
    assert not boxed['valid_mask'][outside].any() and not boxed['img'][outside].any()
    assert (boxed['gt_sem_seg'][outside] == 255).all()
    matrix = resized['intrinsics'].copy()
    matrix[:2, 2] += x, y
    assert np.allclose(boxed['intrinsics'], matrix)


def test_crop_by_area_and_aspect():
    areas, aspects, whole = [], [], 0
    for seed in range(300):
        cropped = load([RandomAreaCrop(prob=0.5)], seed)
        w, h = cropped['img'].shape[1::-1]
        if (w, h) == SIZE:
            whole += 1
            continue
        areas.append(w * h / (SIZE[0] * SIZE[1]))
        aspects.append(w / h)
    assert 120 < whole < 180
    assert 0.39 < min(areas) < 0.45 and 0.9 < max(areas) <= 1
    assert 0.49 < min(aspects) < 0.6 and 1.2 < max(aspects) < 2.01
    shifted = load([RandomAreaCrop(area=(0.5, 0.5), aspect=(0.75, 0.75), prob=1)], seed=4)
    x, y, w, h = shifted['crop']
    assert np.array_equal(shifted['gt_depth'], render(SIZE)['gt_depth'][y : y + h, x : x + w])
    assert load([RandomAreaCrop(area=(1, 1), aspect=(5, 5), prob=1)])['img'].shape[1::-1] == SIZE


def test_resize_of_the_image_itself():
    sizes = [load([RandomResize(None, (0.5, 2.0), prob=0.4)], seed)['img'].shape[1::-1] for seed in range(60)]
    changed = [size for size in sizes if size != SIZE]
    assert 12 < len(changed) < 36
    assert all(abs(w / h - 0.75) < 0.02 and 74 <= w <= 300 for w, h in changed) and max(changed) > (250, 0)


@pytest.mark.parametrize('seed', range(6))
def test_all_of_it_is_one_camera(seed):
    steps = [
        RandomResize((240, 320), (0.4, 1.4)),
        RandomCrop((150, 190)),
        RandomRotate(60, prob=1),
        RandomFlip(prob=0.5),
        RandomResize((150, 190), (0.8, 1.2)),
    ]
    moved = load(steps, seed)
    turn = np.eye(3)
    c, s = np.cos(np.radians(moved['rotation'])), np.sin(np.radians(moved['rotation']))
    turn[:2, :2] = np.array([[c, -s], [s, c]]) @ np.diag([-1 if moved['flip'] else 1, 1])
    spheres = SPHERES.copy()
    if moved['flip']:
        spheres[:, 4] = TABLE[spheres[:, 4].astype(int)]
    matrix = moved['intrinsics']
    assert matrix[0, 0] > 0 and np.allclose(matrix[0, 0], matrix[1, 1], rtol=0.03) and abs(matrix[0, 1]) < 3
    wanted = render(moved['img'].shape[1::-1], matrix, turn, spheres)
    agree(moved, wanted | dict(img=moved['img']))


def test_nothing_moves_nothing():
    same = load(
        [RandomResize(SIZE, (1, 1)), RandomCrop(SIZE), Resize(SIZE), RandomRotate(10, prob=0), RandomFlip(prob=0)]
    )
    for key, value in render(SIZE).items():
        assert np.array_equal(same[key], value), key
    assert np.array_equal(same['warp_matrix'], np.eye(2, 3)) and same['crop'] == (0, 0, *SIZE)


def test_padding_is_not_valid():
    turned = load([RandomRotate(40, prob=1)], seed=1)
    beside = cv2.warpAffine(np.ones(SIZE[::-1], np.uint8), turned['warp_matrix'], SIZE, flags=cv2.INTER_NEAREST) == 0
    assert beside.any() and not turned['valid_mask'][beside].any() and not turned['gt_mask'][beside].any()
    assert (turned['gt_sem_seg'][beside] == 255).all() and not turned['img'][
        cv2.erode(beside.view(np.uint8), np.ones((3, 3))) > 0
    ].any()


def test_black_may_be_a_class():
    def turned(**without):
        results = dict(render(SIZE), flip_table=TABLE)
        results['valid_mask'] = np.ones(SIZE[::-1], bool)
        for key in without:
            del results[key]
        np.random.seed(1)
        return LoadDense([RandomRotate(40, prob=1, seg_padding=0)])(results)

    labels = turned(gt_depth=0, gt_normal=0)
    beside = cv2.warpAffine(np.ones(SIZE[::-1], np.uint8), labels['warp_matrix'], SIZE, flags=cv2.INTER_NEAREST) == 0
    assert (labels['gt_sem_seg'][beside] == 0).all() and labels['valid_mask'].all()
    assert not turned()['valid_mask'][beside].any()  # of depth nothing is known there


def test_a_reduced_and_upsampled_image_loses_detail_and_its_labels_do_not():
    steps = [RandomResize(SIZE, (0.25, 0.25)), Resize(SIZE)]
    image = np.random.default_rng(0).integers(0, 256, (200, 150, 3), dtype=np.uint8)
    results = LoadDense(steps)(dict(render(SIZE), img=image))
    assert results['img'].astype(float).std() < 0.5 * image.std()
    whole = render(SIZE)
    assert np.array_equal(results['gt_sem_seg'], whole['gt_sem_seg'])
    sharp = LoadDense(steps, antialias=False)(dict(render(SIZE), img=image))['img']
    small = cv2.resize(image, (37, 49))
    assert abs(sharp.astype(int) - cv2.resize(small, SIZE).astype(int)).mean() < 1.5


def test_reduction_averages():
    image = np.random.default_rng(0).integers(0, 256, (320, 240, 3), dtype=np.uint8)
    averaged, picked = (
        LoadDense([Resize((60, 80))], antialias=antialias)(dict(img=image, img_path=''))['img'].astype(float)
        for antialias in (True, False)
    )
    assert averaged.std() < 0.4 * picked.std() and abs(averaged.mean() - image.mean()) < 1


@pytest.mark.parametrize('decode', ['fast', 'exact'])
def test_files_are_read_where_they_are_seen(decode):
    image = smooth_image(640, 480)
    steps = [RandomResize((320, 240), (0.5, 1.5)), RandomCrop((160, 120)), RandomRotate(30), RandomFlip()]
    for seed in range(6):
        np.random.seed(seed)
        made = LoadDense(steps, decode=decode)(dict(img_path='x', img_bytes=encode(image, quality=97)))
        np.random.seed(seed)
        wanted = LoadDense(steps, decode='exact')(dict(img_path='x', img=image))
        assert made['img'].shape == wanted['img'].shape and np.array_equal(made['warp_matrix'], wanted['warp_matrix'])
        assert abs(made['img'].astype(int) - wanted['img']).mean() < 1.5


@pytest.mark.parametrize('decode', ['fast', 'exact'])
def test_colours_may_change_before_or_behind(decode):
    image, distort = smooth_image(64, 48), PhotometricDistortion(permute=False)
    for seed, steps in enumerate(
        [[Resize((200, 150))], [Resize((30, 24)), Resize((200, 150))], [RandomRotate(30, prob=1)]] * 3
    ):
        load_dense = LoadDense(steps, decode=decode)
        np.random.seed(seed)
        before = load_dense(distort(dict(img_path='x', img_bytes=encode(image, 'PNG'))))
        np.random.seed(seed)
        change = distort.draw()  # the same draws in the same order
        behind = change(load_dense(dict(img_path='x', img_bytes=encode(image, 'PNG')))['img']).astype(int)
        assert 'pixel_changes' not in before
        if decode == 'exact':
            assert np.array_equal(before['img'], behind)
        else:
            assert abs(before['img'] - behind).mean() < 2


def test_normals_of_linear_interpolation_are_unit_vectors():
    size = (301, 403)
    nearest, linear = (
        load([Resize(size)], interpolation={'gt_normal': name})['gt_normal'] for name in ('nearest', 'linear')
    )
    assert not np.array_equal(nearest, linear)
    length = np.linalg.norm(linear, axis=-1)
    assert np.abs(length[length > 0] - 1).max() < 1e-5


def test_a_step_by_itself_acts_at_once():
    alone = RandomFlip(prob=1)(dict(render(SIZE), flip_table=TABLE))
    assert np.array_equal(alone['gt_sem_seg'], TABLE[render(SIZE)['gt_sem_seg']][:, ::-1])


def test_labels_are_placed_as_in_mmseg():
    """The same seeds choose the same boxes, redrawn if one class fills them."""
    from mmseg.datasets.transforms import RandomCrop as Theirs

    labels = cv2.resize(np.random.default_rng(0).integers(0, 3, (5, 4)).astype(np.uint8), (400, 500), interpolation=0)
    changed = 0
    for seed in range(25):
        np.random.seed(seed)
        theirs = Theirs((150, 120), cat_max_ratio=0.75)(
            dict(img=labels.copy(), gt_seg_map=labels, seg_fields=['gt_seg_map'])
        )
        boxes = []
        for ratio in (0.75, 1.0):
            np.random.seed(seed)
            sample = dict(img=np.zeros((500, 400, 3), np.uint8), img_path='', gt_sem_seg=labels)
            boxes.append(LoadDense([RandomCrop((120, 150), cat_max_ratio=ratio)])(sample)['gt_sem_seg'])
        assert np.array_equal(boxes[0], theirs['gt_seg_map']), seed
        changed += not np.array_equal(*boxes)
    assert changed > 3


def test_sizes_and_angles_are_those_of_mmseg(monkeypatch):
    import mmcv

    from sapiens.datasets.transforms.view import fit_size

    for size, into in (((640, 480), (768, 1024)), ((333, 777), (700, 300)), ((300, 2000), (20, 10))):
        assert fit_size(size, into) == mmcv.rescale_size(size, into)
    image = smooth_image(120, 160)
    monkeypatch.setattr(np.random, 'uniform', lambda low, high: 25.0)
    ours = LoadDense([RandomRotate(45, prob=1)])(dict(img=image, img_path=''))['img'].astype(int)
    assert np.median(abs(ours - mmcv.imrotate(image, 25.0))) <= 1 and abs(ours - mmcv.imrotate(image, 25.0)).mean() < 1


def test_probabilities():
    count = {'flip': 0, 'rotation': 0}
    for seed in range(300):
        results = load([RandomRotate(45, prob=0.3), RandomFlip(prob=0.6)], seed, size=(12, 16))
        for key in count:
            count[key] += bool(results[key])
        assert -45 <= results['rotation'] <= 45
    assert abs(count['flip'] / 300 - 0.6) < 0.08 and abs(count['rotation'] / 300 - 0.3) < 0.08


def test_labels_without_geometry_are_an_error():
    results = render(SIZE)
    with pytest.raises(ValueError, match='flip_table'):
        LoadDense([RandomFlip(prob=1)])(dict(results))
    with pytest.raises(ValueError, match='gt_flow.*no task declares'):
        LoadDense([Resize((8, 8))])(dict(results, gt_flow=np.zeros(SIZE[::-1])))
    with pytest.raises(BadImage, match='gt_depth is 5 x 7, the upright image is 150 x 200'):
        LoadDense([Resize((8, 8))])(dict(results, gt_depth=np.zeros((7, 5), np.float32)))
    with pytest.raises(ValueError, match='cat_max_ratio=0.5.*gt_sem_seg'):
        LoadDense([RandomCrop((8, 8), cat_max_ratio=0.5)])(dict(img=results['img'], img_path=''))


def test_every_declared_field_is_a_map():
    for kind in ('sem_seg', 'depth', 'normal', 'pointmap', 'albedo', 'alpha', 'mask', 'instance'):
        assert kind in map_fields() and is_map(f'gt_{kind}')
    assert is_map('valid_mask') and not is_map('gt_flow') and not is_map('pred_depth')


@pytest.mark.parametrize(
    'make, text',
    [
        (lambda: Resize(8), 'size=8'),
        (lambda: Resize((8, 0)), r'size=\(8, 0\)'),
        (lambda: RandomResize((8, 8), (2, 1)), 'ratio'),
        (lambda: RandomCrop((8, 8), cat_max_ratio=0), 'cat_max_ratio=0'),
        (lambda: RandomRotate(0), 'degree=0'),
        (lambda: RandomRotate(10, prob=2), 'prob=2'),
        (lambda: RandomRotate(10, seg_padding=256), 'seg_padding=256'),
        (lambda: RandomFlip(-1), 'prob=-1'),
        (lambda: LoadDense([], decode='slow'), 'decode'),
        (lambda: LoadDense([dict(type='PackDense')]), 'PackDense'),
        (lambda: LoadDense([], interpolation={'gt_depth': 'cubic'}), 'cubic'),
        (lambda: LoadDense([], max_megapixels=0), 'max_megapixels'),
    ],
)
def test_wrong_arguments(make, text):
    with pytest.raises(ValueError, match=text):
        make()
