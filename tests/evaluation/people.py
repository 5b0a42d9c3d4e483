"""Annotated people and predictions of them, small and random but far from degenerate."""

import json

import numpy as np

from sapiens.metainfo import get_skeleton

PARTS = {'keypoints': 17, 'foot_kpts': 6, 'face_kpts': 68, 'lefthand_kpts': 21, 'righthand_kpts': 21}
OWN = dict(
    name='own', keypoints=['tip', 'left_wing', 'right_wing', 'tail', 'belly'], sigmas=[0.03, 0.05, 0.05, 0.09, 0.1]
)


def annotations(skeleton, images=8, people=3, seed=0, crowds=True, unlabelled=True):
    """COCO dict: several people per image, of all sizes, partly labeled; an image without people."""
    random = np.random.default_rng(seed)
    count = len(get_skeleton(skeleton))
    items = []
    for image in range(images - 1):
        for person in range(people):
            width, height = random.uniform(30, 300, 2)
            corner = random.uniform(0, 600, 2)
            points = corner + random.uniform(0, 1, (count, 2)) * (width, height)
            visible = random.choice([0, 1, 2], count, p=[0.2, 0.2, 0.6])
            if person == 2:  # an unlabeled part
                visible[17 : min(count, 95)] = 0
            if unlabelled and (image, person) in ((1, 1), (2, 0)):
                visible[:] = 0
            if count == 133:  # the root of a hand is the wrist
                points[[91, 112]], visible[[91, 112]] = points[[9, 10]], visible[[9, 10]]
            points[visible == 0] = 0
            box = [*corner, width, height]
            crowd = int(crowds and (image, person) in ((1, 0), (3, 1)))
            items.append(
                dict(id=10 + len(items), image_id=100 + 7 * image, category_id=1, bbox=[float(v) for v in box])
                | dict(area=float(width * height * random.uniform(0.3, 0.9)), iscrowd=crowd)
                | keypoint_lists(np.concatenate([points, visible[:, None]], 1), skeleton)
            )
    order = random.permutation(images)
    pictures = [dict(id=100 + 7 * int(i), file_name=f'{i}.jpg', width=900, height=900) for i in order]
    return dict(images=pictures, annotations=items, categories=[dict(id=1, name='person')])


def keypoint_lists(points, skeleton):
    if get_skeleton(skeleton).name != 'wholebody133':
        return dict(keypoints=points.reshape(-1).tolist(), num_keypoints=int((points[:, 2] > 0).sum()))
    cuts = np.cumsum(list(PARTS.values()))[:-1]
    return {name: part.reshape(-1).tolist() for name, part in zip(PARTS, np.split(points, cuts), strict=True)}


def all_points(item, skeleton):
    names = PARTS if get_skeleton(skeleton).name == 'wholebody133' else ['keypoints']
    return np.array([number for name in names for number in item[name]]).reshape(-1, 3)


def sample(image_id, sample_id, points, scores, box, box_score, crop=None):
    """Input of a metric for one person. ``box``: x, y, width, height; ``crop``: width and height."""
    x, y, w, h = box
    box = np.array([[x, y, x + w, y + h]], np.float32)
    box_score = np.array([box_score], np.float32)
    labels = dict(bboxes=box, bbox_scores=box_score)
    more = {}
    if crop is not None:  # our name of it, and mmpose's
        more['input_scale'] = np.array(crop, np.float32)
        labels['bbox_scales'] = more['input_scale'][None]
    return more | dict(
        img_id=image_id,
        id=sample_id,
        pred_instances=dict(
            keypoints=np.asarray(points, np.float32)[None],
            keypoint_scores=np.asarray(scores, np.float32)[None],
            bboxes=box,
            bbox_scores=box_score,
        ),
        gt_instances=labels,
    )


def perfect(data, skeleton):
    """The annotations of labeled people as predictions; unlabeled keypoints have score 0."""
    found = []
    for item in data['annotations']:
        points = all_points(item, skeleton)
        if (points[:, 2] > 0).any() and not item['iscrowd']:
            found.append(sample(item['image_id'], item['id'], points[:, :2], points[:, 2] > 0, item['bbox'], 1))
    return found


def perturbed(data, skeleton, seed=0, missed=0.0, doubled=0.0, false=0, crops=False):
    """Noisy predictions: a fraction of people missed, a fraction found twice, and ``false`` people more in each image."""
    random = np.random.default_rng(seed)
    found = []

    def add(image_id, points, box):
        scores = random.uniform(0, 1, len(points))
        scores[random.random(len(points)) < 0.2] = 0
        if random.random() < 0.2:  # a part without any score: no detection for that part
            scores[random.choice([0, 17]) : 112] = 0
        crop = [1.25 * max(box[2:]), 1.7 * max(box[2:])] if crops else None
        found.append(sample(image_id, len(found), points, scores, box, random.uniform(0.05, 1), crop))

    for item in data['annotations']:
        points = all_points(item, skeleton)[:, :2]
        size = np.sqrt(item['area'])
        if random.random() < missed:
            continue
        # Between nearly right and wrong, so that every threshold decides something.
        noise = 10 ** random.uniform(-3, -0.8)
        near = points + random.normal(0, noise * size, points.shape)
        add(item['image_id'], near, item['bbox'])
        if random.random() < doubled:
            for step in (0.001, 0.02):  # one that NMS merges, and one that it may not
                add(item['image_id'], near + random.normal(0, step * size, points.shape), item['bbox'])
    for picture in data['images']:
        for _ in range(false):
            corner, size = random.uniform(0, 700, 2), random.uniform(20, 250, 2)
            points = corner + random.uniform(0, 1, (len(get_skeleton(skeleton)), 2)) * size
            add(picture['id'], points, [*corner, *size])
    return found


def write(path, data):
    path.write_text(json.dumps(data))
    return str(path)


def evaluate(metric, samples):
    for item in samples:
        metric.process({}, [item])
    return metric.evaluate(max(len(samples), 1))
