"""The recipe of depth-128x96.py on rendered people (datasets/synthetic_depth.py)."""

_base_ = ['../../_base_/schedules/tiny-finetune.py', '../../_base_/datasets/synthetic_depth.py', './depth-128x96.py']

# A quarter of the best value for the other tasks (docs/log/experiments.md).
optim_wrapper = dict(optimizer=dict(lr=1e-3))
train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline, **_base_.train_dataset))
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline, **_base_.val_dataset))
test_dataloader = val_dataloader
val_evaluator = [_base_.metric, dict(type='ValLoss')]
test_evaluator = val_evaluator
