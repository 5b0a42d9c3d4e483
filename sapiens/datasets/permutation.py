"""A pseudo-random permutation of 0 .. n-1, computed per position: no list, O(1) memory for any n."""

import numpy as np

from .draw import hash63

__all__ = ['Permutation', 'shuffled']

_ROUNDS = 8


class Permutation:
    """Feistel network on the smallest power of two that holds ``n``, with cycle walking down to ``n``.

    ``Permutation(n, *seeds)(positions)`` maps an int64 array of positions in [0, n) to indices in [0, n), one to one.
    Any position costs the same, so a run resumes in the middle of an epoch without replaying its first part.
    """

    def __init__(self, n: int, *seeds: int):
        assert n > 0
        self.n = n
        # Halves of less than four bits mix badly. For the smallest sets the walk takes about 256 / n steps on tiny arrays.
        bits = max(8, (n - 1).bit_length())
        self._low_bits = bits // 2
        self._high_bits = bits - self._low_bits
        self._keys = [np.uint64(hash63(round_, *seeds)) for round_ in range(_ROUNDS)]

    def __call__(self, positions) -> np.ndarray:
        values = np.asarray(positions, dtype=np.uint64).copy()
        assert values.size == 0 or int(values.max()) < self.n
        values = self._encrypt(values)
        outside = np.flatnonzero(values >= self.n)
        while outside.size:  # encrypt again: the cycle leads back into [0, n)
            values[outside] = self._encrypt(values[outside])
            outside = outside[values[outside] >= self.n]
        return values.astype(np.int64)

    def _encrypt(self, values: np.ndarray) -> np.ndarray:
        low_bits = np.uint64(self._low_bits)
        low_mask, high_mask = (np.uint64((1 << b) - 1) for b in (self._low_bits, self._high_bits))
        low, high = values & low_mask, values >> low_bits
        # The halves may differ by one bit, so they are updated in turn instead of swapped.
        for i, key in enumerate(self._keys):
            if i % 2:
                low = low ^ (_mix(high ^ key) & low_mask)
            else:
                high = high ^ (_mix(low ^ key) & high_mask)
        return (high << low_bits) | low


def shuffled(n: int, *seeds: int) -> np.ndarray:
    """A pseudo-random order (n,) int64 of 0 .. n-1, all of it at once: faster than :class:`Permutation` for a list."""
    return np.argsort(_mix(np.arange(n, dtype=np.uint64) ^ np.uint64(hash63(n, *seeds))), kind='stable')


def _mix(x: np.ndarray) -> np.ndarray:
    x = (x ^ (x >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    x = (x ^ (x >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return x ^ (x >> np.uint64(33))
