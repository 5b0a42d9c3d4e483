"""The recipe of synthetic17-128x96.py for the weights of the package: training adds what photographs have and renderings lack.

Command: docs/weights.md.
"""

_base_ = ['../../_base_/datasets/photographs.py', './synthetic17-128x96.py']

from sapiens.own_weights.photographs import before_photographs, with_photographs  # noqa: E402

_matte = [dict(type='LoadMatte', optional=_base_._people_photographs != 'none'), dict(type='CutByBorder', prob=0.3)]
train_pipeline = [*_matte, *before_photographs(_base_)]
_people = with_photographs(dict(_base_.train_dataset, pipeline=train_pipeline), _base_._people_photographs)
train_dataloader = dict(dataset=dict(_delete_=True, **_people))
val_evaluator = test_evaluator = [_base_.metric, dict(type='PCKMetric'), dict(type='ValLoss')]
