"""The recipe of parsing-1024x768.py on datasets/cihp.py, for 400 epochs."""

_base_ = ['../../_base_/schedules/dense-200e.py', '../../_base_/datasets/cihp.py', './parsing-1024x768.py']

model = dict(task=dict(classes=_base_.classes))
train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline, **_base_.train_dataset))
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline, **_base_.val_dataset))
test_dataloader = val_dataloader
val_evaluator = [_base_.metric, dict(type='ValLoss')]
test_evaluator = val_evaluator

default_hooks = dict(checkpoint=dict(interval=1, save_best='seg/mIoU'))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=400),
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=True, begin=0, end=400),
]
train_cfg = dict(max_epochs=400)
