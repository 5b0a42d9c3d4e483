"""Body-part segmentation at 128x96 for CPUs and first experiments. Nothing is published for it.

Differs from seg-1024x768.py to train in minutes on two cores: images of 128x96 pixels, a head of 64 channels with two
deconvolutions, sine-cosine positions, milder augmentation, no class weights (with a tenth for the background, people first cover
most of it), a Dice loss in addition to cross entropy, and losses on a random 1-in-4 pixel grid, one pixel per output of the head:
it learns as much and leaves time for more steps (docs/log/experiments.md). Random backgrounds are an ablation.
Command and numbers: docs/tasks/seg.md.
"""

_base_ = './seg-1024x768.py'

model = dict(
    backbone=dict(img_size=(128, 96), patch_padding=0, pos_embed='sincos'),
    head=dict(deconv_channels=(64, 64), conv_channels=(64,)),
    losses=[
        dict(type='SegCrossEntropyLoss', class_weight=None, average='weights'),
        dict(type='SegDiceLoss', loss_weight=3.0),
    ],
    loss_stride=4,
)
train_pipeline = [
    dict(type='PhotometricDistortion', permute=False),
    dict(type='LoadLabels', fields=['sem_seg']),
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
    dict(type='LoadLabels', fields=['sem_seg']),
    dict(type='LoadResize', size=(96, 128), interpolation='bilinear', antialias=True),
    dict(type='PackDense'),
]

custom_hooks = [
    dict(type='SegPictureHook', interval=500, num_images=8),
]
