"""Pointmaps of people with Sapiens2 at 1024x768, letterboxed.

Reproduces: the published recipe, counted in iterations, in fp32. Its data (rendered scans) are not public. Not trained to the end
here. Losses leave out pixels whose neighbors have no label, and evaluation compares with labels of the image without the padding
(docs/differences.md).
Batch: per GPU, on a node of 8 GPUs.
Command: bash tools/dist_train.sh configs/pointmap/sapiens2_1b_renderpeople-1024x768.py 8
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
        upsample_channels=(1536, 768, 512, 256),
        conv_channels=(64, 32, 16),
        norm='instance',
        predictor='conv_pointmap',
        scale=dict(conv_channels=(1536, 512, 128), hidden=(512, 128), cells=(8, 6)),
    ),
    task=dict(type='PointmapTask'),
    losses=[
        dict(type='PointmapL1Loss', loss_weight=2.0),
        dict(type='PointmapMultiscaleL1Loss', factor=2, loss_weight=1.0),
        dict(type='PointmapShiftInvariantLoss', loss_weight=1.0),
        dict(type='PointmapSiLogLoss', loss_weight=1.0),
        dict(type='PointmapIntrinsicsLoss', loss_weight=1.0),
        dict(type='PointmapNormalLoss', loss_weight=2.0),
        dict(type='PointmapScaleLoss', loss_weight=4.0),
    ],
    test_cfg=dict(flip_test=False, crop_size=None, stride=None, resize='two_step', padding='remove'),
)

train_pipeline = [
    dict(type='PhotometricDistortion', permute=False),  # drawn here, applied to the fewest pixels
    dict(type='LoadLabels', fields=['pointmap']),
    dict(type='RejectLabels', min_pixels=16, max_fraction=0.96, min_canonical_depth=0.04),
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
    dict(type='PackDense'),
]
val_pipeline = [
    dict(type='LoadLabels', fields=['pointmap']),
    dict(type='LoadLetterbox', size=(768, 1024), interpolation='published'),
    dict(type='PackDense'),
]

custom_hooks = [dict(type='PointmapPictureHook', interval=100, num_images=4)]
