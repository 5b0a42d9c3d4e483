_base_ = ['../_base_/full.py', '../_base_/decoder.py']

chain = [_base_._stages['pretrain'], _base_._pretrained['pose'], _base_._pretrained['seg']]
_ablations = 'mae/ablations/sapiens_0.3b_humans300m-1024x1024'
variants = [
    dict(name='base'),
    dict(name='half-depth', config={'pretrain': f'{_ablations}_decoder-depth-4'}),
    dict(name='double-depth', options={f'{_base_._decoder}.num_layers': 16}),
    dict(name='half-width', options={f'{_base_._decoder}.embed_dims': 256}),
    dict(name='double-width', options={f'{_base_._decoder}.embed_dims': 1024}),
    dict(name='share-0.25', config={'pretrain': f'{_ablations}_decode-0.25'}),
    dict(name='no-norm-pix', config={'pretrain': f'{_ablations}_no-norm-pix'}),
]
