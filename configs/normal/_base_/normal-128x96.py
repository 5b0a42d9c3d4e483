"""Surface normals at 128x96 for CPUs and first experiments. Nothing is published for it.

Differs from normal-1024x768.py to train in minutes on two cores: images of 128x96 pixels, a head of 64 channels with two
deconvolutions, sine-cosine positions, and milder augmentation. Random backgrounds are an ablation.
Command and numbers: docs/tasks/normal.md.
"""

_base_ = './normal-1024x768.py'

model = dict(
    backbone=dict(img_size=(128, 96), patch_padding=0, pos_embed='sincos'),
    head=dict(deconv_channels=(64, 64), conv_channels=(64,)),
)
train_pipeline = [
    dict(type='PhotometricDistortion', permute=False),
    dict(type='LoadLabels', fields=['normal']),
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
    dict(type='PackDense', unit_vectors='fp16'),
]
val_pipeline = [
    dict(type='LoadLabels', fields=['normal']),
    dict(type='LoadResize', size=(96, 128), interpolation='bilinear', antialias=True),
    dict(type='PackDense'),
]

custom_hooks = [
    dict(type='NormalPictureHook', interval=500, num_images=8),
]
