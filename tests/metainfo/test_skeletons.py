import hashlib

import numpy as np
import pytest

from sapiens.metainfo import build_metainfo, dataset_metainfo, get_skeleton, match_keypoints, skeleton_names
from sapiens.metainfo.goliath308 import ANNOTATED_IDS

COUNTS = {
    'coco17': (17, 19, dict(body=17)),
    'wholebody133': (133, 65, dict(body=17, foot=6, face=68, left_hand=21, right_hand=21)),
    'goliath308': (308, 65, dict(body=17, foot=6, face=238, left_hand=20, right_hand=20, extra=7)),
}

# First 16 hex digits of sha256 of: names, flip indices, links, colors of points and links, sigmas. They were taken where
# every value equalled the published tables.
DIGESTS = {
    'coco17': ['5d93e21b0dce574b', '9ce74b08d82d3436', '4474fef3b7a8e803', '0d19911c748176fe', '43e2dce8ce3c497a'],
    'goliath308': ['2b2ecc79ad3e32cb', '4885c3690246ec72', '1f2f4261067c2f3e', 'b95d35aea41e8fba', 'c89f36320f89b36d'],
    'wholebody133': [
        '689e1074c664f805',
        '67dfe2afde101ba9',
        '009e51a5afcba334',
        '5978504abce8304a',
        '9750376703192909',
    ],
}


def digest(data):
    return hashlib.sha256(data).hexdigest()[:16]


@pytest.mark.parametrize('name', DIGESTS)
def test_every_value_is_the_published_one(name):
    skeleton = get_skeleton(name)
    assert DIGESTS[name] == [
        digest('\n'.join(skeleton.keypoints).encode()),
        digest(skeleton.flip_indices.astype('<i8').tobytes()),
        digest(skeleton.links.astype('<i8').tobytes()),
        digest(skeleton.colors.tobytes() + skeleton.link_colors.tobytes()),
        digest(','.join(map(str, skeleton.sigmas.tolist())).encode()),
    ]


@pytest.mark.parametrize('name', COUNTS)
def test_counts_and_groups(name):
    keypoints, links, groups = COUNTS[name]
    skeleton = get_skeleton(name)
    assert len(skeleton) == len(set(skeleton.keypoints)) == keypoints
    assert skeleton.links.shape == (links, 2) and skeleton.link_colors.shape == (links, 3)
    assert {group: len(ids) for group, ids in skeleton.groups.items()} == groups
    assert sorted(np.concatenate(list(skeleton.groups.values()))) == list(range(keypoints))
    assert not set(skeleton.upper) & set(skeleton.lower)
    assert [skeleton.keypoints[index] for index in skeleton.groups['body']] == list(get_skeleton('coco17').keypoints)


def test_halves_of_the_body():
    sizes = {name: (len(get_skeleton(name).upper), len(get_skeleton(name).lower)) for name in skeleton_names()}
    assert {name: sizes[name] for name in COUNTS} == dict(coco17=(11, 6), wholebody133=(11, 12), goliath308=(51, 12))


@pytest.mark.parametrize('name', COUNTS)
def test_flip_is_an_involution_between_the_sides(name):
    skeleton = get_skeleton(name)
    flip = skeleton.flip_indices
    assert (flip[flip] == np.arange(len(flip))).all()
    moved = {'coco17': 16, 'wholebody133': 122, 'goliath308': 292}
    assert (flip != np.arange(len(flip))).sum() == moved[name]
    for index, keypoint in enumerate(skeleton.keypoints):
        partner = skeleton.keypoints[flip[index]]
        if keypoint.startswith('left_'):
            assert partner == keypoint.replace('left_', 'right_')
        if keypoint.startswith('l_') or '_of_l_' in keypoint:
            assert partner.startswith('r_') or '_of_r_' in partner


@pytest.mark.parametrize('name', COUNTS)
def test_groups_flip_onto_their_partners(name):
    skeleton = get_skeleton(name)
    partner = {'left_hand': 'right_hand', 'right_hand': 'left_hand'}
    for group, ids in skeleton.groups.items():
        assert set(skeleton.flip_indices[ids]) == set(skeleton.groups[partner.get(group, group)])
    links = {frozenset(link) for link in skeleton.links.tolist()}
    assert {frozenset(skeleton.flip_indices[list(link)].tolist()) for link in links} == links


def test_goliath_partners_where_the_naming_rule_fails():
    skeleton = get_skeleton('goliath308')
    for name, partner in {
        'l_border_of_iris_3': 'r_border_of_iris_9',
        'l_border_of_pupil_12': 'r_border_of_pupil_12',
        'l_border_of_pupil_midpoint_1': 'r_border_of_pupil_midpoint_4',
        'l_midpoint_6_of_upper_crease_line': 'r_midpoint_3_of_upper_crease_line',
        'upper_midpoint_2_of_r_eyebrow': 'upper_midpoint_3_of_l_eyebrow',
        'upper_midpoint_1_of_r_eyebrow': 'upper_midpoint_1_of_l_eyebrow',
        'midpoint_4_of_lower_inner_lip': 'midpoint_5_of_lower_inner_lip',
        'l_point_2_of_inner_helix': 'r_point_8_of_inner_helix',
        'l_midpoint_1_of_antihelix': 'r_midpoint_1_of_antihelix',
        'midpoint_2_of_nose_bridge': 'midpoint_2_of_nose_bridge',
    }.items():
        assert skeleton.flip_indices[skeleton.index(name)] == skeleton.index(partner)


