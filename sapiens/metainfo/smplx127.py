"""The 127 joints and landmarks of SMPL-X, in the order in which its model returns them.

55 joints of the skeleton (the first 22 are the body), 11 vertices where COCO and its feet have keypoints, 10 finger tips, and 51
landmarks of the face without its outline.

Names and order: those of the published model. Joints are centers of rotation inside the body, not points of its surface
(:mod:`.correspondence`). Sigmas: COCO-WholeBody's where it has a point at the same place, the default elsewhere. OKS of joints
compares only with itself.
"""

from itertools import pairwise

from . import wholebody133
from .skeleton import DEFAULT_SIGMA

SIDES = ('left', 'right')
FINGERS = {
    'index': 'forefinger',
    'middle': 'middle_finger',
    'pinky': 'pinky_finger',
    'ring': 'ring_finger',
    'thumb': 'thumb',
}
TIPS = ('thumb', 'index', 'middle', 'ring', 'pinky')


def both(part: str) -> list[str]:
    return [f'{side}_{part}' for side in SIDES]


BODY = ['pelvis', *both('hip'), 'spine1', *both('knee'), 'spine2', *both('ankle'), 'spine3', *both('foot'), 'neck']
BODY += [*both('collar'), 'head', *both('shoulder'), *both('elbow'), *both('wrist')]
HEAD = ['jaw', *both('eye_smplhf')]
HANDS = {side: [f'{side}_{finger}{joint}' for finger in FINGERS for joint in (1, 2, 3)] for side in SIDES}
VERTICES = ['nose', 'right_eye', 'left_eye', 'right_ear', 'left_ear']
VERTICES += [f'{side}_{part}' for side in SIDES for part in ('big_toe', 'small_toe', 'heel')]
FINGER_TIPS = {side: [f'{side}_{finger}' for finger in TIPS] for side in SIDES}
FACE = [
    *(f'right_eye_brow{number}' for number in (1, 2, 3, 4, 5)),
    *(f'left_eye_brow{number}' for number in (5, 4, 3, 2, 1)),
    *(f'nose{number}' for number in (1, 2, 3, 4)),
    *('right_nose_2', 'right_nose_1', 'nose_middle', 'left_nose_1', 'left_nose_2'),
    *(f'right_eye{number}' for number in (1, 2, 3, 4, 5, 6)),
    *(f'left_eye{number}' for number in (4, 3, 2, 1, 6, 5)),
    *('right_mouth_1', 'right_mouth_2', 'right_mouth_3', 'mouth_top', 'left_mouth_3', 'left_mouth_2', 'left_mouth_1'),
    *('left_mouth_5', 'left_mouth_4', 'mouth_bottom', 'right_mouth_4', 'right_mouth_5'),
    *('right_lip_1', 'right_lip_2', 'lip_top', 'left_lip_2', 'left_lip_1', 'left_lip_3', 'lip_bottom', 'right_lip_3'),
]
KEYPOINTS = [
    *BODY,
    *HEAD,
    *HANDS['left'],
    *HANDS['right'],
    *VERTICES,
    *FINGER_TIPS['left'],
    *FINGER_TIPS['right'],
    *FACE,
]

LINKS = [
    ('pelvis', 'spine1'),
    ('spine1', 'spine2'),
    ('spine2', 'spine3'),
    ('spine3', 'neck'),
    ('neck', 'head'),
    ('head', 'jaw'),
]
for _side in SIDES:
    LINKS += [('pelvis', f'{_side}_hip'), ('spine3', f'{_side}_collar'), (f'{_side}_collar', f'{_side}_shoulder')]
    _limbs = (('hip', 'knee', 'ankle', 'foot'), ('shoulder', 'elbow', 'wrist'))
    LINKS += [(f'{_side}_{a}', f'{_side}_{b}') for limb in _limbs for a, b in pairwise(limb)]
    for _finger in FINGERS:
        _chain = [f'{_side}_wrist', *(f'{_side}_{_finger}{joint}' for joint in (1, 2, 3)), f'{_side}_{_finger}']
        LINKS += pairwise(_chain)

# {name here: name in COCO-WholeBody} of equal landmarks and of the joints of fingers.
LANDMARKS = dict(zip(FACE, wholebody133.FACE[17:], strict=True))
FINGER_JOINTS = {
    f'{side}_{finger}{joint}': f'{side}_{theirs}{joint or 4}'
    for side in SIDES
    for finger, theirs in FINGERS.items()
    for joint in ('', 1, 2, 3)
}

_SIGMAS = dict(zip(wholebody133.SKELETON['keypoints'], wholebody133.SKELETON['sigmas'], strict=True))

SKELETON = dict(
    name='smplx127',
    keypoints=KEYPOINTS,
    links=LINKS,
    sigmas=[_SIGMAS.get((LANDMARKS | FINGER_JOINTS).get(name, name), DEFAULT_SIGMA) for name in KEYPOINTS],
    groups=dict(body=BODY, left_hand=HANDS['left'], right_hand=HANDS['right'], face=FACE),
)
