"""Classes of clothes and accessories, and groups of similar garments."""

import functools

import numpy as np

from sapiens.metainfo import get_classes

from ..body import REGIONS

__all__ = ['FEET', 'LIP_OF', 'LOWER', 'SNUG', 'classes', 'lip', 'part', 'split_parts']

LOWER = ('trousers', 'jeans', 'shorts', 'leggings')
FEET = ('socks', 'shoes')
SNUG = (*LOWER, *FEET, 'belt')
LIP_OF = dict.fromkeys(LOWER, 'Pants') | {
    'skirt': 'Skirt', 'dress': 'Dress', 'jumpsuit': 'Jumpsuits', 'jacket': 'Coat', 'coat': 'Coat',
}  # fmt: skip


@functools.cache
def part(name: str) -> int:
    """Return the id of a part on surfaces and in renderings: a class of goliath28, or the id after them for glasses."""
    parts = get_classes('goliath28')
    return len(parts) if name == 'Eyeglass' else parts.index(name)


def split_parts(rendered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Convert rendered parts to class ids of goliath28, where glasses are Apparel, and of goliath29, uint8."""
    fewer, more = get_classes('goliath28'), get_classes('goliath29')
    to_28 = np.array([*range(len(fewer)), fewer.index('Apparel')], np.uint8)
    to_29 = np.array([more.index(name) for name in (*fewer.classes, 'Eyeglass')], np.uint8)
    return to_28[rendered], to_29[rendered]


@functools.cache
def lip(name: str) -> int:
    """Return a class id of LIP-20."""
    return get_classes('lip20').index(name)


def classes(part_name: str, lip_name: str, region: str) -> tuple[int, int, int]:
    """Return the ids of a part (see :func:`part`) and of LIP-20, and the index of a region of the body."""
    return part(part_name), lip(lip_name), REGIONS.index(region)
