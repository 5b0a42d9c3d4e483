import numpy as np
import pytest

from sapiens.metainfo import build, build_metainfo, get_skeleton, register_skeleton, skeleton_from_dict
from sapiens.metainfo.naming import mirror_name

FILE = """
skeleton = dict(
    name='hands_and_head',
    keypoints=['head', 'left_elbow', 'left_hand', 'right_elbow', 'right_hand'],
    links=[('left_elbow', 'left_hand'), ('right_elbow', 'right_hand'), ('left_elbow', 'right_elbow'),
           ('head', 'left_hand', (1, 2, 3))],
)
"""


@pytest.fixture
def own():
    return dict(name='own', keypoints=['head', 'left_hand', 'right_hand'])


def test_a_short_file(tmp_path):
    file = tmp_path / 'hands.py'
    file.write_text(FILE)
    skeleton = get_skeleton(file)
    assert skeleton.flip_indices.tolist() == [0, 3, 4, 1, 2]
    assert skeleton.links.tolist() == [[1, 2], [3, 4], [1, 3], [0, 2]]
    assert skeleton.link_colors.tolist() == [[0, 255, 0], [255, 128, 0], [51, 153, 255], [1, 2, 3]]
    assert skeleton.colors.tolist() == [[51, 153, 255], [0, 255, 0], [0, 255, 0], [255, 128, 0], [255, 128, 0]]
    assert (skeleton.sigmas == 0.05).all() and (skeleton.weights == 1).all()
    assert not skeleton.groups and not len(skeleton.upper)

    from mmpose.datasets.datasets.utils import parse_pose_metainfo

    parsed = parse_pose_metainfo(build_metainfo(str(file)))
    assert parsed['dataset_name'] == 'hands_and_head' and parsed['flip_indices'] == [0, 3, 4, 1, 2]


def test_all_keys_of_a_dict(own):
    skeleton = skeleton_from_dict(
        own
        | dict(
            sigmas=[0.1, 0.2, 0.3],
            weights=2,
            colors=dict(head=[9, 8, 7]),
            upper=['head'],
            lower=['left_hand'],
            groups=dict(hands=['right_hand', 'left_hand']),
            flip=False,
            dataset_name='mine',
        )
    )
    assert skeleton.sigmas.tolist() == [0.1, 0.2, 0.3] and skeleton.weights.tolist() == [2, 2, 2]
    assert skeleton.colors[0].tolist() == [9, 8, 7]
    assert skeleton.flip_indices.tolist() == [0, 1, 2]
    info = build_metainfo(skeleton)
    assert [point['type'] for point in info['keypoint_info'].values()] == ['upper', 'lower', '']
    assert info['groups'] == dict(hands=[2, 1]) and info['dataset_name'] == 'mine'


@pytest.mark.parametrize('name', ['coco17', 'wholebody133', 'goliath308'])
def test_the_long_form_leads_back(name):
    info = build_metainfo(name)
    assert build_metainfo(info) == info


def test_a_file_in_mmposes_form(tmp_path):
    file = tmp_path / 'theirs.py'
    points = '0: dict(name="a", swap="b"), 1: dict(name="b", swap="a"), 2: dict(name="left_c", swap="")'
    file.write_text(
        f'dataset_info = dict(dataset_name="abc", keypoint_info={{{points}}}, '
        'skeleton_info={0: dict(link=("a", "b"), color=[1, 2, 3])}, joint_weights=[1, 1, 2], sigmas=[0.1, 0.1, 0.2])'
    )
    skeleton = get_skeleton(str(file))
    assert skeleton.name == 'abc' and skeleton.flip_indices.tolist() == [1, 0, 2]
    assert skeleton.link_colors.tolist() == [[1, 2, 3]] and skeleton.weights.tolist() == [1, 1, 2]


