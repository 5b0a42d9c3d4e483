"""OpenPose's BODY_25, and the 135 keypoints of its model of the whole body.

Order: OpenPose's own. Names: those of COCO-WholeBody where the points are the same. ``neck`` is another point than the neck of
the 308 keypoints (:mod:`.correspondence`). Sigmas: those of COCO-WholeBody; the neck has the shoulder's, the middle of the hips
the hip's, and points without measured noise the default.
"""

from . import coco17, wholebody133
from .skeleton import DEFAULT_SIGMA

FEET = [f'{side}_{part}' for side in ('left', 'right') for part in ('big_toe', 'small_toe', 'heel')]
ARM, LEG = ('shoulder', 'elbow', 'wrist'), ('hip', 'knee', 'ankle')
BODY = [
    'nose',
    'neck',
    *(f'{side}_{part}' for side in ('right', 'left') for part in ARM),
    'mid_hip',
    *(f'{side}_{part}' for side in ('right', 'left') for part in LEG),
    *(f'{side}_{part}' for part in ('eye', 'ear') for side in ('right', 'left')),
    *FEET,
]
LINKS = [
    ('neck', 'mid_hip'),
    *((start, end) for side in ('right', 'left') for start, end in (
        ('neck', f'{side}_shoulder'), (f'{side}_shoulder', f'{side}_elbow'), (f'{side}_elbow', f'{side}_wrist'),
        ('mid_hip', f'{side}_hip'), (f'{side}_hip', f'{side}_knee'), (f'{side}_knee', f'{side}_ankle'),
        ('nose', f'{side}_eye'), (f'{side}_eye', f'{side}_ear'),
        (f'{side}_ankle', f'{side}_big_toe'), (f'{side}_big_toe', f'{side}_small_toe'), (f'{side}_ankle', f'{side}_heel'),
    )),
    ('neck', 'nose'),
]  # fmt: skip

_WHOLE = dict(zip(wholebody133.SKELETON['keypoints'], wholebody133.SKELETON['sigmas'], strict=True))
_SIGMAS = _WHOLE | dict(neck=_WHOLE['left_shoulder'], mid_hip=_WHOLE['left_hip'])

OPENPOSE25 = dict(
    name='openpose25',
    keypoints=BODY,
    links=LINKS,
    sigmas=[_SIGMAS[name] for name in BODY],
    upper=[name for name in BODY if name in coco17.UPPER],
    lower=[name for name in BODY if name in coco17.LOWER + FEET],
    groups=dict(body=coco17.KEYPOINTS, foot=FEET),
)

# The model of 135 has COCO's order of the body, the upper neck and the top of the head instead of neck and middle of the hips,
# hands without the wrist, and the pupils in addition to the face.
PUPILS = ['right_pupil', 'left_pupil']
HANDS = dict(left=list(wholebody133.LEFT_HAND)[1:], right=list(wholebody133.RIGHT_HAND)[1:])
WHOLE = [
    *coco17.KEYPOINTS,
    'upper_neck',
    'head_top',
    *FEET,
    *HANDS['left'],
    *HANDS['right'],
    *wholebody133.FACE,
    *PUPILS,
]


def _link(name: str) -> str:
    """Fingers begin at the wrist."""
    return name.replace('hand_root', 'wrist')


OPENPOSE135 = dict(
    name='openpose135',
    keypoints=WHOLE,
    links=[(*map(_link, link[:2]), *link[2:]) for link in wholebody133.LINKS],
    flip=wholebody133.FACE_FLIP,
    sigmas=[_SIGMAS.get(name, DEFAULT_SIGMA) for name in WHOLE],
    upper=coco17.UPPER,
    lower=coco17.LOWER + FEET,
    groups=dict(
        body=coco17.KEYPOINTS,
        foot=FEET,
        face=wholebody133.FACE,
        left_hand=HANDS['left'],
        right_hand=HANDS['right'],
    ),
)
