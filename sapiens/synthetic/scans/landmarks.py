"""Where the head of a scan is and which way it faces, from its shape alone. Scans have no skeleton.

World: meters, z up.
"""

import cv2
import numpy as np

__all__ = ['Head', 'find_front', 'find_head', 'sample_surface']

_SLICE = 0.02  # meters: height of a slice, and side of its pixels
_HALF = 1.6  # meters to each side of the middle that slices reach
_AREA = 0.011, 0.085  # square meters of a slice through a head with its hair; an arm has less, a chest more
_MIDDLE = 0.018  # and of its largest slice at least
_SLICES = 6  # a head is this many slices high, at least
_FROM_TOP = 0.12  # meters from the top of a head to its middle


class Head(tuple):
    """(3,) the middle of a head in meters."""


def sample_surface(vertices: np.ndarray, faces: np.ndarray, count: int = 60_000) -> np.ndarray:
    """(count, 3) points all over a mesh, the same ones each time; as dense on large triangles as on small ones."""
    rng = np.random.default_rng(0)
    corners = vertices[faces]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    if not areas.sum() > 0:
        return vertices
    rows = np.searchsorted(np.cumsum(areas), rng.uniform(0, areas.sum(), count)).clip(0, len(faces) - 1)
    a, b = rng.random((2, count, 1))
    a, b = np.where(a + b > 1, 1 - a, a), np.where(a + b > 1, 1 - b, b)
    first, second, third = corners[rows].transpose(1, 0, 2)
    return first + a * (second - first) + b * (third - first)


def find_head(points: np.ndarray) -> np.ndarray | None:
    """(3,) the middle of the head of a person who is more or less upright; None if there is none.

    From the top down, the first body of a head's width that goes on for a head's height: hands and arms are thinner.

    Args:
        points: (N, 3) all over the surface.
    """
    middle = (points[:, :2].min(0) + points[:, :2].max(0)) / 2
    side = int(2 * _HALF / _SLICE)
    cells = np.floor((points[:, :2] - middle + _HALF) / _SLICE).astype(int)
    top = points[:, 2].max()
    level = np.floor((top - points[:, 2]) / _SLICE).astype(int)
    inside = ((cells >= 0) & (cells < side)).all(1) & (level < 1.3 / _SLICE)
    cells, level = cells[inside], level[inside]
    above: list = []  # for each body of the slice above: (its place, slices so far, their largest area)
    for number in range(level.max(initial=-1) + 1):
        here = []
        for place, area, is_round in _bodies(cells[level == number], side):
            if not _AREA[0] <= area <= _AREA[1] or not is_round:
                continue
            parents = [each for each in above if np.linalg.norm(each[0] - place) < 0.05]
            slices, largest = max(((each[1], each[2]) for each in parents), default=(0, 0.0))
            here.append((place, slices + 1, max(largest, area)))
            if slices + 1 >= _SLICES and max(largest, area) >= _MIDDLE:
                return _climb(points, middle + place, top - (number + 1) * _SLICE)
        above = here
    return None


def _bodies(cells: np.ndarray, side: int) -> list:
    """(place relative to the middle in meters, area in square meters, whether it is about round) of what a slice cuts."""
    picture = np.zeros((side, side), np.uint8)
    picture[cells[:, 1], cells[:, 0]] = 1
    picture = cv2.morphologyEx(picture, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    found = []
    for outline in cv2.findContours(picture, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]:
        (x, y), (width, height), _ = cv2.minAreaRect(outline)
        width, height = width + 1, height + 1  # outlines pass through the middle of pixels
        area = (cv2.contourArea(outline) + len(outline) / 2 + 1) * _SLICE**2
        place = (np.array([x, y]) + 0.5) * _SLICE - _HALF
        found.append((place, area, max(width, height) < 2 * min(width, height)))
    return found


def _climb(points: np.ndarray, place: np.ndarray, height: float) -> np.ndarray:
    """From a slice through the lower part of a head to its middle."""
    near = np.linalg.norm(points[:, :2] - place, axis=1) < 0.13
    column = points[near & (points[:, 2] > height - 0.02) & (points[:, 2] < height + 0.25)]
    # Without the hair of a few strands, or a finger on the head.
    top = np.quantile(column[:, 2], 0.995)
    head = column[column[:, 2] > top - 2 * _FROM_TOP]
    return np.array([*((head[:, :2].min(0) + head[:, :2].max(0)) / 2), top - _FROM_TOP])


def find_front(points: np.ndarray) -> np.ndarray | None:
    """(2,) unit vector to where the toes point; None if the feet do not tell.

    Args:
        points: (N, 3) all over the surface, with the ground at z = 0.
    """
    sole = points[points[:, 2] < 0.05]
    ankle = points[(points[:, 2] > 0.09) & (points[:, 2] < 0.15)]
    if min(len(sole), len(ankle)) < 50:
        return None
    # Each ankle with the part of the soles that is nearest to it: the feet of a walking person are apart.
    _, _, middles = cv2.kmeans(
        ankle[:, :2].astype(np.float32), 2, None, (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 20, 1e-3), 1,
        cv2.KMEANS_PP_CENTERS,
    )  # fmt: skip
    distance = np.linalg.norm(sole[:, None, :2] - middles, axis=2)
    nearest = distance.argmin(1)
    total = np.zeros(2)
    for foot, middle in enumerate(middles):
        own = sole[(nearest == foot) & (distance[:, foot] < 0.3), :2]
        if len(own) >= 30:
            total += (own.min(0) + own.max(0)) / 2 - middle
    length = float(np.linalg.norm(total))
    return total / length if length > 0.03 else None
