# mmpretrain's Swin with the sizes of timm-swin_tiny.
backbone = dict(
    type='MMPretrainBackbone',
    name='SwinTransformer',
    window_size=4,
    arch=dict(embed_dims=48, depths=[2, 2, 6, 2], num_heads=[2, 4, 8, 16]),
)
