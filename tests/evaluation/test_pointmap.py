"""PointmapMetric: distances, scales, normals and errors; and the geometry of cameras that it uses."""

import math

import cv2
import numpy as np
import pytest
import torch

from sapiens.evaluation import PointmapMetric, pointmap, streaming
from sapiens.models import PointmapTask
from sapiens.utils.pinhole import canonical_scale, input_intrinsics, normals_of_points, pixel_rays, window_inside

from .dense import dense_samples, evaluate

POINTS = ['L2', 'RMSE', 'X', 'Y', 'Z', 'within_0.05', 'within_0.1', 'within_0.2']


@pytest.fixture(autouse=True)
def said(monkeypatch):
    """Record the log of the metric."""
    said = []
    for module in (pointmap, streaming):
        monkeypatch.setattr(module, 'print_log', lambda message, *_: said.append(message))
    return said


def sample(pred, target, scale=2.0, index=0, focal=50.0, **more):
    """Points (N, 3) as a map of one row, for an input 100 pixels wide of the same size as the labels."""
    pred, target = (torch.tensor(points, dtype=torch.float32).T[:, None].contiguous() for points in (pred, target))
    size = tuple(target.shape[1:])
    fields = dict(
        gt_pointmap=target,
        pred_pointmap=pred,
        pred_scale=torch.tensor(scale),
        valid_mask=torch.ones(size, dtype=torch.bool),
        intrinsics=np.diag([focal, focal, 1]),
        warp_matrix=np.eye(2, 3),
        img_shape=(10, 100),
    )
    return dict(fields, sample_idx=index, img_path=f'{index}.png', **more)


def test_by_hand(said):
    # Differences (0.03, 0, 0.05), (0, 0.12, 0) and (0, 0, 1).
    target = [[0, 0, 2], [1, 0, 2], [0, 1, 4]]
    pred = [[0.03, 0, 2.05], [1, 0.12, 2], [0, 1, 3]]
    numbers, length = evaluate(PointmapMetric(), [sample(pred, target)]), math.hypot(0.03, 0.05)
    assert [numbers[f'pointmap/{name}'] for name in POINTS] == pytest.approx(
        [(length + 1.12) / 3, math.sqrt((length**2 + 0.0144 + 1) / 3), 0.01, 0.04, 1.05 / 3, 0, 1 / 3, 2 / 3], rel=1e-5
    )
    # Nothing else is labeled around the points, so there are no normals.
    assert not any('normal' in name for name in numbers)
    # The mean depth is 8 / 3: points move along their rays to it.
    moved = [2 / 3, math.hypot(1, 2) / 3, math.hypot(1, 4) / 3]
    assert numbers['pointmap/flat_L2'] == pytest.approx(sum(moved) / 3, rel=1e-5)
    assert 'pointmap, in meters: 1 images; average over pixels' in said[-1] and 'flat person' in said[-1]


def test_scales():
    # The true scale is 100 / 50 = 2. A network that predicts 4 instead gives half of the meters.
    target, pred = [[0, 0, 2], [0, 0, 4]], [[0, 0, 1], [0, 0, 2]]
    numbers = evaluate(PointmapMetric(), [sample(pred, target, 4.0)])
    assert numbers['pointmap/L2'] == 1.5 and numbers['pointmap/true_scale_L2'] == 0
    assert numbers['pointmap/canonical_L2'] == 0 and numbers['pointmap/scale_error'] == 1
    # Right meters by a wrong scale: 3 canonical units are 1.5 m more than 3.
    numbers = evaluate(PointmapMetric(), [sample(target, target, 3.0)])
    assert numbers['pointmap/L2'] == 0 and numbers['pointmap/scale_error'] == 0.5
    assert numbers['pointmap/true_scale_L2'] == pytest.approx(1.5)
    assert numbers['pointmap/canonical_L2'] == pytest.approx(3)
    assert numbers['pointmap/true_scale_within_0.2'] == 0


def test_each_image_or_each_pixel_counts_the_same():
    samples = [sample([[0, 0, 1.1]] * 3, [[0, 0, 1]] * 3), sample([[0, 0, 2]], [[0, 0, 1]], index=1)]
    assert evaluate(PointmapMetric('image'), samples)['pointmap/L2'] == pytest.approx(0.55)
    assert evaluate(PointmapMetric(), samples)['pointmap/L2'] == pytest.approx(1.3 / 4)
    assert evaluate(PointmapMetric('image'), samples)['pointmap/RMSE'] == pytest.approx(0.55)


def test_flat_people_each_at_their_distance():
    target = [[0, 0, 1], [0, 0, 3], [0, 0, 10]]
    people = torch.tensor([[1, 1, 2]], dtype=torch.uint8)
    numbers = evaluate(PointmapMetric(), [sample(target, target, gt_instance=people)])
    assert numbers['pointmap/flat_L2'] == pytest.approx(2 / 3)
    assert evaluate(PointmapMetric(), [sample(target, target)])['pointmap/flat_L2'] == pytest.approx(32 / 9)


