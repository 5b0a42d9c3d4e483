"""Random numbers of samples in training: masks, drop path, dropout, pixels of the losses, positions.

A number depends on the seed of its sample, on its use (the stream) and on its index only. It is the same in every batch, on every
device, in any number of processes, in a recomputation of the forward pass and in a compiled graph. There is no state.

Source of the mixing: Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (OOPSLA 2014), the finalizer of
splitmix64. The numbers are those of ``hash63`` in :mod:`sapiens.datasets.draw`, computed for a batch on its device.
"""

# B batch, L blocks, C channels

import inspect
from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ['bits', 'draw_seeds', 'drop_path_factors', 'dropout_factors', 'pass_seeds', 'uniform']

# Streams. Equal indices of different streams are independent. A layer of your own takes another number, such as 100.
MASK, SQUARE, SHIFT, DECODE, DROP_PATH, DROPOUT, LOSS_GRID, POSITIONS = range(1, 9)

# The constants of splitmix64 as int64, whose products and sums wrap around.
_STEP = 0x9E3779B97F4A7C15 - (1 << 64)
_FIRST, _SECOND = 0xBF58476D1CE4E5B9 - (1 << 64), 0x94D049BB133111EB - (1 << 64)
_HIGHEST = (1 << 63) - 1


def bits(seeds: Tensor, stream: int, *shape: int) -> Tensor:
    """Draw 63 random bits for each index.

    The order of the numbers of a sample (``argsort``) is a random permutation: equal ones are found in one of 10^12 samples of
    4096 numbers.

    Args:
        seeds: (B,) int64, on the device of the result.
        stream: what the numbers are for.
        shape: of the numbers of one sample. The first n of a longer shape are those of n.

    Returns:
        (B, *shape) int64, 0 or more: ``hash63(seed, stream, index)`` of the index in row-major order.
    """
    count = 1
    for side in shape:
        count *= side
    state = _mix(_mix(seeds.clone()).bitwise_xor_(stream))
    state = _mix(state[:, None] ^ torch.arange(count, device=seeds.device))
    return _shift(state, 1).view(len(seeds), *shape)


def uniform(seeds: Tensor, stream: int, *shape: int) -> Tensor:
    """Draw float32 numbers (B, *shape) from [0, 1), multiples of 2^-24; see :func:`bits`.

    Among 4096 numbers two are equal with a probability of 0.4: sort :func:`bits` where the order counts.
    """
    return bits(seeds, stream, *shape).bitwise_right_shift_(63 - 24).float() * 2.0**-24


def draw_seeds(count: int, device: torch.device | str) -> Tensor:
    """Draw (count,) seeds from torch's global generator, for batches without seeds."""
    return torch.randint(_HIGHEST, (count,), device=device)


def drop_path_factors(seeds: Tensor, depth: int, rate: float) -> Tensor:
    """Draw the factors (L, 2, B) float32 of the two residual branches of each block (stochastic depth).

    Block i drops a branch of a sample (factor 0) with probability ``rate * i / (depth - 1)``, else scales it by 1 / (1 - that).
    """
    # A product of exact numbers is rounded alike on every device, torch.linspace is not.
    rates = torch.arange(depth, dtype=torch.float32, device=seeds.device)[:, None, None] * (rate / max(depth - 1, 1))
    return (uniform(seeds, DROP_PATH, depth, 2).permute(1, 2, 0) >= rates) / (1 - rates)


def dropout_factors(seeds: Tensor, channels: int, rate: float) -> Tensor:
    """Draw the factors (B, C) float32 of channels: 0 with probability ``rate``, else 1 / (1 - rate)."""
    return (uniform(seeds, DROPOUT, channels) >= rate) / (1 - rate)


def pass_seeds(function: Callable, seeds: Tensor | None) -> dict[str, Tensor]:
    """``dict(seeds=seeds)`` if there are seeds and the function has an argument of that name, else nothing.

    Encoders and heads of other libraries have none, and draw from torch's generator. Of a module, give ``forward``.
    """
    has_any = seeds is not None and 'seeds' in inspect.signature(function).parameters
    return dict(seeds=seeds) if has_any else {}


def _mix(state: Tensor) -> Tensor:
    """A step of splitmix64, in place."""
    state.add_(_STEP)
    state.bitwise_xor_(_shift(state, 30)).mul_(_FIRST)
    state.bitwise_xor_(_shift(state, 27)).mul_(_SECOND)
    return state.bitwise_xor_(_shift(state, 31))


def _shift(state: Tensor, count: int) -> Tensor:
    """Shift right and fill with zeros; torch fills with the sign."""
    return (state >> count).bitwise_and_(_HIGHEST >> (count - 1))
