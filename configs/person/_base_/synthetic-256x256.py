"""The recipe of person-256x256.py on rendered people (datasets/synthetic_boxes.py)."""

_base_ = ['../../_base_/schedules/tiny-finetune.py', '../../_base_/datasets/synthetic_boxes.py', './person-256x256.py']

train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline, **_base_.train_dataset))
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline, **_base_.val_dataset))
test_dataloader = val_dataloader
val_evaluator = [_base_.metric, dict(type='ValLoss')]
test_evaluator = val_evaluator
