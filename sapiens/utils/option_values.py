"""Checks of the values of options: a wrong one is refused with its key, before anything computes with it."""

import math
from numbers import Integral, Real
from typing import Any

__all__ = ['require_bool', 'require_number']


def require_number(
    key: str,
    value: Any,
    *,
    above: float | None = None,
    least: float | None = None,
    most: float | None = None,
    whole: bool = False,
    none: str = '',
) -> None:
    """Require a finite number. True and False are no numbers.

    Args:
        key: of the option, for the message.
        above, least, most: the number is greater than this, at least this, or at most this.
        whole: it is an integer.
        none: what None means, where None is allowed.

    Raises:
        ValueError: another value.
    """
    if value is None and none:
        return
    is_number = isinstance(value, Integral if whole else Real) and not isinstance(value, bool)
    is_number = is_number and _is_finite(value)
    is_within = is_number and (above is None or value > above) and (least is None or value >= least)
    if is_within and (most is None or value <= most):
        return
    kind = 'a whole number' if whole else 'a finite number'
    limit = f' above {above:g}' if above is not None else f' of at least {least:g}' if least is not None else ''
    limit += f'{" and" if limit else " of"} at most {most:g}' if most is not None else ''
    raise ValueError(f'{key}={value!r}: expected {kind}{limit}{f", or None for {none}" if none else ""}')


def require_bool(key: str, value: Any, none: str = '') -> None:
    """Require True or False. ``none``: what None means, where None is allowed.

    Raises:
        ValueError: another value, which is often a string that counts as true.
    """
    if not isinstance(value, bool) and not (value is None and none):
        raise ValueError(f'{key}={value!r}: expected True or False{f", or None for {none}" if none else ""}')


def _is_finite(value: Real) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer that no float holds
        return False
