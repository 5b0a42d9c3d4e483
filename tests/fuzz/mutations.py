"""Random damage to JSON documents and files, the same for the same seed."""

import copy

import numpy as np

__all__ = ['damage_archive', 'damage_bytes', 'damage_json']

# What programs write in the place of a value, and what no program should.
VALUES = (
    None, True, False, 0, -1, 1, 3, 0.5, 2.0, 1e10, -1e308, 1 << 40, 1 << 70, -(1 << 70), 10**400,
    float('nan'), float('inf'), float('-inf'),
    '', 'a', '1', '../x', '/x', 'x\0y', '\ud800', 'http://[::1/x', 'é' * 300,
    [], [1], [1, 2, 3, 4], [0, 0, 0, 0], [None] * 4, [[1, 2, 3, 4]], ['a', 'b'], [0] * 51, [[]], [1.5] * 1000,
    {}, {'id': 1}, {'a': {'b': []}}, {'counts': 'a', 'size': [1, 1]},
)  # fmt: skip

# Sizes and offsets in a file.
NUMBERS = (0, (1 << 31) - 1, (1 << 32) - 1, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)


def damage_json(document, rng: np.random.Generator, times: int = 3):
    """A copy of a JSON document with up to ``times`` changes: a value replaced, removed, repeated or exchanged."""
    holder = [copy.deepcopy(document)]
    for _ in range(rng.integers(1, times + 1)):
        parent, key = _random_place(holder, rng)
        how = rng.integers(5)
        if how == 0 and parent is not holder:
            del parent[key]
        elif how == 1 and isinstance(parent, list) and parent is not holder:
            parent.insert(int(rng.integers(len(parent) + 1)), copy.deepcopy(parent[key]))
        elif how == 2:
            other, place = _random_place(holder, rng)
            parent[key] = copy.deepcopy(other[place])
        else:
            parent[key] = copy.deepcopy(VALUES[rng.integers(len(VALUES))])
    return holder[0]


def _random_place(holder: list, rng: np.random.Generator) -> tuple:
    """A random (container, key), the outer ones as often as the many inner ones."""
    parent, key = holder, 0
    while isinstance(parent[key], dict | list) and parent[key] and rng.random() < 0.8:
        parent = parent[key]
        keys = list(parent) if isinstance(parent, dict) else range(len(parent))
        key = keys[int(rng.integers(len(keys)))]
    return parent, key


def damage_bytes(content: bytes, rng: np.random.Generator) -> bytes:
    """A copy of a file: cut, with changed bytes, with a part removed, repeated or filled with zeros."""
    data = bytearray(content)
    first, last = sorted(rng.integers(0, len(data) + 1, 2).tolist())
    how = rng.integers(6)
    if how == 0:
        return bytes(data[:first])
    if how == 1:
        del data[first : min(last, first + 64)]
    elif how == 2:
        data[first:first] = data[first : min(last, first + 64)]
    elif how == 3:
        data[first:last] = bytes(last - first)
    else:
        # The head of a file decides how it is read.
        end = min(len(data), 128) if how == 4 else len(data)
        for _ in range(rng.integers(1, 5) if end else 0):
            data[rng.integers(end)] = rng.integers(256)
    return bytes(data)


def damage_archive(content: bytes, rng: np.random.Generator) -> bytes:
    """A copy of a file with up to three kinds of damage, among them extreme numbers in the place of sizes and offsets."""
    data = content
    for _ in range(rng.integers(1, 4)):
        if rng.random() < 0.3 and len(data) > 8:
            at, number = int(rng.integers(len(data) - 8)), NUMBERS[rng.integers(len(NUMBERS))]
            data = data[:at] + number.to_bytes(8, 'little') + data[at + 8 :]
        else:
            data = damage_bytes(data, rng)
    return data
