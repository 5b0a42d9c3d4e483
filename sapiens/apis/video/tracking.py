"""Tracking of people through a video, and smoothing of their keypoints.

Legend: N people, K keypoints; boxes x1, y1, x2, y2; times in seconds.
"""

import math
from dataclasses import dataclass

import numpy as np

from ..results import PoseResult

__all__ = ['OneEuroFilter', 'Tracker']


class OneEuroFilter:
    """Low-pass filter whose cutoff grows with the speed: no jitter of still points, little lag of fast points.

    Source: Casiez, Roussel and Vogel, "1 Euro Filter" (CHI 2012).

    Args:
        min_cutoff: cutoff for still points in Hz; lower is smoother.
        beta: growth of the cutoff with the speed, in Hz per unit per second; higher lags less.
        speed_cutoff: cutoff of the filter of the speed in Hz.

    Raises:
        ValueError: a cutoff is not positive, or beta is negative.
    """

    def __init__(self, min_cutoff: float = 1.0, beta: float = 5.0, speed_cutoff: float = 1.0) -> None:
        if min_cutoff <= 0 or speed_cutoff <= 0 or beta < 0:
            raise ValueError(
                f'min_cutoff={min_cutoff!r}, beta={beta!r}, speed_cutoff={speed_cutoff!r}: expected cutoffs above 0 and '
                'beta of 0 or more'
            )
        self.min_cutoff, self.beta, self.speed_cutoff = min_cutoff, beta, speed_cutoff
        self.time: float | None = None
        self.value: np.ndarray | None = None
        self.speed: np.ndarray | None = None

    def __call__(self, value: np.ndarray, time: float) -> np.ndarray:
        """Filter values (..., 2). NaN points stay NaN and restart afterwards."""
        value = np.asarray(value, np.float64)
        if self.value is None:
            self.time, self.value, self.speed = time, value, np.zeros_like(value)
            return value
        step = time - self.time
        if step <= 0:
            raise ValueError(f'time {time} does not follow {self.time}')
        new = np.isnan(self.value)
        speed = np.where(new, 0, (value - self.value) / step)
        weight = _weight(step, self.speed_cutoff)
        self.speed = weight * np.nan_to_num(speed) + (1 - weight) * self.speed
        # One cutoff for x and y keeps the direction of motion.
        cutoff = self.min_cutoff + self.beta * np.linalg.norm(self.speed, axis=-1, keepdims=True)
        weight = _weight(step, cutoff)
        self.value = np.where(new, value, weight * value + (1 - weight) * self.value)
        self.time = time
        return self.value


def _weight(step: float, cutoff):
    """Return the weight of a new value after ``step`` seconds in a low-pass filter of ``cutoff`` Hz."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff * step))


@dataclass
class Track:
    """One tracked person."""

    number: int
    box: np.ndarray
    lost: int = 0
    filter: OneEuroFilter | None = None


class Tracker:
    """Gives people of consecutive frames ids and optionally smooths their keypoints.

    People are matched to those of the previous frame by the overlap of their boxes, largest overlap first.

    Args:
        smooth: filter the keypoints. Lengths are relative to the diagonal of the person's box, so near and far people are
            smoothed alike.
        min_overlap: minimum overlap (IoU) of the boxes of one person.
        max_lost: number of frames for which a person may be missing.
        min_cutoff, beta: see :class:`OneEuroFilter`.
    """

    def __init__(
        self,
        smooth: bool = False,
        min_overlap: float = 0.3,
        max_lost: int = 30,
        min_cutoff: float = 1.0,
        beta: float = 5.0,
    ) -> None:
        self.smooth, self.min_overlap, self.max_lost = smooth, min_overlap, max_lost
        self.options = dict(min_cutoff=min_cutoff, beta=beta)
        self.tracks: list[Track] = []
        self.following = 0

    def update(self, result: PoseResult, time: float) -> PoseResult:
        """Set ``track_ids`` of the next frame's result, at ``time`` seconds, and smooth its keypoints in place."""
        numbers = np.full(len(result), -1)
        overlaps = _overlaps(np.array([track.box for track in self.tracks]).reshape(-1, 4), result.boxes)
        matched = set()
        for flat in np.argsort(-overlaps, axis=None, kind='stable').tolist():
            row, column = divmod(flat, len(result))
            if overlaps[row, column] < self.min_overlap:
                break
            if row not in matched and numbers[column] < 0:
                numbers[column] = row
                matched.add(row)
        for row, track in enumerate(self.tracks):
            track.lost = 0 if row in matched else track.lost + 1
        for column in range(len(result)):
            if numbers[column] < 0:
                self.tracks.append(Track(self.following, result.boxes[column]))
                self.following += 1
                numbers[column] = len(self.tracks) - 1
            track = self.tracks[numbers[column]]
            track.box = result.boxes[column]
            if self.smooth:
                result.keypoints[column] = self._smooth(track, result.keypoints[column], time)
        result.track_ids = np.array([self.tracks[row].number for row in numbers], int)
        self.tracks = [track for track in self.tracks if track.lost <= self.max_lost]
        return result

    def _smooth(self, track: Track, keypoints: np.ndarray, time: float) -> np.ndarray:
        if track.filter is None:
            track.filter = OneEuroFilter(**self.options)
        size = max(float(np.hypot(*(track.box[2:] - track.box[:2]))), 1.0)
        # In units of the person's size only beta changes.
        track.filter.beta = self.options['beta'] / size
        return track.filter(keypoints, time).astype(np.float32)


def _overlaps(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the overlap (IoU), (M, N), of boxes (M, 4) and (N, 4)."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    shared = np.maximum(high - low, 0).prod(-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(-1) for boxes in (one, other)]
    return shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, 1e-9)
