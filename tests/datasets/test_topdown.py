import cv2
import numpy as np
import pytest
import torch
from mmpose.structures import PoseDataSample

from sapiens.datasets.transforms import LoadPerson, PackPose, Rejected
from sapiens.metainfo import get_skeleton
from sapiens.models.codecs.udp_heatmap import UDPHeatmap
from sapiens.registry import TRANSFORMS
from sapiens.utils.crop import crop_matrix, fit_aspect, transform_points

from .helpers import encode, photographs, smooth_image

FLIP = get_skeleton('coco17').flip_indices.tolist()
# The published pipeline without its changes of color, which have tests of their own.
GEOMETRY = [
    dict(type='mmpose.GetBBoxCenterScale', padding=1.25),
    dict(type='mmpose.RandomHalfBody', prob=0.3),
    dict(type='mmpose.RandomBBoxTransform'),
]


def sample(image, box=(30, 20, 90, 110), keypoints=17, **changes) -> dict:
    rng = np.random.default_rng(0)
    points = rng.uniform(box[:2], box[2:], (1, keypoints, 2)).astype(np.float32)
    return (
        dict(
            dict(img=image) if isinstance(image, np.ndarray) else dict(img_bytes=image),
            img_path='memory',
            id=7,
            sample_idx=0,
            bbox=np.array([box], np.float32),
            bbox_score=np.ones(1, np.float32),
            keypoints=points,
            keypoints_visible=np.ones((1, keypoints), np.float32),
            flip_indices=FLIP,
            upper_body_ids=get_skeleton('coco17').upper.tolist(),
            lower_body_ids=get_skeleton('coco17').lower.tolist(),
        )
        | changes
    )


def run(steps, results):
    for step in steps:
        results = (TRANSFORMS.build(step) if isinstance(step, dict) else step)(results)
    return results


def mmpose_crop(image, results, size, flip=False):
    """Output of mmpose's RandomFlip and TopdownAffine for the same box."""
    from mmpose.datasets.transforms import RandomFlip, TopdownAffine

    given = dict(results, img=image, img_shape=image.shape[:2])
    given = {key: value.copy() if isinstance(value, np.ndarray) else value for key, value in given.items()}
    if flip:
        given = RandomFlip(prob=1.0)(given)
    return TopdownAffine(size, use_udp=True)(given)


def test_the_published_matrix():
    # Measured by running the published code.
    matrix = crop_matrix(np.array([300, 400]), np.array([450, 600]), 30, (768, 1024))
    expected = [
        [1.4760922193527222, -0.852222204208374, 281.56121826171875],
        [0.8525000214576721, 1.4765733480453491, -334.87933349609375],
    ]
    assert np.array_equal(matrix, np.float64(expected))


def test_a_mirrored_box_is_the_box_of_the_mirrored_image():
    center, scale, width = np.array([301.5, 400.25]), np.array([450, 600]), 640
    mirrored = crop_matrix(np.array([width - 1 - center[0], center[1]]), scale, 30, (768, 1024))
    points = np.random.default_rng(0).uniform(0, 600, (20, 2))
    expected = transform_points(np.column_stack([width - 1 - points[:, 0], points[:, 1]]), mirrored)
    assert np.allclose(
        transform_points(points, crop_matrix(center, scale, 30, (768, 1024), True)), expected, atol=1e-3
    )


@pytest.mark.parametrize('scale', [(30, 90), (90, 30), (60, 80), (0, 0), (0.5, 7)])
def test_aspect(scale):
    width, height = fit_aspect(np.array(scale, np.float32), (768, 1024))
    assert abs(width / height - 0.75) < 1e-6
    assert width >= max(scale[0], 1) and height >= max(scale[1], 1)
    assert np.isclose(width, max(scale[0], 1)) or np.isclose(height, max(scale[1], 1))


@pytest.mark.parametrize('rotation', [0, 37, -71.5])
def test_exact_crops_equal_mmposes(rotation):
    image = smooth_image(200, 160)
    results = run(GEOMETRY[:1], sample(image, bbox_rotation=np.array([rotation], np.float32)))
    theirs = mmpose_crop(image, results, (96, 128))
    ours = LoadPerson((96, 128))(dict(results))
    assert np.array_equal(ours['img'], theirs['img'])
    assert abs(ours['transformed_keypoints'] - theirs['transformed_keypoints']).max() < 1e-4
    for key in ('input_size', 'input_center', 'input_scale', 'bbox_scale'):
        assert np.array_equal(ours[key], theirs[key])
    assert ours['img_shape'] == (128, 96) and ours['ori_shape'] == (160, 200) and ours['flip'] is False


