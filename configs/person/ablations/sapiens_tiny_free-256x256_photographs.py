"""Photographs of people among the rendered ones, from $DATA_ROOT/real: people_train_free.json and images (docs/weights.md)."""

_base_ = ['../_base_/free-256x256.py', '../../_base_/backbones/sapiens_tiny.py']

from sapiens.own_weights.photographs import with_photographs, without_masks  # noqa: E402  (MMEngine needs _base_ first)

model = dict(backbone=dict(arch=_base_.backbone.arch))
train_pipeline = without_masks(_base_.train_pipeline)
_people = dict(_base_.train_dataset, pipeline=train_pipeline)
_people = with_photographs(_people, '{{$DATA_ROOT:data}}/real', ann_file='people_train_free.json')
train_dataloader = dict(dataset=dict(_delete_=True, **_people))
