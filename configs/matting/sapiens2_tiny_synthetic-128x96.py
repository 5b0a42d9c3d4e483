_base_ = [
    '../_base_/schedules/tiny-finetune.py',
    '../_base_/datasets/synthetic_matting.py',
    './_base_/sapiens2-128x96.py',
    '../_base_/backbones/sapiens2_tiny.py',
]

model = dict(backbone=_base_.backbone)
train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline, **_base_.train_dataset))
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline, **_base_.val_dataset))
test_dataloader = val_dataloader
val_evaluator = [_base_.metric, dict(type='ValLoss')]
test_evaluator = val_evaluator
