"""Names: the side, the partner in a mirrored image, and suggestions for unknown names."""

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

import numpy as np

__all__ = ['find_names', 'flip_indices', 'mirror_name', 'near', 'not_known', 'side_of']

# A side is a separate word: left_eye, r_eyebrow, end_of_l_eyebrow, Left-arm, hip_left; not flat, l2 or LeftFoot.
SIDE = re.compile(r'(?<![A-Za-z0-9])(left|right|l|r)(?![A-Za-z0-9])', re.IGNORECASE)
OTHER_SIDE = {'left': 'right', 'right': 'left', 'l': 'r', 'r': 'l'}


def mirror_name(name: str) -> str:
    """Swap left and right in a name, in the same letter case (``left_eye`` -> ``right_eye``, ``Left-arm`` -> ``Right-arm``)."""

    def swap(match: re.Match) -> str:
        word = match[0]
        other = OTHER_SIDE[word.lower()]
        if word.isupper():
            return other.upper()
        return other.capitalize() if word[0].isupper() else other

    return SIDE.sub(swap, name)


def side_of(name: str) -> str:
    """'l', 'r', or '' for a name without a side."""
    match = SIDE.search(name)
    return match[0][0].lower() if match else ''


def flip_indices(names: tuple[str, ...], flip: Mapping[str, str] | bool, owner: str) -> np.ndarray:
    """Index of the partner of every name under a horizontal flip; a name without a side is its own partner.

    Args:
        names: N distinct names.
        flip: {name: partner} where the left/right rule of :func:`mirror_name` fails, each pair given once or twice;
            True for the rule alone; False if nothing swaps.
        owner: of the names, for messages.

    Returns:
        (N,) int64; applying it twice gives 0 .. N - 1.

    Raises:
        ValueError: a partner that is not among the names, or two names with the same partner.
    """
    ids = {name: index for index, name in enumerate(names)}
    if not isinstance(flip, Mapping | bool):
        raise ValueError(f'{owner}: flip must be a dict {{name: partner}}, True or False, not {flip!r}')
    if flip is False:
        return np.arange(len(names))
    given: dict[str, str] = {}
    for name, partner in {} if flip is True else flip.items():
        for a, b in ((name, partner), (partner, name)):
            if a not in ids:
                raise ValueError(not_known(f'{owner}: name in flip', a, ids))
            if given.setdefault(a, b) != b:
                raise ValueError(f'{owner}: flip gives {a!r} two partners, {given[a]!r} and {b!r}')
    result = np.arange(len(names))
    for name, index in ids.items():
        partner = given.get(name, mirror_name(name))
        if partner not in ids:
            hint = near(partner, set(ids) - {name}) or '.'
            raise ValueError(
                f'{owner}: {name!r} has no partner {partner!r}{hint} Add it, give the real partner as flip={{{name!r}: ...}} '
                '(itself, if it has none), or pass flip=False if nothing swaps in a mirrored image'
            )
        result[index] = ids[partner]
    if not np.array_equal(result[result], np.arange(len(names))):
        index = int(np.flatnonzero(result[result] != np.arange(len(names)))[0])
        partner = names[result[index]]
        raise ValueError(
            f'{owner}: the partner of {names[index]!r} is {partner!r}, whose own partner is '
            f'{names[result[result[index]]]!r}; give every pair that the left/right rule misses in flip='
        )
    return result


def find_names(wanted: Sequence[str], names: Sequence[str]) -> list[int] | None:
    """Positions of the wanted names among others, whatever their letter case and separators; None unless all are there."""

    def plain(name: str) -> str:
        return re.sub(r'[\W_]+', '_', name).lower()

    position = {plain(name): index for index, name in enumerate(names)}
    if len(position) < len(names):  # names that differ in case or separators only
        position = {name: index for index, name in enumerate(names)}
        found = [position.get(name) for name in wanted]
    else:
        found = [position.get(plain(name)) for name in wanted]
    return None if None in found else found


def near(name: str, known: Iterable[str]) -> str:
    """'; did you mean ...?' with the most similar of the known names, or nothing."""
    # Compare in lower case: COCO17, Left_Eye.
    lowered = {str(item).lower(): str(item) for item in known}
    close = get_close_matches(str(name).lower(), lowered, n=1)
    return f'; did you mean {lowered[close[0]]!r}?' if close else ''


def not_known(what: str, name: str, known: Iterable[str]) -> str:
    """Message for an unknown name, with the nearest one, and all of them if there are few."""
    known = [str(item) for item in known]
    listed = f' Known: {", ".join(known)}.' if len(known) <= 40 else ''
    return f'{what} {name!r} does not exist{near(name, known) or "."}{listed}'
