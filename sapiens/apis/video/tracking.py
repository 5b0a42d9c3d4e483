"""Tracking of people through a video, and smoothing of their keypoints.

Legend: N people, K keypoints; boxes x1, y1, x2, y2; times in seconds.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from ..results import PoseResult

__all__ = ['OneEuroFilter', 'Tracker']

# Seconds in which a person who is not seen slows down, and in which speed and colors of one who is seen settle.
SLOWDOWN, SETTLING = 0.5, 0.2
# Seconds after which the place alone does not tell who it is.
SHORT_GAP = 0.5
# Weight of the similarity of colors in addition to the overlap of boxes.
COLOR_WEIGHT = 0.5
BINS = 6  # of each color
MAX_RESIZE = 1.6  # largest change of the size of a person who was not seen


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
    """One tracked person.

    Attributes:
        number: the id.
        box: the last one, (4,).
        time: when it was seen, in seconds.
        velocity: of the center of the box, (2,) in pixels per second.
        colors: histogram of its last views.
        filter: of the keypoints.
    """

    number: int
    box: np.ndarray
    time: float
    velocity: np.ndarray
    colors: np.ndarray
    filter: OneEuroFilter | None = None

    def expected(self, time: float) -> np.ndarray:
        """The box at a later time. A person who is not seen is expected to slow down."""
        gap = time - self.time
        return self.box + np.tile(self.velocity * SLOWDOWN * (1 - math.exp(-gap / SLOWDOWN)), 2)

    def see(self, box: np.ndarray, colors: np.ndarray, time: float) -> None:
        """Take the next view."""
        gap = max(time - self.time, 1e-6)
        weight = 1 - math.exp(-gap / SETTLING)
        self.velocity = self.velocity + weight * (_center(box - self.box) / gap - self.velocity)
        self.colors = self.colors + weight * (colors - self.colors)
        self.box, self.time = box, time


class Tracker:
    """Gives people of consecutive frames ids and optionally smooths their keypoints.

    People are matched to where those of earlier frames are expected, by the overlap of their boxes and by their colors, so that
    the sum over all people is largest. Those without a partner may be people who were not seen for a while: in reach of where
    they were, of a similar size, and with similar colors.

    Args:
        smooth: filter the keypoints. Lengths are relative to the diagonal of the person's box, so near and far people are
            smoothed alike.
        min_overlap: minimum overlap (IoU) of the expected and the new box of one person.
        memory: seconds for which a person may be missing.
        min_colors: minimum similarity, 0 to 1, of the colors of a person who was missing for half a second or moved.
        min_cutoff, beta: see :class:`OneEuroFilter`.
    """

    def __init__(
        self,
        smooth: bool = False,
        min_overlap: float = 0.3,
        memory: float = 2.0,
        min_colors: float = 0.6,
        min_cutoff: float = 1.0,
        beta: float = 5.0,
    ) -> None:
        self.smooth, self.min_overlap, self.memory, self.min_colors = smooth, min_overlap, memory, min_colors
        self.options = dict(min_cutoff=min_cutoff, beta=beta)
        self.tracks: list[Track] = []
        self.following = 0

    def update(self, result: PoseResult, time: float) -> PoseResult:
        """Set ``track_ids`` of the next frame's result, at ``time`` seconds, and smooth its keypoints in place."""
        self.tracks = [track for track in self.tracks if time - track.time <= self.memory]
        colors = [color_histogram(result.image, box) for box in result.boxes]
        ids = []
        for column, row in enumerate(self._match(result.boxes, colors, time)):
            if row is None:
                track = Track(self.following, result.boxes[column], time, np.zeros(2), colors[column])
                self.tracks.append(track)
                self.following += 1
            else:
                track = self.tracks[row]
                track.see(result.boxes[column], colors[column], time)
            ids.append(track.number)
            if self.smooth:
                result.keypoints[column] = self._smooth(track, result.keypoints[column], time)
        result.track_ids = np.array(ids, int)
        return result

    def _match(self, boxes: np.ndarray, colors: list[np.ndarray], time: float) -> list[int | None]:
        """Return the index of the track of each box, or None for a new person."""
        rows: list[int | None] = [None] * len(boxes)
        if not (len(boxes) and self.tracks):
            return rows
        expected = np.array([track.expected(time) for track in self.tracks])
        overlaps = _overlaps(expected, boxes)
        alike = np.array([[similarity(track.colors, one) for one in colors] for track in self.tracks])
        gaps = np.array([time - track.time for track in self.tracks])
        same_colors = alike >= self.min_colors
        near = (overlaps >= self.min_overlap) & ((gaps[:, None] <= SHORT_GAP) | same_colors)
        near = np.where(near, overlaps + COLOR_WEIGHT * alike, 0)
        again = np.where(_in_reach(expected, boxes, gaps) & same_colors, alike, 0)
        for scores in (near, again):  # those who were missing take what is left
            free = [column for column, row in enumerate(rows) if row is None]
            left = [row for row in range(len(self.tracks)) if row not in rows]
            for row, column in zip(*linear_sum_assignment(-scores[np.ix_(left, free)]), strict=True):
                if scores[left[row], free[column]] > 0:
                    rows[free[column]] = left[row]
        return rows

    def _smooth(self, track: Track, keypoints: np.ndarray, time: float) -> np.ndarray:
        if track.filter is None:
            track.filter = OneEuroFilter(**self.options)
        size = max(float(np.hypot(*(track.box[2:] - track.box[:2]))), 1.0)
        # In units of the person's size only beta changes.
        track.filter.beta = self.options['beta'] / size
        return track.filter(keypoints, time).astype(np.float32)


