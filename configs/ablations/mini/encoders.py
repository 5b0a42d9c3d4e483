_base_ = ['../_base_/mini.py', '../_base_/encoders.py']

chain = [_base_._stages['pose']]
variants = [
    dict(name='sapiens'),
    *(
        dict(name=f'{library}-{kind}', config=f'pose/{library}-{kind}_tiny_synthetic17-128x96')
        for library in ('timm', 'mmpretrain')
        for kind in ('vit', 'swin', 'convnext')
    ),
]
