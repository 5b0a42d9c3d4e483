"""Shading of rendered people at 64x48, for seconds on a CPU."""

_base_ = '../../configs/_base_/schedules/tiny-finetune.py'

custom_imports = dict(imports=[*_base_.custom_imports.imports, 'shading'], allow_failed_imports=False)
model = dict(
    type='DenseEstimator',
    backbone=dict(
        type='SapiensViT',
        arch=dict(embed_dims=48, num_layers=2, num_heads=2, feedforward_channels=96),
        img_size=(64, 48),
        pos_embed='sincos',
    ),
    head=dict(type='DenseHead', deconv_channels=(24, 24), conv_channels=(24,)),
    task=dict(type='ShadingTask'),
)
train_pipeline = [
    dict(type='LoadLabels', fields=['shading']),
    dict(
        type='LoadDense',
        steps=[
            dict(type='RandomResize', size=(48, 64), ratio=(1.0, 1.25)),
            dict(type='RandomCrop', size=(48, 64)),
            dict(type='Resize', size=(48, 64)),
            dict(type='RandomFlip', prob=0.5),
        ],
    ),
    dict(type='PackDense'),
]
val_pipeline = [
    dict(type='LoadLabels', fields=['shading']),
    dict(type='LoadResize', size=(48, 64), interpolation='bilinear'),
    dict(type='PackDense'),
]
_people = dict(type='GeometryDataset', fields=['shading'])
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(data_root='{{$DATA_ROOT:data}}/synthetic/train', pipeline=train_pipeline, **_people),
)
val_dataloader = dict(
    num_workers=0,
    dataset=dict(data_root='{{$DATA_ROOT:data}}/synthetic/val', pipeline=val_pipeline, test_mode=True, **_people),
)
test_dataloader = val_dataloader
val_evaluator = [dict(type='ShadingError'), dict(type='ValLoss')]
param_scheduler = [dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=10)]
train_cfg = dict(max_iters=40, val_interval=20)
default_hooks = dict(checkpoint=dict(interval=20))
custom_hooks = [dict(type='DenseFigureHook', interval=20, num_images=2)]
