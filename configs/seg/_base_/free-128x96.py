"""The recipe of synthetic-128x96.py for the weights of the package: training adds what photographs have and renderings lack.

Command: docs/weights.md.
"""

_base_ = ['../../_base_/datasets/photographs.py', './synthetic-128x96.py']

train_pipeline = [
    *_base_.train_pipeline[:-1],
    *_base_._mixing,
    dict(_base_._other_people, labels='seg'),
    *_base_._camera_faults,
    _base_.train_pipeline[-1],
]
train_dataloader = dict(dataset=dict(alpha='alpha', pipeline=train_pipeline))