def color_histogram(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Describe what a person looks like by the colors of the upper and the lower half of the middle of the box.

    Args:
        image: (H, W, 3) uint8 RGB.
        box: (4,) in pixels of it.

    Returns:
        (2 * BINS^3,) float64 with the sum 1; zeros for a box outside.
    """
    x1, y1, x2, y2 = box
    height, width = image.shape[:2]
    # Without the sides, which show more of the background.
    columns = slice(*np.clip(np.rint([x1 + (x2 - x1) / 5, x2 - (x2 - x1) / 5]), 0, width).astype(int))
    found = []
    for top, bottom in ((y1, (y1 + y2) / 2), ((y1 + y2) / 2, y2)):
        part = image[slice(*np.clip(np.rint([top, bottom]), 0, height).astype(int)), columns]
        part = part[:: max(part.shape[0] // 32, 1), :: max(part.shape[1] // 32, 1)].reshape(-1, 3).astype(int)
        bins = part * BINS // 256 @ [BINS * BINS, BINS, 1]
        found.append(np.bincount(bins, minlength=BINS**3))
    counts = np.concatenate(found).astype(float)
    return counts / max(counts.sum(), 1)


def similarity(one: np.ndarray, other: np.ndarray) -> float:
    """Bhattacharyya's coefficient of two histograms: 1 if they are equal, 0 if they share no color."""
    return float(np.sqrt(one * other).sum())


def _in_reach(expected: np.ndarray, boxes: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    """Return whether people (M, 4) can be at boxes (N, 4) after ``gaps`` (M,) seconds, (M, N) bool: less than a diagonal and
    another one per second away, and of a similar size."""
    sizes, others = (np.hypot(*(one[:, 2:] - one[:, :2]).T) for one in (expected, boxes))
    away = np.linalg.norm(_center(expected)[:, None] - _center(boxes)[None], axis=-1)
    ratio = np.maximum(others[None] / sizes[:, None], sizes[:, None] / others[None])
    return (away <= sizes[:, None] * (1 + gaps[:, None])) & (ratio <= MAX_RESIZE)


def _center(boxes: np.ndarray) -> np.ndarray:
    return (boxes[..., :2] + boxes[..., 2:]) / 2


def _overlaps(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the overlap (IoU), (M, N), of boxes (M, 4) and (N, 4)."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    shared = np.maximum(high - low, 0).prod(-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(-1) for boxes in (one, other)]
    return shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, 1e-9)
