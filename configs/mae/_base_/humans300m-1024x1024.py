"""The recipe of mae-1024x1024.py on the images of datasets/humans300m.py."""

_base_ = ['../../_base_/schedules/mae-1600e.py', '../../_base_/datasets/humans300m.py', './mae-1024x1024.py']

train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline, **_base_.train_dataset))
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline, **_base_.val_dataset))
test_dataloader = val_dataloader
val_evaluator = _base_.metric
test_evaluator = _base_.metric

default_hooks = dict(checkpoint=dict(interval=5))
