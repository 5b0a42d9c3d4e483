"""The 308 keypoints of the Sapiens pose models ("goliath"): body, feet, hands without a root, and 238 on the face.

Goliath has 344 annotated keypoints; the 36 on the teeth (ids 220 to 255 there) are left out, the order of the rest is kept. The
body is not in COCO's order: use names or groups.

Sigmas: those of COCO and COCO-WholeBody for their keypoints; keypoints around the elbow and the shoulder have that joint's, and
every face keypoint has 0.01, as in the published models. All loss weights are 1.
"""

import re

from . import coco17, wholebody133
from .naming import mirror_name
from .skeleton import MIDDLE
from .wholebody133 import FINGERS, FOOT, WHITE

# Position of each keypoint among the 344 annotated ones.
ANNOTATED_IDS = [*range(220), *range(256, 344)]


def fingers(side: str) -> list[str]:
    """Each finger from the tip (4) to the knuckle ("third joint")."""
    return [f'{side}_{finger}{joint}' for finger in FINGERS for joint in ('4', '3', '2', '_third_joint')]


def both(*parts: str) -> list[str]:
    return [f'{side}_{part}' for part in parts for side in ('left', 'right')]


LEFT_FINGERS, RIGHT_FINGERS = fingers('left'), fingers('right')
UPPER = ['nose', *both('eye', 'ear', 'shoulder', 'elbow')]
LEGS = both('hip', 'knee', 'ankle')
ARMS = [*RIGHT_FINGERS, 'right_wrist', *LEFT_FINGERS, 'left_wrist']
# Keypoints around a joint: the joint.
EXTRA = dict.fromkeys(both('olecranon', 'cubital_fossa'), 'elbow')
EXTRA |= dict.fromkeys([*both('acromion'), 'neck'], 'shoulder')

# The left/right rule fails if the sides are numbered differently, or if a row of keypoints runs from one side to the other: the
# mirrored keypoint has another number. {pattern with the number in it: {number: number}}; others keep their number.
RENUMBERED = {
    r'midpoint_(\d)_of_\w+_(?:line|lip)$': {1: 2, 3: 6, 4: 5},
    r'midpoint_(\d)_of_[lr]_eyebrow$': {2: 3},
    r'point_(\d)_of_inner_helix$': {2: 8},
    r'border_of_(?:iris|pupil)_(\d+)$': {3: 9},  # hours of a clock face
    r'border_of_(?:iris|pupil)_midpoint_(\d)$': {1: 4, 2: 3},
}


def mirror(name: str) -> str:
    """Name of the partner: the other side, and another number according to :data:`RENUMBERED`."""
    name = mirror_name(name)
    for pattern, pairs in RENUMBERED.items():
        if match := re.search(pattern, name):
            number = int(match[1])
            number = (pairs | {b: a for a, b in pairs.items()}).get(number, number)
            return f'{name[: match.start(1)]}{number}{name[match.end(1) :]}'
    return name


def brow(side: str) -> list[str]:
    points = [f'{edge}_startpoint' for edge in ('upper', 'lower')] + ['end']
    points += ['upper_midpoint_1', 'lower_midpoint_1']
    points += [f'{edge}_midpoint_{number}' for edge in ('upper', 'lower') for number in (2, 3)]
    return [f'{point}_of_{side}_eyebrow' for point in points]


def left_eye(lid: str) -> list[str]:
    """Left points of the upper or the lower lid: lash line, eyelid line, and the crease above the upper one."""
    along = [f'midpoint_{number}' for number in (6, 2, 5)]
    along += ['centerpoint', *(f'midpoint_{number}' for number in (4, 1, 3))]
    lash = ['inner_end', 'outer_end', 'centerpoint', *(f'midpoint_{number}' for number in (2, 1, 6, 5, 4, 3))]
    points = [f'{point}_of_{lid}_lash_line' for point in lash]
    points += [f'{point}_of_{lid}_eyelid_line' for point in ['outer_end', *along]]
    points += [f'{point}_of_{lid}_crease_line' for point in along if lid == 'upper']
    return [f'l_{point}' for point in points]


def mouth(ring: str, upper_center: str) -> list[str]:
    """The outer or the inner outline of the lips."""
    points = [f'r_{ring}_corner_of_mouth', f'l_{ring}_corner_of_mouth', upper_center, f'center_of_lower_{ring}_lip']
    for numbers in ((1, 2), (3, 4, 5, 6)):
        points += [f'midpoint_{n}_of_{lip}_{ring}_lip' for lip in ('upper', 'lower') for n in numbers]
    return points


def circle(side: str, ring: str) -> list[str]:
    """Center and border of the iris or the pupil."""
    border = ['3', 'midpoint_1', '12', 'midpoint_4', '9', 'midpoint_3', '6', 'midpoint_2']
    return [f'{side}_center_of_{ring}', *(f'{side}_border_of_{ring}_{point}' for point in border)]


