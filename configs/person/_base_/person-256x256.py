"""Detection of people at 256x256 for CPUs. Nothing is published for it.

A whole image is resized to 256x256 with its aspect and padded. Maps of 64x64 cells have the centers of people and the distances
to the edges of their boxes.
Command and numbers: docs/tasks/person.md.
"""

model = dict(
    type='BoxEstimator',
    backbone=dict(
        type='SapiensViT',
        img_size=(256, 256),
        pos_embed='sincos',
    ),
    head=dict(type='CenterHead', reduced_channels=96, deconv_channels=(48, 48), conv_channels=(48,)),
    losses=[
        dict(type='CenterFocalLoss', loss_weight=1.0),
        dict(type='BoxGIoULoss', loss_weight=5.0),
    ],
)
train_pipeline = [
    dict(type='PhotometricDistortion', permute=False),
    dict(
        type='LoadDense',
        decode='fast',
        steps=[
            dict(type='ScaleJitter', size=(256, 256), ratio=(0.4, 2.0), aspect=1.15),
            dict(type='RandomFlip', prob=0.5),
        ],
    ),
    dict(type='GaussianBlur', prob=0.2),
    dict(type='LowerResolution', scale=(0.3, 0.9), prob=0.2),
    dict(type='GaussianNoise', variance=(5.0, 60.0), prob=0.2),
    dict(type='JPEGCompression', quality=(30, 90), prob=0.3),
    dict(type='PackBoxes', min_size=8),
]
val_pipeline = [
    dict(type='LoadLetterbox', size=(256, 256), interpolation='bilinear'),
    dict(type='PackBoxes', min_size=8),
]

custom_hooks = [dict(type='BoxFigureHook', interval=500, num_images=8)]
