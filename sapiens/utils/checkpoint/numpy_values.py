"""Arrays and scalars of numpy in a checkpoint, rebuilt with checks: numpy's own functions crash on damaged pickles."""

import math
import re

import numpy as np

__all__ = ['REBUILDING']

# Booleans, numbers, bytes and text of fixed length, objects.
CODE = re.compile(r'[<>|=]?(?:b1|[iu][1248]|f[248]|c(?:8|16)|[SU]\d{1,4}|O8?|\?)')


class Dtype:
    """Replaces ``numpy.dtype``.

    Raises:
        ValueError: a data type that values of a checkpoint do not have.
    """

    def __init__(self, code: str, *options) -> None:
        if not isinstance(code, str) or not CODE.fullmatch(code):
            raise ValueError(f'it has values of the unknown data type {str(code)[:20]!r} of numpy')
        self.value = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        order = state[1]  # the rest describes fields, which these types lack
        if order in ('<', '>'):
            self.value = self.value.newbyteorder(order)

    def read(self, raw, shape: tuple) -> None:
        """Raise ValueError if values do not fill an array of a shape."""
        size = 1 if self.value.hasobject else self.value.itemsize
        kind = list if self.value.hasobject else bytes
        if not all(isinstance(side, int) and side >= 0 for side in shape) or not isinstance(raw, kind):
            raise ValueError('it has an array of numpy that is damaged')
        if len(raw) != math.prod(shape) * size:
            raise ValueError(f'it has an array of numpy of shape {shape} with {len(raw)} values or bytes')


class Array(np.ndarray):
    """Array that fills itself with the checked state of a pickle."""

    def __new__(cls, *args) -> 'Array':
        return super().__new__(cls, (0,), np.int8)

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, in_columns, raw = state
        raw = raw.encode('latin1') if isinstance(raw, str) else raw  # of Python 2
        if not isinstance(dtype, Dtype) or not isinstance(shape, tuple):
            raise ValueError('it has an array of numpy that is damaged')
        dtype.read(raw, shape)
        super().__setstate__((1, shape, dtype.value, bool(in_columns), raw))


def make_array(*args) -> Array:
    """Replaces ``_reconstruct``: the state that follows has shape and values."""
    return Array()


def make_scalar(dtype: Dtype, raw=b'') -> np.generic:
    """Replaces ``scalar``."""
    if not isinstance(dtype, Dtype) or dtype.value.hasobject:
        raise ValueError('it has a scalar of numpy that is damaged')
    raw = raw.encode('latin1') if isinstance(raw, str) else raw
    dtype.read(raw, ())
    return np.frombuffer(raw, dtype.value)[0]


def make_bytes(*args) -> bytes:
    """Replaces ``bytes``, which is called for the values of an empty array."""
    return b''


# What replaces the names of numpy 1 and 2 in a pickle.
REBUILDING = [
    (Array, 'numpy.ndarray'),
    (Dtype, 'numpy.dtype'),
    (make_bytes, 'builtins.bytes'),
    *(
        (function, f'numpy.{package}.multiarray.{name}')
        for package in ('core', '_core')
        for name, function in (('_reconstruct', make_array), ('scalar', make_scalar))
    ),
]
