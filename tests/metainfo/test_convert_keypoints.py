import numpy as np
import pytest

from sapiens.metainfo import convert_keypoints, get_skeleton, match_keypoints
from sapiens.metainfo.goliath308 import WHOLEBODY_HANDS


@pytest.mark.parametrize('dims', [2, 3])
def test_308_to_17_is_exact(dims):
    generator = np.random.default_rng(0)
    keypoints, scores = generator.random((2, 3, 308, dims)).astype(np.float32), generator.random((2, 3, 308))
    before = keypoints.copy()
    body, body_scores = convert_keypoints(keypoints, scores, 'goliath308', 'coco17')
    ids = [*range(9), 62, 41, *range(9, 15)]
    np.testing.assert_array_equal(body, keypoints[:, :, ids])
    np.testing.assert_array_equal(body_scores, scores[:, :, ids])
    assert body.shape == (2, 3, 17, dims) and body.dtype == np.float32 and body_scores.dtype == np.float64
    np.testing.assert_array_equal(keypoints, before)


def test_unmatched_keypoints_are_nan_with_score_zero():
    keypoints, scores = np.ones((17, 2)), np.ones(17)
    whole, whole_scores = convert_keypoints(keypoints, scores, 'coco17', 'wholebody133')
    assert (whole[:17] == 1).all() and np.isnan(whole[17:]).all()
    assert (whole_scores[:17] == 1).all() and (whole_scores[17:] == 0).all()
    back, back_scores = convert_keypoints(whole, whole_scores, 'wholebody133', 'coco17')
    assert (back == keypoints).all() and (back_scores == 1).all()
    assert convert_keypoints(np.ones((17, 2), int), np.ones(17, bool), 'coco17', 'goliath')[0].dtype == np.float32


def test_308_to_133_is_the_published_map():
    ids = match_keypoints('goliath308', 'wholebody133')
    whole, goliath = get_skeleton('wholebody133'), get_skeleton('goliath308')
    found = {group: int((ids[members] >= 0).sum()) for group, members in whole.groups.items()}
    assert found == dict(body=17, foot=6, face=0, left_hand=15, right_hand=15)
    assert ids[whole.index('right_thumb4')] == 21 and ids[whole.index('left_pinky_finger2')] == 60
    with_roots = match_keypoints(goliath, whole, WHOLEBODY_HANDS)
    assert (with_roots[ids >= 0] == ids[ids >= 0]).all() and (with_roots >= 0).sum() == 53 + 12
    assert goliath.keypoints[with_roots[whole.index('left_thumb1')]] == 'left_thumb_third_joint'
    assert goliath.keypoints[with_roots[whole.index('right_hand_root')]] == 'right_wrist'


def test_conversion_and_flip_commute():
    for source, target, names in [('goliath308', 'wholebody133', WHOLEBODY_HANDS), ('wholebody133', 'coco17', None)]:
        ids = match_keypoints(source, target, names)
        flipped = np.where(ids >= 0, get_skeleton(source).flip_indices[ids], -1)
        np.testing.assert_array_equal(flipped, ids[get_skeleton(target).flip_indices])


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match=r"keypoints of 'coco17' are \(..., 17, 2 or 3\), found \(133, 2\)"):
        convert_keypoints(np.zeros((133, 2)), np.zeros(133), 'coco17', 'wholebody133')
    with pytest.raises(ValueError, match=r'scores have shape \(5, 17\)'):
        convert_keypoints(np.zeros((17, 2)), np.zeros((5, 17)), 'coco17', 'wholebody133')
    with pytest.raises(ValueError, match="did you mean 'nose'"):
        match_keypoints('coco17', 'goliath', dict(neck='noze'))
    with pytest.raises(ValueError, match='share no keypoint name'):
        match_keypoints(dict(name='own', keypoints=['tail']), 'coco17')