def test_goliath_without_teeth():
    assert len(ANNOTATED_IDS) == len(set(ANNOTATED_IDS)) == 308
    assert not set(ANNOTATED_IDS) & set(range(220, 256)) and max(ANNOTATED_IDS) == 343
    assert ANNOTATED_IDS[get_skeleton('goliath308').index('l_top_end_of_inferior_crus')] == 256


def test_sigmas_and_weights():
    coco, wholebody, goliath = (get_skeleton(name) for name in COUNTS)
    assert coco.sigmas[coco.index('left_hip')] == coco.sigmas[coco.index('right_hip')] == 0.107
    assert coco.weights.tolist() == [1] * 7 + [1.2, 1.2, 1.5, 1.5, 1, 1, 1.2, 1.2, 1.5, 1.5]
    assert (wholebody.weights == 1).all() and (goliath.weights == 1).all()
    ids = match_keypoints('goliath308', 'wholebody133')
    assert (wholebody.sigmas[ids >= 0] == goliath.sigmas[ids[ids >= 0]]).all()
    assert (goliath.sigmas[goliath.groups['face']] == 0.01).all()
    assert goliath.sigmas[goliath.index('neck')] == 0.079


@pytest.mark.parametrize('name, file', [('coco17', 'coco.py'), ('wholebody133', 'coco_wholebody.py')])
def test_equal_to_mmpose(name, file):
    from mmpose.datasets.datasets.utils import parse_pose_metainfo

    # The parser finds its own wheel's file by the name.
    theirs = parse_pose_metainfo(dict(from_file=f'no/such/folder/{file}'))
    ours = parse_pose_metainfo(build_metainfo(name))
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        if key in ('flip_pairs', 'skeleton_links'):
            assert [tuple(pair) for pair in ours[key]] == [tuple(pair) for pair in value]
        else:
            np.testing.assert_array_equal(ours[key], value, err_msg=key)


def test_goliath_passes_mmposes_parser():
    from mmpose.datasets.datasets.utils import parse_pose_metainfo

    parsed, skeleton = parse_pose_metainfo(build_metainfo('goliath308')), get_skeleton('goliath308')
    assert parsed['num_keypoints'] == 308 and parsed['dataset_name'] == 'goliath'
    assert parsed['flip_indices'] == skeleton.flip_indices.tolist()
    assert parsed['upper_body_ids'] == sorted(skeleton.upper) and parsed['lower_body_ids'] == sorted(skeleton.lower)
    assert parsed['sigmas'].shape == (308,) and 'groups' not in parsed


def test_names_of_mmpose_and_fresh_results():
    assert get_skeleton('coco_wholebody') is get_skeleton('wholebody133') and get_skeleton('goliath') is not None
    build_metainfo('coco17')['keypoint_info'][0]['name'] = 'changed'
    assert build_metainfo('coco17')['keypoint_info'][0]['name'] == 'nose'
    with pytest.raises(ValueError, match='read-only'):
        get_skeleton('coco17').flip_indices[0] = 3
    with pytest.raises(ValueError, match='read-only'):
        get_skeleton('coco17').groups['body'][0] = 3


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="skeleton 'coco_17' does not exist; did you mean 'coco17'"):
        get_skeleton('coco_17')
    with pytest.raises(ValueError, match="'leftwrist' does not exist; did you mean 'left_wrist'"):
        get_skeleton('goliath308').index('leftwrist')
    with pytest.raises(ValueError, match='5 does not exist'):
        build_metainfo(5)


OWN = dict(name='own', keypoints=['tip', 'left_wing', 'right_wing', 'tail'], links=[('tip', 'tail')], upper=['tip'])


@pytest.mark.parametrize('source', ['coco17', 'wholebody133', 'goliath308', OWN])
def test_metainfo_of_datasets_has_the_form_of_mmpose(source):
    from mmpose.datasets.datasets.utils import parse_pose_metainfo

    skeleton = get_skeleton(source)
    expected, found = parse_pose_metainfo(build_metainfo(skeleton)), dataset_metainfo(skeleton)
    for key, value in expected.items():
        assert type(found[key]) is type(value), key
        if isinstance(value, np.ndarray):
            np.testing.assert_allclose(found[key], value, atol=1e-7, err_msg=key)
            assert found[key].shape == value.shape
        else:
            assert found[key] == value, key
    assert get_skeleton(found).keypoints == skeleton.keypoints
