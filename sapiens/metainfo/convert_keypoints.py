"""Conversion of keypoints between skeletons: by equal names, as published comparisons do, and by correspondence."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from .build import get_skeleton
from .correspondence import Match, correspondences
from .naming import not_known
from .skeleton import Skeleton

__all__ = ['convert_keypoints', 'gather_keypoints', 'match_keypoints']


def match_keypoints(
    source: str | Path | Mapping | Skeleton,
    target: str | Path | Mapping | Skeleton,
    names: Mapping[str, str] | None = None,
) -> np.ndarray:
    """For each keypoint of ``target`` the id of its match in ``source``, or -1.

    Args:
        source, target: skeletons, in any form that :func:`get_skeleton` accepts.
        names: {name in target: name in source} of equal keypoints with different names, in addition to those of one name.
            goliath308 and wholebody133 share 53 names, the published mapping: 17 of the body, 6 of the feet, 15 of each hand.
            ``goliath308.WHOLEBODY_HANDS`` adds the knuckles and the hand roots. All points that correspond:
            :func:`.correspondences`.

    Returns:
        (K_target,) int64.

    Raises:
        ValueError: a name in ``names`` that its skeleton does not have, or skeletons without a common keypoint.
    """
    source, target = get_skeleton(source), get_skeleton(target)
    names = names or {}
    for name, other in names.items():
        if name not in target:
            raise ValueError(not_known(f'skeleton {target.name!r}: keypoint in names', name, target.keypoints))
        if other not in source:
            raise ValueError(not_known(f'skeleton {source.name!r}: keypoint in names', other, source.keypoints))
    wanted = [names.get(name, name) for name in target.keypoints]
    ids = np.array([source.index(name) if name in source else -1 for name in wanted], np.int64)
    if (ids < 0).all():
        raise ValueError(f'{source.name!r} and {target.name!r} share no keypoint name: give the pairs in names=')
    return ids


def convert_keypoints(
    keypoints: np.ndarray,
    scores: np.ndarray,
    source: str | Path | Mapping | Skeleton,
    target: str | Path | Mapping | Skeleton,
    names: Mapping[str, str] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Convert keypoints to another skeleton by the table of :mod:`.correspondence`.

    Coordinates and scores are copied. A point that only follows from two others, such as OpenPose's neck, is their middle with
    the lower of their scores. :func:`correspondences` tells which these are, and where definitions differ.

    Args:
        keypoints: (..., K_source, 2 or 3), in any unit.
        scores: (..., K_source).
        source, target, names: as for :func:`correspondences`.

    Returns:
        keypoints (..., K_target, 2 or 3), NaN where there is no partner, and scores (..., K_target), 0 there.
        Floating dtypes are kept, others become float32.

    Raises:
        ValueError: shapes that do not fit ``source`` or each other; see also :func:`correspondences`.
    """
    source, target = get_skeleton(source), get_skeleton(target)
    keypoints, scores = _floating(keypoints), _floating(scores)
    if keypoints.ndim < 2 or keypoints.shape[-2] != len(source) or keypoints.shape[-1] not in (2, 3):
        raise ValueError(f'keypoints of {source.name!r} are (..., {len(source)}, 2 or 3), found {keypoints.shape}')
    if scores.shape != keypoints.shape[:-1]:
        raise ValueError(f'scores have shape {scores.shape}, but the keypoints require {keypoints.shape[:-1]}')
    return gather_keypoints(keypoints, scores, correspondences(source, target, names))


def gather_keypoints(
    keypoints: np.ndarray, scores: np.ndarray, matches: Sequence[Match | None]
) -> tuple[np.ndarray, np.ndarray]:
    """What :func:`convert_keypoints` returns, for correspondences that are known already."""
    missing = [match is None for match in matches]
    first, last = (np.array([0 if match is None else match.ids[i] for match in matches], np.int64) for i in (0, -1))
    points, values = keypoints[..., first, :], scores[..., first]
    derived = np.flatnonzero(first != last)
    points[..., derived, :] = (points[..., derived, :] + keypoints[..., last[derived], :]) / 2
    values[..., derived] = np.minimum(values[..., derived], scores[..., last[derived]])
    points[..., missing, :] = np.nan
    values[..., missing] = 0
    return points, values


def _floating(array: np.ndarray) -> np.ndarray:
    array = np.asarray(array)
    return array if np.issubdtype(array.dtype, np.floating) else array.astype(np.float32)
