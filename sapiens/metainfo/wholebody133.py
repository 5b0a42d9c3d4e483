"""The 133 keypoints of COCO-WholeBody: COCO's body, 6 on the feet, 68 on the face, 21 on each hand.

Sigmas: COCO's for the body, COCO-WholeBody's (https://github.com/jin-s13/COCO-WholeBody) for the rest; they were measured
per keypoint, so the two feet and the two halves of the face differ. Colors: mmpose's. All loss weights are 1.
"""

from itertools import pairwise

from . import coco17
from .skeleton import LEFT, RIGHT

WHITE = (255, 255, 255)

FOOT_SIGMAS = {
    'left_big_toe': 0.068,
    'left_small_toe': 0.066,
    'left_heel': 0.066,
    'right_big_toe': 0.092,
    'right_small_toe': 0.094,
    'right_heel': 0.094,
}

# fmt: off
FACE_SIGMAS = [
    # 0-16 jaw line, from the person's right ear to the left one
    0.042, 0.043, 0.044, 0.043, 0.04, 0.035, 0.031, 0.025, 0.02, 0.023, 0.029, 0.032, 0.037, 0.038, 0.043, 0.041, 0.045,
    # 17-21 right brow, 22-26 left brow
    0.013, 0.012, 0.011, 0.011, 0.012, 0.012, 0.011, 0.011, 0.013, 0.015,
    # 27-30 bridge of the nose, 31-35 nostrils
    0.009, 0.007, 0.007, 0.007, 0.012, 0.009, 0.008, 0.016, 0.01,
    # 36-41 right eye, 42-47 left eye
    0.017, 0.011, 0.009, 0.011, 0.009, 0.007, 0.013, 0.008, 0.011, 0.012, 0.01, 0.034,
    # 48-59 outer lips, 60-67 inner lips
    0.008, 0.008, 0.009, 0.008, 0.008, 0.007, 0.01, 0.008, 0.009, 0.009, 0.009, 0.007,
    0.007, 0.008, 0.011, 0.008, 0.008, 0.008, 0.01, 0.008,
]
# fmt: on

# Face points carry numbers instead of sides: the partner of a point of these runs is the run's sum less its number.
# Keypoints in no run lie on the midline.
FACE_RUNS = {
    16: range(0, 17),  # jaw
    43: range(17, 27),  # brows
    66: range(31, 36),  # nostrils
    81: [*range(36, 40), *range(42, 46)],  # upper eyelids and corners
    87: [40, 41, 46, 47],  # lower eyelids
    102: range(48, 55),  # upper edge of the upper lip
    114: range(55, 60),  # lower edge of the lower lip
    124: range(60, 65),  # lower edge of the upper lip
    132: range(65, 68),  # upper edge of the lower lip
}

# finger: color, sigmas from the palm (1) to the tip (4)
FINGERS = {
    'thumb': ((255, 128, 0), (0.022, 0.035, 0.037, 0.047)),
    'forefinger': ((255, 153, 255), (0.026, 0.025, 0.024, 0.035)),
    'middle_finger': ((102, 178, 255), (0.018, 0.024, 0.022, 0.026)),
    'ring_finger': ((255, 51, 51), (0.017, 0.021, 0.021, 0.032)),
    'pinky_finger': ((0, 255, 0), (0.02, 0.019, 0.022, 0.031)),
}
HAND_ROOT_SIGMA = 0.029

FOOT = list(FOOT_SIGMAS)
FACE = [f'face-{number}' for number in range(68)]
FACE_FLIP = {FACE[number]: FACE[total - number] for total, run in FACE_RUNS.items() for number in run}


def hand(side: str) -> dict[str, tuple[tuple[int, int, int], float]]:
    """{keypoint: (color, sigma)} of one hand, the root first."""
    points = {f'{side}_hand_root': (WHITE, HAND_ROOT_SIGMA)}
    for finger, (color, sigmas) in FINGERS.items():
        points |= {f'{side}_{finger}{joint}': (color, sigma) for joint, sigma in enumerate(sigmas, start=1)}
    return points


def hand_links(side: str) -> list[tuple]:
    links = []
    for finger, (color, _) in FINGERS.items():
        chain = [f'{side}_hand_root', *(f'{side}_{finger}{joint}' for joint in range(1, 5))]
        links += [(start, end, color) for start, end in pairwise(chain)]
    return links


LEFT_HAND, RIGHT_HAND = hand('left'), hand('right')
FOOT_LINKS = [
    (f'{side}_ankle', f'{side}_{part}', color)
    for side, color in (('left', LEFT), ('right', RIGHT))
    for part in ('big_toe', 'small_toe', 'heel')
]
LINKS = coco17.LINKS + FOOT_LINKS + hand_links('left') + hand_links('right')
HAND_COLORS = {name: color for name, (color, _) in (LEFT_HAND | RIGHT_HAND).items()}

SKELETON = dict(
    name='wholebody133',
    dataset_name='coco_wholebody',
    keypoints=[*coco17.KEYPOINTS, *FOOT, *FACE, *LEFT_HAND, *RIGHT_HAND],
    links=LINKS,
    flip=FACE_FLIP,
    colors=coco17.SKELETON['colors'] | dict.fromkeys(FOOT, RIGHT) | dict.fromkeys(FACE, WHITE) | HAND_COLORS,
    sigmas=[
        *coco17.SKELETON['sigmas'],
        *FOOT_SIGMAS.values(),
        *FACE_SIGMAS,
        *(sigma for _, sigma in [*LEFT_HAND.values(), *RIGHT_HAND.values()]),
    ],
    upper=coco17.UPPER,
    lower=coco17.LOWER + FOOT,
    groups=dict(body=coco17.KEYPOINTS, foot=FOOT, face=FACE, left_hand=list(LEFT_HAND), right_hand=list(RIGHT_HAND)),
)
