"""The 17 body keypoints of COCO.

Sigmas: COCO's keypoint evaluation (https://cocodataset.org/#keypoints-eval). Loss weights and colors: mmpose's.
"""

from .skeleton import MIDDLE

# part: (sigma, loss weight), in the order of the ids; all parts but the nose have a left and a right keypoint.
PARTS = {
    'nose': (0.026, 1.0),
    'eye': (0.025, 1.0),
    'ear': (0.035, 1.0),
    'shoulder': (0.079, 1.0),
    'elbow': (0.072, 1.2),
    'wrist': (0.062, 1.5),
    'hip': (0.107, 1.0),
    'knee': (0.087, 1.2),
    'ankle': (0.089, 1.5),
}
TABLE = {
    name: values
    for part, values in PARTS.items()
    for name in ((part,) if part == 'nose' else (f'left_{part}', f'right_{part}'))
}
KEYPOINTS = list(TABLE)
HEAD = KEYPOINTS[:5]
UPPER, LOWER = KEYPOINTS[:11], KEYPOINTS[11:]

# Arms and legs have the color of their side, head and trunk the color of the middle.
LINKS = [
    ('left_ankle', 'left_knee'),
    ('left_knee', 'left_hip'),
    ('right_ankle', 'right_knee'),
    ('right_knee', 'right_hip'),
    ('left_hip', 'right_hip'),
    ('left_shoulder', 'left_hip', MIDDLE),
    ('right_shoulder', 'right_hip', MIDDLE),
    ('left_shoulder', 'right_shoulder'),
    ('left_shoulder', 'left_elbow'),
    ('right_shoulder', 'right_elbow'),
    ('left_elbow', 'left_wrist'),
    ('right_elbow', 'right_wrist'),
    ('left_eye', 'right_eye'),
    ('nose', 'left_eye', MIDDLE),
    ('nose', 'right_eye', MIDDLE),
    ('left_eye', 'left_ear', MIDDLE),
    ('right_eye', 'right_ear', MIDDLE),
    ('left_ear', 'left_shoulder', MIDDLE),
    ('right_ear', 'right_shoulder', MIDDLE),
]

SKELETON = dict(
    name='coco17',
    dataset_name='coco',
    keypoints=KEYPOINTS,
    links=LINKS,
    colors=dict.fromkeys(HEAD, MIDDLE),
    sigmas=[sigma for sigma, _ in TABLE.values()],
    weights=[weight for _, weight in TABLE.values()],
    upper=UPPER,
    lower=LOWER,
    groups=dict(body=KEYPOINTS),
)
