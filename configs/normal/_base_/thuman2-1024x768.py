"""The recipe of renderpeople-1024x768.py, tested on THuman2.0 as published (docs/tasks/depth.md, "The published tables")."""

_base_ = [
    '../../_base_/schedules/dense-200e.py',
    '../../_base_/datasets/render_people_normal.py',
    '../../_base_/datasets/thuman2_normal.py',
    './normal-1024x768.py',
]

train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline, **_base_.train_dataset))
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline, **_base_.val_dataset))
test_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline, **_base_.test_dataset))
val_evaluator = [_base_.metric, dict(type='ValLoss')]
test_evaluator = [_base_.test_metric]

default_hooks = dict(checkpoint=dict(interval=1, save_best='normal/mean'))
