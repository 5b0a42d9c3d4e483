"""Photographs of people among the rendered ones, as ``sapiens weights --photographs`` mixes them (docs/weights.md).

Data: a folder $DATA_ROOT/real with people_train_free.json (COCO, 17 keypoints) and images.
"""

_base_ = '../sapiens_tiny_free17-128x96.py'

from sapiens.own_weights.photographs import with_photographs  # noqa: E402  (MMEngine needs _base_ first)

# Photographs have no mask of the person, which these transforms take.
_pipeline = [
    dict(step, optional=True) if step['type'] in ('LoadMatte', 'RandomBackground') else step
    for step in _base_.train_dataloader.dataset.pipeline
]
_people = with_photographs(
    dict(_base_.train_dataloader.dataset, pipeline=_pipeline),
    '{{$DATA_ROOT:data}}/real',
    ann_file='people_train_free.json',
)
train_dataloader = dict(dataset=dict(_delete_=True, **_people))
