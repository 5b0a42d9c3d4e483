"""Precision of float32 matrix products in training and in the evaluations of a training."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from sapiens.utils.config_keys import did_you_mean

__all__ = ['matmul_precision', 'resolve_matmul_precision']

CHOICES = ('auto', 'highest', 'high', 'medium')


def resolve_matmul_precision(choice: str, precision: str) -> str:
    """Resolve ``env_cfg.matmul_precision``.

    Args:
        choice: of :func:`torch.set_float32_matmul_precision`, or ``'auto'``: ``'high'`` (TF32, 10 bits of mantissa) on a GPU that
            trains in float32, where it is several times faster; ``'highest'`` elsewhere. Under bf16 autocast only those layers
            are left in float32 that need its precision.
        precision: of :class:`.OptimWrapper`.

    Raises:
        ValueError: an unknown choice.
    """
    if choice not in CHOICES:
        raise ValueError(
            f'env_cfg.matmul_precision={choice!r} is not one of {", ".join(CHOICES)}{did_you_mean(choice, CHOICES)}'
        )
    if choice != 'auto':
        return choice
    in_float32 = precision == 'fp32' or (precision == 'auto' and not torch.cuda.is_bf16_supported())
    return 'high' if torch.cuda.is_available() and in_float32 else 'highest'


@contextmanager
def matmul_precision(choice: str, precision: str) -> Iterator[None]:
    """Set the precision inside a ``with`` block, see :func:`resolve_matmul_precision`."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(resolve_matmul_precision(choice, precision))
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
