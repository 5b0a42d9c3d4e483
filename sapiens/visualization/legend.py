"""Legends of pictures: what colors mean, in lines on white below the picture.

Pictures are (H, W, 3) uint8 RGB.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from sapiens.metainfo import ClassList, Skeleton, get_classes
from sapiens.metainfo.naming import side_of

from .layout import LINE, caption, text_size
from .pose import dash
from .sizes import LEGEND, pixels

__all__ = ['NORMALS', 'Entry', 'class_entries', 'draw_entries', 'draw_legend', 'legend_height', 'skeleton_entries']


class Entry(NamedTuple):
    """A color and its meaning.

    Attributes:
        name: of what has the color.
        color: RGB.
        kind: of the sample of the color: 'area', 'line' or 'dashed'.
    """

    name: str
    color: tuple[int, int, int]
    kind: str = 'area'


# Colors (n + 1) / 2 of the axes, see :func:`.labels.draw_normals`.
NORMALS = (
    Entry('to the right', (255, 128, 128)),
    Entry('to the left', (0, 128, 128)),
    Entry('up', (128, 255, 128)),
    Entry('down', (128, 0, 128)),
    Entry('to the camera', (128, 128, 255)),
)


def legend_height(shape: Sequence[int]) -> int:
    """Height in pixels of a line of the legend of a picture of ``shape`` (H, W, ...)."""
    return round(pixels(LEGEND, shape, least=LINE))


def class_entries(classes: str | Path | Mapping | ClassList, ids: Iterable[int]) -> list[Entry]:
    """Return the entries of class ids, in their colors."""
    classes = get_classes(classes)
    return [Entry(classes.classes[index], tuple(classes.palette[index].tolist())) for index in ids]


def skeleton_entries(skeleton: Skeleton, drawn: np.ndarray) -> list[Entry]:
    """Return the entries of the groups of keypoints that are drawn: left, right, neither side, fingers and face.

    A group has the color of most of its links, or of most of its keypoints where it has no links.

    Args:
        skeleton: in the colors of the picture.
        drawn: (K,) bool, keypoints that are drawn for at least one person.
    """
    hands = {int(index): group for group in ('left_hand', 'right_hand') for index in skeleton.groups.get(group, ())}
    face = set(map(int, skeleton.groups.get('face', ())))
    names = skeleton.keypoints
    colors: dict[str, Counter] = {}
    dashed: set[str] = set()

    def add(name: str, color: Sequence[int]) -> None:
        colors.setdefault(name, Counter())[tuple(color)] += 1

    in_links: set[int] = set()
    dashes = np.zeros(len(skeleton.links), bool) if skeleton.dashed is None else skeleton.dashed
    for (start, end), color, is_dashed in zip(
        skeleton.links.tolist(), skeleton.link_colors.tolist(), dashes.tolist(), strict=True
    ):
        if not (drawn[start] and drawn[end]):
            continue
        in_links |= {start, end}
        if start in hands or end in hands:
            name = _finger_of(names[end if end in hands else start])
        else:
            sides = {side_of(names[end]) for end in (start, end)}
            name = SIDES[sides.pop() if len(sides) == 1 else '']
            if is_dashed:
                dashed.add(name)
        add(name, color)
    for index in np.flatnonzero(drawn).tolist():
        if index in face and index not in in_links:
            add('face', skeleton.colors[index].tolist())
        elif index not in in_links and index not in hands:
            add(SIDES[side_of(names[index])], skeleton.colors[index].tolist())
    order = [*SIDES.values(), *FINGERS, 'hands', 'face']
    return [
        Entry(
            name,
            colors[name].most_common(1)[0][0],
            'dashed' if name in dashed else 'area' if name == 'face' else 'line',
        )
        for name in sorted(colors, key=order.index)
    ]


SIDES = dict(l='left', r='right') | {'': 'head and trunk'}
FINGERS = ('thumb', 'forefinger', 'middle finger', 'ring finger', 'pinky')


def _finger_of(name: str) -> str:
    return next((finger for finger in FINGERS if finger.replace(' ', '_') in name), 'hands')


def draw_entries(entries: Sequence[Entry], width: int, line: int = LINE) -> np.ndarray:
    """Draw entries one after the other, in as many lines as needed.

    Args:
        width: of the legend in pixels.
        line: height of a line in pixels.

    Returns:
        (n line, width, 3) uint8 RGB for n lines; n is 0 without entries.
    """
    gap = max(2, round(0.15 * line))
    places, x, y = [], gap, 0
    for entry in entries:
        sample = line - 2 * gap if entry.kind == 'area' else 2 * line
        room = sample + 2 * gap + text_size(entry.name, line)[0]
        if x + room > width and x > gap:
            x, y = gap, y + line
        places.append((entry, x, y, sample))
        x += room + line
    canvas = np.full((y + line if places else 0, width, 3), 255, np.uint8)
    for entry, x, y, sample in places:
        _draw_sample(canvas, entry, x, y, sample, line)
        left = x + sample + gap
        if left < width:
            text = caption(width - left, entry.name, line=line)
            canvas[y : y + line, left:] = np.minimum(canvas[y : y + line, left:], text)
    return canvas


def _draw_sample(canvas: np.ndarray, entry: Entry, x: int, y: int, width: int, line: int) -> None:
    gap, rim = max(2, round(0.15 * line)), max(1, round(0.04 * line))
    if entry.kind == 'area':
        cv2.rectangle(canvas, (x, y + gap), (x + width, y + line - gap), (0, 0, 0), -1)
        cv2.rectangle(canvas, (x + rim, y + gap + rim), (x + width - rim, y + line - gap - rim), entry.color, -1)
        return
    thick = max(3, round(0.3 * line))
    start, end = np.array([x + thick, y + line // 2]), np.array([x + width - thick, y + line // 2])
    cv2.line(canvas, start.tolist(), end.tolist(), (0, 0, 0), thick + 2 * rim)
    cv2.line(canvas, start.tolist(), end.tolist(), entry.color, thick)
    if entry.kind == 'dashed':
        dash(canvas, start.astype(float), end.astype(float), thick, (-thick, -thick))


def draw_legend(
    classes: str | Path | Mapping | ClassList, ids: Iterable[int], width: int, line: int = LINE
) -> np.ndarray:
    """Draw colors and names of classes in lines on white.

    Args:
        classes: see :func:`sapiens.metainfo.get_classes`.
        ids: class ids.
        width: of the legend in pixels.
        line: height of a line in pixels.

    Returns:
        (n line, width, 3) uint8 RGB for n lines; n is 0 without classes.
    """
    return draw_entries(class_entries(classes, ids), width, line)
