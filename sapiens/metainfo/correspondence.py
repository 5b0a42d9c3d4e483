"""Which keypoints of two skeletons are the same point of the body: one table, and the pairs that follow from it.

Every keypoint is described in common names, those of the 133 and the 308 keypoints. A keypoint that is not in :data:`TABLE` is
the common point of its own name. Points of two skeletons correspond if they are the same common point, so pairs exist for any
two skeletons, also your own. Each pair has a kind:

* ``same``: one definition;
* ``near``: the same part of the body by another definition, which the note states;
* ``middle``: the middle of two keypoints, not annotated or predicted by itself.

Correspondences are by definition: a point that only lies nearby, such as one of a row along a brow, has no partner.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from . import smplx127
from .build import get_skeleton
from .goliath308 import WHOLEBODY_HANDS
from .skeleton import Skeleton

__all__ = ['TABLE', 'Match', 'correspondences']

# {skeleton: {keypoint: [(common points, kind, note), ...]}}, the best one first. One common point is the keypoint. The middle of
# two is what a conversion computes where no keypoint of the source is the point itself.
TABLE: dict[str, dict[str, list[tuple[tuple[str, ...], str, str]]]] = {}
_ORDER = ('same', 'near', 'middle')


def _one(name: str, kind: str = 'same', note: str = '') -> tuple[tuple[str, ...], str, str]:
    return (name,), kind, note


def _middle(part: str, note: str) -> tuple[tuple[str, ...], str, str]:
    return (f'left_{part}', f'right_{part}'), 'middle', note


# The knuckles of the 308 keypoints have other names, and their hands begin at the wrist. On the face, the 308 keypoints and the
# 68 of iBUG share single points.
_WRIST = "the 308 keypoints have no root of the hand: their wrist, which COCO-WholeBody's root is next to"
_CORNER = 'the two lash lines meet in the corner of the eye; the upper one stands for it'
_BROW = "the ends of the brow's upper edge; iBUG's five points follow the middle of the brow"
_WING = "the outer end of the nostril's rim; iBUG's row runs below the nose"
_BRIDGE = "the end of the bridge; iBUG's fourth point of the bridge is close to the tip of the nose"
_LIP = "the first points beside the center; iBUG's lie between center and corner"
_FACE = {
    48: ('r_outer_corner_of_mouth', 'same', ''), 54: ('l_outer_corner_of_mouth', 'same', ''),
    60: ('r_inner_corner_of_mouth', 'same', ''), 64: ('l_inner_corner_of_mouth', 'same', ''),
    51: ('center_of_cupid_bow', 'same', ''), 57: ('center_of_lower_outer_lip', 'same', ''),
    62: ('center_of_upper_inner_lip', 'same', ''), 66: ('center_of_lower_inner_lip', 'same', ''),
    27: ('center_of_nose_root', 'same', ''), 33: ('bottom_center_of_nose', 'same', ''),
    36: ('r_outer_end_of_upper_lash_line', 'near', _CORNER), 39: ('r_inner_end_of_upper_lash_line', 'near', _CORNER),
    42: ('l_inner_end_of_upper_lash_line', 'near', _CORNER), 45: ('l_outer_end_of_upper_lash_line', 'near', _CORNER),
    17: ('end_of_r_eyebrow', 'near', _BROW), 26: ('end_of_l_eyebrow', 'near', _BROW),
    21: ('upper_startpoint_of_r_eyebrow', 'near', _BROW), 22: ('upper_startpoint_of_l_eyebrow', 'near', _BROW),
    31: ('r_outer_corner_of_nose', 'near', _WING), 35: ('l_outer_corner_of_nose', 'near', _WING),
    30: ('tip_of_nose_bridge', 'near', _BRIDGE),
    61: ('midpoint_1_of_upper_inner_lip', 'near', _LIP), 63: ('midpoint_2_of_upper_inner_lip', 'near', _LIP),
    67: ('midpoint_1_of_lower_inner_lip', 'near', _LIP), 65: ('midpoint_2_of_lower_inner_lip', 'near', _LIP),
}  # fmt: skip
TABLE['goliath308'] = {name: [_one(theirs)] for theirs, name in WHOLEBODY_HANDS.items() if 'third_joint' in name}
TABLE['goliath308'] |= {
    f'{side}_wrist': [_one(f'{side}_wrist'), _one(f'{side}_hand_root', 'near', _WRIST)] for side in ('left', 'right')
}
TABLE['goliath308'] |= {name: [_one(f'face-{number}', kind, note)] for number, (name, kind, note) in _FACE.items()}

_NECK = [_one('openpose_neck'), _middle('shoulder', 'middle of the shoulders')]
for _name in ('openpose18', 'openpose134', 'openpose25'):
    TABLE[_name] = dict(neck=_NECK)
TABLE['openpose25']['mid_hip'] = [_one('mid_hip'), _middle('hip', 'middle of the hips')]
TABLE['openpose135'] = {f'{side}_pupil': [_one(f'{side[0]}_center_of_pupil')] for side in ('left', 'right')}

_JOINT = 'SMPL-X: center of rotation inside the body; here: the joint as it is seen'
_HIP = 'SMPL-X: center of the ball joint inside the body; here: the hip as people annotate it'
_SPINE = 'SMPL-X: joint of the cervical spine; here: the neck as it is annotated'
_FINGER = 'SMPL-X: center of rotation; here: the joint as it is seen'
_TIP = 'SMPL-X: a vertex at the tip'
TABLE['smplx127'] = {
    name: [_one(theirs, 'near', _FINGER if name[-1].isdigit() else _TIP)]
    for name, theirs in smplx127.FINGER_JOINTS.items()
}
TABLE['smplx127'] |= {name: [_one(theirs)] for name, theirs in smplx127.LANDMARKS.items()}
TABLE['smplx127'] |= {
    f'{side}_{part}': [_one(f'{side}_{part}', 'near', _HIP if part == 'hip' else _JOINT)]
    for side in ('left', 'right')
    for part in ('hip', 'knee', 'ankle', 'shoulder', 'elbow', 'wrist')
}
TABLE['smplx127'] |= dict(
    neck=[_one('neck', 'near', _SPINE)],
    pelvis=[
        _one('smplx_pelvis'),
        _middle('hip', 'middle of the hips; the joint of SMPL-X lies above that of its own'),
    ],
)


@dataclass(frozen=True)
class Match:
    """What a keypoint of the target is made from.

    Attributes:
        target: name of the keypoint.
        sources: names of one keypoint of the source, or of the two in whose middle it lies.
        ids: of the sources.
        kind: ``'same'``, ``'near'`` or ``'middle'``.
        note: how the definitions differ; '' if they do not.
    """

    target: str
    sources: tuple[str, ...]
    ids: tuple[int, ...]
    kind: str
    note: str = ''


def correspondences(
    source: str | Path | Mapping | Skeleton,
    target: str | Path | Mapping | Skeleton,
    names: Mapping[str, str] | None = None,
) -> list[Match | None]:
    """For each keypoint of ``target`` what it is made from, or None where ``source`` has no partner.

    Args:
        source, target: skeletons, in any form that :func:`get_skeleton` accepts.
        names: {name in target: name in source} of further pairs, or instead of those of the table.

    Raises:
        ValueError: skeletons without a common point, or a name that its skeleton does not have.
    """
    source, target = get_skeleton(source), get_skeleton(target)
    given = {target.keypoints[target.index(name)]: source.index(other) for name, other in (names or {}).items()}
    known: dict[str, tuple[int, str, str]] = {}
    for index, name in enumerate(source.keypoints):
        for points, kind, note in _described(source, name):
            if len(points) == 1 and (points[0] not in known or _worse(known[points[0]][1], kind) != kind):
                known[points[0]] = index, kind, note
    found = [
        _made(source, name, (given[name],), 'same', []) if name in given else _match(source, target, name, known)
        for name in target.keypoints
    ]
    if not any(found):
        raise ValueError(f'{source.name!r} and {target.name!r} share no keypoint: give the pairs in names=')
    return found


def _described(skeleton: Skeleton, name: str) -> list[tuple[tuple[str, ...], str, str]]:
    return TABLE.get(skeleton.name, {}).get(name) or [_one(name)]


def _match(source: Skeleton, target: Skeleton, name: str, known: dict) -> Match | None:
    for points, kind, note in _described(target, name):
        if all(point in known for point in points):
            parts = [known[point] for point in points]
            for _, other, _ in parts:
                kind = _worse(kind, other)
            return _made(
                source, name, tuple(index for index, _, _ in parts), kind, [note, *(part[2] for part in parts)]
            )
    return None


def _made(source: Skeleton, name: str, ids: tuple[int, ...], kind: str, notes: list[str]) -> Match:
    note = '; '.join(dict.fromkeys(note for note in notes if note))
    return Match(name, tuple(source.keypoints[index] for index in ids), ids, kind, note)


def _worse(first: str, second: str) -> str:
    return max(first, second, key=_ORDER.index)
