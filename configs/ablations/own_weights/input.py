"""What the model of keypoints sees and how large it is, at about equal minutes, and how many people and steps it needs.

Every variant learns from random weights with all additions of configs/_base_/datasets/photographs.py, and is tested on held-out
rendered people and on photographs. Data: as in photographs.py.
"""

_base_ = '../_base_/mini.py'

_real = '{{$DATA_ROOT:data}}/real'
_steps = 1200


def _length(iterations):
    return dict.fromkeys(_base_._length, iterations)


chain = [
    dict(
        name='pose',
        config='pose/sapiens_tiny_free17-128x96',
        options={**_base_._shared, **_length(_steps)},
    ),
    dict(
        name='pose-real',
        command='test',
        after='pose',
        options={
            'test_dataloader.dataset.data_root': _real,
            'test_dataloader.dataset.ann_file': 'people_val.json',
            '+test_dataloader.dataset.img_prefix': 'images',
            'test_evaluator.0.ann_file': _real + '/people_val.json',
        },
    ),
]
# As many tokens as patches of 8 give, of four times the pixels. Targets have the same width in the person.
_large = {
    'pose:model.backbone.img_size': (256, 192),
    'pose:train_dataloader.dataset.pipeline.5.size': (192, 256),
    'pose:val_dataloader.dataset.pipeline.1.size': (192, 256),
    'pose:test_dataloader.dataset.pipeline.1.size': (192, 256),
    'pose:model.codec.sigma': 2.0,
}
_fine = {'pose:+model.backbone.patch_size': 8, 'pose:model.head.deconv_channels': (64,)}
_wide = {'pose:model.backbone.arch': dict(embed_dims=384, num_layers=12, num_heads=6, feedforward_channels=1536)}
# Steps in the minutes of the base, by the seconds of a step on one core.
_equal = {'256x192': 350, 'patch-8': 400, '12x384': 280, 'convnext': 850}
variants = [
    dict(name='base'),
    *(
        dict(name=name, options={**options, **{f'pose:{key}': steps for key, steps in _length(_equal[name]).items()}})
        for name, options in (('256x192', _large), ('patch-8', _fine), ('12x384', _wide))
    ),
    dict(
        name='convnext',
        config={'pose': 'pose/timm-convnext_tiny_free17-128x96'},
        options={f'pose:{key}': steps for key, steps in _length(_equal['convnext']).items()},
    ),
    dict(name='people-tenth', options={'pose:+train_dataloader.dataset.part': (0.0, 0.1)}),
    dict(name='twice', options={f'pose:{key}': steps for key, steps in _length(2 * _steps).items()}),
]
del _length
reference = 'base'
metrics = {
    f'{stage}:{metric}': better
    for stage in ('pose', 'pose-real')
    for metric, better in {'PCK@0.1': 'higher', 'AP': 'higher', 'val_loss': 'lower'}.items()
}
checks = [
    '256x192.pose-real:PCK@0.1 > base.pose-real:PCK@0.1',
    'convnext.pose-real:PCK@0.1 > base.pose-real:PCK@0.1',
    'twice.pose-real:PCK@0.1 > base.pose-real:PCK@0.1',
]
