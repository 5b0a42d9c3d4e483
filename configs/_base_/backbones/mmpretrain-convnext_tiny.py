# mmpretrain's ConvNeXt with the sizes of timm-convnext_tiny.
backbone = dict(
    type='MMPretrainBackbone',
    name='ConvNeXt',
    arch=dict(depths=[2, 2, 8, 2], channels=[48, 96, 192, 384]),
)