CENTER = ['center_of_glabella', 'center_of_nose_root', 'tip_of_nose_bridge']
CENTER += [f'midpoint_{number}_of_nose_bridge' for number in (1, 2, 3)]
CENTER += ['center_of_labiomental_groove', 'tip_of_chin']
NOSE = ['tip_of_nose', 'bottom_center_of_nose', 'r_outer_corner_of_nose', 'l_outer_corner_of_nose']
NOSE += [f'{corner}_corner_of_{side}_nostril' for side in 'rl' for corner in ('inner', 'outer', 'upper')]
EAR = [
    'top_end_of_inferior_crus',
    'top_end_of_superior_crus',
    'start_of_antihelix',
    'end_of_antihelix',
    'midpoint_1_of_antihelix',
    'midpoint_1_of_inferior_crus',
    'midpoint_2_of_antihelix',
    'midpoint_3_of_antihelix',
    *(f'point_{number}_of_inner_helix' for number in range(1, 8)),
    'highest_point_of_antitragus',
    'bottom_point_of_tragus',
    'protruding_point_of_tragus',
    'top_point_of_tragus',
    'start_point_of_crus_of_helix',
    'deepest_point_of_concha',
    'tip_of_ear_lobe',
    'midpoint_between_22_15',
    'bottom_connecting_point_of_ear_lobe',
    'top_connecting_point_of_helix',
    'point_8_of_inner_helix',
]
LEFT_EAR = [f'l_{point}' for point in EAR]


def mirrored(names: list[str]) -> list[str]:
    return [mirror(name) for name in names]


# The face in the order of the ids, with the color of each part.
FACE_PARTS = [
    (CENTER + brow('r') + brow('l'), WHITE),
    (left_eye('upper'), (192, 64, 128)),
    (mirrored(left_eye('upper')), (64, 32, 192)),
    (left_eye('lower'), (64, 192, 128)),
    (mirrored(left_eye('lower')), (64, 192, 32)),
    (NOSE, (0, 192, 0)),
    (mouth('outer', 'center_of_cupid_bow'), (192, 0, 0)),
    (mouth('inner', 'center_of_upper_inner_lip'), (0, 192, 192)),
    (LEFT_EAR, (200, 200, 0)),
    (mirrored(LEFT_EAR), (0, 200, 200)),
    (circle('l', 'iris'), (128, 192, 64)),
    (circle('r', 'iris'), (192, 32, 64)),
    (circle('l', 'pupil'), (192, 128, 64)),
    (circle('r', 'pupil'), (32, 192, 192)),
]
BODY_POINTS = [*UPPER, *LEGS, *FOOT, *ARMS, *EXTRA]
FACE = [name for names, _ in FACE_PARTS for name in names]


# {name in COCO-WholeBody: name here} of equal joints with different names. The published comparison with COCO-WholeBody leaves
# them empty; match_keypoints(..., names=WHOLEBODY_HANDS) fills them.
KNUCKLES = {name: name.replace('_third_joint', '1') for name in LEFT_FINGERS + RIGHT_FINGERS if 'third_joint' in name}
WHOLEBODY_HANDS = {theirs: name for name, theirs in KNUCKLES.items()}
WHOLEBODY_HANDS |= {f'{side}_hand_root': f'{side}_wrist' for side in ('left', 'right')}

WHOLEBODY_SIGMAS = dict(zip(wholebody133.SKELETON['keypoints'], wholebody133.SKELETON['sigmas'], strict=True))
SIGMAS = [
    coco17.PARTS[EXTRA[name]][0] if name in EXTRA else WHOLEBODY_SIGMAS[KNUCKLES.get(name, name)]
    for name in BODY_POINTS
]
# COCO-WholeBody's links, with this skeleton's names.
LINKS = [(*(WHOLEBODY_HANDS.get(name, name) for name in link[:2]), *link[2:]) for link in wholebody133.LINKS]

SKELETON = dict(
    name='goliath308',
    dataset_name='goliath',
    keypoints=BODY_POINTS + FACE,
    links=LINKS,
    flip={name: mirror(name) for name in FACE},
    colors=dict.fromkeys(BODY_POINTS, MIDDLE) | {name: color for names, color in FACE_PARTS for name in names},
    sigmas=SIGMAS + [0.01] * len(FACE),
    upper=UPPER + ARMS,
    lower=LEGS + FOOT,
    groups=dict(
        body=coco17.KEYPOINTS,
        foot=FOOT,
        face=FACE,
        left_hand=LEFT_FINGERS,
        right_hand=RIGHT_FINGERS,
        extra=list(EXTRA),
    ),
)
