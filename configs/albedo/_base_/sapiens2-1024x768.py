"""Albedo of people with Sapiens2 at 1024x768, letterboxed.

Reproduces: the published recipe, counted in iterations. Neither its data (rendered scans) nor weights are public. Not trained to
the end here. Colors of the image are not changed: they are what the albedo is compared with.
Batch: per GPU, on a node of 8 GPUs.
Command: bash tools/dist_train.sh configs/albedo/sapiens2_1b_renderpeople-1024x768.py 8
"""

model = dict(
    type='DenseEstimator',
    backbone=dict(
        type='Sapiens2ViT',
        img_size=(1024, 768),
        rope_dtype='fp32',
        drop_path_rate=0.0,
        frozen_stages=-1,
    ),
    head=dict(
        type='PixelShuffleHead',
        upsample_channels=(768, 512, 256, 128),
        conv_channels=(64, 32, 16),
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
    dict(type='RejectLabels', min_pixels=16, max_fraction=0.96, min_albedo_std=0.02),
    dict(
        type='LoadDense',
        decode='fast',
        steps=[
            dict(type='RandomResize', size=None, ratio=(0.5, 2.0), prob=0.3),
            dict(type='RandomAreaCrop', area=(0.4, 1.0), aspect=(0.5, 2.0), prob=0.3),
            dict(type='RandomFlip', prob=0.3),
            dict(type='Letterbox', size=(768, 1024)),
        ],
    ),
    dict(type='GaussianNoise', prob=0.2),
    dict(type='PackDense'),
]
val_pipeline = [
    dict(type='LoadLabels', fields=['albedo']),
    dict(type='LoadLetterbox', size=(768, 1024), interpolation='published'),
    dict(type='PackDense'),
]

custom_hooks = [dict(type='AlbedoPictureHook', interval=100, num_images=4)]
