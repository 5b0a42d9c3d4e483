"""Flat transparent bands below text, which captions and watermarks lay over a photograph."""

import numpy as np

__all__ = ['count_banded']

# A caption has several letters: a line of text is wider than high by this factor at least. What a detector of text takes for text
# elsewhere seldom is.
_LEAST_ASPECT = 5
# A band changes the gray values of a row at its edge by this at least.
_STEP = 6
# Gray values by which the color that two edges give to a band differs at most.
_ALIKE = 60
# An edge is at most this far from a line of text, in heights of the line.
_REACH = 3
# Rows that are compared, from an edge into the band: next to it and beyond. It is blurred by JPEG and by the reduction.
_WITHIN, _OUTSIDE, _BEYOND, _FURTHER = 1, -2, -4, 3


def count_banded(gray: np.ndarray, boxes: np.ndarray) -> int:
    """Count the lines of text on a horizontal transparent band.

    At the upper and the lower edge of a band the image steps to its color, and continues below it with less contrast. One edge is
    enough where the band ends at the border of the image. A sign on a photograph does not continue what is around it.

    Args:
        gray: (H, W) float32, 0 to 255.
        boxes: (N, 4) x, y, width and height of lines of text, in pixels. Short ones, which have few letters, do not count.
    """
    lines = [box for box in np.asarray(boxes).tolist() if box[2] >= _LEAST_ASPECT * box[3]]
    return sum(_is_banded(gray, *line) for line in lines)


def _is_banded(gray: np.ndarray, x: int, y: int, width: int, height: int) -> bool:
    rows, reach = len(gray), _REACH * height
    columns = slice(max(0, x - height), x + width + height)
    first, last = max(-_BEYOND, y - reach), min(rows + _BEYOND, y + height + reach)
    above = _edge_colors(gray, columns, range(first, y), 1)
    below = _edge_colors(gray, columns, range(y + height, last), -1)
    if y < reach or y + height > rows - reach:  # it may end at the border of the image
        return bool(above or below)
    return any(abs(one - two) < _ALIKE for one in above for two in below)


def _edge_colors(gray: np.ndarray, columns: slice, edges: range, inside: int) -> list[float]:
    """Return the gray values of bands that begin (``inside`` 1) or end (-1) between one of the rows and the row before it."""
    found = []
    for edge in edges:
        rows = [edge + part if inside > 0 else edge - 1 - part for part in (_WITHIN, _OUTSIDE, _BEYOND, _FURTHER)]
        parts = gray[rows, columns]
        if (contrast := _contrast(*parts, wide=gray[rows[:2]])) is not None:
            color = (parts[0].mean() - contrast * parts[1].mean()) / (1 - contrast)
            if -_ALIKE / 2 < color < 255 + _ALIKE / 2:
                found.append(float(color))
    return found


def _contrast(within, outside, beyond, further, wide: np.ndarray) -> float | None:
    """Return the contrast of the image below a band, as a fraction of that outside; None where rows are not at an edge of one.

    Args:
        within, outside, beyond, further: (columns,) of rows.
        wide: (2, W) the first two, over the width of the image.
    """
    step = np.abs(within - outside).mean()
    usual = max(np.abs(outside - beyond).mean(), np.abs(within - further).mean())
    if step < max(_STEP, usual):
        return None
    spreads = [float(row.std()) for row in (within, outside, beyond, further)]
    contrast = spreads[0] / max(spreads[1], 1e-6)
    if step > 3 * usual and spreads[1] < 16:
        # Little to be seen through it: the step has one direction, over more than half of the image's width.
        steps = wide[0] - wide[1]
        is_wide = max((steps > _STEP).mean(), (steps < -_STEP).mean()) > 0.5
        return min(contrast, 0.5) if is_wide else None
    if min(spreads) < 1:
        return None
    seen_through = float(np.corrcoef(within, outside)[0, 1])
    if step > 3 * usual:
        return contrast if seen_through > 0.7 and contrast < 0.92 else None
    # In a detailed image rows differ as much anywhere. Contrast changes at the edge, and on neither side of it.
    steady = max(spreads[1], spreads[2]) < 1.3 * min(spreads[1], spreads[2])
    steady &= max(spreads[0], spreads[3]) < 1.3 * min(spreads[0], spreads[3])
    return contrast if steady and seen_through > 0.4 and contrast < 0.7 else None
