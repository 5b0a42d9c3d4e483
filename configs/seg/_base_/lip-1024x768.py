"""The recipe of seg-1024x768.py on datasets/lip.py, for 400 epochs, with cosine decay."""

_base_ = ['../../_base_/default_runtime.py', '../../_base_/datasets/lip.py', './seg-1024x768.py']

# As published for these data: patches padded by 2, no other backgrounds, sizes change less, what a rotation uncovers is ignored.
train_pipeline = [
    dict(type='PhotometricDistortion', permute=False),
    dict(type='LoadLabels', fields=['sem_seg']),
    dict(
        type='LoadDense',
        decode='fast',
        steps=[
            dict(type='RandomResize', size=(768, 1024), ratio=(0.75, 1.25)),
            dict(type='RandomCrop', size=(768, 1024), cat_max_ratio=0.75),
            dict(type='Resize', size=(768, 1024)),
            dict(type='RandomRotate', degree=45, prob=0.5, seg_padding=255),
            dict(type='RandomFlip', prob=0.5),
        ],
    ),
    dict(type='PackDense'),
]

model = dict(task=dict(classes=_base_.classes), backbone=dict(patch_padding=2))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline, **_base_.train_dataset))
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline, **_base_.val_dataset))
test_dataloader = val_dataloader
val_evaluator = [_base_.metric, dict(type='ValLoss')]
test_evaluator = val_evaluator

default_hooks = dict(checkpoint=dict(interval=1, save_best='seg/mIoU', rule='greater'))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=400),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=0, T_max=400, end=400),
]
train_cfg = dict(max_epochs=400)
