_base_ = ['../_base_/full.py', '../_base_/mask_ratio.py']

chain = [_base_._stages['pretrain'], _base_._pretrained['pose'], _base_._pretrained['seg'], _base_._test]
_ablations = 'mae/ablations/sapiens_0.3b_humans300m-1024x1024'
variants = [
    dict(name='mask-0.5', options={_base_._ratio: 0.5, **_base_._common}),
    dict(name='mask-0.75', config={'pretrain': f'{_ablations}_mask-0.75'}, options=_base_._common),
    dict(name='mask-0.9', options={_base_._ratio: 0.9, **_base_._common}),
    dict(name='mask-0.95', options=_base_._common),
    # Blocks of 4x4 patches (64 pixels), in a grid of 64x64.
    *(
        dict(
            name=f'block-{ratio}',
            config={'pretrain': f'{_ablations}_block-mask'},
            options={_base_._ratio: ratio, **_base_._common},
        )
        for ratio in (0.75, 0.95)
    ),
]
