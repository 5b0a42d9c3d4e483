import numpy as np
import pytest

from sapiens.evaluation.functional import keypoint_areas, keypoint_similarity, oks, oks_nms, region_similarity

SIGMAS = np.array([0.05, 0.1])


def test_a_keypoint_off_by_its_allowed_deviation_has_exp_of_minus_one_half():
    area = np.array(400.0)  # sqrt: 20 px, so 2 sigma sqrt(area) is 2 and 4 px
    points = np.array([[10.0, 12.0], [14.0, 20.0]])
    target = np.array([[10.0, 10.0], [10.0, 20.0]])
    np.testing.assert_allclose(keypoint_similarity(points, target, area, SIGMAS), np.exp([-0.5, -0.5]), rtol=1e-12)
    # Twice the deviation, by Pythagoras in the diagonal: (2.4, 3.2) is 4 px.
    far = target + np.array([[2.4, 3.2], [0, 0]])
    np.testing.assert_allclose(keypoint_similarity(far, target, area, SIGMAS), [np.exp(-2), 1], rtol=1e-12)


def test_oks_is_the_mean_over_labelled_keypoints():
    target = np.zeros((3, 2, 2))
    points = np.array([[[2.0, 0.0], [0.0, 4.0]], [[2.0, 0.0], [0.0, 400.0]], [[np.nan, np.nan], [0.0, 0.0]]])
    visible = np.array([[1, 1], [1, 0], [1, 1]])
    # Both off by one deviation; the second not labeled; the first not predicted, which is a miss.
    expected = [np.exp(-0.5), np.exp(-0.5), 0.5]
    np.testing.assert_allclose(oks(points, target, visible, np.full(3, 400.0), SIGMAS), expected, rtol=1e-12)
    assert np.isnan(oks(points[0], target[0], np.zeros(2), np.array(400.0), SIGMAS))


def test_oks_does_not_depend_on_the_scale_of_the_image():
    random = np.random.default_rng(0)
    points, target = random.uniform(0, 50, (2, 4, 2, 2))
    area, visible = random.uniform(100, 900, 4), np.ones((4, 2))
    np.testing.assert_allclose(
        oks(3 * points, 3 * target, visible, 9 * area, SIGMAS), oks(points, target, visible, area, SIGMAS), rtol=1e-9
    )


def test_region_is_the_box_grown_by_its_size_on_each_side():
    box, area = np.array([10.0, 20.0, 30.0, 40.0]), np.array(400.0)
    inside = np.array([[-20.0, -20.0], [70.0, 100.0]])  # corners of the region: x 10-30..10+60, y 20-40..20+80
    np.testing.assert_array_equal(region_similarity(inside, box, area, SIGMAS), [1, 1])
    outside = inside + np.array([[-2.0, 0.0], [0.0, 4.0]])
    np.testing.assert_allclose(region_similarity(outside, box, area, SIGMAS), np.exp([-0.5, -0.5]), rtol=1e-12)
    missing = np.array([[np.nan, np.nan], [0.0, 0.0]])
    np.testing.assert_array_equal(region_similarity(missing, box, area, SIGMAS), [np.nan, 1])


def test_areas_pass_over_missing_keypoints():
    nan = [np.nan, np.nan]
    points = np.array([[[1.0, 2.0], [4.0, 6.0], nan], [[1.0, 2.0], nan, nan], [nan, nan, nan]])
    np.testing.assert_array_equal(keypoint_areas(points), [12, 0, 0])


def test_nms_keeps_the_best_of_those_that_coincide():
    a = np.array([[0.0, 0.0], [20.0, 20.0]])
    people = np.stack([a, a + 0.1, a + 100, a + 0.2])
    areas = keypoint_areas(people)
    assert oks_nms(people, np.array([0.5, 0.9, 0.1, 0.6]), areas, SIGMAS, 0.9).tolist() == [1, 2]
    assert oks_nms(people, np.array([0.5, 0.9, 0.1, 0.6]), areas, SIGMAS, 1.0).tolist() == [1, 3, 0, 2]
    assert oks_nms(people[:0], np.zeros(0), areas[:0], SIGMAS, 0.9).tolist() == []
    # On the mean of the areas, 4000: both keypoints are 1.0 and 0.5 deviations away, OKS 0.745. On either area alone it is
    # 0.85 (7600) or 0.15 (400).
    two = np.stack([a, a + np.array([2 * 0.05 * 4000**0.5, 0])])
    for thr, kept in ((0.74, [0]), (0.75, [0, 1])):
        assert oks_nms(two, np.array([0.9, 0.5]), np.array([7600.0, 400.0]), SIGMAS, thr).tolist() == kept
        assert oks_nms(two, np.array([0.9, 0.5]), np.array([400.0, 7600.0]), SIGMAS, thr).tolist() == kept
    # The same person by one keypoint, the other is known to one of the two only.
    half = np.stack([a, np.array([[0.0, 0.0], [np.nan, np.nan]])])
    assert oks_nms(half, np.array([0.5, 0.9]), keypoint_areas(half), SIGMAS, 0.9).tolist() == [1]
    # Without a common keypoint nothing is known about them.
    other = np.stack([np.array([[np.nan, np.nan], [0.0, 0.0]]), np.array([[0.0, 0.0], [np.nan, np.nan]])])
    assert oks_nms(other, np.array([0.5, 0.9]), np.ones(2), SIGMAS, 0.9).tolist() == [1, 0]


@pytest.mark.parametrize('seed', range(5))
def test_nms_equals_going_through_people_one_by_one(seed):
    random = np.random.default_rng(seed)
    points = random.choice([0.0, 60.0], (12, 1, 1)) + random.uniform(0, 20, (12, 2, 2))
    scores, areas = random.random(12), random.uniform(300, 900, 12)
    kept = []
    for i in np.argsort(-scores):
        mean = (areas[i] + areas) / 2
        overlap = oks(points[i], points, np.ones((12, 2)), mean, SIGMAS * 8)
        if all(overlap[j] <= 0.6 for j in kept):
            kept.append(i)
    assert 1 < len(kept) < 12
    assert oks_nms(points, scores, areas, SIGMAS * 8, 0.6).tolist() == kept
