"""The recipe of pose-1024x768.py on datasets/coco17.py."""

_base_ = ['../../_base_/schedules/pose-210e.py', '../../_base_/datasets/coco17.py', './pose-1024x768.py']

model = dict(skeleton=_base_.skeleton)
train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline, **_base_.train_dataset))
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline, **_base_.val_dataset))
test_dataloader = val_dataloader
val_evaluator = [_base_.metric, dict(type='ValLoss')]
test_evaluator = val_evaluator

default_hooks = dict(checkpoint=dict(interval=10, save_best='coco/AP'))
