_base_ = ['../_base_/full.py', '../_base_/encoders.py']

chain = [dict(_base_._stages['pose'], options={'model.backbone.init_cfg': None})]
_size = (1024, 768)
_vit = dict(embed_dims=1024, num_layers=24, num_heads=16, feedforward_channels=4096)
_backbones = {
    'timm-vit': dict(type='TimmBackbone', name='vit_large_patch16_224', img_size=_size),
    'timm-swin': dict(type='TimmBackbone', name='swin_large_patch4_window12_384', window_size=8, img_size=_size),
    'timm-convnext': dict(type='TimmBackbone', name='convnext_xlarge', img_size=_size),
    'mmpretrain-vit': dict(type='MMPretrainBackbone', name='VisionTransformer', arch=_vit, img_size=_size),
    'mmpretrain-swin': dict(
        type='MMPretrainBackbone', name='SwinTransformer', arch='large', window_size=8, img_size=_size
    ),
    'mmpretrain-convnext': dict(type='MMPretrainBackbone', name='ConvNeXt', arch='xlarge', img_size=_size),
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
# Its options belong to SapiensViT: the other encoders begin with random weights too.
