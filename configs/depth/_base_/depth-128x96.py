"""Relative depth at 128x96 for CPUs and first experiments. Nothing is published for it.

Differs from depth-1024x768.py to train in minutes on two cores: images of 128x96 pixels, a head of 64 channels with two
deconvolutions, sine-cosine positions, milder augmentation, and the error after an alignment by scale and shift as its loss. SiLog
has most of its gradient on the few pixels near 0, the nearest of a person. A small SiLog loss still fixes scale and shift. Random
backgrounds are an ablation.
Command and numbers: docs/tasks/depth.md.
"""

_base_ = './depth-1024x768.py'

model = dict(
    backbone=dict(img_size=(128, 96), patch_padding=0, pos_embed='sincos'),
    head=dict(deconv_channels=(64, 64), conv_channels=(64,)),
    losses=[dict(type='AlignedDepthLoss'), dict(type='SiLogLoss', loss_weight=0.03)],
)
train_pipeline = [
    dict(type='PhotometricDistortion', permute=False),
    dict(type='LoadLabels', fields=['depth']),
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
    dict(type='LoadLabels', fields=['depth']),
    dict(type='LoadResize', size=(96, 128), interpolation='bilinear', antialias=True),
    dict(type='PackDense'),
]

custom_hooks = [
    dict(type='DepthPictureHook', interval=500, num_images=8),
]
