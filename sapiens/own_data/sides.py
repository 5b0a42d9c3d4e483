"""Which names swap in a mirrored image."""

import re
from collections.abc import Sequence

from sapiens.metainfo.naming import OTHER_SIDE, mirror_name, side_of

from .doubts import Doubts

__all__ = ['mirror_pairs']

# Sides that are not separate words: LeftEye, eyeLeft, leftEye, REye. The naming rule of skeletons does not see these.
_INNER = re.compile(r'(?<![A-Z])(Left|Right)(?=[A-Z0-9_\W]|$)|^(left|right)(?=[A-Z0-9])|^([LR])(?=[A-Z][a-z])')


def mirror_pairs(names: Sequence[str], doubts: Doubts, what: str, must_have: bool) -> tuple[dict | bool, str]:
    """The value of ``flip`` of a skeleton or class list, and a sentence on where it comes from.

    Args:
        what: 'keypoints' or 'classes', for messages.
        must_have: whether names without any side are doubtful: keypoints of people nearly always have sides.

    Returns:
        {name: partner} of pairs that the naming rule misses, True for the rule alone, False if nothing swaps; and the note.

    Raises:
        ValueError: a doubt that nobody settles.
    """
    given = doubts.get('flip')
    if given is not None:
        return _parsed(given, names), f'mirror pairs are those of --flip {given}'
    inner = {name: _INNER.sub(_swap, name) for name in names if not side_of(name) and _INNER.search(name)}
    inner = {name: partner for name, partner in inner.items() if partner in names}
    lonely = [name for name in names if side_of(name) and mirror_name(name) not in names]
    if lonely:
        partner = mirror_name(lonely[0])
        question = f'{lonely[0]!r} of the {what} has no partner {partner!r}: which of them swap in a mirrored image'
    elif must_have and len(names) > 1 and not inner and not any(map(side_of, names)):
        question = f'No name of the {what} says left or right ({", ".join(names[:8])}): which of them swap in a mirrored image'
    else:
        pairs = [f'{a} / {b}' for a, b in inner.items() if names.index(a) < names.index(b)]
        pairs += [f'{name} / {mirror_name(name)}' for name in names if side_of(name) == 'l']
        note = (
            f'mirror pairs, by name: {", ".join(pairs)}'
            if pairs
            else f'no {what} swap in a mirrored image: none has a side'
        )
        return inner or True, note
    answer = doubts.settle('flip', question, example='none, or pairs such as a:b,c:d')
    return _parsed(answer, names), f'mirror pairs are those of --flip {answer}'


def _swap(match: re.Match) -> str:
    word = match[0]
    other = OTHER_SIDE[word.lower()]
    return other.upper() if len(word) == 1 else other.capitalize() if word[0].isupper() else other


def _parsed(text: str, names: Sequence[str]) -> dict | bool:
    """``none``, or ``a:b,c:d``; names that are not in a pair keep their place."""
    if text == 'none':
        return False
    flip = {name: name for name in names}
    for pair in text.split(','):
        a, _, b = (part.strip() for part in pair.partition(':'))
        if a not in flip or b not in flip:
            raise ValueError(f'--flip {text}: expected none, or pairs a:b,c:d of {", ".join(names)}')
        flip[a], flip[b] = b, a
    return flip
