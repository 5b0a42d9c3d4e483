"""Cameras and pointmaps: files, validity, and re-projection after every step of geometry."""

import json

import numpy as np
import pytest

from sapiens.datasets import GeometryDataset, SyntheticHumans
from sapiens.datasets.checks import Findings
from sapiens.datasets.transforms import (
    BadImage,
    CropToAlpha,
    Letterbox,
    LoadDense,
    LoadLabels,
    LoadLetterbox,
    LoadResize,
    RandomAreaCrop,
    RandomCrop,
    RandomFlip,
    RandomResize,
    RandomRotate,
    Resize,
)
from sapiens.datasets.transforms.camera import check_camera, load_pointmap, read_camera, unproject

from .folders import SIZE, write_array, write_geometry
from .scenes import SPHERES, agree, away_from_edges, intrinsics, render

# Not square pixels, and a principal point away from the middle.
CAMERA = np.array([[71.25, 0, 22.5], [0, 83.5, 47.25], [0, 0, 1]])
STEPS = (
    RandomResize((60, 80), (0.5, 2), keep_ratio=False), RandomResize(None, (0.5, 2)), RandomCrop((50, 40)), RandomFlip(0.5),
    RandomAreaCrop(prob=1), RandomRotate(60, prob=1), Letterbox((37, 64)), Resize((64, 31)),
)  # fmt: skip


def pixels_of(points, matrix) -> np.ndarray:
    """(N, 2) pixels of points (N, 3)."""
    projected = points.astype(np.float64) @ np.asarray(matrix).T
    return projected[:, :2] / projected[:, 2:]


def sample_of(matrix=CAMERA, size=SIZE) -> dict:
    scene = render(size, matrix)
    return LoadLabels(['pointmap', 'depth'])(scene | dict(img_path='scene', intrinsics=matrix))


def reprojection_error(results) -> float:
    """Largest distance in pixels between a valid pixel and the projection of its point."""
    valid = results['valid_mask']
    where = np.stack(np.nonzero(valid)[::-1], -1)
    return np.abs(pixels_of(results['gt_pointmap'][valid], results['intrinsics']) - where).max()


def write_cameras(root, count=3, folder='camera_intrinsics', matrix=CAMERA, **content):
    (root / folder).mkdir(parents=True)
    for i in range(count):
        if folder == 'camera_intrinsics':
            np.savetxt(root / folder / f'{i:06d}.txt', matrix)
        else:
            text = json.dumps(dict(intrinsics=matrix.tolist(), **content))
            (root / folder / f'{i:06d}.json').write_text(text)


@pytest.mark.parametrize('folder', ['camera_intrinsics', 'camera'])
def test_points_from_depth_and_camera_files(tmp_path, folder):
    scene = write_geometry(tmp_path)
    write_cameras(tmp_path, folder=folder, width=SIZE[0], height=SIZE[1])
    pipeline = [
        dict(type='LoadLabels', fields=['pointmap']),
        dict(type='LoadResize', size=(48, 64)),
        dict(type='PackDense'),
    ]
    sample = GeometryDataset(str(tmp_path), ['pointmap'], pipeline=pipeline, test_mode=True)[1]['data_samples']
    points, depth = sample.gt_pointmap.numpy(), scene['gt_depth']
    assert points.shape == (3, *SIZE[::-1]) and points.dtype == np.float32 and 'gt_depth' not in sample
    assert np.array_equal(points[2], depth) and np.array_equal(sample.valid_mask.numpy(), depth > 0)
    y, x = 40, 29
    assert depth[y, x] > 0
    wanted = np.array([(x - 22.5) / 71.25, (y - 47.25) / 83.5, 1]) * depth[y, x]
    np.testing.assert_allclose(points[:, y, x], wanted, rtol=1e-6)
    # Labels of evaluation keep their size, and the intrinsics are in their pixels; the matrix leads to the input.
    np.testing.assert_array_equal(sample.intrinsics, CAMERA)
    assert (
        reprojection_error(dict(gt_pointmap=points.transpose(1, 2, 0), intrinsics=CAMERA, valid_mask=depth > 0)) < 1e-4
    )


