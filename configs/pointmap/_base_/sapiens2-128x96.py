"""Pointmaps with Sapiens2 at 128x96 for CPUs and first experiments.

Nothing is published for it. Differs from sapiens2-1024x768.py to train in minutes on two cores: images of 128x96 pixels, a head
of 64 channels with two doublings, RMS norms and small initial outputs, losses without an upper bound, which those of the first
steps exceed and then have no gradient, and eight times the weight of shapes. Images are mirrored but not cropped: a crop moves
the principal point, which the network does not see.
Command and numbers: docs/tasks/pointmap.md.
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
        predictor='conv_pointmap',
        predictor_std=0.02,
        scale=dict(conv_channels=(64, 32), hidden=(64,), cells=(4, 3)),
    ),
    task=dict(type='PointmapTask'),
    losses=[
        dict(type='PointmapL1Loss', loss_weight=2.0, clamp=None),
        dict(type='PointmapMultiscaleL1Loss', factor=2, loss_weight=1.0, clamp=None),
        dict(type='PointmapShiftInvariantLoss', loss_weight=8.0, clamp=None),
        dict(type='PointmapSiLogLoss', loss_weight=1.0),
        dict(type='PointmapIntrinsicsLoss', loss_weight=1.0),
        dict(type='PointmapNormalLoss', loss_weight=2.0),
        dict(type='PointmapScaleLoss', loss_weight=4.0),
    ],
    test_cfg=dict(flip_test=False, crop_size=None, stride=None, resize='two_step', padding='remove'),
)

train_pipeline = [
    dict(type='PhotometricDistortion', permute=False),
    dict(type='LoadLabels', fields=['pointmap']),
    dict(
        type='LoadDense',
        decode='fast',
        steps=[
            dict(type='Resize', size=(96, 128)),
            dict(type='RandomFlip', prob=0.5),
        ],
    ),
    dict(type='PackDense'),
]
val_pipeline = [
    dict(type='LoadLabels', fields=['pointmap']),
    dict(type='LoadResize', size=(96, 128), interpolation='bilinear', antialias=True),
    dict(type='PackDense'),
]

custom_hooks = [dict(type='PointmapPictureHook', interval=500, num_images=8)]
