_base_ = ['../_base_/mini.py', '../_base_/width_depth.py']

chain = [_base_._stages['pretrain'], _base_._pretrained['pose'], _base_._pretrained['seg']]
_archs = {
    'shallow': dict(embed_dims=272, num_layers=3, num_heads=4, feedforward_channels=1088),
    'deep': dict(embed_dims=136, num_layers=12, num_heads=2, feedforward_channels=544),
}
variants = [
    dict(name='base'),
    *(
        dict(name=name, options={f'{stage}:model.backbone.arch': arch for stage in ('pretrain', 'pose', 'seg')})
        for name, arch in _archs.items()
    ),
]
