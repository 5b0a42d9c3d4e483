"""Boxes of people: whether there is one, and one around keypoints."""

import math

__all__ = ['MARGIN', 'box_of_points', 'finite_points', 'has_box', 'is_extent']

# Of a box around keypoints, as a fraction of their extent.
MARGIN = 0.1


def has_box(box: object) -> bool:
    """Whether a value is a box with an area above 0."""
    numbers = isinstance(box, list) and len(box) == 4 and all(isinstance(value, int | float) for value in box)
    return numbers and all(math.isfinite(value) for value in box) and min(box[2:]) > 0


def is_extent(box: list, points: list) -> bool:
    """Whether a box is the extent of labeled keypoints, to half a pixel."""
    xs, ys = (
        [a for a, v in zip(points[i::3], points[2::3], strict=False) if v and isinstance(a, int | float)]
        for i in (0, 1)
    )
    if not xs or not ys:
        return False
    extent = min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)
    return all(abs(one - other) <= 0.5 for one, other in zip(box, extent, strict=True))


def finite_points(values: list) -> list[tuple[float, float]]:
    """The labeled keypoints of x, y, v, ... whose coordinates are finite numbers."""
    triples = zip(values[::3], values[1::3], values[2::3], strict=True)
    return [(x, y) for x, y, v in triples if v and None not in (x, y) and math.isfinite(x) and math.isfinite(y)]


def box_of_points(values: list, size: tuple) -> list[float]:
    """The box x, y, w, h around labeled keypoints, with a margin, inside an image of ``size`` (w, h) where that is known."""
    xs, ys = zip(*finite_points(values), strict=True)
    margin = max(MARGIN * max(max(xs) - min(xs), max(ys) - min(ys)), 4)
    width, height = (side if isinstance(side, int) else math.inf for side in size)
    left, top = max(0.0, min(xs) - margin), max(0.0, min(ys) - margin)
    right, bottom = min(width, max(xs) + margin), min(height, max(ys) + margin)
    return [left, top, right - left, bottom - top]
