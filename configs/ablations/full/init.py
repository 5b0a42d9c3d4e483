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
    dict(
        name=f'{kind}-{percent}',
        options={
            f'{task}:{key}': 24 if key == _base_._frozen else value
            for task in _base_._tasks
            for key, value in {
                **options,
                **part,
                **({} if percent == 100 else {_base_._repeat: 100 // percent}),
            }.items()
        },
    )
    for percent, part in _base_._parts.items()
    for kind, options in _base_._kinds.items()
]
