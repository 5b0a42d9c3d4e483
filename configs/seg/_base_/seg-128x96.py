"""Body-part segmentation at 128x96 for CPUs and first tries; ours, nothing is published for it.

Differs from seg-1024x768.py where minutes on two cores call for it: pictures of 128x96 pixels, a head of 64 channels, a learning
rate for a batch of 32, and an average of the weights. Other backgrounds are an ablation.
Command and numbers: docs/tasks/seg.md.
"""

_base_ = './seg-1024x768.py'

model = dict(
    backbone=dict(img_size=(128, 96), patch_padding=0),
    decode_head=dict(deconv_channels=(64, 64, 64), conv_channels=(64,)),
)
train_pipeline = [
    dict(type='PhotometricDistortion', permute=False),
    dict(type='LoadLabels', fields=['sem_seg']),
    dict(
        type='LoadDense',
        decode='fast',
        steps=[
            dict(type='RandomResize', size=(96, 128), ratio=(0.8, 2.0)),
            dict(type='RandomCrop', size=(96, 128)),
            dict(type='Resize', size=(96, 128)),
            dict(type='RandomRotate', degree=30, prob=0.5, seg_padding=255),
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
train_dataloader = dict(batch_size=32, num_workers=1)
val_dataloader = dict(batch_size=32, num_workers=1)
test_dataloader = val_dataloader

optim_wrapper = dict(optimizer=dict(lr=1e-3, weight_decay=0.05), paramwise_cfg=dict(layer_decay_rate=None))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=200),
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False, begin=200, end=3000),
]
train_cfg = dict(_delete_=True, type='TrainLoop', max_iters=3000, val_interval=1000)
custom_hooks = [
    dict(type='SegPictureHook', interval=500, num_images=8),
    dict(type='EMAHook', ema_type='ExponentialMovingAverage', momentum=0.002),
]