def test_points_of_a_file_are_moved_to_their_rays(tmp_path):
    """As those of a network, which are not exactly there."""
    scene = write_geometry(tmp_path, count=1)
    write_cameras(tmp_path, 1)
    points = unproject(scene['gt_depth'], CAMERA)
    points[points[..., 2] == 0] = np.nan
    write_array(tmp_path / 'points/000000.npy', points + np.float32([0.1, -0.1, 0]))
    options = dict(fields=['pointmap'], pipeline=[dict(type='LoadLabels')])
    found = GeometryDataset(str(tmp_path), pointmap='points', **options)[0]
    wanted = GeometryDataset(str(tmp_path), **options)[0]
    for key in ('gt_pointmap', 'valid_mask'):
        np.testing.assert_array_equal(found[key], wanted[key])
    assert 0 < found['valid_mask'].mean() < 1
    write_array(tmp_path / 'points/000000.npy', np.zeros((*scene['gt_depth'].shape, 2), np.float32))
    with pytest.raises(BadImage, match=r'expected \(H, W\) or \(H, W, 3\)'):
        load_pointmap(str(tmp_path / 'points/000000.npy'), dict(intrinsics=CAMERA))


def test_joint_fields_and_millimeters(tmp_path):
    scene = write_geometry(tmp_path)
    for i in range(3):
        write_array(tmp_path / f'depth/{i:06d}.npy', np.round(scene['gt_depth'] * 1000).astype(np.uint16))
    write_cameras(tmp_path)
    pipeline = [dict(type='LoadLabels')]
    options = dict(fields=['pointmap', 'normal', 'depth'], depth_scale=0.001, pipeline=pipeline)
    found = GeometryDataset(str(tmp_path), **options)[0]
    assert {'gt_pointmap', 'gt_normal', 'gt_depth', 'gt_mask', 'valid_mask', 'intrinsics'} <= found.keys()
    assert 'camera_file' not in found and np.array_equal(found['gt_pointmap'][..., 2], found['gt_depth'])
    assert np.abs(found['gt_depth'] - scene['gt_depth']).max() < 0.0006
    # Depth alone reads the camera where its folder is named.
    assert 'intrinsics' not in GeometryDataset(str(tmp_path), depth_scale=0.001, pipeline=pipeline)[0]
    named = GeometryDataset(str(tmp_path), depth_scale=0.001, camera='camera_intrinsics', pipeline=pipeline)[0]
    assert np.array_equal(named['intrinsics'], CAMERA) and 'gt_pointmap' not in named


def test_depth_without_camera(tmp_path):
    write_geometry(tmp_path)
    with pytest.raises(FileNotFoundError, match="depth without a camera: no folder 'camera' or 'camera_intrinsics'"):
        GeometryDataset(str(tmp_path), ['pointmap'])
    with pytest.raises(BadImage, match='depth without a camera'):
        load_pointmap('a.npy', {})
    write_cameras(tmp_path, count=2)
    with pytest.raises(
        ValueError, match="(?s)1 have no file of their stem.*camera_intrinsics', which has 2: 000002.png"
    ):
        GeometryDataset(str(tmp_path), ['pointmap'])
    dataset = GeometryDataset(str(tmp_path), ['pointmap'], partial=True)
    assert len(dataset) == 2 and dataset.unused['image without camera'].count == 1


@pytest.mark.parametrize(
    'text, reason',
    [
        ('1 2 3', 'shape .1, 3.: expected .3, 3.'),
        ('a b c', 'not a camera file'),
        ('', 'empty file'),
        ('\n', 'empty file'),
        ('-70 0 30\n0 80 40\n0 0 1', 'focal length -70, 80: expected pixels above 0'),
        ('0 0 30\n0 80 40\n0 0 1', 'focal length 0, 80'),
        ('70 0 nan\n0 80 40\n0 0 1', 'expected finite numbers'),
        ('70 0 30\n0 80 40\n0 0 2', 'last row'),
        (
            '140 0 59.5\n0 160 79.5\n0 0 1',
            r'intrinsics of another image size: the principal point \(59.5, 79.5\) is at a corner',
        ),
    ],
)
def test_impossible_cameras_are_named(tmp_path, text, reason):
    write_geometry(tmp_path)
    write_cameras(tmp_path)
    (tmp_path / 'camera_intrinsics/000001.txt').write_text(text)
    dataset = GeometryDataset(str(tmp_path), ['pointmap'], pipeline=[dict(type='LoadLabels')], test_mode=True)
    with pytest.raises(ValueError, match=f'camera_intrinsics/000001.txt: .*{reason}'):
        dataset[1]
    # In training another sample takes its place, counted with its name.
    dataset = GeometryDataset(str(tmp_path), ['pointmap'], pipeline=[dict(type='LoadLabels')])
    [(path, why)] = set(dataset[1]['bad'])
    assert path.endswith('rgb/000001.png') and '000001.txt' in why


