_base_ = ['../_base_/mini.py', '../_base_/init.py']

chain = [
    _base_._stages['pretrain'],
    _base_._pretrained['pose'],
    _base_._pretrained['seg'],
    _base_._pretrained['depth'],
    _base_._pretrained['normal'],
]
