"""Scores of boxes and of keypoints whose default threshold is a good one."""

import json
import math
from pathlib import Path

import numpy as np
import torch

from sapiens.apis.loading.load_model import load_model
from sapiens.checkpoints import Entry
from sapiens.coco import BOX_THRESHOLD, read_people
from sapiens.evaluation.boxes import match_boxes
from sapiens.utils.checkpoint import read_checkpoint
from sapiens.utils.files import atomic_path

__all__ = ['best_factor', 'best_threshold', 'calibrate_boxes', 'calibrate_keypoints']

LOWEST = 0.01  # of the scores that are looked at
CENTER = 'decode_head.conv_center.bias'
FINAL = 'head.final_layer.'
BODY = 17  # COCO's keypoints, the first ones of 133 too
NEAR = 0.1  # of the longer side of the box: a keypoint is right
KEYPOINT_THRESHOLD = 0.3  # of drawings
FACTORS = (0.5, 4.0)


def calibrate_boxes(checkpoint: Path, entry: Entry, people: Path, out: Path) -> tuple[Path, float]:
    """Move the logits of centers so that the default threshold of boxes is the one with the best F1 on annotated people.

    A short training ranks people well before its scores are as high as 0.3. One number of the weights changes, and no AP.

    Args:
        checkpoint: of the detector.
        entry: of its weights.
        people: folder of a split of rendered people.
        out: a checkpoint that is written.

    Returns:
        The checkpoint, and the threshold with the best F1 before; the default and the given checkpoint if nobody is found.
    """
    model = load_model(entry.config, checkpoint, device='cpu', box_threshold=LOWEST)
    truth = read_people(str(people / 'annotations/person_keypoints.json'))
    scores, hits = [], []
    for index, name in enumerate(truth.names):
        found = model(str(people / name))
        boxes = truth.boxes[(truth.image == index) & ~truth.crowd]
        corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
        scores.append(found.scores)
        hits.append(match_boxes(corners, np.asarray(found.boxes, np.float64)) >= 0)
    threshold = best_threshold(np.concatenate(scores), np.concatenate(hits), int((~truth.crowd).sum()))
    if threshold is None:
        return checkpoint, BOX_THRESHOLD
    content = read_checkpoint(checkpoint)
    content.state_dict[CENTER][0] += _logit(BOX_THRESHOLD) - _logit(threshold)
    with atomic_path(out, keep_suffix=True) as temporary:
        torch.save(dict(state_dict=content.state_dict, meta=dict(content.meta)), temporary)
    return out, threshold


def calibrate_keypoints(
    checkpoint: Path, entry: Entry, people: Path, out: Path, factor: float | None = None
) -> tuple[Path, float]:
    """Scale the logits of heatmaps so that the default threshold of keypoints tells right from wrong ones best (F1).

    Scores are the sum of the probabilities around the highest cell, which a short training spreads over more cells. The last
    layer is multiplied by one number. The highest cells stay, places between cells hardly change.

    Args:
        checkpoint: of the model.
        entry: of its weights.
        people: folder of a split of rendered people.
        out: a checkpoint that is written.
        factor: that of other weights with the same layer, instead of :func:`best_factor`.

    Returns:
        The checkpoint and the factor.
    """
    factor = best_factor(checkpoint, entry, people) if factor is None else factor
    content = read_checkpoint(checkpoint)
    state = {key: value * factor if key.startswith(FINAL) else value for key, value in content.state_dict.items()}
    with atomic_path(out, keep_suffix=True) as temporary:
        torch.save(dict(state_dict=state, meta=dict(content.meta)), temporary)
    return out, factor


def best_factor(checkpoint: Path, entry: Entry, people: Path, steps: int = 6) -> float:
    """The factor of :func:`calibrate_keypoints`, by bisection within :data:`FACTORS`; 1 if no keypoint is right."""
    model = load_model(entry.config, checkpoint, device='cpu')
    truth = json.loads((people / 'annotations/person_keypoints.json').read_text(encoding='utf-8'))
    names = {image['id']: image['file_name'] for image in truth['images']}
    labeled = [one for one in truth['annotations'] if one.get('num_keypoints')]
    final = model.network.head.final_layer
    first = [value.clone() for value in final.parameters()]

    def threshold_at(factor: float) -> float | None:
        for value, own in zip(final.parameters(), first, strict=True):
            value.data.copy_(own * factor)
        scores, hits = [], []
        for person in labeled:
            x, y, width, height = person['bbox']
            found = model(str(people / names[person['image_id']]), boxes=np.array([[x, y, x + width, y + height]]))
            labels = np.array(person['keypoints'], np.float64).reshape(-1, 3)
            known = labels[:, 2] > 0
            distance = np.linalg.norm(found.keypoints[0, :BODY] - labels[:, :2], axis=1)
            scores.append(found.scores[0, :BODY][known])
            hits.append(distance[known] <= NEAR * max(width, height))
        right = np.concatenate(hits)
        return best_threshold(np.concatenate(scores), right, int(right.sum()))

    low, high = FACTORS
    for _ in range(steps):
        middle = math.sqrt(low * high)
        threshold = threshold_at(middle)
        if threshold is None:
            return 1.0
        low, high = (middle, high) if threshold < KEYPOINT_THRESHOLD else (low, middle)
    return math.sqrt(low * high)


def best_threshold(scores: np.ndarray, hits: np.ndarray, people: int) -> float | None:
    """The threshold with the best F1, between two scores; None without a hit.

    Args:
        scores: (N,) of all boxes.
        hits: (N,) whether each is right: a person that no better box is.
        people: number of annotated people, or of keypoints that are right.
    """
    order = np.argsort(-scores, kind='stable')
    right, kept = np.cumsum(hits[order]), np.arange(1, len(scores) + 1)
    f1 = np.where(
        np.append(np.diff(scores[order]), -1.0) < 0, 2 * right / (kept + people), 0.0
    )  # ties are kept together
    if not len(f1) or not f1.max():
        return None
    last = int(f1.argmax())
    below = scores[order][last + 1] if last + 1 < len(scores) else LOWEST
    return float((scores[order][last] + below) / 2)


def _logit(probability: float) -> float:
    return math.log(probability / (1 - probability))
