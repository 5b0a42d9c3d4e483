"""One draw from a dataset: the sample, and the seed of all its random transforms."""

import random
from contextlib import contextmanager

import numpy as np
import torch
from torch.utils.data import get_worker_info

__all__ = ['Draw', 'hash63', 'seed_everything_for']

_MASK = (1 << 64) - 1


class Draw(int):
    """Item of a sampler and index of a dataset: an int with a seed, so that datasets of torch and others take it as an index.

    Attributes:
        index: position in the dataset, a plain int.
        seed: 63-bit seed of this sample: of its augmentation, and of what a model draws for it. Comparisons do not see it.
    """

    seed: int

    def __new__(cls, index: int, seed: int) -> 'Draw':
        draw = super().__new__(cls, index)
        draw.seed = seed
        return draw

    @property
    def index(self) -> int:
        return int(self)

    def __reduce__(self) -> tuple:
        return Draw, (int(self), self.seed)


def hash63(*numbers: int) -> int:
    """Hash integers to 63 bits (chained splitmix64); equal on every machine."""
    state = 0
    for number in numbers:
        state = (state ^ (number & _MASK)) + 0x9E3779B97F4A7C15 & _MASK
        state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
        state = (state ^ (state >> 27)) * 0x94D049BB133111EB & _MASK
        state ^= state >> 31
    return state >> 1


@contextmanager
def seed_everything_for(draw):
    """Seed the global generators of python, numpy and torch for one sample, inside a ``with`` block.

    The sample does not depend on the worker, with transforms of any library. In the main process (``num_workers=0``) the state of
    the generators is restored afterwards, so that loading does not affect the model; torch's CUDA generators are never changed. A
    plain int instead of a :class:`Draw` seeds nothing.
    """
    if not isinstance(draw, Draw):
        yield
        return
    in_main_process = get_worker_info() is None
    if in_main_process:
        saved = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(draw.seed)
    np.random.seed([draw.seed & 0xFFFFFFFF, draw.seed >> 32])
    torch.default_generator.manual_seed(draw.seed)  # torch.manual_seed would reseed the CUDA devices too
    try:
        yield
    finally:
        if in_main_process:
            random.setstate(saved[0])
            np.random.set_state(saved[1])
            torch.set_rng_state(saved[2])
