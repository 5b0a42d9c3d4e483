"""Legends of pictures: what colors mean, in lines on white below the picture.

Pictures are (H, W, 3) uint8 RGB.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from sapiens.metainfo import ClassList, Skeleton, get_classes
from sapiens.metainfo.coco17 import HEAD
from sapiens.metainfo.naming import side_of
from sapiens.metainfo.palettes import SIDES
from sapiens.metainfo.skeleton import LEFT, MIDDLE, RIGHT

from .layout import LINE, caption, text_size
from .pose import dash
from .sizes import LEGEND, LEGEND_OF_WIDTH, pixels

__all__ = ['NORMALS', 'Entry', 'class_entries', 'draw_entries', 'draw_legend', 'legend_height', 'skeleton_entries']


class Entry(NamedTuple):
    """A color and its meaning.

    Attributes:
        name: of what has the color.
        color: RGB.
        kind: of the sample of the color: 'area', 'line', 'dashed' or 'point'.
        others: further colors of the same thing.
        heading: of the entries that begin here.
    """

    name: str
    color: tuple[int, int, int]
    kind: str = 'area'
    others: tuple[tuple[int, int, int], ...] = ()
    heading: str = ''


# Colors (n + 1) / 2 of the axes, see :func:`.labels.draw_normals`.
NORMALS = (
    Entry('to the right', (255, 128, 128)),
    Entry('to the left', (0, 128, 128)),
    Entry('up', (128, 255, 128)),
    Entry('down', (128, 0, 128)),
    Entry('to the camera', (128, 128, 255)),
)

BODY = ('left', 'right', 'head and trunk')
HANDS = dict(left_hand='left hand', right_hand='right hand')
FINGERS = ('thumb', 'forefinger', 'middle finger', 'ring finger', 'pinky', 'hand')
# Parts of the face by words in the names of their keypoints, the first that fits.
FACE = {
    'left eye': r'l_.*(lash|eyelid|crease|iris|pupil)',
    'right eye': r'r_.*(lash|eyelid|crease|iris|pupil)',
    'brows, bridge of the nose, chin': 'brow|glabella|nose_(root|bridge)|labiomental|chin',
    'nose': 'nose|nostril',
    'lips': 'mouth|lip|cupid',
    'left ear': 'l_.*(crus|helix|tragus|concha|ear_lobe|between)',
    'right ear': 'r_.*(crus|helix|tragus|concha|ear_lobe|between)',
    'face': '',
}
# Colors of the package say themselves which side a link or a keypoint belongs to, in both palettes.
BY_COLOR = {
    color: name for source, name in zip((LEFT, RIGHT, MIDDLE), BODY, strict=True) for color in (source, SIDES[source])
}


def legend_height(shape: Sequence[int]) -> int:
    """Height in pixels of a line of the legend of a picture of ``shape`` (H, W, ...)."""
    return round(max(pixels(LEGEND, shape, least=LINE), LEGEND_OF_WIDTH * shape[1] / 1000))


def class_entries(classes: str | Path | Mapping | ClassList, ids: Iterable[int]) -> list[Entry]:
    """Return the entries of class ids, in their colors."""
    classes = get_classes(classes)
    return [Entry(classes.classes[index], tuple(classes.palette[index].tolist())) for index in ids]


def skeleton_entries(skeleton: Skeleton, drawn: np.ndarray) -> list[Entry]:
    """Return the entries of what is drawn: left, right, and neither side of the body, fingers, and parts of the face.

    Body, hands and face have headings where there is more than one of them.

    Args:
        skeleton: in the colors of the picture.
        drawn: (N, K) bool, the keypoints of each person that are drawn.
    """
    drawn = np.atleast_2d(drawn)
    hands = {int(index): group for group in HANDS for index in skeleton.groups.get(group, ())}
    face, feet = ({int(index) for index in skeleton.groups.get(group, ())} for group in ('face', 'foot'))
    # group: name: kinds and colors
    found: dict[str, dict[str, tuple[set, list]]] = {'body': {}, 'hands': {}, 'face': {}}

    def add(group: str, name: str, color: tuple[int, int, int], kind: str) -> None:
        kinds, colors = found[group].setdefault(name, (set(), []))
        kinds.add(kind)
        if color not in colors:
            colors.append(color)

    linked: set[int] = set()
    dashes = np.zeros(len(skeleton.links), bool) if skeleton.dashed is None else skeleton.dashed
    for (start, end), color, is_dashed in zip(
        skeleton.links.tolist(), skeleton.link_colors.tolist(), dashes.tolist(), strict=True
    ):
        if not (drawn[:, start] & drawn[:, end]).any():
            continue
        linked |= {start, end}
        kind, finger = (
            'dashed' if is_dashed else 'line',
            next((index for index in (end, start) if index in hands), None),
        )
        if finger is None:
            add(
                'body',
                _body_part(tuple(color), [skeleton.keypoints[index] for index in (start, end)]),
                tuple(color),
                kind,
            )
        else:
            add('hands', _finger(skeleton.keypoints[finger]), tuple(color), kind)
    shown = np.flatnonzero(drawn.any(0)).tolist()
    # Published colors give many keypoints of limbs the color of the trunk or of the other side: links explain these, or the name.
    contradicted: list[tuple[str, tuple[int, int, int]]] = []
    for index in shown:
        name, color = skeleton.keypoints[index], tuple(skeleton.colors[index].tolist())
        if index in face:
            add('face', next(part for part, words in FACE.items() if re.search(words, name)), color, 'point')
        elif index in hands:
            if _finger(name) != FINGERS[-1] or index not in linked:  # not the root that fingers begin at
                add('hands', _finger(name), color, 'point')
        else:
            by_color, by_name = _body_part(color, [name]), _part_by_name([name])
            if by_color == by_name or name in HEAD or not side_of(name):
                add('body', by_color, color, 'point')
            elif index not in linked:
                contradicted.append((by_name, color))
    for name, color in contradicted:
        if name not in found['body']:
            add('body', name, color, 'point')
    sides = {hands[index] for index in shown if index in hands}
    headings = dict(
        body='body and feet' if feet & set(shown) else 'body',
        hands=HANDS[sides.pop()] if len(sides) == 1 else 'hands',
        face='face',
    )
    several = sum(map(bool, found.values())) > 1
    entries = []
    for group, order in zip(found, (BODY, FINGERS, tuple(FACE)), strict=True):
        names = sorted(found[group], key=order.index)
        for name in names:
            kinds, (color, *others) = found[group][name]
            kind = next(kind for kind in ('line', 'dashed', 'point') if kind in kinds)
            heading = headings[group] if several and name == names[0] != group else ''
            entries.append(Entry(name, color, kind, tuple(others), heading))
    return entries


def _body_part(color: tuple[int, int, int], names: Sequence[str]) -> str:
    return BY_COLOR[color] if color in BY_COLOR else _part_by_name(names)


def _part_by_name(names: Sequence[str]) -> str:
    sides = {side_of(name) for name in names}
    return dict(l='left', r='right').get(sides.pop() if len(sides) == 1 else '', BODY[-1])


def _finger(name: str) -> str:
    return next((finger for finger in FINGERS if finger.replace(' ', '_') in name), FINGERS[-1])


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
        heading = f'{entry.heading}: ' if entry.heading else ''
        before = text_size(heading, line)[0] + gap if heading else 0
        samples = _sample_width(entry, line, gap)
        room = before + samples + gap + text_size(entry.name, line)[0] + 4  # margins of a caption
        if x + room > width and x > gap:
            x, y = gap, y + line
        places.append((entry, heading, x, x + before, x + before + samples + gap, y))
        x += room + line
    canvas = np.full((y + line if places else 0, width, 3), 255, np.uint8)
    for entry, heading, start, x, left, y in places:
        _write(canvas, heading, start, y, line)
        colors = (entry.color, *entry.others)
        step = (left - gap - x) // len(colors)
        for number, color in enumerate(colors):
            _draw_sample(canvas, entry._replace(color=color), x + number * step, y, step, line)
        _write(canvas, entry.name, left, y, line)
    return canvas


def _sample_width(entry: Entry, line: int, gap: int) -> int:
    """Width of the samples of all colors of an entry."""
    count = 1 + len(entry.others)
    if entry.kind in ('line', 'dashed'):
        return 2 * line if count == 1 else count * line
    return count * (line - 2 * gap)


def _write(canvas: np.ndarray, text: str, left: int, top: int, line: int) -> None:
    if text and left < canvas.shape[1]:
        drawn = caption(canvas.shape[1] - left, text, line=line)
        canvas[top : top + line, left:] = np.minimum(canvas[top : top + line, left:], drawn)


def _draw_sample(canvas: np.ndarray, entry: Entry, x: int, y: int, width: int, line: int) -> None:
    gap, rim = max(2, round(0.15 * line)), max(1, round(0.04 * line))
    if entry.kind == 'area':
        cv2.rectangle(canvas, (x, y + gap), (x + width, y + line - gap), (0, 0, 0), -1)
        cv2.rectangle(canvas, (x + rim, y + gap + rim), (x + width - rim, y + line - gap - rim), entry.color, -1)
        return
    if entry.kind == 'point':
        center, radius = (x + width // 2, y + line // 2), max(2, round(0.28 * line))
        cv2.circle(canvas, center, radius + rim, (0, 0, 0), -1)
        cv2.circle(canvas, center, radius, entry.color, -1)
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