def test_flip_exceptions():
    points = ['lip_1', 'lip_2', 'lip_3', 'left_eye', 'right_eye']
    skeleton = skeleton_from_dict(dict(name='lips', keypoints=points, flip=dict(lip_1='lip_3')))
    assert skeleton.flip_indices.tolist() == [2, 1, 0, 4, 3]


@pytest.mark.parametrize(
    'name, partner',
    [
        ('left_eye', 'right_eye'),
        ('r_ear', 'l_ear'),
        ('end_of_l_eyebrow', 'end_of_r_eyebrow'),
        ('Left-arm', 'Right-arm'),
        ('hip_LEFT', 'hip_RIGHT'),
        ('L_hip', 'R_hip'),
        ('leftover', 'leftover'),
        ('upright', 'upright'),
        ('nose', 'nose'),
    ],
)
def test_naming_rule(name, partner):
    assert mirror_name(name) == partner and mirror_name(partner) == name


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(sigma=0.1), "key 'sigma' does not exist; did you mean 'sigmas'"),
        (dict(links=[('head', 'lefthand')]), "links 'lefthand' does not exist; did you mean 'left_hand'"),
        (dict(links=['head']), 'a link is'),
        (dict(links=[('head', 'head')]), 'twice'),
        (dict(groups=dict(all=['neck'])), "'neck' does not exist"),
        (dict(groups=dict(all='head')), 'list of names, not the string'),
        (dict(keypoints=['head', 'head']), 'more than once: head'),
        (dict(keypoints=['left_hand']), "'left_hand' has no partner 'right_hand'"),
        (dict(keypoints=['left_hand', 'right_hnd']), "did you mean 'right_hnd'"),
        (dict(flip=dict(head='left_hand')), 'whose own partner is'),
        (dict(flip=dict(head='neck')), "name in flip 'neck' does not exist"),
        (dict(flip=dict(head='left_hand', left_hand='right_hand')), 'two partners'),
        (dict(sigmas=[0.1, 0.1]), 'one number or 3'),
        (dict(sigmas=dict(head=0.1)), 'one number or a list of 3'),
        (dict(sigmas=0), 'above 0'),
        (dict(weights=[1, 1, -1]), 'at least 0'),
        (dict(colors=dict(head=(0, 0, 256))), 'three integers'),
        (dict(name='a/b'), 'not a path'),
    ],
)
def test_mistakes_are_named(own, change, message):
    with pytest.raises(ValueError, match=message) as error:
        skeleton_from_dict(own | change)
    assert 'skeleton' in str(error.value)


def test_missing_keys_and_files(tmp_path):
    with pytest.raises(ValueError, match="'own' lacks keypoints"):
        skeleton_from_dict(dict(name='own'))
    with pytest.raises(ValueError, match='expected a dict'):
        skeleton_from_dict(['nose'])
    (tmp_path / 'hands.py').write_text('points = []')
    with pytest.raises(ValueError, match=r'hands.py sets none of skeleton'):
        get_skeleton(tmp_path / 'hands.py')
    with pytest.raises(FileNotFoundError, match=r"hand.py does not exist; did you mean 'hands.py'"):
        build_metainfo(str(tmp_path / 'hand.py'))
    (tmp_path / 'hands.py').write_text("skeleton = dict(name='h', keypoint=['a'])")
    with pytest.raises(ValueError, match=r"hands.py: skeleton 'h': key 'keypoint' .*did you mean 'keypoints'"):
        get_skeleton(tmp_path / 'hands.py')


def test_register(own, monkeypatch):
    monkeypatch.setattr(build, 'SKELETONS', dict(build.SKELETONS))
    skeleton = register_skeleton(own)
    assert get_skeleton('own') is skeleton and register_skeleton(dict(own)) is skeleton
    with pytest.raises(ValueError, match="'own' is registered with other content"):
        register_skeleton(own | dict(sigmas=0.1))
    with pytest.raises(ValueError, match="'coco17' is registered with other content"):
        register_skeleton(own | dict(name='coco17'))
    np.testing.assert_array_equal(get_skeleton('coco17').sigmas[0], 0.026)
