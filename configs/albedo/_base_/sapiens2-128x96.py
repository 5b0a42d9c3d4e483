"""Albedo with Sapiens2 at 128x96 for CPUs and first experiments.

Nothing is published for it. Differs from sapiens2-1024x768.py to train in minutes on two cores: images of 128x96 pixels, a head
of 64 channels with two doublings, and milder augmentation.
Command and numbers: docs/tasks/albedo.md.
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
        upsample_channels=(64, 64),
        conv_channels=(64,),
        norm='rms',
        predictor='conv_albedo',
    ),
    task=dict(type='AlbedoTask', encoding='srgb'),
    losses=[
        dict(type='AlbedoL1Loss', loss_weight=2.0),
        dict(type='AlbedoGradientLoss', loss_weight=2.0),
        dict(type='AlbedoChromaticityLoss', loss_weight=1.0),
    ],
    test_cfg=dict(flip_test=False, crop_size=None, stride=None, resize='two_step', padding='remove'),
)

train_pipeline = [
    dict(type='LoadLabels', fields=['albedo']),
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
    dict(type='LoadLabels', fields=['albedo']),
    dict(type='LoadResize', size=(96, 128), interpolation='bilinear', antialias=True),
    dict(type='PackDense'),
]

custom_hooks = [dict(type='AlbedoPictureHook', interval=500, num_images=8)]
