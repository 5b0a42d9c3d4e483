"""The recipe of mae-256x256.py on people rendered on the fly (datasets/synthetic.py): no files, no download.

A core renders about two such images per second: use as many workers as cores.
Command: sapiens train configs/mae/sapiens_tiny_synthetic-256x256.py
"""

_base_ = ['../../_base_/schedules/mae-1600e.py', '../../_base_/datasets/synthetic.py', './mae-256x256.py']

train_dataloader = dict(
    batch_size=64, num_workers=16, dataset=dict(pipeline=_base_.train_pipeline, **_base_.train_dataset)
)
val_dataloader = dict(num_workers=4, dataset=dict(pipeline=_base_.val_pipeline, **_base_.val_dataset))
test_dataloader = val_dataloader
val_evaluator = _base_.metric
test_evaluator = _base_.metric

param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, begin=0, end=2, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=38, by_epoch=True, begin=2, end=40, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=40, val_interval=2)
default_hooks = dict(checkpoint=dict(interval=2))
