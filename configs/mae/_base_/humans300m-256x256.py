"""The recipe of mae-256x256.py on the images of datasets/humans300m.py: batch 64, 400 epochs."""

_base_ = ['../../_base_/schedules/mae-1600e.py', '../../_base_/datasets/humans300m.py', './mae-256x256.py']

train_dataloader = dict(
    batch_size=64, num_workers=2, dataset=dict(pipeline=_base_.train_pipeline, **_base_.train_dataset)
)
val_dataloader = dict(num_workers=2, dataset=dict(pipeline=_base_.val_pipeline, **_base_.val_dataset))
test_dataloader = val_dataloader
val_evaluator = _base_.metric
test_evaluator = _base_.metric

param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=20, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=380, by_epoch=True, begin=20, end=400, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=400, val_interval=20)
default_hooks = dict(checkpoint=dict(interval=20))
