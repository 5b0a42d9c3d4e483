"""Which keypoints of two skeletons are the same point, and what a conversion makes of it (docs/keypoints.md)."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from sapiens.metainfo import convert_keypoints, correspondences, get_skeleton, skeleton_names
from sapiens.metainfo.correspondence import TABLE
from sapiens.metainfo.openpose import openpose_skeleton

ROOT = Path(__file__).parents[2]
SETS = ['coco17', 'wholebody133', 'goliath308', 'openpose25', 'openpose135', 'smplx127']
pairs = pytest.mark.parametrize(('source', 'target'), list(itertools.permutations(SETS, 2)))


def by_name(source, target):
    return {match.target: match for match in correspondences(source, target) if match}


def some(skeleton, people=2, dims=2, seed=0):
    rng = np.random.default_rng(seed)
    count = len(get_skeleton(skeleton))
    return rng.random((people, count, dims)), rng.random((people, count))


def test_sets_have_their_published_numbers_and_order():
    names = {name: get_skeleton(name).keypoints for name in SETS}
    assert {name: len(keypoints) for name, keypoints in names.items()} == {
        'coco17': 17, 'wholebody133': 133, 'goliath308': 308, 'openpose25': 25, 'openpose135': 135, 'smplx127': 127,
    }  # fmt: skip
    assert set(SETS) <= set(skeleton_names())
    body = names['openpose25']
    assert (body[1], body[8], body[4], body[7], body[15], body[18], body[19], body[24]) == (
        'neck', 'mid_hip', 'right_wrist', 'left_wrist', 'right_eye', 'left_ear', 'left_big_toe', 'right_heel',
    )  # fmt: skip
    whole = names['openpose135']
    assert whole[17:20] == ('upper_neck', 'head_top', 'left_big_toe') and whole[25] == 'left_thumb1'
    assert (whole[45], whole[65], whole[132], whole[133]) == ('right_thumb1', 'face-0', 'face-67', 'right_pupil')
    joints = names['smplx127']
    numbers = {
        0: 'pelvis', 1: 'left_hip', 12: 'neck', 15: 'head', 21: 'right_wrist', 22: 'jaw', 25: 'left_index1', 40: 'right_index1',
        54: 'right_thumb3', 55: 'nose', 56: 'right_eye', 60: 'left_big_toe', 66: 'left_thumb', 71: 'right_thumb',
        76: 'right_eye_brow1', 126: 'right_lip_3',
    }  # fmt: skip
    assert {number: joints[number] for number in numbers} == numbers


def test_308_to_body_25_by_ids():
    points, scores = some('goliath308')
    found, values = convert_keypoints(points, scores, 'goliath308', 'openpose25')
    ids = [0, None, 6, 8, 41, 5, 7, 62, None, 10, 12, 14, 9, 11, 13, 2, 1, 4, 3, 15, 16, 17, 18, 19, 20]
    for number, source in enumerate(ids):
        if source is not None:
            assert np.array_equal(found[:, number], points[:, source]), number
            assert np.array_equal(values[:, number], scores[:, source])
    np.testing.assert_allclose(found[:, 1], points[:, [5, 6]].mean(1))
    np.testing.assert_allclose(found[:, 8], points[:, [9, 10]].mean(1))
    assert np.array_equal(values[:, 1], scores[:, [5, 6]].min(1)) and np.array_equal(
        values[:, 8], scores[:, [9, 10]].min(1)
    )


def test_computed_points_are_labelled_and_unknown_halves_stay_unknown():
    matches = by_name('goliath308', 'openpose25')
    assert {name for name, match in matches.items() if match.kind == 'middle'} == {'neck', 'mid_hip'}
    assert matches['neck'].sources == ('left_shoulder', 'right_shoulder') and matches['neck'].note
    points, scores = some('goliath308')
    points[:, 5], scores[:, 5] = np.nan, 0
    found, values = convert_keypoints(points, scores, 'goliath308', 'openpose25')
    assert np.isnan(found[:, 1]).all() and (values[:, 1] == 0).all() and np.isfinite(found[:, 8]).all()


def test_the_necks_are_different_points():
    """OpenPose's neck is the middle of the shoulders, that of the 308 is annotated, SMPL-X's is a joint of the spine."""
    assert 'neck' not in by_name('openpose25', 'goliath308') and 'neck' not in by_name('openpose25', 'smplx127')
    own = by_name('goliath308', 'smplx127')['neck']
    assert (own.sources, own.kind) == (('neck',), 'near') and 'spine' in own.note
    drawn = openpose_skeleton(True)
    assert by_name(drawn, 'openpose25')['neck'].kind == 'same'
    assert by_name('goliath308', drawn)['neck'].sources == ('left_shoulder', 'right_shoulder')


def test_joints_of_smplx_are_marked():
    matches = by_name('goliath308', 'smplx127')
    for side in ('left', 'right'):
        assert matches[f'{side}_hip'].kind == 'near' and 'ball joint' in matches[f'{side}_hip'].note
        assert matches[f'{side}_index1'].sources == (f'{side}_forefinger_third_joint',)
        assert matches[f'{side}_thumb'].sources == (f'{side}_thumb4',) and matches[f'{side}_pinky3'].kind == 'near'
        assert matches[f'{side}_heel'].kind == matches[f'{side}_eye'].kind == 'same'
    assert matches['pelvis'].kind == 'middle' and matches['mouth_top'].sources == ('center_of_cupid_bow',)
    assert not {'spine1', 'left_foot', 'head', 'jaw', 'left_collar', 'left_eye_smplhf'} & matches.keys()


def test_308_and_133():
    matches = by_name('goliath308', 'wholebody133')
    face = {name for name in matches if name.startswith('face')}
    same = {int(name[5:]) for name in face if matches[name].kind == 'same'}
    assert same == {27, 33, 48, 51, 54, 57, 60, 62, 64, 66} and len(face) == 25 and len(matches) == 17 + 6 + 25 + 42
    assert matches['left_hand_root'].sources == ('left_wrist',) and matches['left_hand_root'].kind == 'near'
    back = by_name('wholebody133', 'goliath308')
    assert back['left_wrist'].sources == ('left_wrist',) and back['left_wrist'].kind == 'same'
    hands = dict(name='hand', keypoints=['left_hand_root', 'left_thumb4'], flip=False)
    assert by_name(hands, 'goliath308')['left_wrist'].kind == 'near'


@pairs
def test_there_and_back_is_where_it_was(source, target):
    points, scores = some(source, dims=3)
    there, values = convert_keypoints(points, scores, source, target)
    assert np.array_equal(np.isnan(there[..., 0]), values == 0) and there.shape[1] == len(get_skeleton(target))
    back, again = convert_keypoints(there, values, target, source)
    forth = correspondences(source, target)
    kept = {match.ids[0] for match in forth if match and match.kind != 'middle'}
    computed = {
        get_skeleton(source).index(m.target) for m in correspondences(target, source) if m and m.kind == 'middle'
    }
    for number in range(len(get_skeleton(source))):
        name = get_skeleton(source).keypoints[number]
        if name.endswith('hand_root') and target == 'goliath308':  # the wrist stands for it
            assert np.array_equal(
                back[:, number], points[:, get_skeleton(source).index(f'{name.split("_")[0]}_wrist')]
            )
        elif number in computed:
            assert np.isfinite(back[:, number]).all()
        elif number in kept:
            assert np.array_equal(back[:, number], points[:, number]) and np.array_equal(
                again[:, number], scores[:, number]
            )
        else:
            assert np.isnan(back[:, number]).all() and (again[:, number] == 0).all()


@pairs
def test_conversion_and_mirror_commute(source, target):
    names, flip = get_skeleton(source), get_skeleton(target).flip_indices
    matches = correspondences(source, target)
    for number, match in enumerate(matches):
        other = matches[flip[number]]
        assert (match is None) == (other is None)
        if match:
            assert {int(names.flip_indices[index]) for index in match.ids} == set(
                other.ids
            ) and match.kind == other.kind


def test_every_point_of_the_table_exists():
    common = {*get_skeleton('wholebody133').keypoints, *get_skeleton('goliath308').keypoints}
    common |= {'openpose_neck', 'mid_hip', 'smplx_pelvis'}
    for skeleton, rows in TABLE.items():
        known = (
            openpose_skeleton(skeleton.endswith('134'))
            if skeleton in ('openpose18', 'openpose134')
            else get_skeleton(skeleton)
        )
        for name, described in rows.items():
            assert name in known, (skeleton, name)
            for points, kind, note in described:
                assert set(points) <= common and (len(points) == 2) == (kind == 'middle')
                assert bool(note) == (kind != 'same'), 'what differs is said'


def test_paired_points_of_the_face_are_one_place_on_rendered_people():
    """Their labels of 133 and of 308 keypoints were made apart, and no side is mistaken for the other."""
    places = json.loads((ROOT / 'sapiens/synthetic/keypoints.json').read_text())
    for name, match in by_name('goliath308', 'wholebody133').items():
        if name.startswith('face'):
            here, there = places['wholebody133'][name][1], places['goliath308'][match.sources[0]][1]
            assert {v: w for v, w in here if w} == {v: w for v, w in there if w}, name


def test_further_pairs_and_skeletons_without_a_common_point():
    own = dict(name='own', keypoints=['head', 'nose'], flip=False)
    matches = correspondences('coco17', own, names=dict(head='left_eye'))
    assert [match.sources for match in matches] == [('left_eye',), ('nose',)]
    points, scores = some('coco17')
    found, _ = convert_keypoints(points, scores, 'coco17', own)
    assert np.isnan(found[:, 0]).all() and np.array_equal(found[:, 1], points[:, 0])
    with pytest.raises(ValueError, match="'own' and 'tail' share no keypoint"):
        correspondences(own, dict(name='tail', keypoints=['tail']))
    with pytest.raises(ValueError, match="did you mean 'nose'"):
        correspondences('coco17', own, names=dict(noze='nose'))


def test_links_of_new_sets_join_what_belongs_together():
    for name, links in (('openpose25', 24), ('openpose135', 65), ('smplx127', 54 + 10 - 2)):
        skeleton = get_skeleton(name)
        assert len(skeleton.links) == links and (skeleton.sigmas > 0).all()
        linked = {frozenset(link.tolist()) for link in skeleton.links}
        flip = skeleton.flip_indices
        assert {frozenset(flip[list(link)].tolist()) for link in linked} == linked


def test_the_page_tells_the_truth():
    page = (ROOT / 'docs/keypoints.md').read_text()
    rows = [
        [cell.strip(' `') for cell in line.strip('|').split('|')]
        for line in page.splitlines()
        if line.startswith('| `')
    ]
    for source, target in itertools.permutations(SETS, 2):
        matches = correspondences(source, target)
        counts = [
            sum(match is not None and match.kind == kind for match in matches) for kind in ('same', 'near', 'middle')
        ]
        row = [source, target, *map(str, [*counts, matches.count(None)])]
        assert row in rows, row
    sizes = {row[0]: int(row[1]) for row in rows if len(row) == 3}
    assert sizes == {name: len(get_skeleton(name)) for name in SETS}


def test_what_the_page_lists_has_no_partner():
    page = (ROOT / 'docs/keypoints.md').read_text().partition('## What has no partner')[2]
    listed = {}
    for line in page.splitlines():
        if line.startswith('| `'):
            name, text = (cell.strip(' `') for cell in line.strip('|').split('|'))
            listed[name] = text
    missing = {
        target: {name for name, match in zip(get_skeleton(target).keypoints, correspondences('goliath308', target), strict=True)
                 if match is None}
        for target in listed
    }  # fmt: skip
    outline = {f'face-{number}' for number in range(21) if number != 17}
    face = outline | {part for part in listed['wholebody133'].split(', ') if '..' not in part}
    face |= {'face-23', 'face-24', 'face-25'}
    assert missing['wholebody133'] == face
    assert missing['openpose135'] == face | {'upper_neck', 'head_top'}
    own = {'spine1', 'spine2', 'spine3', *listed['smplx127'].partition(';')[0].split(', ')[1:]}
    landmarks = dict(zip([f'face-{n}' for n in range(17, 68)], get_skeleton('smplx127').keypoints[76:], strict=True))
    assert missing['smplx127'] == own | {landmarks[name] for name in face if name in landmarks}