def test_people_at_their_true_distance():
    # Shapes are right: the first person is predicted twice as far away and beside its pixels, the second at half of the distance.
    target = [[0.5, 0, 1], [0, 1, 3], [0, 0, 10]]
    pred = [[1.5, 0, 2], [0.7, 2, 6], [0, -1, 5]]
    people = torch.tensor([[1, 1, 2]], dtype=torch.uint8)
    numbers = evaluate(PointmapMetric(), [sample(pred, target, gt_instance=people)])
    assert numbers['pointmap/true_distance_L2'] == pytest.approx(0, abs=1e-7) and numbers['pointmap/L2'] > 1
    # Without instances all points are of one person: mean depths 13 / 3 and 14 / 3.
    moved = [
        abs(one[2] * 14 / 13 / other[2] - 1) * math.hypot(*other) for one, other in zip(pred, target, strict=True)
    ]
    numbers = evaluate(PointmapMetric(), [sample(pred, target)])
    assert numbers['pointmap/true_distance_L2'] == pytest.approx(sum(moved) / 3, rel=1e-5)
    # A flat person scores the same as the baseline.
    numbers = evaluate(PointmapMetric(), [sample([[1.0, 0, 2], [0, 2 / 3, 2], [0, 0, 7]], target, gt_instance=people)])
    assert numbers['pointmap/true_distance_L2'] == pytest.approx(numbers['pointmap/flat_L2'], rel=1e-6)


def plane(tilt, size=(9, 11), depth=2.0):
    """Points (3, H, W) that a camera sees of a plane, turned about the vertical by ``tilt`` degrees."""
    matrix = np.array([[20.0, 0, 5], [0, 20, 4], [0, 0, 1]])
    rays = pixel_rays(matrix, size)
    normal = np.array([math.sin(math.radians(tilt)), 0, -math.cos(math.radians(tilt))])
    points = rays * (normal[2] * depth / (rays @ normal))[..., None]
    return torch.from_numpy(points).permute(2, 0, 1).float(), normal, matrix


def test_normals_of_a_plane():
    for tilt in (0, 30, -50):
        points, normal, _ = plane(tilt)
        found = normals_of_points(points)
        assert torch.allclose(found.norm(dim=0), torch.ones(9, 11), atol=1e-5)
        # The slopes of a plane in perspective are not constant, but both lie in it.
        assert np.allclose(found[:, 2:-2, 2:-2], normal[:, None, None], atol=1e-5), tilt
        assert torch.allclose(normals_of_points(points * 7), found, atol=1e-6)
    angles = evaluate(PointmapMetric(), [between(plane(10)[0], plane(40)[0])])
    assert angles['pointmap/normal_mean'] == pytest.approx(30, abs=1e-3)
    assert angles['pointmap/normal_RMSE'] == pytest.approx(30, abs=1e-3)
    assert [angles[f'pointmap/normal_within_{limit}'] for limit in ('22.5', '30')] == [0, pytest.approx(0.5, abs=0.5)]
    assert angles['pointmap/flat_normal_mean'] == pytest.approx(40, abs=1e-3)


def test_points_that_repeat_have_no_normal():
    points = torch.nn.functional.interpolate(plane(20)[0][None], scale_factor=8, mode='bilinear')[0] + 1e3
    found = normals_of_points(points)
    assert not found[..., :2].any() and not found[:, -2:].any()
    assert torch.allclose(found[:, 8:-8, 8:-8].norm(dim=0), torch.ones(56, 72))


def between(pred, target, **more):
    valid = torch.ones(target.shape[1:], dtype=torch.bool)
    return dict(sample([[0, 0, 1]], [[0, 0, 1]]), pred_pointmap=pred, gt_pointmap=target, valid_mask=valid, **more)


def test_slopes_are_those_of_sobel():
    points = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 12, 14)).astype(np.float32))
    options = dict(ksize=5, borderType=cv2.BORDER_REPLICATE)
    across, down = (
        np.stack([cv2.Sobel(plane, cv2.CV_32F, *axis, **options) for plane in points.numpy()])
        for axis in ((1, 0), (0, 1))
    )
    normal = np.cross(down, across, axis=0)
    assert np.allclose(normals_of_points(points), normal / np.linalg.norm(normal, axis=0), atol=1e-5)


def test_normals_count_where_their_window_is_labeled():
    points, wrong = plane(20)[0], plane(20)[0]
    item = between(wrong, points)
    item['valid_mask'][:, 7:] = False
    wrong[:, :, 7:] = math.nan
    assert window_inside(item['valid_mask']).nonzero().tolist() == [[y, x] for y in range(2, 7) for x in range(2, 5)]
    numbers = evaluate(PointmapMetric(), [item])
    assert numbers['pointmap/normal_mean'] == pytest.approx(0, abs=1e-3) and numbers['pointmap/L2'] == 0


