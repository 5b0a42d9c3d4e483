"""Classes of clothes and accessories, and groups of similar garments."""

import functools

from sapiens.metainfo import get_classes

from ..body import REGIONS

__all__ = ['FEET', 'LIP_OF', 'LOWER', 'SNUG', 'classes', 'lip', 'part']

LOWER = ('trousers', 'jeans', 'shorts', 'leggings')
FEET = ('socks', 'shoes')
SNUG = (*LOWER, *FEET, 'belt')
LIP_OF = dict.fromkeys(LOWER, 'Pants') | {
    'skirt': 'Skirt', 'dress': 'Dress', 'jumpsuit': 'Jumpsuits', 'jacket': 'Coat', 'coat': 'Coat',
}  # fmt: skip


@functools.cache
def part(name: str) -> int:
    """Return a class id of goliath28."""
    return get_classes('goliath28').index(name)


@functools.cache
def lip(name: str) -> int:
    """Return a class id of LIP-20."""
    return get_classes('lip20').index(name)


def classes(part_name: str, lip_name: str, region: str) -> tuple[int, int, int]:
    """Return the ids of goliath28 and LIP-20, and the index of a region of the body."""
    return part(part_name), lip(lip_name), REGIONS.index(region)
