# mmpretrain's ViT with the sizes of sapiens_tiny, and a class token.
backbone = dict(
    type='MMPretrainBackbone',
    name='VisionTransformer',
    arch=dict(embed_dims=192, num_layers=6, num_heads=3, feedforward_channels=768),
)
