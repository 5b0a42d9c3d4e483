"""Matting with Sapiens2 at 128x96 for CPUs and first experiments.

Nothing is published for it. Differs from sapiens2-1024x768.py to train in minutes on two cores: images of 128x96 pixels, a head
of 64 channels with three doublings, and milder augmentation.
Command and numbers: docs/tasks/matting.md.
"""

model = dict(
    type='DenseEstimator',
    backbone=dict(
        type='Sapiens2ViT',
        img_size=(128, 96),
        rope_dtype='fp32',
        drop_path_rate=0.0,
        frozen_stages=-1,
    ),
    head=dict(
        type='PixelShuffleHead',
        upsample_channels=(64, 64, 64),
        conv_channels=(64,),
        norm='instance',
        predictor='conv_matting',
        sigmoid=True,
    ),
    task=dict(type='MattingTask'),
    losses=[
        dict(type='MattingL1Loss', loss_weight=1.0),
        dict(type='MattingGradientLoss', loss_weight=1.0),
        dict(type='MattingLaplacianLoss', loss_weight=1.0),
    ],
    test_cfg=dict(flip_test=False, crop_size=None, stride=None, resize='two_step', padding='remove'),
)

train_pipeline = [
    dict(type='LoadLabels', fields=['alpha', 'foreground']),
    dict(type='RejectLabels', max_fraction=1.0, empty_alpha=False),
    dict(type='PhotometricDistortion', permute=False),
    dict(
        type='LoadDense',
        decode='fast',
        steps=[
            dict(type='RandomResize', size=(96, 128), ratio=(1.0, 1.25)),
            dict(type='RandomCrop', size=(96, 128)),
            dict(type='Resize', size=(96, 128)),
            dict(type='RandomFlip', prob=0.5),
        ],
    ),
    dict(type='PackDense'),
]
val_pipeline = [
    dict(type='LoadLabels', fields=['alpha', 'foreground']),
    dict(type='LoadResize', size=(96, 128), interpolation='bilinear', antialias=True),
    dict(type='PackDense'),
]

custom_hooks = [dict(type='MattingPictureHook', interval=500, num_images=8)]