def test_mirrored_crops_equal_mmposes():
    image = smooth_image(201, 160)
    visible = (np.arange(17) % 3 > 0).astype(np.float32)[None]
    results = sample(image, bbox_rotation=np.array([25], np.float32), keypoints_visible=visible)
    results = run(GEOMETRY[:1], results)
    theirs = mmpose_crop(image, results, (96, 128), flip=True)
    ours = LoadPerson((96, 128), flip_prob=1.0)(dict(results))
    assert abs(ours['img'].astype(int) - theirs['img']).max() <= 1
    assert (ours['img'] != theirs['img']).mean() < 0.01
    assert abs(ours['transformed_keypoints'] - theirs['transformed_keypoints']).max() < 1e-4
    assert np.array_equal(ours['transformed_visible'], theirs['keypoints_visible'])
    # What describes the original image stays in it.
    for key in ('keypoints', 'keypoints_visible', 'bbox'):
        assert np.array_equal(ours[key], results[key])
    assert np.array_equal(ours['input_center'], results['bbox_center'][0])


def test_random_boxes_of_photographs_equal_mmposes():
    differences = []
    for number, path in enumerate(photographs()):
        np.random.seed(number)
        image = cv2.imread(path)[..., ::-1].copy()
        height, width = image.shape[:2]
        box = (0.2 * width, 0.1 * height, 0.7 * width, 0.9 * height)
        given = sample(image, box)
        del given['img']
        results = run(GEOMETRY, dict(given, img_path=path))
        flip = bool(number % 2)
        theirs = mmpose_crop(image, results, (768, 1024), flip)
        for decode in ('exact', 'fast'):
            ours = LoadPerson((768, 1024), flip_prob=float(flip), decode=decode)(dict(results))
            difference = abs(ours['img'].astype(int) - theirs['img'])
            if decode == 'exact':
                assert difference.max() <= (1 if flip else 0)
            else:
                differences.append(difference.mean())
            assert abs(ours['transformed_keypoints'] - theirs['transformed_keypoints']).max() < 1e-3
    assert max(differences) < 1 and np.mean(differences) < 0.3


@pytest.mark.parametrize('flip', [False, True])
@pytest.mark.parametrize('rotation', [0, 33])
def test_reduced_decoding_shows_the_same_place(rotation, flip):
    image = smooth_image(1600, 1200)
    data = encode(image, quality=95)
    results = run(GEOMETRY[:1], sample(data, (501, 303, 901, 803), bbox_rotation=np.array([rotation], np.float32)))
    exact = LoadPerson((96, 128), flip_prob=float(flip))(dict(results))
    fast = LoadPerson((96, 128), flip_prob=float(flip), decode='fast')(dict(results))
    assert abs(fast['img'].astype(int) - exact['img']).mean() < 1
    # A shift by a pixel of the reduced image would be seen.
    shifted = LoadPerson((96, 128), flip_prob=float(flip))(dict(results, bbox_center=results['bbox_center'] + 4))
    assert (
        abs(shifted['img'].astype(int) - exact['img']).mean() > 2 * abs(fast['img'].astype(int) - exact['img']).mean()
    )


def test_only_the_visible_part_is_decoded(monkeypatch):
    from sapiens.datasets.transforms import decoding

    asked = []
    plain = decoding._decode_jpeg
    monkeypatch.setattr(decoding, '_decode_jpeg', lambda data, *rest: asked.append(rest) or plain(data, *rest))
    data = encode(smooth_image(1600, 1200))
    for decode in ('exact', 'fast'):
        results = run(GEOMETRY[:1], sample(data, (301, 203, 701, 503)))
        LoadPerson((96, 128), decode=decode)(results)
    (_, _, rows, factor, smooth), (_, _, fast_rows, fast_factor, fast_smooth) = asked
    assert 680 < rows < 695 and (factor, smooth) == (1, True)  # a box of 667 rows around 353, and not all 1200
    assert fast_rows < 715 and fast_factor == 4 and not fast_smooth


@pytest.mark.parametrize('decode', ['exact', 'fast'])
def test_padding_is_black(decode):
    data = encode(np.full((60, 80, 3), 200, np.uint8))
    away = LoadPerson((48, 64), decode=decode)(run(GEOMETRY[:1], sample(data, (500, 500, 560, 560))))
    assert away['img'].shape == (64, 48, 3) and not away['img'].any() and away['ori_shape'] == (60, 80)
    half = LoadPerson((48, 64), decode=decode)(run(GEOMETRY[:1], sample(data, (-40, 0, 40, 60))))
    assert not half['img'][20:40, :15].any() and (abs(half['img'][20:40, 30:].astype(int) - 200) <= 1).all()


def dots(points, size=(160, 200)) -> np.ndarray:
    """A black image with one dot per keypoint, each with its own gray level."""
    image = np.zeros((size[1], size[0], 3), np.uint8)
    for number, (x, y) in enumerate(points):
        cv2.circle(image, (round(x), round(y)), 2, (40 + 12 * number,) * 3, -1)
    return image


