"""The recipe of sapiens2-1024x768.py on datasets/render_people_pointmap.py."""

_base_ = [
    '../../_base_/schedules/sapiens2.py',
    '../../_base_/datasets/render_people_pointmap.py',
    './sapiens2-1024x768.py',
]

train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline, **_base_.train_dataset))
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline, **_base_.val_dataset))
test_dataloader = val_dataloader
val_evaluator = [_base_.metric, dict(type='ValLoss')]
test_evaluator = val_evaluator

optim_wrapper = dict(precision='fp32')  # as published
default_hooks = dict(checkpoint=dict(save_best='pointmap/L2'))
