"""Surface normals of people with Sapiens2 at 1024x768, letterboxed.

Reproduces: the published recipe, counted in iterations. Its data (rendered scans) are not public. Not trained to the end here.
Evaluation compares with labels of the image without the padding (docs/differences.md).
Batch: per GPU, on a node of 8 GPUs.
Command: bash tools/dist_train.sh configs/normal/sapiens2_1b_renderpeople-1024x768.py 8
"""

_base_ = './normal-1024x768.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='Sapiens2ViT',
        img_size=(1024, 768),
        rope_dtype='fp32',
        drop_path_rate=0.0,
        frozen_stages=-1,
    ),
    head=dict(
        _delete_=True,
        type='PixelShuffleHead',
        upsample_channels=(768, 512, 256, 128),
        conv_channels=(64, 32, 16),
        norm='instance',
        predictor='conv_normal',
    ),
    losses=[
        dict(type='NormalCosineLoss', loss_weight=10.0),
        dict(type='NormalL1Loss', loss_weight=1.0),
        dict(type='NormalGradientLoss', loss_weight=10.0),
    ],
)
train_pipeline = [
    dict(type='PhotometricDistortion', permute=False),  # drawn here, applied to the fewest pixels
    dict(type='LoadLabels', fields=['normal']),
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
    dict(type='LowerResolution', prob=0.2),
    dict(type='GaussianBlur', prob=0.3),
    dict(type='GaussianNoise', prob=0.3),
    dict(type='Solarize', prob=0.3),
    dict(type='PackDense', unit_vectors='fp16'),
]
val_pipeline = [
    dict(type='LoadLabels', fields=['normal']),
    dict(type='LoadLetterbox', size=(768, 1024), interpolation='published'),
    dict(type='PackDense'),
]
