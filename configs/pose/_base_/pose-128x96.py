"""Top-down pose estimation at 128x96 for CPUs and first experiments. Nothing is published for it.

Differs from pose-1024x768.py to train in minutes on two cores: crops of 128x96 pixels, a head of 64 channels with initial weights
of the usual size, sine-cosine positions, cross entropy over the cells of narrow heatmaps (squared errors leave their first
optimum, the empty heatmap, much later), and milder augmentation.
Command and numbers: docs/tasks/pose.md.
"""

_base_ = './pose-1024x768.py'

model = dict(
    backbone=dict(img_size=(128, 96), patch_padding=0, pos_embed='sincos'),
    head=dict(deconv_channels=(64, 64), conv_channels=(64, 64), init='fan_in'),
    codec=dict(sigma=1.0, refine='expectation'),
    losses=dict(_delete_=True, type='HeatmapCrossEntropyLoss'),
)
train_pipeline = [
    dict(type='mmpose.GetBBoxCenterScale', padding=1.25),
    dict(
        type='mmpose.RandomBBoxTransform',
        shift_factor=0.1,
        scale_factor=(0.75, 1.25),
        rotate_factor=45,
        rotate_prob=0.5,
    ),
    dict(type='PhotometricDistortion'),
    dict(type='LoadPerson', size=(96, 128), flip_prob=0.5, min_visible=4, decode='fast'),
    dict(type='PackPose'),
]
val_pipeline = [
    dict(type='mmpose.GetBBoxCenterScale', padding=1.25),
    dict(type='LoadPerson', size=(96, 128)),
    dict(type='PackPose'),
]

custom_hooks = [
    dict(type='PosePictureHook', interval=500, num_images=16),
]
