"""The recipe of mae-256x256.py on rendered people on disk (datasets/synthetic_files.py), for minutes on two cores.

Half the size, so that a patch covers as much of a person as in the crops of pose/_base_/pose-128x96.py, which starts from it.
Pixels are normalized per patch, since the features matter here, not the reconstruction. 12000 small steps with a fixed learning
rate.
Command and numbers: docs/tasks/pose.md.
"""

_base_ = ['../../_base_/schedules/mae-1600e.py', '../../_base_/datasets/synthetic_files.py', './mae-256x256.py']

model = dict(backbone=dict(img_size=(128, 128)), norm_pix=True)
train_pipeline = [
    dict(type='LoadRandomResizedCrop', size=(128, 128), area=(0.2, 1.0), aspect=(3 / 4, 4 / 3), flip_prob=0.5),
    dict(type='PackImage'),
]
val_pipeline = [
    dict(type='LoadResize', size=(128, 128)),
    dict(type='PackImage'),
]
train_dataloader = dict(batch_size=16, num_workers=1, dataset=dict(pipeline=train_pipeline, **_base_.train_dataset))
val_dataloader = dict(num_workers=1, dataset=dict(pipeline=val_pipeline, **_base_.val_dataset))
test_dataloader = val_dataloader
val_evaluator = _base_.metric
test_evaluator = _base_.metric

optim_wrapper = dict(optimizer=dict(lr=1e-3))
auto_scale_lr = dict(enable=False)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, by_epoch=False, begin=0, end=400),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=400, T_max=11600, end=12000),
]
train_cfg = dict(_delete_=True, type='TrainLoop', max_iters=12000, val_interval=2000)
default_hooks = dict(checkpoint=dict(interval=2000, by_epoch=False))
log_processor = dict(by_epoch=False)
custom_hooks = [dict(type='ReconstructionHook', interval=2000, num_images=8)]
