"""The recipe of synthetic-256x256.py for the weights of the package: training adds what photographs have and renderings lack.

Command: docs/weights.md.
"""

_base_ = ['../../_base_/datasets/photographs.py', './synthetic-256x256.py']

train_pipeline = [
    dict(type='LoadMatte'),
    *_base_.train_pipeline[:2],
    *_base_._mixing,
    *_base_._camera_faults,
    _base_.train_pipeline[-1],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
