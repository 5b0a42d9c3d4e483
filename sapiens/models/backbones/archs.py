"""Sizes of the Sapiens v1 encoders.

Source of the four published rows: Khirodkar et al., "Sapiens: Foundation for Human Vision Models" (ECCV 2024), table 1, and the
published system. ``tiny`` is ours, for CPUs, quickstarts and tests. :mod:`sapiens.checkpoints` recognises weights by this table.
"""

from sapiens.metainfo.naming import near

__all__ = ['SAPIENS_ARCHS', 'resolve_arch']

SAPIENS_ARCHS = {
    'tiny': dict(embed_dims=192, num_layers=6, num_heads=3, feedforward_channels=768),
    '0.3b': dict(embed_dims=1024, num_layers=24, num_heads=16, feedforward_channels=4096),
    '0.6b': dict(embed_dims=1280, num_layers=32, num_heads=16, feedforward_channels=5120),
    '1b': dict(embed_dims=1536, num_layers=40, num_heads=24, feedforward_channels=6144),
    '2b': dict(embed_dims=1920, num_layers=48, num_heads=32, feedforward_channels=7680),
}


def resolve_arch(arch: str | dict) -> dict:
    """Return the four numbers of an architecture given by name or as a dict.

    Raises:
        ValueError: an unknown name, a missing or unknown key, or a width that the heads do not divide.
    """
    if isinstance(arch, str):
        if arch not in SAPIENS_ARCHS:
            known = f'{sorted(SAPIENS_ARCHS)}{near(arch, SAPIENS_ARCHS)}'
            raise ValueError(f'arch={arch!r} is not one of {known} (a dict of sizes is accepted too)')
        return dict(SAPIENS_ARCHS[arch])
    expected = set(SAPIENS_ARCHS['tiny'])
    if set(arch) != expected:
        raise ValueError(f'arch as a dict needs exactly the keys {sorted(expected)}, got {sorted(arch)}')
    if arch['embed_dims'] % arch['num_heads']:
        raise ValueError(f'arch: embed_dims={arch["embed_dims"]} is not divisible by num_heads={arch["num_heads"]}')
    if arch['embed_dims'] % 4:
        raise ValueError(f'arch: embed_dims={arch["embed_dims"]} is not a multiple of 4 (2-D sine-cosine positions)')
    return dict(arch)