# The published pipeline, with changes of color that leave the dots to be told apart; blurs would swallow them.
WHOLE = [
    *GEOMETRY,
    dict(type='PhotometricDistortion', brightness_delta=2, contrast_range=(0.99, 1.01), permute=False),
    dict(type='LoadPerson', size=(192, 256), flip_prob=0.5, decode='fast'),
    dict(type='CoarseDropout', height=(0.01, 0.01), width=(0.01, 0.01)),
    dict(type='PackPose'),
]


def test_dots_lie_where_the_labels_say():
    """The whole pipeline, also mirrored: left and right are swapped."""
    grid = [(x, y) for x in range(25, 140, 30) for y in range(30, 180, 36)][:17]
    image = dots(grid)
    names = get_skeleton('coco17').keypoints
    seen = {False: 0, True: 0}
    for seed in range(40):
        np.random.seed(seed)
        results = sample(image, (20, 25, 140, 180), keypoints=17)
        results['keypoints'] = np.array([grid], np.float32)
        results['img_bytes'] = encode(results.pop('img'), 'PNG')
        out = run(WHOLE, results)
        shown, flip = out['inputs'][0].numpy(), out['data_samples'].flip
        for number, (x, y) in enumerate(out['data_samples'].gt_instance_labels.keypoints[0].tolist()):
            if not (6 <= x < 186 and 6 <= y < 250):
                continue
            # In a mirrored picture the left wrist is where the right one was painted.
            name = names[number]
            if flip:
                swapped = name.replace('left', '*').replace('right', 'left').replace('*', 'right')
                number = names.index(swapped)
            around = shown[round(y) - 6 : round(y) + 7, round(x) - 6 : round(x) + 7]
            if around.max() < 50:  # in the hole
                continue
            assert abs(int(around.max()) - (40 + 12 * number)) <= 5, (seed, name)
            around = around > 30
            ys, xs = np.nonzero(around)
            assert abs(ys.mean() - 6 + round(y) - y) < 1 and abs(xs.mean() - 6 + round(x) - x) < 1
            seen[flip] += 1
    assert min(seen.values()) > 100


def test_flips_happen_as_often_as_asked():
    np.random.seed(0)
    results = run(GEOMETRY[:1], sample(smooth_image(40, 30), (5, 5, 30, 25)))
    for prob in (0.0, 0.5, 1.0):
        transform = LoadPerson((8, 8), flip_prob=prob)
        flips = [transform(dict(results))['flip'] for _ in range(400)]
        assert abs(np.mean(flips) - prob) < 0.1


def test_few_keypoints_are_rejected_before_the_file_is_read():
    visible = np.zeros((1, 17), np.float32)
    visible[0, :5] = 1
    results = run(GEOMETRY[:1], sample(b'no image', keypoints_visible=visible))
    with pytest.raises(Rejected, match='5 labeled keypoints inside the crop, min_visible=6'):
        LoadPerson((48, 64), min_visible=6)(dict(results))
    results = run(GEOMETRY[:1], sample(smooth_image(200, 160), keypoints_visible=visible))
    LoadPerson((48, 64), min_visible=5)(dict(results))
    results['keypoints'][0, 2] = 500  # labeled, and outside of the crop
    with pytest.raises(Rejected, match='4 labeled'):
        LoadPerson((48, 64), min_visible=5)(dict(results))


def test_without_labels():
    results = sample(smooth_image(200, 160))
    for key in ('keypoints', 'keypoints_visible', 'flip_indices'):
        del results[key]
    out = run([GEOMETRY[0], dict(type='LoadPerson', size=(48, 64), min_visible=4), dict(type='PackPose')], results)
    assert out['inputs'].shape == (3, 64, 48)
    packed = out['data_samples']
    assert set(packed.keys()) == {'gt_instances'} and set(packed.gt_instances.keys()) == {'bboxes', 'bbox_scores'}


def test_boxes_that_are_not_finite():
    results = run(GEOMETRY[:1], sample(smooth_image(20, 20), bbox_rotation=np.array([np.nan])))
    with pytest.raises(ValueError, match='memory, annotation 7.*not finite'):
        LoadPerson((48, 64))(results)


