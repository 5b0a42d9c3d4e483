"""Depth up to scale and shift at 128x96 for CPUs and first tries; ours, nothing is published for it.

Differs from depth-1024x768.py where minutes on two cores call for it: pictures of 128x96 pixels, a head of 64 channels with two
deconvolutions, positions that need not be learned, milder augmentation, and a loss that is the error after an alignment by scale
and shift, in metres: SiLog spends most of its slope on the few pixels near 0, the nearest of a person. What is predicted has
therefore a scale and a shift of its own in each image. Other backgrounds are an ablation.
Command and numbers: docs/tasks/depth.md.
"""

_base_ = './depth-1024x768.py'

model = dict(
    backbone=dict(img_size=(128, 96), patch_padding=0, pos_embed='sincos'),
    decode_head=dict(deconv_channels=(64, 64), conv_channels=(64,)),
    task=dict(relative=False),
    losses=[dict(type='AlignedDepthLoss')],
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
