"""Pure formulas of evaluation. Legend: K keypoints, N people; points and boxes in pixels of one image."""

import numpy as np

__all__ = ['keypoint_areas', 'keypoint_similarity', 'oks', 'oks_nms', 'region_similarity']


def keypoint_similarity(points: np.ndarray, target: np.ndarray, area: np.ndarray, sigmas: np.ndarray) -> np.ndarray:
    """Similarity of each keypoint to its target, on the scale of the person: exp(-d^2 / (2 area (2 sigma)^2)).

    The formula of https://cocodataset.org/#keypoints-eval: the standard deviation that a keypoint is allowed is
    2 sigma sqrt(area).

    Args:
        points: (..., K, 2) pixels; NaN where a keypoint was not predicted.
        target: (..., K, 2) pixels.
        area: (...) square pixels, of the person's segment.
        sigmas: (K,) fraction of sqrt(area), see :class:`sapiens.metainfo.Skeleton`.

    Returns:
        (..., K) in [0, 1]; 0 where ``points`` is NaN.
    """
    difference = points - target
    return _falloff(np.einsum('...i,...i->...', difference, difference), area, sigmas)


def region_similarity(points: np.ndarray, box: np.ndarray, area: np.ndarray, sigmas: np.ndarray) -> np.ndarray:
    """Similarity to a person without labeled keypoints, from the distance to a region around the person's box.

    As in COCO's evaluation: the region is the box (x, y, w, h) grown by its width and height on each side; points inside have
    distance 0. Detections that match unlabeled people are ignored instead of counting as false.

    Args:
        points, area, sigmas: as for :func:`keypoint_similarity`.
        box: (..., 4) x, y, width, height in pixels.

    Returns:
        (..., K) in [0, 1]; NaN where ``points`` is NaN.
    """
    corner, size = box[..., None, :2], box[..., None, 2:]
    outside = np.maximum(corner - size - points, 0) + np.maximum(points - (corner + 2 * size), 0)
    similarity = _falloff(np.einsum('...i,...i->...', outside, outside), area, sigmas)
    return np.where(np.isnan(points[..., 0]), np.nan, similarity)


def _falloff(square: np.ndarray, area: np.ndarray, sigmas: np.ndarray) -> np.ndarray:
    # An area of 0 (a point, or a box of no width) must not divide by zero; COCO's tools add the same.
    allowed = 2 * (np.asarray(area)[..., None] + np.spacing(1)) * (2 * sigmas) ** 2
    similarity = np.exp(-square / allowed.astype(square.dtype))
    return np.nan_to_num(similarity, copy=False, nan=0.0)


def oks(
    points: np.ndarray, target: np.ndarray, visible: np.ndarray, area: np.ndarray, sigmas: np.ndarray
) -> np.ndarray:
    """Object keypoint similarity: the mean of :func:`keypoint_similarity` over the labeled keypoints.

    Args:
        points, target, area, sigmas: as for :func:`keypoint_similarity`.
        visible: (..., K), true where the target is labeled.

    Returns:
        (...) in [0, 1]; a labeled keypoint that was not predicted counts 0; NaN where nothing is labeled.
    """
    visible = np.asarray(visible, bool)
    count = visible.sum(-1)
    total = (keypoint_similarity(points, target, area, sigmas) * visible).sum(-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def keypoint_areas(points: np.ndarray) -> np.ndarray:
    """Area of the smallest upright box around a person's keypoints.

    Args:
        points: (N, K, 2) pixels; NaN is skipped.

    Returns:
        (N,) square pixels, in the dtype of ``points``; 0 where every keypoint is NaN.
    """
    low, high = (np.where(np.isnan(points), fill, points) for fill in (np.inf, -np.inf))
    size = high.max(1, initial=-np.inf) - low.min(1, initial=np.inf)
    return np.where(size < 0, 0, size).prod(-1)


def oks_nms(points: np.ndarray, scores: np.ndarray, areas: np.ndarray, sigmas: np.ndarray, thr: float) -> np.ndarray:
    """Of people that nearly coincide keep the one with the highest score.

    The similarity of two people is the mean over the keypoints that both have, on the mean of their areas. Among equal
    scores the later one wins, as in mmpose.

    Args:
        points: (N, K, 2) pixels of one image; NaN where a keypoint was not predicted.
        scores: (N,).
        areas: (N,) square pixels; published: of the crops that the model saw.
        sigmas: (K,), see :func:`keypoint_similarity`.
        thr: a person whose similarity to a kept one is above it is dropped.

    Returns:
        ids that are kept, best first.
    """
    order = np.argsort(scores, kind='stable')[::-1]
    if len(order) < 2:
        return order
    points, areas = points[order], areas[order]
    first, second = np.triu_indices(len(order), 1)
    similarity = keypoint_similarity(points[first], points[second], (areas[first] + areas[second]) / 2, sigmas)
    known = ~np.isnan(points[..., 0])
    both = (known[first] & known[second]).sum(-1)
    close = similarity.sum(-1) > thr * both
    if not close.any():
        return order
    dropped = np.zeros(len(order), bool)
    # Pairs come in the order of the better one, so by the time that it drops others its own fate is decided.
    for better, worse in zip(first[close], second[close], strict=True):
        if not dropped[better]:
            dropped[worse] = True
    return order[~dropped]
