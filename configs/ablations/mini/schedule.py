_base_ = ['../_base_/mini.py', '../_base_/schedule.py']

chain = [_base_._stages['pretrain'], _base_._pretrained['pose']]
_decay, _range = 'pose:param_scheduler.1', dict(by_epoch=False, begin=_base_._warm_up, end=_base_._steps)
variants = [
    dict(name='linear'),
    dict(
        name='cosine',
        options={_decay: dict(type='CosineAnnealingLR', T_max=_base_._steps - _base_._warm_up, eta_min=0.0, **_range)},
    ),
    # At the same fractions of the length as in the released config, 170 and 200 of 210.
    dict(
        name='step',
        options={
            _decay: dict(
                type='MultiStepLR',
                milestones=[_base_._steps * 170 // 210, _base_._steps * 200 // 210],
                gamma=0.1,
                **_range,
            )
        },
    ),
]
