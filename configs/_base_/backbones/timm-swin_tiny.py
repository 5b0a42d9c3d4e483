# timm's Swin-Tiny with half of its channels, about the parameters of sapiens_tiny in the three stages up to stride 16. Windows of
# 4x4 tile the maps of 128x96 pixels, but for the last one.
backbone = dict(
    type='TimmBackbone',
    name='swin_tiny_patch4_window7_224',
    embed_dim=48,
    num_heads=(2, 4, 8, 16),
    window_size=4,
)
