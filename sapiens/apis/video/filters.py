"""What makes the results of consecutive frames one: ids and smooth keypoints, one focal length, mattes without flicker."""

import math
from collections.abc import Callable

import numpy as np

from ..results import MattingResult, PointmapResult, PoseResult, Result
from ..user_camera import centered_intrinsics
from .steady_matte import SteadyMatte
from .tracking import Tracker

__all__ = ['SteadyFocal', 'build_filters']


class SteadyFocal:
    """One focal length for all frames, so that points of what stands still do not move back and forth.

    It is the geometric mean of the estimates so far, so it hardly changes after the first frames. A camera that the user knows is
    left as it is.
    """

    def __init__(self) -> None:
        self.sum, self.count = 0.0, 0

    def __call__(self, result: PointmapResult, time: float) -> PointmapResult:
        """Return the next frame's result for the common focal length, in proportion to the width of the frame."""
        size = result.points.shape[:2]
        if result.focal_source != 'estimated' or not np.isfinite(result.estimated_focal):
            return result
        self.sum += math.log(result.estimated_focal / size[1])
        self.count += 1
        return result.seen_by(centered_intrinsics(math.exp(self.sum / self.count) * size[1], size), 'estimated')


class _SteadyMatting:
    """Mattes along the motion of the picture, see :class:`.steady_matte.SteadyMatte`."""

    def __init__(self) -> None:
        self.filter = SteadyMatte()

    def __call__(self, result: MattingResult, time: float) -> MattingResult:
        matte = np.concatenate([result.alpha[..., None], result.foreground], axis=-1)
        steady = self.filter(result.image, matte, time)
        result.alpha, result.foreground = steady[..., 0], steady[..., 1:]
        return result


def build_filters(
    kinds: dict[str, type[Result]], track: bool = False, smooth: bool = False, **options
) -> dict[str, Callable[[Result, float], Result]]:
    """Build what processes the results of consecutive frames, by task: functions of the result of a frame and its time in seconds
    that return the result to use.

    Args:
        kinds: result class of each task.
        track: give each person of pose one id.
        smooth: smooth keypoints, of tracked people; use one focal length for all pointmaps; average mattes over time.
        **options: ``min_cutoff`` and ``beta`` of keypoints, see :class:`.tracking.OneEuroFilter`.
    """
    filters: dict[str, Callable] = {}
    for task, kind in kinds.items():
        if issubclass(kind, PoseResult) and (track or smooth):
            filters[task] = Tracker(smooth, **options).update
        elif issubclass(kind, PointmapResult) and smooth:
            filters[task] = SteadyFocal()
        elif issubclass(kind, MattingResult) and smooth:
            filters[task] = _SteadyMatting()
    return filters
