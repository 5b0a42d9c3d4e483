"""Sizes of the encoders of both families.

Sources: Khirodkar et al., "Sapiens: Foundation for Human Vision Models" (ECCV 2024), table 1, and the published systems. ``tiny``
is ours in both families, for CPUs, quickstarts and tests. :mod:`sapiens.checkpoints` recognizes weights by these tables.
"""

from sapiens.metainfo.naming import near

__all__ = ['SAPIENS2_ARCHS', 'SAPIENS_ARCHS', 'resolve_arch']

SAPIENS_ARCHS = {
    'tiny': dict(embed_dims=192, num_layers=6, num_heads=3, feedforward_channels=768),
    '0.3b': dict(embed_dims=1024, num_layers=24, num_heads=16, feedforward_channels=4096),
    '0.6b': dict(embed_dims=1280, num_layers=32, num_heads=16, feedforward_channels=5120),
    '1b': dict(embed_dims=1536, num_layers=40, num_heads=24, feedforward_channels=6144),
    '2b': dict(embed_dims=1920, num_layers=48, num_heads=32, feedforward_channels=7680),
}
# num_tokenizer_layers counts only in an encoder with a tokenizer. Published: 1b.
SAPIENS2_ARCHS = {
    'tiny': dict(embed_dims=192, num_layers=6, num_heads=3, feedforward_channels=768, num_tokenizer_layers=1),
    '0.1b': dict(embed_dims=768, num_layers=12, num_heads=12, feedforward_channels=3072, num_tokenizer_layers=2),
    '0.4b': dict(embed_dims=1024, num_layers=24, num_heads=16, feedforward_channels=4096, num_tokenizer_layers=2),
    '0.8b': dict(embed_dims=1280, num_layers=32, num_heads=16, feedforward_channels=5120, num_tokenizer_layers=3),
    '1b': dict(embed_dims=1536, num_layers=40, num_heads=24, feedforward_channels=6144, num_tokenizer_layers=4),
    '5b': dict(embed_dims=2432, num_layers=56, num_heads=32, feedforward_channels=9728, num_tokenizer_layers=6),
}


def resolve_arch(arch: str | dict, archs: dict[str, dict] = SAPIENS_ARCHS) -> dict:
    """Return the numbers of an architecture given by name or as a dict.

    Args:
        archs: table of the family. Its first row names the keys. ``num_tokenizer_layers`` may be left out of a dict and is
            2 then.

    Raises:
        ValueError: an unknown name, a missing or unknown key, a size that is not a whole number, or a width that the heads do
            not divide.
    """
    if isinstance(arch, str):
        if arch not in archs:
            known = f'{sorted(archs)}{near(arch, archs)}'
            raise ValueError(f'arch={arch!r} is not one of {known} (a dict of sizes is accepted too)')
        return dict(archs[arch])
    optional = {key: 2 for key in archs['tiny'] if key == 'num_tokenizer_layers'}
    needed = [key for key in archs['tiny'] if key not in optional]
    missing, unknown = [key for key in needed if key not in arch], [key for key in arch if key not in archs['tiny']]
    if missing or unknown:
        found = ' and '.join(
            f'{what} {", ".join(keys)}' for what, keys in (('lacks', missing), ('has', unknown)) if keys
        )
        raise ValueError(f'arch as a dict needs exactly the keys {", ".join([*needed, *optional])}; this one {found}')
    arch = optional | arch
    for key, value in arch.items():
        if not isinstance(value, int) or value < 1:
            raise ValueError(f'arch: {key}={value!r} is not a whole number, 1 or more')
    if arch['embed_dims'] % arch['num_heads']:
        raise ValueError(f'arch: embed_dims={arch["embed_dims"]} is not divisible by num_heads={arch["num_heads"]}')
    if arch['embed_dims'] % 4:
        raise ValueError(f'arch: embed_dims={arch["embed_dims"]} is not a multiple of 4 (2-D positions)')
    return arch
