_base_ = ['../_base_/full.py', '../_base_/encoders.py']

chain = [dict(_base_._stages['pose'], options={'model.backbone.init_cfg': None})]
_size = (1024, 768)
_vit = dict(embed_dims=1024, num_layers=24, num_heads=16, feedforward_channels=4096)
# Wider (Swin) and deeper (ConvNeXt) than the largest published ones, for about 0.3 B parameters up to stride 16.
_heads, _depths = (9, 18, 36, 72), (3, 3, 35, 3)
_swin = dict(embed_dims=288, depths=[2, 2, 18, 2], num_heads=list(_heads))
_convnext = dict(depths=list(_depths), channels=[256, 512, 1024, 2048])
_backbones = {
    'timm-vit': dict(type='TimmBackbone', name='vit_large_patch16_224', img_size=_size),
    'timm-swin': dict(
        type='TimmBackbone',
        name='swin_large_patch4_window12_384',
        embed_dim=288,
        num_heads=_heads,
        window_size=8,
        img_size=_size,
    ),
    'timm-convnext': dict(type='TimmBackbone', name='convnext_xlarge', depths=_depths, img_size=_size),
    'mmpretrain-vit': dict(type='MMPretrainBackbone', name='VisionTransformer', arch=_vit, img_size=_size),
    'mmpretrain-swin': dict(
        type='MMPretrainBackbone', name='SwinTransformer', arch=_swin, window_size=8, img_size=_size
    ),
    'mmpretrain-convnext': dict(type='MMPretrainBackbone', name='ConvNeXt', arch=_convnext, img_size=_size),
}
_no_decay = ['pos_embed', 'relative_position_bias_table']
variants = [
    dict(name='sapiens'),
    *(
        dict(
            name=name,
            options={
                'pose:model.backbone': backbone,
                **({'pose:optim_wrapper.paramwise_cfg.no_decay': _no_decay} if name.endswith('swin') else {}),
            },
        )
        for name, backbone in _backbones.items()
    ),
]
