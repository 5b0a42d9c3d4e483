"""The recipe of synthetic-128x96.py for the weights of the package: training adds what photographs have and renderings lack.

Command: docs/weights.md.
"""

_base_ = ['../../_base_/datasets/photographs.py', './synthetic-128x96.py']

from sapiens.own_weights.photographs import before_photographs  # noqa: E402

train_pipeline = before_photographs(_base_)
train_dataloader = dict(dataset=dict(alpha='alpha', pipeline=train_pipeline))
