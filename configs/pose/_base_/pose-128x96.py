"""Top-down pose estimation at 128x96 for CPUs and first tries; ours, nothing is published for it.

Differs from pose-1024x768.py where minutes on two cores call for it: crops of 128x96 pixels, a head of 64 channels, cross
entropy over the cells of narrow maps (squared errors leave the empty map, their first optimum, much later), milder augmentation,
a learning rate for a batch of 32, and an average of the weights, so that an evaluation at any time shows what was learned.
Command and numbers: docs/tasks/pose.md.
"""

_base_ = './pose-1024x768.py'

model = dict(
    backbone=dict(img_size=(128, 96), patch_padding=0),
    head=dict(deconv_channels=(64, 64), conv_channels=(64, 64)),
    codec=dict(sigma=1.0, refine='expectation'),
    loss=dict(_delete_=True, type='HeatmapCrossEntropyLoss'),
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
train_dataloader = dict(batch_size=32, num_workers=1)
val_dataloader = dict(batch_size=64, num_workers=1)
test_dataloader = val_dataloader

optim_wrapper = dict(optimizer=dict(lr=1e-3, weight_decay=0.05), paramwise_cfg=dict(layer_decay_rate=None))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=200),
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False, begin=200, end=12000),
]
train_cfg = dict(_delete_=True, type='TrainLoop', max_iters=12000, val_interval=1500)
custom_hooks = [
    dict(type='VisibleKeypointsHook'),
    dict(type='PosePictureHook', interval=500, num_images=16),
    dict(type='EMAHook', ema_type='ExponentialMovingAverage', momentum=0.002),
]