@pytest.mark.parametrize('stated', [dict(width=120, height=160), dict(image_size=[120, 160])])
def test_a_camera_file_that_states_the_size(tmp_path, stated):
    write_cameras(tmp_path, 1, 'camera', **stated)
    path = str(tmp_path / 'camera/000000.json')
    matrix, size = read_camera(path)
    assert size == (120, 160)
    with pytest.raises(BadImage, match='intrinsics of an image of 120 x 160, this image is 60 x 80'):
        check_camera(matrix, SIZE, size)
    with pytest.raises(BadImage, match="no 'intrinsics'"):
        (tmp_path / 'camera/000000.json').write_text('{}')
        read_camera(path)
    check_camera(np.array([[70.0, 0, 12], [0, 70, 16], [0, 0, 1]]), SIZE)  # of a crop, perhaps


@pytest.mark.parametrize('seed', range(12))
def test_points_project_on_their_pixels_after_random_chains(seed):
    rng = np.random.default_rng(seed)
    np.random.seed(seed)
    steps = [STEPS[i] for i in rng.permutation(len(STEPS))[: rng.integers(1, 7)]]
    moved = LoadDense(steps, decode='exact')(sample_of())
    assert moved['valid_mask'].any() and reprojection_error(moved) < 1e-3
    # Depth moves with its pixels, and is smoother than that of the nearest pixel.
    inside = moved['valid_mask']
    assert np.abs(moved['gt_pointmap'][inside][:, 2] / moved['gt_depth'][inside] - 1).max() < 0.02
    one_by_one = sample_of()
    for step in steps:
        one_by_one = step(one_by_one)
        assert reprojection_error(one_by_one) < 1e-3, step
        assert (one_by_one['intrinsics'][0, 0] > 0 and one_by_one['intrinsics'][1, 1] > 0) or isinstance(
            step, RandomRotate
        )


@pytest.mark.parametrize(
    'step',
    [RandomFlip(1), Resize((100, 60)), RandomCrop((40, 50)), RandomRotate(50, prob=1), Letterbox((80, 80))],
    ids=lambda step: type(step).__name__,
)
def test_points_are_those_of_the_moved_camera(step):
    """Compared with the scene as the moved camera renders it."""
    np.random.seed(1)
    size = (150, 200)
    moved = step(sample_of(intrinsics(size), size))
    turn, matrix = np.eye(3), moved['intrinsics']
    c, s = np.cos(np.radians(moved['rotation'])), np.sin(np.radians(moved['rotation']))
    turn[:2, :2] = np.array([[c, -s], [s, c]]) @ np.diag([-1 if moved['flip'] else 1, 1])
    wanted = render(moved['img'].shape[1::-1], matrix, turn)
    inside = moved['valid_mask'] & wanted['valid_mask']
    points = unproject(wanted['gt_depth'], matrix)
    distance = np.linalg.norm(moved['gt_pointmap'] - points, axis=-1)[inside]
    assert inside.mean() > 0.1 and np.median(distance) < 0.003 and np.percentile(distance, 95) < 0.05


def test_depth_is_interpolated_within_surfaces_only():
    size, zoom = (75, 100), (150, 200)
    errors = {}
    for interpolation in ('linear', 'nearest'):
        step = LoadDense([Resize(zoom)], decode='exact', interpolation={'gt_pointmap': interpolation})
        moved = step(sample_of(intrinsics(size), size))
        wanted = render(zoom, moved['intrinsics'])
        inside = moved['valid_mask'] & away_from_edges(wanted['gt_sem_seg'])
        errors[interpolation] = np.median(np.abs(moved['gt_pointmap'][..., 2] - wanted['gt_depth'])[inside])
        # No point floats between two surfaces or a surface and the camera.
        depth = moved['gt_pointmap'][..., 2][moved['valid_mask']]
        closest = np.abs(depth[:, None] - np.unique(sample_of(intrinsics(size), size)['gt_depth'])).min(1)
        assert closest.max() < 0.02
    assert errors['linear'] < 0.2 * errors['nearest']


def test_a_crop_to_the_foreground_moves_the_camera():
    sample = sample_of() | dict(gt_alpha=np.zeros(SIZE[::-1], np.float32))
    sample['gt_alpha'][30:60, 20:50] = 1
    moved = CropToAlpha(prob=1)(sample)
    assert moved['img'].shape[:2] != SIZE[::-1] and reprojection_error(moved) < 1e-3


