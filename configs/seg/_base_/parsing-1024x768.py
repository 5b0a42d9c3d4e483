"""Differences of the released CIHP and LIP configs from seg-1024x768.py: patches padded by 2, no random backgrounds, a smaller
range of sizes, and ignored corners of rotated images.
"""

_base_ = './seg-1024x768.py'

model = dict(backbone=dict(patch_padding=2))
train_pipeline = [
    dict(type='PhotometricDistortion', permute=False),
    dict(type='LoadLabels', fields=['sem_seg']),
    dict(
        type='LoadDense',
        decode='fast',
        steps=[
            dict(type='RandomResize', size=(768, 1024), ratio=(0.75, 1.25)),
            dict(type='RandomCrop', size=(768, 1024), cat_max_ratio=0.75),
            dict(type='Resize', size=(768, 1024)),
            dict(type='RandomRotate', degree=45, prob=0.5, seg_padding=255),
            dict(type='RandomFlip', prob=0.5),
        ],
    ),
    dict(type='PackDense'),
]
