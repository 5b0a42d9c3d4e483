"""Pose with Sapiens2 at 128x96 for CPUs and first experiments.

Nothing is published for it. The chain of the first family's pose-128x96.py with the encoder and the head of the second one.
Command and numbers: docs/tasks/pose.md.
"""

_base_ = './pose-128x96.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='Sapiens2ViT',
        img_size=(128, 96),
        rope_dtype='fp32',
        drop_path_rate=0.0,
        frozen_stages=-1,
    ),
    head=dict(
        _delete_=True,
        type='DeconvHead',
        deconv_channels=(64, 64),
        conv_channels=(64, 64),
        predictor='conv_pose',
    ),
)