@pytest.mark.parametrize(
    'step', [LoadResize((33, 70)), LoadLetterbox((90, 64)), LoadResize((90, 64), keep_ratio=True)]
)
def test_evaluation_keeps_labels_and_tells_the_way_to_the_input(step):
    sample = sample_of()
    labels = sample['gt_pointmap'].copy()
    loaded = step(sample)
    assert np.array_equal(loaded['gt_pointmap'], labels) and np.array_equal(loaded['intrinsics'], CAMERA)
    camera = np.vstack([loaded['warp_matrix'], [0, 0, 1]]) @ loaded['intrinsics']
    valid = loaded['valid_mask']
    where = np.stack(np.nonzero(valid)[::-1], -1) @ loaded['warp_matrix'][:, :2].T + loaded['warp_matrix'][:, 2]
    assert np.abs(pixels_of(labels[valid], camera) - where).max() < 1e-3


def test_points_of_rendered_people_without_files():
    made = dict(generator='tests.synthetic.fake:FakeGenerator', size=(64, 80), people=(1, 1))
    dataset = SyntheticHumans(2, pipeline=[dict(type='LoadLabels', fields=['pointmap'])], **made)
    sample = dataset[0]
    assert sample['valid_mask'].any() and reprojection_error(sample) < 1e-3
    assert 'gt_depth' not in sample and 'gt_albedo' not in sample
    assert 'bbox' not in sample and 'keypoints' not in sample, 'no step of geometry would move them'


def test_points_without_a_camera_turn_with_it():
    sample = sample_of()
    intrinsic = sample.pop('intrinsics')
    flipped = RandomFlip(1)(sample)
    assert 'intrinsics' not in flipped
    np.testing.assert_allclose(flipped['gt_pointmap'], unproject(render(SIZE, intrinsic)['gt_depth'], CAMERA)[:, ::-1]
                               * np.float32([-1, 1, 1]))  # fmt: skip


def test_the_scene_of_a_point():
    """Points lie on the spheres that were rendered."""
    sample = sample_of()
    distance = [np.abs(np.linalg.norm(sample['gt_pointmap'] - s[:3], axis=-1) - s[3]) for s in SPHERES]
    assert np.min(distance, 0)[sample['valid_mask']].max() < 1e-4
    agree(render(SIZE), render(SIZE))


def found(dataset) -> dict:
    findings = Findings()
    dataset.check(findings, True)
    return {what: finding.count for what, finding in findings.items()}


def test_checks_of_cameras(tmp_path):
    write_geometry(tmp_path)
    write_cameras(tmp_path)
    dataset = GeometryDataset(str(tmp_path), ['pointmap'])
    assert found(dataset) == {}
    half = CAMERA.copy()
    half[:2] /= 2.5
    for i in range(3):
        np.savetxt(tmp_path / f'camera_intrinsics/{i:06d}.txt', half)
    [what] = found(dataset)
    assert 'principal point is far from the middle of the image: are they of another image size?' in what
    twice = CAMERA.copy()
    twice[:2] *= 3
    np.savetxt(tmp_path / 'camera_intrinsics/000000.txt', twice)
    (tmp_path / 'camera_intrinsics/000001.txt').write_text('')
    counts = found(dataset)
    assert counts['camera of another image size'] == 1 and counts['missing or empty camera file'] == 1
    (tmp_path / 'camera_intrinsics/000001.txt').write_text('1 2 3')
    assert found(dataset)['unusable camera file'] == 1 and 'unusable pointmap file' not in found(dataset)


def test_a_pointmap_in_millimeters_is_doubted(tmp_path):
    scene = write_geometry(tmp_path)
    write_cameras(tmp_path)
    for i in range(3):
        write_array(tmp_path / f'depth/{i:06d}.npy', scene['gt_depth'] * 1000)
    [what] = found(GeometryDataset(str(tmp_path), ['pointmap']))
    assert 'label files with pointmap with half of the points farther than 100 m: are they millimeters?' in what
    assert found(GeometryDataset(str(tmp_path), ['pointmap'], depth_scale=0.001)) == {}
    for i in range(1, 3):
        write_array(tmp_path / f'depth/{i:06d}.npy', scene['gt_depth'])
    findings = Findings()
    GeometryDataset(str(tmp_path), ['pointmap']).check(findings, True)
    ((what, finding),) = findings.items()
    assert what.startswith('pointmap file, unlike most, with half of the points farther than 100 m')
    assert finding.count == 1 and not finding.wrong and finding.examples == [str(tmp_path / 'depth/000000.npy')]
