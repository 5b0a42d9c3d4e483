"""The recipe of synthetic-256x256.py for the weights of the package: training adds what photographs have and renderings lack.

Command: docs/weights.md.
"""

_base_ = ['../../_base_/datasets/photographs.py', './synthetic-256x256.py']

from sapiens.own_weights.photographs import before_photographs, with_photographs  # noqa: E402

# Cut-outs are single people, who become people to find.
_others = dict(ann_file='annotations/person_keypoints.json', height=(0.15, 0.8), prob=0.4)
train_pipeline = [
    dict(type='LoadMatte', optional=_base_._people_photographs != 'none'),
    *before_photographs(_base_, steps=2, **_others),
]
_people = with_photographs(dict(_base_.train_dataset, pipeline=train_pipeline), _base_._people_photographs)
train_dataloader = dict(dataset=dict(_delete_=True, **_people))
