"""Scores of a detector whose default threshold is a good one."""

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

__all__ = ['best_threshold', 'calibrate']

LOWEST = 0.01  # of the scores that are looked at
CENTER = 'decode_head.conv_center.bias'


def calibrate(checkpoint: Path, entry: Entry, people: Path, out: Path) -> tuple[Path, float]:
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


def best_threshold(scores: np.ndarray, hits: np.ndarray, people: int) -> float | None:
    """The threshold with the best F1, between two scores; None without a hit.

    Args:
        scores: (N,) of all boxes.
        hits: (N,) whether each is a person that no better box is.
        people: number of annotated people.
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
