"""The recipe of synthetic133-128x96.py for the weights of the package: training adds what photographs have and renderings lack.

Command: docs/weights.md.
"""

_base_ = ['../../_base_/datasets/photographs.py', './synthetic133-128x96.py']

train_pipeline = [
    dict(type='LoadMatte'),
    dict(type='CutByBorder', prob=0.3),
    *_base_.train_pipeline[:-1],
    *_base_._mixing,
    _base_._other_people,
    *_base_._camera_faults,
    _base_.train_pipeline[-1],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
