"""Random state of a process as plain values and tensors."""

import random

import numpy as np
import torch

__all__ = ['derived_random_state', 'get_random_state', 'set_random_state']


def get_random_state() -> dict:
    """Get the state of the global generators of Python, NumPy, torch and the current CUDA device."""
    name, keys, position, has_gauss, cached = np.random.get_state()
    state = dict(
        python=random.getstate(),
        numpy=[name, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached],
        torch=torch.get_rng_state(),
    )
    if torch.cuda.is_available():
        state['cuda'] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: dict) -> None:
    """Restore a state from :func:`get_random_state`."""
    version, internal, gauss = state['python']
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = state['numpy']
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state['torch'].clone())
    if 'cuda' in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state['cuda'].clone())


def derived_random_state(*numbers: int) -> dict:
    """Derive a random state from numbers. The current state does not change."""
    before = get_random_state()
    seeds = np.random.SeedSequence(numbers).generate_state(2)
    random.seed(int(seeds[0]))
    np.random.seed(seeds[0])
    torch.manual_seed(int(seeds[1]))
    derived = get_random_state()
    set_random_state(before)
    return derived
