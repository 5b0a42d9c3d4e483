"""The curve of sRGB (IEC 61966-2-1), between coded values and linear light, both in [0, 1]."""

from typing import TypeVar

import numpy as np
import torch

__all__ = ['decode_srgb', 'encode_srgb']

Values = TypeVar('Values')  # np.ndarray or torch.Tensor of a floating-point type, which the result has too


def encode_srgb(light: Values) -> Values:
    """Coded values of linear light. Values below 0 continue the straight part of the curve."""
    where, clip = _functions(light)
    return where(light <= 0.0031308, 12.92 * light, 1.055 * clip(light, 0.0031308, None) ** (1 / 2.4) - 0.055)


def decode_srgb(coded: Values) -> Values:
    """Linear light of coded values. Values below 0 continue the straight part of the curve."""
    where, clip = _functions(coded)
    return where(coded <= 0.04045, coded / 12.92, ((clip(coded, 0.04045, None) + 0.055) / 1.055) ** 2.4)


def _functions(values: Values) -> tuple:
    # Both branches are computed: the bound of clip keeps the power and its gradient finite in the other one.
    return (np.where, np.clip) if isinstance(values, np.ndarray) else (torch.where, torch.clip)
