"""The recipe of mae-256x256.py on one folder of any images, counted in iterations. The quickstart runs it.

The model overfits a few images on purpose: the reconstructions show within minutes that the whole chain works. The batch is
therefore small, the learning rate high and fixed, crops keep at least half of an image, and each image is repeated 100 times per
epoch.
Command: DATA_ROOT=my_images sapiens train configs/mae/sapiens_tiny_folder-256x256.py
"""

_base_ = ['../../_base_/schedules/mae-1600e.py', '../../_base_/datasets/folder.py', './mae-256x256.py']

train_pipeline = [
    dict(type='LoadRandomResizedCrop', size=(256, 256), area=(0.5, 1.0), aspect=(3 / 4, 4 / 3), flip_prob=0.5),
    dict(type='PackImage'),
]

train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    sampler=dict(repeat=100),
    dataset=dict(pipeline=train_pipeline, **_base_.train_dataset),
)
val_dataloader = dict(batch_size=16, num_workers=1, dataset=dict(pipeline=_base_.val_pipeline, **_base_.val_dataset))
test_dataloader = val_dataloader
val_evaluator = _base_.metric
test_evaluator = _base_.metric

optim_wrapper = dict(optimizer=dict(lr=2e-3))
auto_scale_lr = dict(enable=False)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, by_epoch=False, begin=0, end=20),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=20, T_max=380, end=400),
]
train_cfg = dict(_delete_=True, type='TrainLoop', max_iters=400, val_interval=400)
default_hooks = dict(checkpoint=dict(interval=100, by_epoch=False), logger=dict(interval=10))
log_processor = dict(by_epoch=False)
custom_hooks = [dict(type='ReconstructionHook', interval=100, num_images=6)]
