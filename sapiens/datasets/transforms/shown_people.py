"""What shows of each person of a sample while others are pasted in front of people and behind them."""

# N boxes x1, y1, x2, y2 (edges of pixels), h w size of the network's input

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sapiens.utils.boxes import clip_boxes, transform_boxes

from .view import invert

__all__ = ['ShownPeople']

Place = tuple[slice, slice]
"""Rows and columns of the network's input."""
_SHOWN = 0.5  # alpha from which a pixel shows a person


@dataclass
class _Person:
    """Alpha of a person at a place, and its sum with all that is hidden or outside. A person of the sample has its box (4,) and
    the edges of its alpha there; one that is pasted has none."""

    alpha: np.ndarray
    place: Place
    whole: float
    is_ignored: bool = False
    box: np.ndarray | None = None
    edges: np.ndarray | None = None
    is_covered: bool = False


class ShownPeople:
    """The boxes of the people of a sample, which shrink to what still shows.

    Alpha inside of a box counts as that of its person. Where people of the sample overlap, the box of one who is covered may
    thus stay too large, never larger than it was. Without alpha all pixels of a box count.

    Args:
        results: a sample of the network's size with bbox (N, 4) in pixels of the original image, bbox_ignored (N,) and
            warp_matrix (2, 3) without rotation; gt_alpha (h, w) where known.
        least: people of whom a smaller share shows become ignored.
    """

    def __init__(self, results: Mapping, least: float):
        height, width = results['img'].shape[:2]
        self.least, self.matrix = least, results['warp_matrix']
        alpha = results.get('gt_alpha')
        alpha = np.ones((height, width), np.float32) if alpha is None else alpha
        moved = clip_boxes(transform_boxes(results['bbox'], self.matrix), (width, height))
        self.people = []
        for index, (left, top, right, bottom) in enumerate(np.rint(moved).astype(int).tolist()):
            place = slice(top, bottom), slice(left, right)
            inside = alpha[place].copy()
            person = _Person(inside, place, float(inside.sum()), bool(results['bbox_ignored'][index]), moved[index])
            person.edges = _edges(person)
            self.people.append(person)

    def cover(self, into: Place, weight: np.ndarray) -> None:
        """Cover all people at a place with something of alpha ``weight``."""
        for person in self.people:
            common = tuple(
                slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(person.place, into, strict=True)
            )
            if all(side.start < side.stop for side in common):
                front = weight[_within(common, into)]
                person.alpha[_within(common, person.place)] *= 1 - front
                person.is_covered |= bool((front >= _SHOWN).any())

    def add(self, into: Place, weight: np.ndarray, whole: float) -> None:
        """Add a pasted person: alpha ``weight`` shows at a place, and ``whole`` is the sum of alpha of the whole person."""
        self.people.append(_Person(weight.copy(), into, whole))

    def write(self, results: dict) -> None:
        """Set bbox and bbox_ignored. People of whom nothing shows are left out. Boxes that nothing covers stay as they are."""
        boxes, ignored = [], []
        for index, person in enumerate(self.people):
            is_pasted = person.box is None
            if not is_pasted and not (person.is_covered and person.edges is not None):
                boxes.append(results['bbox'][index])
                ignored.append(person.is_ignored)
                continue
            edges = _edges(person)
            if edges is None:
                continue
            if not is_pasted:  # only the edges that are covered move
                edges = np.where(edges == person.edges, person.box, edges)
            boxes.append(transform_boxes(edges[None], invert(self.matrix))[0])
            ignored.append(person.is_ignored or float(person.alpha.sum()) < self.least * person.whole)
        results['bbox'] = np.array(boxes, np.float32).reshape(-1, 4)
        results['bbox_ignored'] = np.array(ignored, bool)


def _edges(person: _Person) -> np.ndarray | None:
    """(4,) box of the pixels that show a person; None where there are none."""
    shown = person.alpha >= _SHOWN
    rows, columns = np.flatnonzero(shown.any(1)), np.flatnonzero(shown.any(0))
    if not len(rows):
        return None
    top, left = person.place[0].start, person.place[1].start
    return np.array([left + columns[0], top + rows[0], left + columns[-1] + 1, top + rows[-1] + 1], np.float64)


def _within(inner: Place, outer: Place) -> Place:
    """A place relative to another one that contains it."""
    return tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(inner, outer, strict=True))
