_base_ = ['../_base_/mini.py', '../_base_/decoder.py']

chain = [_base_._stages['pretrain'], _base_._pretrained['pose'], _base_._pretrained['seg']]
variants = [
    dict(name='base'),
    dict(name='half-depth', options={f'{_base_._decoder}.num_layers': 1}),
    dict(name='double-depth', options={f'{_base_._decoder}.num_layers': 4}),
    dict(name='half-width', options={f'{_base_._decoder}.embed_dims': 96}),
    dict(name='double-width', options={f'{_base_._decoder}.embed_dims': 384}),
    dict(name='share-0.25', options={'pretrain:model.decode_share': 0.25}),
    dict(name='no-norm-pix', options={'pretrain:model.norm_pix': False}),
]
