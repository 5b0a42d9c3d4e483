"""Matting with Sapiens2 at 1024x768.

Reproduces: the published recipe of 1b, counted in iterations. Its data are not public. Not trained to the end here. People
without a background are put in front of photographs, in linear light. Later steps change image and foreground alike. Losses do
not read colors of the foreground that no label knows (docs/differences.md).
Batch: per GPU; published on 256 GPUs.
Command: bash tools/dist_train.sh configs/matting/sapiens2_1b_general-1024x768.py 8
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
    dict(
        type='ComposeRGBA',
        root='{{$DATA_ROOT:data}}/coco/train2017',
        ann_file='../annotations/person_keypoints_train2017.json',
    ),
    dict(type='LoadLabels', fields=['alpha', 'foreground']),
    dict(type='RejectLabels', max_fraction=1.0, empty_alpha=False),
    dict(type='JPEGCompression', quality=(30, 60), prob=0.5),
    dict(type='CropToAlpha', prob=0.5),
    dict(type='PhotometricDistortion', permute=False, prob=0.5),  # drawn here, applied to the fewest pixels
    dict(
        type='LoadDense',
        decode='fast',
        steps=[
            dict(type='RandomResize', size=(768, 1024), ratio=(0.4, 2.0)),
            dict(type='RandomCrop', size=(768, 1024), prob=0.5),
            dict(type='RandomRotate', degree=60, prob=0.5, fill=255),
            dict(type='RandomFlip', prob=0.5),
            dict(type='Resize', size=(768, 1024)),
        ],
    ),
    dict(type='PackDense'),
]
val_pipeline = [
    dict(type='LoadLabels', fields=['alpha', 'foreground']),
    dict(type='LoadResize', size=(768, 1024), interpolation='published'),
    dict(type='PackDense'),
]

custom_hooks = [dict(type='MattingPictureHook', interval=100, num_images=4)]
