"""OpenPose's order, links and colors of keypoints, as in pose images for ControlNet.

The body is COCO's with a neck between the shoulders and the right side first. Feet, face and hands of the 133 keypoints follow.
Source: OpenPose's color wheel; links and colors as in its published images.
"""

from functools import cache

import numpy as np

from .build import get_skeleton
from .convert_keypoints import convert_keypoints, match_keypoints
from .skeleton import Skeleton, skeleton_from_dict
from .wholebody133 import FACE_FLIP

__all__ = ['openpose_skeleton', 'to_openpose']

ARM, LEG = ('shoulder', 'elbow', 'wrist'), ('hip', 'knee', 'ankle')
BODY = ['nose', 'neck', *(f'{side}_{part}' for limb in (ARM, LEG) for side in ('right', 'left') for part in limb)]
BODY += ['right_eye', 'left_eye', 'right_ear', 'left_ear']
# The color wheel, in steps of a third of a primary.
COLORS = [
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0),
    (0, 255, 0), (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255),
    (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85),
]  # fmt: skip
LINKS = [
    ('neck', 'right_shoulder', (255, 0, 0)),
    ('neck', 'left_shoulder', (255, 85, 0)),
    ('right_shoulder', 'right_elbow', (255, 170, 0)),
    ('right_elbow', 'right_wrist', (255, 255, 0)),
    ('left_shoulder', 'left_elbow', (170, 255, 0)),
    ('left_elbow', 'left_wrist', (85, 255, 0)),
    ('neck', 'right_hip', (0, 255, 0)),
    ('right_hip', 'right_knee', (0, 255, 85)),
    ('right_knee', 'right_ankle', (0, 255, 170)),
    ('neck', 'left_hip', (0, 255, 225)),  # 225 in the published code too
    ('left_hip', 'left_knee', (0, 170, 255)),
    ('left_knee', 'left_ankle', (0, 85, 255)),
    ('neck', 'nose', (0, 0, 255)),
    ('nose', 'right_eye', (255, 0, 170)),
    ('right_eye', 'right_ear', (170, 0, 255)),
    ('nose', 'left_eye', (255, 0, 255)),
    ('left_eye', 'left_ear', (255, 0, 170)),
]
FOOT, FACE = (255, 128, 0), (255, 255, 255)


@cache
def openpose_skeleton(whole: bool = False) -> Skeleton:
    """The skeleton of 18 keypoints, or the ``whole`` one of 134."""
    body = dict(name='openpose18', keypoints=BODY, links=LINKS, colors=dict(zip(BODY, COLORS, strict=True)))
    if not whole:
        return skeleton_from_dict(body)
    source = get_skeleton('wholebody133')
    rest = source.keypoints[len(get_skeleton('coco17')) :]
    colors = {name: source.colors[source.index(name)].tolist() for name in rest}
    for group, color in (('foot', FOOT), ('face', FACE)):
        colors |= {source.keypoints[index]: color for index in source.groups[group]}
    colors |= {name: FACE for name in rest if name.endswith('hand_root')}
    links = [
        (source.keypoints[start], source.keypoints[end], color.tolist())
        for (start, end), color in zip(source.links, source.link_colors, strict=True)
        if source.keypoints[start] in rest or source.keypoints[end] in rest
    ]
    return skeleton_from_dict(
        dict(
            name='openpose134',
            keypoints=[*BODY, *rest],
            links=[*LINKS, *links],
            flip=FACE_FLIP,
            colors=body['colors'] | colors,
        )
    )


def to_openpose(
    keypoints: np.ndarray, scores: np.ndarray, skeleton: Skeleton | str, threshold: float = 0.3
) -> tuple[np.ndarray, np.ndarray, Skeleton]:
    """Convert keypoints to OpenPose's order: 134 for skeletons with hands, 18 for others with COCO's body.

    Points of feet, face and hands that a skeleton names in its own way, such as those of the 308 keypoints, are found by
    :mod:`.correspondence`. Those without a partner are NaN with score 0. The wrist stands for the root of a hand in a skeleton
    without roots, such as openpose135. The neck is the middle of the shoulders; its score is 1 if both shoulder scores are above
    the threshold, else 0.

    Args:
        keypoints: (N, K, 2) pixels.
        scores: (N, K).
        skeleton: of the keypoints.

    Returns:
        keypoints (N, 18 or 134, 2), scores (N, 18 or 134), and their skeleton.

    Raises:
        ValueError: a skeleton without COCO's body keypoints.
    """
    skeleton = get_skeleton(skeleton)
    own_names = 'left_hand' in skeleton.groups and 'face-0' not in skeleton
    target = openpose_skeleton('face-0' in skeleton)
    names = {f'{side}_hand_root': f'{side}_wrist' for side in ('left', 'right')}
    names = {
        root: wrist for root, wrist in names.items() if root in target and root not in skeleton and wrist in skeleton
    }
    lacking = [name for name in target.keypoints if name != 'neck' and name not in skeleton and name not in names]
    if lacking:
        raise ValueError(
            f"OpenPose style needs COCO's body or whole body: {skeleton!r} has no {', '.join(lacking[:5])}"
        )
    if own_names:
        keypoints, scores = convert_keypoints(keypoints, scores, skeleton, 'wholebody133')
        return to_openpose(keypoints, scores, 'wholebody133', threshold)
    ids = match_keypoints(skeleton, target, names)
    points, values = np.asarray(keypoints, np.float64)[:, ids], np.asarray(scores, np.float64)[:, ids]
    shoulders = [skeleton.index('left_shoulder'), skeleton.index('right_shoulder')]
    neck = target.index('neck')
    points[:, neck] = np.asarray(keypoints, np.float64)[:, shoulders].mean(1)
    values[:, neck] = (np.asarray(scores)[:, shoulders] > threshold).all(1)
    return points, values, target
