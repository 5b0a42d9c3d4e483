_base_ = ['../_base_/mini.py', '../_base_/background.py']

chain = [
    _base_._stages['pretrain'],
    _base_._pretrained['seg'],
    _base_._pretrained['depth'],
    _base_._pretrained['normal'],
    *_base_._unseen,
]
variants = [
    dict(name='plain'),
    dict(
        name='background',
        config={
            task: f'{task}/ablations/sapiens_tiny_synthetic-128x96_background' for task in ('seg', 'depth', 'normal')
        },
    ),
]
