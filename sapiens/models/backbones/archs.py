"""Architectures by name; the table itself is :mod:`sapiens.utils.sizes`."""

from difflib import get_close_matches

from sapiens.utils.sizes import SAPIENS_ARCHS

__all__ = ['SAPIENS_ARCHS', 'resolve_arch']


def resolve_arch(arch: str | dict, table: dict = SAPIENS_ARCHS) -> dict:
    """Return the four numbers of an architecture given by name or as a dict.

    Raises:
        ValueError: for an unknown name, a missing or unknown key, or a width that the heads do not divide.
    """
    if isinstance(arch, str):
        if arch not in table:
            close = get_close_matches(arch.lower(), table, n=1)
            hint = f'; did you mean {close[0]!r}?' if close else ''
            raise ValueError(f'arch={arch!r} is not one of {sorted(table)}{hint} (a dict of sizes is accepted too)')
        return dict(table[arch])
    expected = set(next(iter(table.values())))
    if set(arch) != expected:
        raise ValueError(f'arch as a dict needs exactly the keys {sorted(expected)}, got {sorted(arch)}')
    if arch['embed_dims'] % arch['num_heads']:
        raise ValueError(f'arch: embed_dims={arch["embed_dims"]} is not divisible by num_heads={arch["num_heads"]}')
    if arch['embed_dims'] % 4:
        raise ValueError(f'arch: embed_dims={arch["embed_dims"]} is not a multiple of 4 (2-D sine-cosine positions)')
    return dict(arch)
