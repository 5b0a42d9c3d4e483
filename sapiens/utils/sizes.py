"""The size table of the Sapiens encoders.

Source of the four published rows: the paper (Khirodkar et al., "Sapiens: Foundation for Human Vision Models", ECCV 2024,
table 1) and the published system. ``tiny`` is ours, for CPUs, quickstarts and tests. Models are built from it, and weights
are recognised by it.
"""

__all__ = ['SAPIENS_ARCHS']

SAPIENS_ARCHS = {
    'tiny': dict(embed_dims=192, num_layers=6, num_heads=3, feedforward_channels=768),
    '0.3b': dict(embed_dims=1024, num_layers=24, num_heads=16, feedforward_channels=4096),
    '0.6b': dict(embed_dims=1280, num_layers=32, num_heads=16, feedforward_channels=5120),
    '1b': dict(embed_dims=1536, num_layers=40, num_heads=24, feedforward_channels=6144),
    '2b': dict(embed_dims=1920, num_layers=48, num_heads=32, feedforward_channels=7680),
}