def test_pack():
    import pickle

    results = sample(smooth_image(200, 160), img_id=3, bbox_rotation=np.array([10], np.float32))
    loaded = run([GEOMETRY[0], dict(type='LoadPerson', size=(48, 64), flip_prob=1.0)], results)
    out = PackPose()(loaded)
    assert (
        torch.equal(out['inputs'], torch.from_numpy(loaded['img']).permute(2, 0, 1)) and out['inputs'].is_contiguous()
    )
    packed = out['data_samples']
    assert isinstance(packed, PoseDataSample)
    for found in (packed, pickle.loads(pickle.dumps(packed)), packed.clone(), packed.to('cpu')):
        assert np.array_equal(found.gt_instances.keypoints, results['keypoints'])
        assert found.gt_instances.keypoints_visible.shape == (1, 17)
        assert np.array_equal(found.gt_instances.bboxes, results['bbox']) and found.gt_instances.bbox_scores == [1]
        labels = found.gt_instance_labels
        assert torch.equal(labels.keypoints, torch.from_numpy(loaded['transformed_keypoints']))
        assert labels.keypoints.dtype == labels.keypoint_weights.dtype == torch.float32
        assert labels.keypoint_weights.tolist() == [[1] * 17]
        meta = dict(found.metainfo)
        assert meta.pop('input_center').tolist() == [60, 65] and meta.pop('bbox_rotation') == [10]
        assert np.allclose(meta.pop('input_scale'), [84.375, 112.5])
        assert meta == dict(
            img_id=3, id=7, img_path='memory', ori_shape=(160, 200), img_shape=(64, 48), input_size=(48, 64),
            sample_idx=0, flip=True
        )  # fmt: skip


def test_packed_samples_are_cheap_between_workers():
    """No tensor goes through shared memory, where each would be a file."""
    from multiprocessing.reduction import ForkingPickler

    results = run([GEOMETRY[0], dict(type='LoadPerson', size=(48, 64))], sample(smooth_image(200, 160)))
    sent = bytes(ForkingPickler.dumps(PackPose()(results)['data_samples']))
    assert b'rebuild_storage' not in sent and len(sent) < 3000


@pytest.mark.parametrize(
    'options, text',
    [
        (dict(size=(1, 8)), '2 pixels or more'),
        (dict(size=(8, 8), flip_prob=2), 'flip_prob=2'),
        (dict(size=(8, 8), min_visible=-1), 'min_visible=-1'),
        (dict(size=(8, 8), decode='half'), "'fast' or 'exact'"),
    ],
)
def test_wrong_arguments(options, text):
    with pytest.raises(ValueError, match=text):
        LoadPerson(**options)


@pytest.mark.parametrize(('size', 'flag'), [((48, 64), cv2.INTER_LINEAR), ((384, 512), cv2.INTER_CUBIC)])
def test_published_interpolation_is_cubic_where_a_crop_is_upsampled(size, flag):
    image = smooth_image(160, 140)
    results = run([dict(type='mmpose.GetBBoxCenterScale', padding=1.25)], sample(image))
    found = LoadPerson(size, interpolation='published')(results)
    expected = cv2.warpAffine(image, found['warp_matrix'], size, flags=flag)
    assert np.abs(found['img'].astype(int) - expected).max() <= 1


def test_keypoints_that_reach_into_the_heatmap_are_those_of_the_codec():
    size, cells = (96, 128), (24, 32)
    load = LoadPerson(size, min_visible=1, touching=dict(sigma=2.0, heatmap_size=cells))
    axis = np.arange(-45, 175, 0.5)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(1, -1, 2).astype(np.float32)
    _, weights = UDPHeatmap(sigma=2.0).encode(torch.from_numpy(grid), torch.ones(grid.shape[:2]), size, cells)
    counted = load._reach_heatmap(grid)
    assert np.array_equal(counted, weights.numpy() > 0)
    far = grid[0, counted[0]]
    assert far.min() < -20 and far[:, 0].max() > 96 + 20 and not counted.all()


def test_people_are_counted_as_published_on_demand():
    image = smooth_image(160, 160)
    box = (30, 20, 90, 110)
    # Two keypoints inside, three near the left border of the crop, the rest far away.
    points = np.full((1, 17, 2), 900, np.float32)
    points[0, :2], points[0, 2:5] = (60, 60), (10, 60)
    crop = dict(bbox_center=np.float32([[60, 65]]), bbox_scale=np.float32([[67.5, 90]]))
    touching = dict(sigma=6.0, heatmap_size=(24, 32))
    with pytest.raises(Rejected, match='2 labeled keypoints inside the crop'):
        LoadPerson((96, 128), min_visible=4)(sample(image, box, **crop) | dict(keypoints=points))
    LoadPerson((96, 128), min_visible=4, touching=touching)(sample(image, box, **crop) | dict(keypoints=points))
    with pytest.raises(Rejected, match='5 labeled keypoints that reach into the heatmap'):
        LoadPerson((96, 128), min_visible=6, touching=touching)(sample(image, box, **crop) | dict(keypoints=points))
    for options in (dict(touching=touching), dict(min_visible=4, touching=dict(sigma=6.0))):
        with pytest.raises(ValueError, match='touching='):
            LoadPerson((96, 128), **options)