def test_cameras():
    matrix = np.array([[30.0, 0, 7], [0, 40, 5], [0, 0, 1]])
    known = dict(intrinsics=matrix, img_shape=(20, 30))
    assert np.array_equal(input_intrinsics(known, (20, 30)), matrix)
    # A letterbox by the factor 2, ten pixels below the top.
    placed = dict(known, warp_matrix=np.array([[2, 0, 0.5], [0, 2, 10.5]]))
    assert np.allclose(input_intrinsics(placed, (5, 15)), [[60, 0, 14.5], [0, 80, 20.5], [0, 0, 1]])
    # Stretched: the center of the image stays the center.
    center = dict(known, intrinsics=np.array([[30.0, 0, 7], [0, 30, 2], [0, 0, 1]]))
    assert np.allclose(input_intrinsics(center, (5, 15)), [[60, 0, 14.5], [0, 120, 9.5], [0, 0, 1]])
    assert canonical_scale(matrix, 768) == 25.6
    for focal in (0.0, -3.0, math.nan):
        with pytest.raises(ValueError, match='focal length .* pixels'):
            canonical_scale(np.diag([focal, 1, 1]), 768)
    rays = pixel_rays(matrix, (6, 9))
    assert rays.dtype == np.float32 and np.allclose(rays[5, 7], [0, 0, 1])
    seen = rays * 3 @ matrix.T
    assert np.allclose(seen[2, 4, :2] / seen[2, 4, 2], [4, 2], atol=1e-5)


def test_the_true_scale_is_that_of_the_input():
    # Labels of 15 x 5 pixels with fx 30, an input twice as large with fx 60, 30 pixels wide: a scale of 0.5.
    points = plane(0, (5, 15))[0]
    item = between(points, points, warp=0)
    item.update(intrinsics=np.diag([30.0, 30, 1]), img_shape=(20, 30), warp_matrix=np.array([[2, 0, 0], [0, 2, 5]]))
    for scale, error in ((0.5, 0), (0.25, 0.5), (1.0, 1)):
        assert evaluate(PointmapMetric(), [dict(item, pred_scale=scale)])['pointmap/scale_error'] == error
    item['intrinsics'] = np.diag([-30.0, 30, 1])
    with pytest.raises(ValueError, match=r'0.png: focal length -60.0 pixels .*above 0'):
        evaluate(PointmapMetric(), [item])


def test_odd_samples_are_told(said):
    good = sample([[0, 0, 1]], [[0, 0, 1]], index=7)
    broken = sample([[0, 0, math.nan]], [[0, 0, 1]])
    assert math.isnan(evaluate(PointmapMetric(), [good, broken])['pointmap/L2'])
    assert said[0] == 'pointmap: 1 of 2 samples have a prediction that is not finite, among them 0.png'
    said.clear()
    behind = sample([[0, 0, -1]], [[0, 0, 1]], scale=-2.0)
    assert evaluate(PointmapMetric('image'), [good, behind])['pointmap/L2'] == 1
    assert said[0] == 'pointmap: 1 of 2 samples have a predicted scale that is not above 0, among them 0.png'
    said.clear()
    # As the task decodes it: cut to the smallest scale.
    decoded = PointmapTask().decode(dict(pointmap=torch.ones(1, 3, 1, 1), scale=torch.tensor([-2.0])), (1, 1))['scale']
    evaluate(PointmapMetric(), [good, dict(behind, pred_scale=decoded[0])])
    assert said[0] == 'pointmap: 1 of 2 samples have a predicted scale that is not above 0, among them 0.png'
    said.clear()
    unknown = {key: value for key, value in behind.items() if key != 'intrinsics'}
    numbers = evaluate(PointmapMetric('image'), [good, dict(unknown, pred_scale=2.0)])
    assert numbers['pointmap/L2'] == 1 and numbers['pointmap/true_scale_L2'] == 0
    assert 'have no intrinsics: they do not count with the true scale, among them 0.png' in said[0]
    assert 'pointmap/canonical_L2' not in evaluate(PointmapMetric(), [unknown])


def test_what_cannot_be_compared(said):
    item = sample([[0, 0, 1]], [[0, 0, 1]])
    with pytest.raises(ValueError, match='0.png has no pred_scale'):
        evaluate(PointmapMetric(), [{key: value for key, value in item.items() if key != 'pred_scale'}])
    with pytest.raises(ValueError, match=r'gt_pointmap is \(1, 2\) \(H, W\), but the prediction is \(1, 1\)'):
        evaluate(PointmapMetric(), [dict(item, gt_pointmap=torch.ones(3, 1, 2))])
    with pytest.raises(ValueError, match="average='median', expected 'pixel' or 'image'"):
        PointmapMetric('median')
    item['valid_mask'][:] = False
    assert evaluate(PointmapMetric(), [item]) == {} and 'nothing is reported' in said[-1]


def test_batches_do_not_matter():
    samples = dense_samples(5)
    for average in ('pixel', 'image'):
        numbers = evaluate(PointmapMetric(average), samples, batch=5)
        assert numbers == pytest.approx(evaluate(PointmapMetric(average), samples[::-1], batch=1), rel=1e-12)
        # The labels have holes, so that no window of normals is whole.
        assert len(numbers) == 4 * len(POINTS) + 2
