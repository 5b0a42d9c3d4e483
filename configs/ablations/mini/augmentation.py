_base_ = ['../_base_/mini.py', '../_base_/augmentation.py']

chain = [_base_._stages['pretrain'], _base_._pretrained['pose']]
_pipeline = 'pose:+train_dataloader.dataset.pipeline'
variants = [
    dict(name='ours'),
    dict(
        name='published',
        options={
            f'{_pipeline}.2.published': True,
            f'{_pipeline}.3.touching': dict(sigma=1.0, heatmap_size=(24, 32)),
        },
    ),
    dict(name='no-colors', options={f'{_pipeline}.2.prob': 0.0}),
]
