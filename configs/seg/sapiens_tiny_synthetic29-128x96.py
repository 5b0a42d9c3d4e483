# The 29 classes of Sapiens2 with the encoder and the head of the first family, so that the two compare.
_base_ = [
    '../_base_/schedules/tiny-finetune.py',
    '../_base_/datasets/synthetic_seg29.py',
    './_base_/seg-128x96.py',
    '../_base_/backbones/sapiens_tiny.py',
]

model = dict(backbone=dict(arch=_base_.backbone.arch), task=dict(classes=_base_.classes))
train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline, **_base_.train_dataset))
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline, **_base_.val_dataset))
test_dataloader = val_dataloader
val_evaluator = [_base_.metric, dict(type='ValLoss')]
test_evaluator = val_evaluator
