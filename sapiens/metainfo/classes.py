"""Class lists for segmentation: names, colors, class weights, left/right partners, and label maps between lists."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from .body_part_classes import CLASS_LISTS, REMAPS
from .naming import flip_indices, not_known
from .parsing import build_from_file, check_keys, name_of, names_of, numbers_of, rgb_of

__all__ = [
    'IGNORE',
    'ClassList',
    'class_list_from_dict',
    'get_classes',
    'register_classes',
    'remap_table',
    'voc_color',
]

# Label of pixels that losses and metrics ignore.
IGNORE = 255


@dataclass(frozen=True, eq=False)
class ClassList:
    """C classes; the position is the label. Arrays are read-only.

    Attributes:
        name: for configs and messages.
        classes: C distinct names, the background first by convention.
        palette: (C, 3) uint8 RGB.
        ce_weights: (C,) float64, weights of the cross-entropy.
        flip_indices: (C,) int64, the class of each class's partner in a mirrored image.
    """

    name: str
    classes: tuple[str, ...]
    palette: np.ndarray
    ce_weights: np.ndarray
    flip_indices: np.ndarray

    def __post_init__(self):
        for array in (self.palette, self.ce_weights, self.flip_indices):
            array.setflags(write=False)

    def __len__(self) -> int:
        return len(self.classes)

    def __repr__(self) -> str:
        return f'ClassList({self.name!r}, {len(self)} classes)'

    @cached_property
    def flip_pairs(self) -> list[tuple[int, int]]:
        """Pairs of labels that swap in a mirrored image, the smaller first."""
        return [(index, int(other)) for index, other in enumerate(self.flip_indices) if index < other]

    @cached_property
    def flip_table(self) -> np.ndarray:
        """(256,) uint8: ``flip_table[labels]`` are the labels of the mirrored image (also mirror the pixels). Other values, such
        as the ignored label, stay."""
        table = np.arange(256, dtype=np.uint8)
        table[: len(self)] = self.flip_indices
        table.setflags(write=False)
        return table

    def index(self, name: str) -> int:
        """Label of a class. Raises ValueError with the nearest name if there is none."""
        if name not in self.classes:
            raise ValueError(not_known(f'class list {self.name!r}: class', name, self.classes))
        return self.classes.index(name)

    def __contains__(self, name: str) -> bool:
        return name in self.classes


def class_list_from_dict(data: Mapping) -> ClassList:
    """Build a class list from its short form.

    Args:
        data: a dict with ``name``; ``classes``: list of at most 255 names; ``palette``: list of RGB, default PASCAL VOC's
            colors; ``ce_weights``: one number or one per class, default 1; ``flip``: {class: partner} where the
            left/right naming rule fails; False if no label swaps in a mirrored image.

    Raises:
        ValueError: an unknown or missing key, a repeated or partnerless class, a wrong count or range.
    """
    owner = f'class list {name_of(data)!r}'
    check_keys(data, ['name', 'classes'], ['palette', 'ce_weights', 'flip'], owner)
    classes = names_of(data['classes'], owner)
    if len(classes) > IGNORE:
        raise ValueError(f'{owner} has {len(classes)} classes; labels are bytes and {IGNORE} means ignored')
    palette = data.get('palette', [voc_color(label) for label in range(len(classes))])
    if len(palette) != len(classes):
        raise ValueError(f'{owner}: palette has {len(palette)} colors for {len(classes)} classes')
    colors = [rgb_of(color, f'{owner}: color of {c}') for c, color in zip(classes, palette, strict=True)]
    return ClassList(
        name=data['name'],
        classes=classes,
        palette=np.array(colors, np.uint8),
        ce_weights=numbers_of(data.get('ce_weights', 1.0), len(classes), f'{owner}: ce_weights', zero=True),
        flip_indices=flip_indices(classes, data.get('flip', True), owner),
    )


def voc_color(label: int) -> tuple[int, int, int]:
    """PASCAL VOC's colors: the bits of the label go to R, G and B in turn, the most significant bit of a color first."""
    return tuple(sum((label >> (3 * i + channel) & 1) << (7 - i) for i in range(8)) for channel in range(3))


CLASSES = {data['name']: class_list_from_dict(data) for data in CLASS_LISTS}


def register_classes(source: Mapping | str | Path | ClassList) -> ClassList:
    """Register a class list under its name, and return it. Raises ValueError if another one has the name."""
    classes = get_classes(source)
    known = CLASSES.setdefault(classes.name, classes)
    arrays = 'palette', 'ce_weights', 'flip_indices'
    same = known.classes == classes.classes
    if not same or not all(np.array_equal(getattr(known, name), getattr(classes, name)) for name in arrays):
        raise ValueError(f'class list {classes.name!r} is registered with other content; choose another name')
    return known


def get_classes(source: str | Path | Mapping | ClassList) -> ClassList:
    """Look up or build a class list.

    Args:
        source: a registered name; the path of a .py file that sets ``classes = dict(...)`` in the short form of
            :func:`class_list_from_dict`; the dict itself; or a class list.

    Raises:
        ValueError: an unknown name, or an invalid class list.
        FileNotFoundError: no such file.
    """
    if isinstance(source, ClassList):
        return source
    if isinstance(source, Mapping):
        return class_list_from_dict(source)
    if isinstance(source, Path) or str(source).endswith('.py'):
        return build_from_file(source, ('classes',), class_list_from_dict)
    if not isinstance(source, str) or source not in CLASSES:
        message = not_known('class list', source, CLASSES)
        raise ValueError(f'{message} For your own, give the path of a .py file with classes = dict(...), or the dict')
    return CLASSES[source]


def remap_table(source: str | Path | Mapping | ClassList, target: str | Path | Mapping | ClassList) -> np.ndarray:
    """Table that maps labels of one list to those of another: ``remap_table('lip20', 'goliath28')[labels]``.

    Published maps are used if they exist (from goliath34, goliath52, atr18, cihp20, lip20 and pascal25 to goliath28; from
    goliath34, goliath52 and internal33 to goliath29). Otherwise classes are matched by name.

    Args:
        source, target: class lists, in any form that :func:`get_classes` takes. atr18, pascal25, goliath52 and internal33
            are sources only.

    Returns:
        (256,) uint8; 255 (ignored) for 255, for ids outside the source, and for classes without a match.

    Raises:
        ValueError: an unknown name, or lists without a common class.
    """
    table = np.full(256, IGNORE, np.uint8)
    only_sources = {name for name, _ in REMAPS} - set(CLASSES)
    if isinstance(source, str) and source in only_sources:
        name, labels = source, None
    elif isinstance(source, str) and source not in CLASSES and not source.endswith('.py'):
        raise ValueError(not_known('class list', source, [*CLASSES, *sorted(only_sources)]))
    else:
        labels = get_classes(source)
        name = labels.name if labels is CLASSES.get(labels.name) else None
    target = get_classes(target)
    # A published map belongs to the published lists, not to a user's list of the same name.
    names = REMAPS.get((name, target.name)) if target is CLASSES.get(target.name) else None
    if names is None and labels is None:
        known = ', '.join(other for one, other in REMAPS if one == name)
        raise ValueError(f'there is no map from {name!r} to {target.name!r}; its targets are {known}')
    for label, match in enumerate(labels.classes if names is None else names.split()):
        if match in target:
            table[label] = target.index(match)
    if (table == IGNORE).all():
        raise ValueError(f'class lists {labels.name!r} and {target.name!r} have no class in common')
    return table
