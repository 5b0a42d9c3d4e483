"""A function of the user as a filter."""

import importlib
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from sapiens.utils.option_values import require_number

from .base import Filter, numbers

__all__ = ['Function']


class Function(Filter):
    """Images for which a function of yours returns enough.

    Args:
        function: ``'package.module:name'``. It takes the image, (H, W, 3) uint8 RGB, and returns a number.
        least, most: limits of the number; None for none.
        small: pass an image with a longest side of 256 pixels, which costs less.

    Raises:
        ValueError: no such function, or no limit.
    """

    score = 'score'
    thresholds = ('least', 'most')
    columns = dict(score=pa.float64())

    def __init__(
        self, function: str, least: float | None = None, most: float | None = None, small: bool = False
    ) -> None:
        if least is None and most is None:
            raise ValueError(f'the filter of {function!r} has no limit: set least, most or both')
        require_number('least', least, none='no limit')
        self.least = least
        require_number('most', most, none='no limit')
        self.most = most
        self.function, self.small = function, small
        self._call = find_function(function)

    @property
    def threshold(self) -> float:
        return self.most if self.least is None else self.least

    def measure(self, photos):
        return [dict(score=float(self._call(photo.small if self.small else photo.pixels))) for photo in photos]

    def passes(self, table: pa.Table) -> np.ndarray:
        score = numbers(table, self.column('score'))
        low = -np.inf if self.least is None else self.least
        high = np.inf if self.most is None else self.most
        return (score >= low) & (score <= high)


def find_function(text: str) -> Callable:
    """Return the function named ``'package.module:name'``. Raises ValueError where there is none."""
    module, _, name = text.partition(':') if isinstance(text, str) else ('', '', '')
    try:
        found = getattr(importlib.import_module(module), name) if name else None
    except (ImportError, AttributeError) as error:
        raise ValueError(f'function={text!r} cannot be found: {error}') from error
    if not callable(found):
        raise ValueError(f"function={text!r}: expected 'package.module:name' of a function")
    return found
