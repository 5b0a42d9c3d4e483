_base_ = ['../_base_/full.py', '../_base_/init.py']

chain = [
    _base_._stages['pretrain'],
    _base_._pretrained['pose'],
    _base_._pretrained['seg'],
    _base_._pretrained['depth'],
    _base_._pretrained['normal'],
]
# 0.3b has 24 blocks.
variants = [
    dict(one, options={key: 24 if key.endswith(_base_._frozen) else value for key, value in one['options'].items()})
    for one in _base_.variants
]
