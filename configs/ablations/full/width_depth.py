_base_ = ['../_base_/full.py', '../_base_/width_depth.py']

chain = [_base_._stages['pretrain'], _base_._pretrained['pose'], _base_._pretrained['seg']]
_archs = {
    'shallow': dict(embed_dims=1440, num_layers=12, num_heads=24, feedforward_channels=5760),
    'deep': dict(embed_dims=720, num_layers=48, num_heads=12, feedforward_channels=2880),
}
variants = [
    dict(name='base'),
    *(
        dict(name=name, options={f'{stage}:model.backbone.arch': arch for stage in ('pretrain', 'pose', 'seg')})
        for name, arch in _archs.items()
    ),
]
