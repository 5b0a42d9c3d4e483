"""The recipe of renderpeople-1024x768.py, tested on Hi4D as published (docs/tasks/depth.md, "The published tables")."""

_base_ = [
    '../../_base_/schedules/dense-200e.py',
    '../../_base_/datasets/render_people_depth.py',
    '../../_base_/datasets/hi4d_depth.py',
    './depth-1024x768.py',
]

train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline, **_base_.train_dataset))
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline, **_base_.val_dataset))
test_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline, **_base_.test_dataset))
val_evaluator = [_base_.metric, dict(type='ValLoss')]
test_evaluator = [_base_.test_metric]

default_hooks = dict(checkpoint=dict(interval=1, save_best='depth_scale-shift/RMSE'))
